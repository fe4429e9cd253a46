-- Collecting, storing and reporting audits.
--
-- Functions that a run calls are in plpgsql: Postgres plans the statement of an SQL function at each call, and
-- that of a plpgsql function once a session.
--
-- A session keeps its plans. A plan made while a table was empty or small reads all of it at each call, until
-- autovacuum has counted the rows again. Everything that a run looks up has an index whatever the arguments, so
-- collect_dex_… are planned by index only, once: enable_seqscan and plan_cache_mode. Their settings also apply to
-- the functions they call and to the checks of foreign keys.

-- Machines and logins

-- A computed column, `?select=*,dex_last_4hrs`: stored, it would be wrong for just those machines that
-- fell silent. Not security definer: the caller counts what the caller may see.
create function public.dex_last_4hrs(machine public.machines) returns integer
language sql stable set search_path = '' as $$
    select count(*)::integer from public.dex_captures
    where machine_id = machine.id and captured_at > now() - interval '4 hours';
$$;
comment on function public.dex_last_4hrs(public.machines) is 'Captures of the machine that were made in the last 4 h.';
revoke execute on function public.dex_last_4hrs(public.machines) from public, anon, authenticated, service_role;
grant execute on function public.dex_last_4hrs(public.machines) to authenticated, service_role;

create function public.collect_credentials_save(
    p_company_id uuid,
    p_username_encrypted text,
    p_password_encrypted text,
    p_site_url text,
    p_validation_status text,
    p_user_id uuid default null
) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_id         uuid;
    v_constraint text;
begin
    insert into public.user_credentials as login (
        company_id, user_id, username_encrypted, password_encrypted, site_url, validation_status, last_validated
    ) values (
        p_company_id, p_user_id, p_username_encrypted, p_password_encrypted, p_site_url, p_validation_status,
        case when p_validation_status <> 'unchecked' then now() end
    )
    on conflict on constraint user_credentials_once do update
    set user_id = excluded.user_id,
        username_encrypted = excluded.username_encrypted,
        password_encrypted = excluded.password_encrypted,
        site_url = excluded.site_url,
        validation_status = excluded.validation_status,
        last_validated = excluded.last_validated,
        is_active = true
    returning login.id into v_id;
    return v_id;
exception when check_violation then
    -- Postgres' own error shows the row, and what is refused here may be a password in the clear.
    get stacked diagnostics v_constraint = constraint_name;
    raise exception 'the login is refused: %', v_constraint using errcode = '23514', constraint = v_constraint;
end;
$$;
comment on function public.collect_credentials_save(uuid, text, text, text, text, uuid) is
    'Saves a sealed login in place of the company''s other one, and gives its id.';
revoke execute on function public.collect_credentials_save(uuid, text, text, text, text, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.collect_credentials_save(uuid, text, text, text, text, uuid) to service_role;

-- The state of a company's collection

create function private.collection_state_begin() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.collection_state (company_id) values (new.id);
    return null;
end;
$$;
comment on function private.collection_state_begin() is 'Trigger: a new company is due at once.';
revoke execute on function private.collection_state_begin() from public, anon, authenticated, service_role;
create trigger companies_state after insert on public.companies
    for each row execute function private.collection_state_begin();

-- The same login sealed under another key is no reason to try again at once.
create function private.collection_state_wake() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if current_setting('ironferry.resealing', true) = 'on' then
        return null;
    end if;
    update public.collection_state set next_due_at = now(), consecutive_failures = 0
    where company_id = new.company_id;
    return null;
end;
$$;
comment on function private.collection_state_wake() is 'Trigger: a company whose login changed need not wait out its backoff.';
revoke execute on function private.collection_state_wake() from public, anon, authenticated, service_role;
create trigger user_credentials_wake
    after insert or update of username_encrypted, password_encrypted, site_url, is_active on public.user_credentials
    for each row execute function private.collection_state_wake();

-- The caller sees its own companies, the service role all.
create view public.collection_overview with (security_invoker = true) as
select
    company.id as company_id,
    company.company_name,
    case
        when state.leased_until > now() then 'collecting'
        when state.next_due_at < now() - interval '15 minutes' then 'late'
        when state.skip_reason is not null then 'skipped'
        when state.consecutive_failures > 0 then 'failing'
        when state.last_succeeded_at is null then 'new'
        else 'collected'
    end as standing,
    coalesce(state.skip_reason, state.last_error) as reason,
    state.consecutive_failures,
    state.next_due_at,
    state.last_succeeded_at,
    state.last_records,
    machines.active as active_machines,
    machines.faulty as faulty_machines,
    machines.last_capture_at
from public.companies as company
join public.collection_state as state on state.company_id = company.id
cross join lateral (
    select
        (count(*) filter (where machine.status = 'active'))::integer as active,
        (count(*) filter (where machine.status = 'active' and machine.dex_has_errors))::integer as faulty,
        max(machine.dex_last_capture) as last_capture_at
    from public.machines as machine
    where machine.company_id = company.id
) as machines;
comment on view public.collection_overview is 'How the collection of each company stands, in a row.';
comment on column public.collection_overview.company_id is 'The company.';
comment on column public.collection_overview.company_name is 'Its name.';
comment on column public.collection_overview.standing is
    'collecting now; late: due for 15 minutes and nobody came, so look at pg_cron; skipped; failing; new; collected.';
comment on column public.collection_overview.reason is 'Why it was skipped, or how it failed.';
comment on column public.collection_overview.consecutive_failures is 'Failures since the last success.';
comment on column public.collection_overview.next_due_at is 'When it is due.';
comment on column public.collection_overview.last_succeeded_at is 'When it last succeeded.';
comment on column public.collection_overview.last_records is 'New captures of that time.';
comment on column public.collection_overview.active_machines is 'Its active machines.';
comment on column public.collection_overview.faulty_machines is 'Of those, the ones whose newest capture has errors.';
comment on column public.collection_overview.last_capture_at is 'When its newest capture was made.';
revoke all on public.collection_overview from public, anon, authenticated, service_role;
grant select on public.collection_overview to authenticated, service_role;

-- Who collects which company: one atomic function a verb. A run claims companies, and finishes or
-- releases each. A company that a run neither finishes nor releases is free again when its lease ends.
--
-- The database's clock decides. now() is the start of the call, which an index can be searched for;
-- clock_timestamp() is used where a call may have waited for a lock.

-- [0-9] and not \d, which matches a digit of any script under ICU collations; a cast to a number takes ASCII only.
create function private.collect_interval(p_settings jsonb) returns interval
language plpgsql immutable set search_path = '' as $$
begin
    return make_interval(mins => least(greatest(
        case when p_settings ->> 'collectEveryMinutes' ~ '^[0-9]{1,5}$'
             then (p_settings ->> 'collectEveryMinutes')::integer else 5 end, 1), 10080));
end;
$$;
comment on function private.collect_interval(jsonb) is
    'Between two collections: settings.collectEveryMinutes, 1 minute to a week, 5 minutes unless set.';
revoke execute on function private.collect_interval(jsonb) from public, anon, authenticated, service_role;

create function private.collect_backoff(p_every interval, p_failures integer) returns interval
language sql volatile set search_path = '' as $$
    -- The jitter parts companies that failed together.
    select least(p_every * power(2, least(p_failures, 20) - 1), interval '6 hours') * (0.9 + random() * 0.2);
$$;
comment on function private.collect_backoff(interval, integer) is
    'The wait after so many failures: the interval, doubled by each, 6 h at the most, 10 % more or less.';
revoke execute on function private.collect_backoff(interval, integer) from public, anon, authenticated, service_role;

create function private.collect_obstacle(p_company_id uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
    return case
        when not exists (
            select from public.user_credentials where company_id = p_company_id and is_active
        ) then 'no credentials'
        when not exists (
            select from public.machines where company_id = p_company_id and status = 'active'
        ) then 'no active machines'
    end;
end;
$$;
comment on function private.collect_obstacle(uuid) is 'Why a company cannot be collected now; null when it can.';
revoke execute on function private.collect_obstacle(uuid) from public, anon, authenticated, service_role;

create function private.collect_open(p_run_id uuid, p_function text, p_triggered_by text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.collection_runs (id, function, triggered_by) values (p_run_id, p_function, p_triggered_by)
    on conflict (id) do nothing;
    -- A run ends within 135 s plus the replies that it still awaits; the next tick comes after 5 minutes. A run that
    -- is slower by its settings holds leases, or reports late and overwrites this. Rows that a concurrent call is
    -- marking are skipped.
    update public.collection_runs
    set status = 'killed',
        finished_at = clock_timestamp(),
        error = 'the worker ended before the run reported: it reached a limit of the platform (CPU, memory, wall clock), crashed or was replaced by a deployment'
    where id in (
        select run.id from public.collection_runs as run
        where run.status = 'running' and run.started_at < now() - interval '4 minutes'
          and not exists (
              select from public.collection_state as state
              where state.lease_run_id = run.id and state.leased_until > now()
          )
        for update skip locked
    );
end;
$$;
comment on function private.collect_open(uuid, text, text) is
    'Inserts the run''s row at its first claim, and marks runs whose worker was killed.';
revoke execute on function private.collect_open(uuid, text, text) from public, anon, authenticated, service_role;

create type public.collect_dex_claimed as (
    company_id          uuid,
    company_name        text,
    settings            jsonb,
    last_succeeded_at   timestamptz,
    username_encrypted  text,
    password_encrypted  text,
    site_url            text,
    skip_reason         text,
    collect_from        timestamptz
);
comment on type public.collect_dex_claimed is 'A company that a run has leased, or must skip and why.';

create function private.collect_lease(
    p_run_id uuid, p_company_ids uuid[], p_lease_seconds integer
) returns setof public.collect_dex_claimed
language plpgsql security definer set search_path = '' as $$
begin
    return query
    with company as (
        select
            company.id, company.company_name, company.settings, company.skip_reason,
            state.next_due_at,
            private.collect_interval(company.settings) as every,
            clock_timestamp() + make_interval(secs => greatest(p_lease_seconds, 1)) as lease_end,
            -- A lease that nobody gave back is the trace of a crash.
            (state.leased_until is not null and state.lease_run_id is distinct from p_run_id) as crashed,
            -- It stays while a company is collected for the first time, call by call: the list begins at the
            -- same capture. After a week without a success it is made anew.
            case
                when state.collect_from is null
                    or (state.last_succeeded_at is null and state.collect_from < now() - interval '37 days')
                then now() - interval '30 days'
                else state.collect_from
            end as collect_from
        from (
            select id, company_name, settings, private.collect_obstacle(id) as skip_reason
            from public.companies where id = any (p_company_ids)
        ) as company
        join public.collection_state as state on state.company_id = company.id
    ), leased as (
        update public.collection_state as state
        set lease_run_id = p_run_id,
            leased_until = company.lease_end,
            last_started_at = clock_timestamp(),
            skip_reason = null,
            collect_from = company.collect_from,
            consecutive_failures = state.consecutive_failures + company.crashed::integer,
            last_error = case when company.crashed then 'CRASHED: the last run ended without a word' else state.last_error end,
            -- The first crash is made good at once. Should this run crash too, then perhaps it is this
            -- company that does it: the others, who crash with it, get their turn without it.
            next_due_at = case
                when company.crashed then company.lease_end + private.collect_backoff(company.every, state.consecutive_failures + 1)
                else state.next_due_at
            end
        from company
        where state.company_id = company.id and company.skip_reason is null
    ), skipped as (
        update public.collection_state as state
        set lease_run_id = null,
            leased_until = null,
            skip_reason = company.skip_reason,
            next_due_at = now() + company.every
        from company
        where state.company_id = company.id and company.skip_reason is not null
    )
    select
        company.id, company.company_name, company.settings, state.last_succeeded_at,
        login.username_encrypted, login.password_encrypted, login.site_url, company.skip_reason, company.collect_from
    from company
    join public.collection_state as state on state.company_id = company.id
    left join public.user_credentials as login
        on login.company_id = company.id and login.is_active and company.skip_reason is null
    order by company.next_due_at, company.id;
end;
$$;
comment on function private.collect_lease(uuid, uuid[], integer) is
    'Leases these companies, or skips those that cannot be collected. The caller has locked their state.';
revoke execute on function private.collect_lease(uuid, uuid[], integer)
    from public, anon, authenticated, service_role;

create function public.collect_dex_claim(
    p_run_id uuid, p_triggered_by text, p_limit integer, p_lease_seconds integer
) returns setof public.collect_dex_claimed
language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_company_ids uuid[];
begin
    perform private.collect_open(p_run_id, 'collect-dex', p_triggered_by);
    -- What another claim has locked is skipped, and what it has just leased is seen to be leased:
    -- no company is given out twice, and no claim waits for another.
    select array_agg(due.company_id) into v_company_ids
    from (
        select state.company_id
        from public.collection_state as state
        where state.next_due_at <= now() and (state.leased_until is null or state.leased_until <= now())
        order by state.next_due_at, state.company_id
        -- PostgREST would cut off, and so lose, what is over 1,000.
        limit least(greatest(p_limit, 0), 1000)
        for update skip locked
    ) as due;
    return query select * from private.collect_lease(p_run_id, v_company_ids, p_lease_seconds);
end;
$$;
comment on function public.collect_dex_claim(uuid, text, integer, integer) is
    'Leases up to so many companies that are due, the longest due first. Two calls at once never give the same company.';
revoke execute on function public.collect_dex_claim(uuid, text, integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_claim(uuid, text, integer, integer) to service_role;

create function public.collect_dex_claim_one(
    p_run_id uuid, p_triggered_by text, p_company_id uuid, p_lease_seconds integer
) returns setof public.collect_dex_claimed
language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_state public.collection_state;
begin
    select * into v_state from public.collection_state where company_id = p_company_id for update;
    if not found then
        raise exception 'there is no company %', p_company_id using errcode = 'P0002';
    end if;
    if v_state.leased_until > clock_timestamp() and v_state.lease_run_id is distinct from p_run_id then
        return;
    end if;
    -- A call that cannot collect is told so, and is no run.
    if private.collect_obstacle(p_company_id) is null then
        perform private.collect_open(p_run_id, 'collect-bulk', p_triggered_by);
    end if;
    return query select * from private.collect_lease(p_run_id, array[p_company_id], p_lease_seconds);
end;
$$;
comment on function public.collect_dex_claim_one(uuid, text, uuid, integer) is
    'Leases one company, due or not; no row when another run has it. P0002 when there is none.';
revoke execute on function public.collect_dex_claim_one(uuid, text, uuid, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_claim_one(uuid, text, uuid, integer) to service_role;

-- A lease that ended but was not taken by another run still counts: the work was done.
create function public.collect_dex_finish(
    p_run_id uuid, p_company_id uuid, p_success boolean, p_records integer, p_error text default null,
    p_failed_from timestamptz default null, p_login text default null
) returns boolean
language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_failures integer;
begin
    select case
        when p_success then 0
        -- A site that lets in a hundred requests and then answers 429 ends each step of a first collection with a
        -- failure. One behind which something was stored is the first again: the pauses would grow to 6 hours.
        when exists (
            select from public.dex_captures as capture
            where capture.company_id = p_company_id
              and capture.captured_at > now() - interval '31 days'
              and capture.created_at >= state.last_started_at
        ) then 1
        else state.consecutive_failures + 1
    end into v_failures
    from public.collection_state as state
    where state.company_id = p_company_id and state.lease_run_id = p_run_id
    for update;
    if not found then
        return false;
    end if;
    update public.collection_state as state
    set lease_run_id = null,
        leased_until = null,
        consecutive_failures = v_failures,
        last_error = case when p_success then null else left(p_error, 1000) end,
        last_succeeded_at = case when p_success then clock_timestamp() else state.last_succeeded_at end,
        last_records = case when p_success then p_records else state.last_records end,
        -- Two days, because captures arrive late. 30, because one that fails for ever shall not be asked for as long.
        collect_from = case
            when p_success then greatest(
                least(clock_timestamp() - interval '2 days', p_failed_from), clock_timestamp() - interval '30 days'
            )
            else state.collect_from
        end,
        next_due_at = case
            -- Counted from the start of the run, half a minute early: the tick that is meant finds it
            -- due, however late in the run its turn came. Half the interval lies between in any case.
            when p_success then greatest(
                run.started_at + private.collect_interval(company.settings) - interval '30 seconds',
                state.last_started_at + private.collect_interval(company.settings) / 2
            )
            else clock_timestamp() + private.collect_backoff(private.collect_interval(company.settings), v_failures)
        end
    from public.companies as company, public.collection_runs as run
    where state.company_id = p_company_id
      and state.lease_run_id = p_run_id
      and company.id = state.company_id
      and run.id = state.lease_run_id;
    -- No two sealed texts are alike: a login that was saved meanwhile is another one, of which nothing is known.
    update public.user_credentials as login
    set validation_status = verdict.status, last_validated = clock_timestamp()
    from (
        select case when p_success then 'valid' when p_error like 'LOGIN_REFUSED:%' then 'invalid' end as status
    ) as verdict
    where login.company_id = p_company_id
      and login.username_encrypted = p_login
      and login.validation_status <> verdict.status;
    return true;
end;
$$;
comment on function public.collect_dex_finish(uuid, uuid, boolean, integer, text, timestamptz, text) is
    'Ends a company''s collection: next due, where the next one begins (p_failed_from: the oldest capture that failed), or backoff doubling to 6 h; and what the site said of the login that was used (p_login: its sealed user name). False when another run has the lease; then nothing changes.';
revoke execute on function public.collect_dex_finish(uuid, uuid, boolean, integer, text, timestamptz, text)
    from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_finish(uuid, uuid, boolean, integer, text, timestamptz, text)
    to service_role;

create function public.collect_dex_release(p_run_id uuid, p_company_ids uuid[]) returns void
language sql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
    -- Due now, so behind the companies that already wait: one with thousands of captures does not hold up the others.
    update public.collection_state
    set lease_run_id = null, leased_until = null, next_due_at = now()
    where company_id = any (p_company_ids) and lease_run_id = p_run_id;
$$;
comment on function public.collect_dex_release(uuid, uuid[]) is
    'Releases leases without a success or a failure: the companies are due, behind those that already wait.';
revoke execute on function public.collect_dex_release(uuid, uuid[]) from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_release(uuid, uuid[]) to service_role;

create function public.collect_dex_end(
    p_run_id uuid, p_status text, p_summary jsonb, p_error text default null
) returns void
language sql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
    update public.collection_runs
    set status = p_status,
        finished_at = clock_timestamp(),
        companies_processed = coalesce((p_summary ->> 'companiesProcessed')::integer, 0),
        successful_collections = coalesce((p_summary ->> 'successfulCollections')::integer, 0),
        total_records = coalesce((p_summary ->> 'totalRecords')::integer, 0),
        results = coalesce(p_summary -> 'results', '[]'),
        error = p_error
    where id = p_run_id;
    -- A run that has ended has nothing under way.
    update public.collection_state
    set lease_run_id = null, leased_until = null, next_due_at = least(next_due_at, now())
    where lease_run_id = p_run_id;
$$;
comment on function public.collect_dex_end(uuid, text, jsonb, text) is 'Ends a run in the ledger, and gives back what it still has.';
revoke execute on function public.collect_dex_end(uuid, text, jsonb, text)
    from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_end(uuid, text, jsonb, text) to service_role;

-- How a capture becomes sales. The collector computes them: it asks what is stored around its captures
-- (collect_dex_around) and sends, with each capture, the intervals that it makes or splits
-- (collect_dex_store). Both sides compare the same neighbours; if they differ, nothing is stored.

create function private.dex_around(p_machine_id uuid, p_captured_at timestamptz, p_dex_id bigint) returns bigint[]
language plpgsql stable security definer set search_path = '' as $$
begin
    -- Two to each side: the second tells a slip of one capture from a counter that was set back, and has
    -- the selections that the first lacks.
    return array(
        select near.dex_id from (
            (
                select dex_id, captured_at from public.dex_captures
                where machine_id = p_machine_id and counters is not null
                  and (captured_at, dex_id) < (p_captured_at, p_dex_id)
                order by captured_at desc, dex_id desc limit 2
            ) union all (
                select dex_id, captured_at from public.dex_captures
                where machine_id = p_machine_id and counters is not null
                  and (captured_at, dex_id) > (p_captured_at, p_dex_id)
                order by captured_at, dex_id limit 2
            )
        ) as near
        order by near.captured_at, near.dex_id
    );
end;
$$;
comment on function private.dex_around(uuid, timestamptz, bigint) is
    'The sound captures of a machine next to this one: up to two older, up to two newer, in order.';
revoke execute on function private.dex_around(uuid, timestamptz, bigint)
    from public, anon, authenticated, service_role;

create function public.collect_dex_around(p_company_id uuid, p_captures json) returns jsonb
language plpgsql stable security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    return (
        with stored as (
            select distinct machine.id as machine_id, machine.case_serial, near.dex_id
            from json_to_recordset(p_captures) as wanted (dex_id bigint, case_serial text, captured_at timestamptz)
            join public.machines as machine
                on machine.company_id = p_company_id and machine.case_serial = wanted.case_serial
            cross join lateral unnest(private.dex_around(machine.id, wanted.captured_at, wanted.dex_id)) as near (dex_id)
        )
        select coalesce(jsonb_object_agg(machine.case_serial, machine.captures), '{}') from (
            select
                stored.case_serial,
                jsonb_agg(
                    jsonb_build_object(
                        'dex_id', capture.dex_id,
                        'captured_at', (extract(epoch from capture.captured_at) * 1000000)::bigint,
                        'counters', capture.counters
                    ) order by capture.captured_at, capture.dex_id
                ) as captures
            from stored
            join public.dex_captures as capture on capture.company_id = p_company_id and capture.dex_id = stored.dex_id
            group by stored.case_serial
        ) as machine
    );
end;
$$;
comment on function public.collect_dex_around(uuid, json) is
    'What is stored next to these captures [{dex_id, case_serial, captured_at}], by serial: [{dex_id, captured_at (microseconds since 1970), counters}].';
revoke execute on function public.collect_dex_around(uuid, json) from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_around(uuid, json) to service_role;

-- A damaged file may hold any 64-bit number without a sign. The cap of 10^15 exceeds what any machine sells, and
-- 9,000 such counters still add up within a bigint.
create function private.dex_count(p_value jsonb) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
    -- least() passes nulls over.
    return case when p_value <> 'null' then least((p_value #>> '{}')::numeric, 1000000000000000)::bigint end;
end;
$$;
comment on function private.dex_count(jsonb) is 'A counter as bigint, 10^15 when it is larger; null for none.';
revoke execute on function private.dex_count(jsonb) from public, anon, authenticated, service_role;

-- ID4 seldom tells: "N/A", "1", a telephone code. So the company's word comes first.
create function private.dex_currency(p_company_id uuid, p_parsed jsonb) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
    return (
        select coalesce(settings ->> 'currency', substring(p_parsed #>> '{currency,alpha}' from '^[A-Z]{3}$'))
        from public.companies where id = p_company_id
    );
end;
$$;
comment on function private.dex_currency(uuid, jsonb) is
    'ISO 4217: settings.currency of the company, else what the capture says, if it is such a code.';
revoke execute on function private.dex_currency(uuid, jsonb) from public, anon, authenticated, service_role;

create function private.dex_store_sales(p_company_id uuid, p_machine_id uuid, p_capture jsonb) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_around   bigint[];
    v_currency constant text := private.dex_currency(p_company_id, p_capture -> 'parsed_data');
    v_decimals constant smallint := coalesce((p_capture #>> '{parsed_data,currency,decimals}')::smallint, 2);
begin
    v_around := private.dex_around(
        p_machine_id, (p_capture ->> 'captured_at')::timestamptz, (p_capture ->> 'dex_id')::bigint
    );
    if v_around <> array(select jsonb_array_elements_text(p_capture #> '{sales,around}')::bigint) then
        raise exception 'another call stored a capture of this machine meanwhile; collect it again' using errcode = '22000';
    end if;
    delete from public.dex_intervals
    where machine_id = p_machine_id
      and to_dex_id in (
          select (part ->> 'to')::bigint from jsonb_array_elements(p_capture #> '{sales,intervals}') as part
      );
    with made as (
        select
            (part ->> 'from')::bigint as from_dex_id,
            (part ->> 'to')::bigint as to_dex_id,
            part ->> 'continuity' as continuity,
            part -> 'sales' as sales
        from jsonb_array_elements(p_capture #> '{sales,intervals}') as part
    ), line as (
        select
            made.to_dex_id, sale ->> 0 as selection, sale ->> 1 as counter,
            private.dex_count(sale -> 2) as count, private.dex_count(sale -> 3) as value
        from made cross join jsonb_array_elements(made.sales) as sale
    ), summed as (
        select
            to_dex_id, selection,
            max(count) filter (where counter = 'vends') as vends,
            max(value) filter (where counter = 'vends') as value_minor,
            max(count) filter (where counter = 'cash') as cash_vends,
            max(value) filter (where counter = 'cash') as cash_minor,
            max(count) filter (where counter = 'cashless') as cashless_vends,
            max(value) filter (where counter = 'cashless') as cashless_minor,
            max(count) filter (where counter = 'token') as token_vends,
            max(value) filter (where counter = 'token') as token_minor,
            max(count) filter (where counter = 'free') as free_vends,
            max(count) filter (where counter = 'test') as test_vends,
            max(value) filter (where counter = 'cash_box') as cash_box_minor,
            max(value) filter (where counter = 'bills') as bills_minor
        from line group by to_dex_id, selection
    ), product as (
        select distinct on (product ->> 'selection') product ->> 'selection' as selection, product ->> 'name' as name
        from jsonb_array_elements(p_capture #> '{parsed_data,products}') as product
    ), timed as (
        select made.*, older.captured_at as started_at, newer.captured_at as ended_at
        from made
        join public.dex_captures as older on older.company_id = p_company_id and older.dex_id = made.from_dex_id
        join public.dex_captures as newer on newer.company_id = p_company_id and newer.dex_id = made.to_dex_id
    ), intervals as (
        insert into public.dex_intervals (
            machine_id, company_id, from_dex_id, to_dex_id, started_at, ended_at, continuity,
            vends, value_minor, cash_vends, cash_minor, cashless_vends, cashless_minor, token_vends, token_minor,
            free_vends, test_vends, cash_box_minor, bills_minor, currency, decimals
        )
        select
            p_machine_id, p_company_id, timed.from_dex_id, timed.to_dex_id, timed.started_at, timed.ended_at, timed.continuity,
            whole.vends, whole.value_minor, whole.cash_vends, whole.cash_minor, whole.cashless_vends, whole.cashless_minor,
            whole.token_vends, whole.token_minor, whole.free_vends, whole.test_vends, whole.cash_box_minor, whole.bills_minor,
            v_currency, v_decimals
        from timed
        left join summed as whole on whole.to_dex_id = timed.to_dex_id and whole.selection is null
    )
    insert into public.dex_sales (
        machine_id, company_id, to_dex_id, selection, product_name, started_at, ended_at,
        vends, value_minor, cash_vends, cash_minor, cashless_vends, cashless_minor, token_vends, token_minor, free_vends, test_vends,
        currency, decimals
    )
    select
        p_machine_id, p_company_id, timed.to_dex_id, part.selection, product.name, timed.started_at, timed.ended_at,
        part.vends, part.value_minor, part.cash_vends, part.cash_minor, part.cashless_vends, part.cashless_minor,
        part.token_vends, part.token_minor, part.free_vends, part.test_vends,
        v_currency, v_decimals
    from timed
    join summed as part on part.to_dex_id = timed.to_dex_id and part.selection is not null
    left join product on product.selection = part.selection;
end;
$$;
comment on function private.dex_store_sales(uuid, uuid, jsonb) is
    'Stores the intervals that a capture makes or splits. 22000 when they were computed from other neighbours than it has.';
revoke execute on function private.dex_store_sales(uuid, uuid, jsonb) from public, anon, authenticated, service_role;

create function private.dex_events_of(p_parsed jsonb)
returns table (code text, selection text, occurrences bigint, is_active boolean)
language plpgsql immutable set search_path = '' as $$
begin
    return query
    select listed.code, listed.selection, max(listed.occurrences), bool_or(listed.is_active)
    from (
        select
            event ->> 'code' as code, event ->> 'selection' as selection,
            private.dex_count(event #> '{count,since_init}') as occurrences,
            coalesce((event ->> 'is_active')::boolean, false) as is_active
        from jsonb_array_elements(p_parsed -> 'events') as event
        -- Counters of what is as it should be, such as an opened door, are in the capture.
        where (event ->> 'is_active')::boolean or event ? 'at'
        union all
        select error #>> '{}', null, null, true
        from jsonb_array_elements(p_parsed -> 'errors') as error
        where not exists (
            select from jsonb_array_elements(p_parsed -> 'events') as event where event -> 'code' = error
        )
    ) as listed
    where listed.code <> ''
    group by listed.code, listed.selection;
end;
$$;
comment on function private.dex_events_of(jsonb) is 'What a capture reports: faults that are active, and events that have a time.';
revoke execute on function private.dex_events_of(jsonb) from public, anon, authenticated, service_role;

create function private.dex_sold_out(p_now jsonb, p_before jsonb, p_sold_out text[]) returns text[]
language plpgsql immutable set search_path = '' as $$
begin
    return (
        select coalesce(array_agg(distinct now.selection order by now.selection), '{}')
        from (
            select listed.product ->> 'selection' as selection, listed.product
            from jsonb_array_elements(p_now -> 'products') as listed (product)
        ) as now
        left join lateral (
            select listed.product from jsonb_array_elements(p_before -> 'products') as listed (product)
            where listed.product ->> 'selection' = now.selection limit 1
        ) as before on true
        where now.product -> 'level' = '0'
           or (
               before.product #> '{vends,since_init,count}' = now.product #> '{vends,since_init,count}'
               and (
                   now.selection = any (p_sold_out)
                   or private.dex_count(now.product #> '{sold_out,presses}') > private.dex_count(before.product #> '{sold_out,presses}')
                   or now.product #> '{sold_out,at}' <> before.product #> '{sold_out,at}'
               )
           )
    );
end;
$$;
comment on function private.dex_sold_out(jsonb, jsonb, text[]) is
    'Which selections are sold out by a capture, the one before, and what was sold out then.';
revoke execute on function private.dex_sold_out(jsonb, jsonb, text[]) from public, anon, authenticated, service_role;

-- What is measured, by whatever name; what is wished for says so in its name.
create function private.dex_celsius(p_parsed jsonb) returns numeric
language plpgsql immutable set search_path = '' as $$
begin
    return (
        select round(case when temperature ->> 'unit' = 'F' then (degrees - 32) / 1.8 else degrees end, 2)
        from jsonb_array_elements(p_parsed -> 'temperatures') with ordinality as listed (temperature, place)
        cross join lateral (select (temperature ->> 'hundredths')::numeric / 100 as degrees) as read
        where temperature ->> 'name' not ilike '%desired%' and temperature ->> 'name' not ilike '%set%'
          and abs(degrees) < 500
        order by place limit 1
    );
end;
$$;
comment on function private.dex_celsius(jsonb) is 'The temperature that a capture reports, in degrees Celsius; null for none.';
revoke execute on function private.dex_celsius(jsonb) from public, anon, authenticated, service_role;

create function private.dex_tubes_worth(p_parsed jsonb) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
    return (
        select coalesce(private.dex_count(p_parsed #> '{totals,tube_value}'), (
            select sum(private.dex_count(tube -> 'value') * private.dex_count(tube -> 'coins'))::bigint
            from jsonb_array_elements(p_parsed -> 'coin_tubes') as tube
            -- Some files have a value there that no coin has.
            where private.dex_count(tube -> 'value') <= 100000 and private.dex_count(tube -> 'coins') <= 10000
        ))
    );
end;
$$;
comment on function private.dex_tubes_worth(jsonb) is 'What a capture says is in the coin tubes, in minor units; null when it does not.';
revoke execute on function private.dex_tubes_worth(jsonb) from public, anon, authenticated, service_role;

create function private.dex_refresh_state(p_machine_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_newest public.dex_captures;
    v_before public.dex_captures;
    v_known  public.machine_states;
begin
    select * into v_known from public.machine_states where machine_id = p_machine_id;
    select * into v_newest from public.dex_captures
    where machine_id = p_machine_id and counters is not null
    order by captured_at desc, dex_id desc limit 1;
    if v_newest.dex_id is not distinct from v_known.dex_id then
        return;
    end if;
    select * into v_before from public.dex_captures
    where machine_id = p_machine_id and counters is not null
    order by captured_at desc, dex_id desc offset 1 limit 1;

    insert into public.machine_states (
        machine_id, company_id, dex_id, captured_at, temperature_celsius, coin_tubes, coin_tubes_minor, cash_level_minor,
        sold_out, errors, currency, decimals
    ) values (
        p_machine_id, v_newest.company_id, v_newest.dex_id, v_newest.captured_at,
        private.dex_celsius(v_newest.parsed_data),
        coalesce(v_newest.parsed_data -> 'coin_tubes', '[]'),
        private.dex_tubes_worth(v_newest.parsed_data),
        private.dex_count(v_newest.parsed_data #> '{totals,cash_in,since_reset,cash_box}')
            + coalesce(private.dex_count(v_newest.parsed_data #> '{totals,cash_in,since_reset,bills}'), 0),
        private.dex_sold_out(v_newest.parsed_data, v_before.parsed_data, v_known.sold_out),
        array(select jsonb_array_elements_text(v_newest.parsed_data -> 'errors')),
        private.dex_currency(v_newest.company_id, v_newest.parsed_data),
        coalesce((v_newest.parsed_data #>> '{currency,decimals}')::smallint, 2)
    )
    on conflict (machine_id) do update
    set (
            dex_id, captured_at, temperature_celsius, coin_tubes, coin_tubes_minor, cash_level_minor,
            sold_out, errors, currency, decimals
        ) = (
            excluded.dex_id, excluded.captured_at, excluded.temperature_celsius, excluded.coin_tubes, excluded.coin_tubes_minor,
            excluded.cash_level_minor, excluded.sold_out, excluded.errors, excluded.currency, excluded.decimals
        );

    -- The rows themselves and not a list of them joined to the table: a join may read all of it.
    with active as materialized (
        select seen.code, seen.selection from private.dex_events_of(v_newest.parsed_data) as seen where seen.is_active
    )
    update public.dex_events as event
    set is_active = not event.is_active,
        acknowledged_at = case when not event.is_active and event.acknowledged_at < v_newest.captured_at then null else event.acknowledged_at end,
        acknowledged_by = case when not event.is_active and event.acknowledged_at < v_newest.captured_at then null else event.acknowledged_by end
    where event.machine_id = p_machine_id
      and event.is_active <> exists (
          select from active where active.code = event.code and active.selection is not distinct from event.selection
      );
end;
$$;
comment on function private.dex_refresh_state(uuid) is
    'Brings the state of a machine, and which of its events are active, up to its newest sound capture.';
revoke execute on function private.dex_refresh_state(uuid) from public, anon, authenticated, service_role;

-- What a collection stores. No lease is needed: a capture is a fact whoever brings it, and a capture that
-- a run brings after losing its lease is a duplicate.

create function public.collect_dex_unseen(p_company_id uuid, p_dex_ids bigint[]) returns bigint[]
language plpgsql stable security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    -- An array is one row: PostgREST would cut a set off at 1,000.
    return (
        select coalesce(array_agg(distinct listed.dex_id), '{}')
        from unnest(p_dex_ids) as listed (dex_id)
        where not exists (
            select from public.dex_captures as capture
            where capture.company_id = p_company_id and capture.dex_id = listed.dex_id
        )
    );
end;
$$;
comment on function public.collect_dex_unseen(uuid, bigint[]) is 'Of these captures, those that are not stored.';
revoke execute on function public.collect_dex_unseen(uuid, bigint[]) from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_unseen(uuid, bigint[]) to service_role;

create function private.collect_store_one(p_company_id uuid, p_capture jsonb) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_machine_id uuid;
    v_captured_at constant timestamptz := (p_capture ->> 'captured_at')::timestamptz;
begin
    select id into v_machine_id from public.machines
    where company_id = p_company_id and case_serial = p_capture ->> 'case_serial';
    if not found then
        insert into public.machines (company_id, case_serial) values (p_company_id, p_capture ->> 'case_serial')
        on conflict on constraint machines_once do update set case_serial = excluded.case_serial
        returning id into v_machine_id;
    end if;
    insert into public.dex_captures (
        company_id, machine_id, dex_id, case_serial, captured_at, firmware_version,
        raw_content, raw_encoding, parsed_data, crc_status, has_errors, record_count, flaw, counters
    ) values (
        p_company_id, v_machine_id, (p_capture ->> 'dex_id')::bigint, p_capture ->> 'case_serial',
        v_captured_at, p_capture ->> 'firmware_version',
        p_capture ->> 'raw_content', coalesce(p_capture ->> 'raw_encoding', 'utf-8'),
        p_capture -> 'parsed_data', p_capture ->> 'crc_status',
        coalesce((p_capture ->> 'has_errors')::boolean, false), coalesce((p_capture ->> 'record_count')::integer, 0),
        p_capture ->> 'flaw', p_capture #> '{sales,counters}'
    )
    on conflict on constraint dex_captures_once do nothing;
    if not found then
        return null;
    end if;
    if p_capture #> '{sales,counters}' is not null then
        perform private.dex_store_sales(p_company_id, v_machine_id, p_capture);
        insert into public.dex_events as event (
            company_id, machine_id, code, selection, first_seen_at, last_seen_at, occurrences
        )
        select p_company_id, v_machine_id, seen.code, seen.selection, v_captured_at, v_captured_at, seen.occurrences
        from private.dex_events_of(p_capture -> 'parsed_data') as seen
        on conflict on constraint dex_events_once do update
        set first_seen_at = least(event.first_seen_at, excluded.first_seen_at),
            last_seen_at = greatest(event.last_seen_at, excluded.last_seen_at),
            occurrences = case
                when excluded.last_seen_at >= event.last_seen_at then coalesce(excluded.occurrences, event.occurrences)
                else coalesce(event.occurrences, excluded.occurrences)
            end;
        perform private.dex_refresh_state(v_machine_id);
    end if;
    return v_machine_id;
end;
$$;
comment on function private.collect_store_one(uuid, jsonb) is
    'Stores one capture with its sales and events and gives its machine, a new one for a new serial; null for a duplicate.';
revoke execute on function private.collect_store_one(uuid, jsonb) from public, anon, authenticated, service_role;

-- The machine's latest_* follow from its captures, so the order of arrival does not matter: a capture
-- that comes late is in the history, and the newest stays the newest.
create function private.collect_refresh(p_machine_ids uuid[]) returns void
language plpgsql security definer set search_path = '' as $$
begin
    update public.machines as machine
    set latest_dex_id = newest.dex_id,
        latest_dex_data = newest.raw_content,
        latest_dex_parsed = newest.parsed_data,
        latest_errors = coalesce(newest.parsed_data -> 'errors', '[]'),
        dex_has_errors = newest.has_errors,
        dex_last_capture = newest.captured_at,
        dex_history = history.entries,
        firmware_version = coalesce(newest.firmware_version, machine.firmware_version),
        machine_model = coalesce(machine.machine_model, newest.parsed_data #>> '{identity,model}')
    from unnest(p_machine_ids) as stored (machine_id)
    cross join lateral (
        select * from public.dex_captures as capture
        where capture.machine_id = stored.machine_id
        order by capture.captured_at desc, capture.dex_id desc
        limit 1
    ) as newest
    cross join lateral (
        select jsonb_agg(
            jsonb_build_object('dexId', recent.dex_id, 'created', recent.captured_at)
            order by recent.captured_at desc, recent.dex_id desc
        ) as entries
        from (
            select capture.dex_id, capture.captured_at from public.dex_captures as capture
            where capture.machine_id = stored.machine_id
            order by capture.captured_at desc, capture.dex_id desc
            limit 100
        ) as recent
    ) as history
    where machine.id = stored.machine_id;
end;
$$;
comment on function private.collect_refresh(uuid[]) is 'Brings what these machines show of their captures up to date.';
revoke execute on function private.collect_refresh(uuid[]) from public, anon, authenticated, service_role;

-- json and not jsonb: what jsonb refuses, such as a zero byte, is then one capture's fault and not the call's.
create function public.collect_dex_store(p_company_id uuid, p_captures json)
returns table (dex_id bigint, outcome text, error text)
language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    v_capture    json;
    v_machine_id uuid;
    v_stored     uuid[] := array[]::uuid[];
begin
    -- Two calls for one company take turns: each then sees what the other stored.
    perform from public.companies where id = p_company_id for no key update;
    if not found then
        raise exception 'there is no company %', p_company_id using errcode = 'P0002';
    end if;
    if json_typeof(p_captures) is distinct from 'array' or json_array_length(p_captures) > 1000 then
        raise exception 'p_captures is not an array of up to 1,000 captures' using errcode = '22023';
    end if;
    for v_capture in select listed.value from json_array_elements(p_captures) as listed loop
        dex_id := null;
        error := null;
        -- The block is a transaction of its own: what is wrong with one capture is not the others'.
        begin
            -- By its text, so that it is known even when nothing else can be read.
            dex_id := substring(v_capture::text from '"dex_id"\s*:\s*"?(-?[0-9]{1,19})\M')::bigint;
            v_machine_id := private.collect_store_one(p_company_id, v_capture::jsonb);
            outcome := case when v_machine_id is null then 'duplicate' else 'stored' end;
            v_stored := v_stored || v_machine_id;
        exception when others then
            -- Unfit data, a broken constraint, too large or too deep. All else (a deadlock, a full disk, a
            -- shutdown) is not the capture's fault, and fails the call, which is then made again.
            if sqlstate !~ '^(22|23|54)' then
                raise;
            end if;
            outcome := 'rejected';
            error := sqlerrm;
        end;
        return next;
    end loop;
    perform private.collect_refresh(array(
        select distinct stored.machine_id from unnest(v_stored) as stored (machine_id) where stored.machine_id is not null
    ));
end;
$$;
comment on function public.collect_dex_store(uuid, json) is
    'Stores captures, each in a transaction of its own: stored, duplicate, or rejected with the reason.';
revoke execute on function public.collect_dex_store(uuid, json) from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_store(uuid, json) to service_role;

-- Reports. Each shows only what the caller may see: a member the own company, a service every company
-- or the one it names.

create function private.company_timezone(p_settings jsonb) returns text
language plpgsql stable set search_path = '' as $$
begin
    perform now() at time zone (p_settings ->> 'timezone');
    return coalesce(p_settings ->> 'timezone', 'UTC');
exception when invalid_parameter_value then
    return 'UTC';
end;
$$;
comment on function private.company_timezone(jsonb) is 'settings.timezone, such as Australia/Sydney; UTC unless it is set to one that exists.';
revoke execute on function private.company_timezone(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.company_timezone(jsonb) to authenticated, service_role;

-- Cash to collect is everything that went in, less everything that was expected of earlier collections. A sum
-- since the last collection would miss captures that were made before it and stored after it. Intervals and
-- collections live as long as their machine, so both sums stay complete.
create view public.machine_overview with (security_invoker = true) as
select
    machine.id as machine_id,
    machine.company_id,
    machine.case_serial,
    machine.location,
    machine.machine_model,
    machine.status,
    case
        when machine.dex_last_capture is null then 'never_heard'
        when machine.dex_last_capture < now() - interval '24 hours' then 'silent_24h'
        when machine.dex_last_capture < now() - interval '4 hours' then 'silent_4h'
        when machine.dex_has_errors then 'faulty'
        when cardinality(state.sold_out) > 0 then 'sold_out'
        else 'ok'
    end as standing,
    machine.dex_last_capture as last_capture_at,
    round(extract(epoch from now() - machine.dex_last_capture) / 3600, 1) as silent_hours,
    machine.dex_has_errors as is_faulty,
    coalesce(state.errors, '{}') as errors,
    faults.open as unacknowledged,
    coalesce(state.sold_out, '{}') as sold_out,
    state.temperature_celsius,
    state.coin_tubes_minor,
    state.cash_level_minor,
    taken.collected_at as cash_collected_at,
    cash.minor as cash_to_collect_minor,
    state.currency,
    coalesce(state.decimals, 2::smallint) as decimals
from public.machines as machine
left join public.machine_states as state on state.machine_id = machine.id
cross join lateral (
    select max(collection.collected_at) as collected_at, coalesce(sum(collection.expected_minor), 0) as minor
    from public.cash_collections as collection
    where collection.machine_id = machine.id
) as taken
cross join lateral (
    select greatest(coalesce(sum(coalesce(part.cash_box_minor, 0) + coalesce(part.bills_minor, 0)), 0) - taken.minor, 0)::bigint as minor
    from public.dex_intervals as part
    where part.machine_id = machine.id
) as cash
cross join lateral (
    select count(*)::integer as open from public.dex_events as event
    where event.machine_id = machine.id and event.is_active and event.acknowledged_at is null
) as faults;
comment on view public.machine_overview is
    'How each machine stands, in a row: ?standing=in.(silent_4h,silent_24h,never_heard), ?is_faulty=is.true, ?cash_to_collect_minor=gte.20000.';
comment on column public.machine_overview.machine_id is 'The machine.';
comment on column public.machine_overview.company_id is 'The company.';
comment on column public.machine_overview.case_serial is 'Its serial.';
comment on column public.machine_overview.location is 'Where it stands.';
comment on column public.machine_overview.machine_model is 'Its model.';
comment on column public.machine_overview.status is 'active, inactive, maintenance or retired, as the operator says.';
comment on column public.machine_overview.standing is
    'The most urgent of: never_heard, silent_24h, silent_4h, faulty, sold_out, ok.';
comment on column public.machine_overview.last_capture_at is 'When its newest capture was made.';
comment on column public.machine_overview.silent_hours is 'Hours since then.';
comment on column public.machine_overview.is_faulty is 'Whether that capture reports a fault or is damaged.';
comment on column public.machine_overview.errors is 'Codes of active faults, by the newest sound capture.';
comment on column public.machine_overview.unacknowledged is 'Active events that nobody took note of.';
comment on column public.machine_overview.sold_out is 'Selections that are sold out.';
comment on column public.machine_overview.temperature_celsius is 'Temperature inside.';
comment on column public.machine_overview.coin_tubes_minor is 'What is in the coin tubes, for change.';
comment on column public.machine_overview.cash_level_minor is
    'Coins in the box and bills by the machine''s own count, which anybody who reads it may reset.';
comment on column public.machine_overview.cash_collected_at is 'When its cash was last taken out.';
comment on column public.machine_overview.cash_to_collect_minor is
    'Coins and bills that went into cash box and stacker since the first capture, less what was expected of all collections.';
comment on column public.machine_overview.currency is 'ISO 4217, where the machine knows it.';
comment on column public.machine_overview.decimals is 'Digits behind the point.';
revoke all on public.machine_overview from public, anon, authenticated, service_role;
grant select on public.machine_overview to authenticated, service_role;

create function public.dex_sales_by_day(
    p_from date, p_to date, p_company_id uuid default null, p_machine_id uuid default null
) returns table (
    day date, company_id uuid, currency text, decimals smallint, vends bigint, value_minor bigint,
    cash_minor bigint, cashless_minor bigint, machines integer
)
language sql stable set search_path = '' as $$
    select
        (part.ended_at at time zone zone.name)::date, part.company_id, part.currency, part.decimals,
        coalesce(sum(part.vends), 0)::bigint, coalesce(sum(part.value_minor), 0)::bigint,
        sum(part.cash_minor)::bigint, sum(part.cashless_minor)::bigint, count(distinct part.machine_id)::integer
    from public.companies as company
    cross join lateral (select private.company_timezone(company.settings) as name) as zone
    join public.dex_intervals as part
        on part.company_id = company.id
       and part.ended_at >= (p_from::timestamp at time zone zone.name)
       and part.ended_at < ((p_to + 1)::timestamp at time zone zone.name)
    where (p_company_id is null or company.id = p_company_id)
      and (p_machine_id is null or part.machine_id = p_machine_id)
    group by 1, part.company_id, part.currency, part.decimals
    order by 1, part.company_id;
$$;
comment on function public.dex_sales_by_day(date, date, uuid, uuid) is
    'Sales by day of the company''s time zone, both days included. An interval counts to the day it ended.';
revoke execute on function public.dex_sales_by_day(date, date, uuid, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.dex_sales_by_day(date, date, uuid, uuid) to authenticated, service_role;

create function public.dex_sales_by_machine(
    p_from date, p_to date, p_company_id uuid default null
) returns table (
    machine_id uuid, company_id uuid, case_serial text, location text, currency text, decimals smallint,
    vends bigint, value_minor bigint, cash_minor bigint, cashless_minor bigint, last_sale_at timestamptz
)
language sql stable set search_path = '' as $$
    select
        machine.id, machine.company_id, machine.case_serial, machine.location, part.currency, part.decimals,
        coalesce(sum(part.vends), 0)::bigint, coalesce(sum(part.value_minor), 0)::bigint,
        sum(part.cash_minor)::bigint, sum(part.cashless_minor)::bigint,
        max(part.ended_at) filter (where part.vends > 0)
    from public.companies as company
    cross join lateral (select private.company_timezone(company.settings) as name) as zone
    join public.dex_intervals as part
        on part.company_id = company.id
       and part.ended_at >= (p_from::timestamp at time zone zone.name)
       and part.ended_at < ((p_to + 1)::timestamp at time zone zone.name)
    join public.machines as machine on machine.id = part.machine_id
    where p_company_id is null or company.id = p_company_id
    group by machine.id, part.currency, part.decimals
    order by 8 desc, machine.case_serial;
$$;
comment on function public.dex_sales_by_machine(date, date, uuid) is
    'Sales by machine, the best first, between two days of the company''s time zone, both included.';
revoke execute on function public.dex_sales_by_machine(date, date, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.dex_sales_by_machine(date, date, uuid) to authenticated, service_role;

create function public.dex_sales_by_product(
    p_from date, p_to date, p_company_id uuid default null, p_machine_id uuid default null
) returns table (
    company_id uuid, machine_id uuid, case_serial text, selection text, product_name text, currency text, decimals smallint,
    vends bigint, value_minor bigint, cash_minor bigint, cashless_minor bigint
)
language sql stable set search_path = '' as $$
    select
        part.company_id, part.machine_id, machine.case_serial, part.selection,
        (array_agg(part.product_name order by part.ended_at desc) filter (where part.product_name is not null))[1],
        part.currency, part.decimals,
        coalesce(sum(part.vends), 0)::bigint, coalesce(sum(part.value_minor), 0)::bigint,
        sum(part.cash_minor)::bigint, sum(part.cashless_minor)::bigint
    from public.companies as company
    cross join lateral (select private.company_timezone(company.settings) as name) as zone
    join public.dex_sales as part
        on part.company_id = company.id
       and part.ended_at >= (p_from::timestamp at time zone zone.name)
       and part.ended_at < ((p_to + 1)::timestamp at time zone zone.name)
    join public.machines as machine on machine.id = part.machine_id
    where (p_company_id is null or company.id = p_company_id)
      and (p_machine_id is null or part.machine_id = p_machine_id)
    group by part.company_id, part.machine_id, machine.case_serial, part.selection, part.currency, part.decimals
    order by 9 desc, machine.case_serial, part.selection;
$$;
comment on function public.dex_sales_by_product(date, date, uuid, uuid) is
    'Sales by selection of each machine, the best first, between two days of the company''s time zone, both included.';
revoke execute on function public.dex_sales_by_product(date, date, uuid, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.dex_sales_by_product(date, date, uuid, uuid) to authenticated, service_role;

create function public.dex_events_acknowledge(p_event_ids bigint[]) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_noted integer;
begin
    update public.dex_events as event
    set acknowledged_at = clock_timestamp(), acknowledged_by = (select auth.uid())
    where event.id = any (p_event_ids) and event.acknowledged_at is null
      and (event.company_id = any (array(select private.my_companies())) or (select auth.role()) = 'service_role');
    get diagnostics v_noted = row_count;
    return v_noted;
end;
$$;
comment on function public.dex_events_acknowledge(bigint[]) is
    'Takes note of events of the caller''s companies, and gives how many. One that comes back asks again.';
revoke execute on function public.dex_events_acknowledge(bigint[]) from public, anon, authenticated, service_role;
grant execute on function public.dex_events_acknowledge(bigint[]) to authenticated, service_role;

create function public.machine_cash_collected(
    p_machine_id uuid, p_counted_minor bigint default null, p_collected_at timestamptz default null
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    v_company_id uuid;
    v_at constant timestamptz := coalesce(p_collected_at, now());
    v_before timestamptz;
    v_taken numeric;
    v_expected bigint;
begin
    select company_id into v_company_id from public.machines
    where id = p_machine_id
      and (company_id = any (array(select private.my_companies())) or (select auth.role()) = 'service_role')
    -- Two at once take turns: the second finds the box empty.
    for no key update;
    if not found then
        raise exception 'there is no machine %', p_machine_id using errcode = 'P0002';
    end if;
    if v_at > now() + interval '5 minutes' then
        raise exception 'cash cannot be collected in the future' using errcode = '22023';
    end if;
    select max(collected_at), coalesce(sum(expected_minor), 0) into v_before, v_taken
    from public.cash_collections where machine_id = p_machine_id;
    if v_at <= v_before then
        raise exception 'cash was collected after that, at %', v_before using errcode = '22023';
    end if;
    select greatest(coalesce(sum(coalesce(cash_box_minor, 0) + coalesce(bills_minor, 0)), 0) - v_taken, 0) into v_expected
    from public.dex_intervals
    where machine_id = p_machine_id and ended_at <= v_at;
    insert into public.cash_collections (company_id, machine_id, collected_at, collected_by, expected_minor, counted_minor)
    values (v_company_id, p_machine_id, v_at, (select auth.uid()), v_expected, p_counted_minor);
    return v_expected;
end;
$$;
comment on function public.machine_cash_collected(uuid, bigint, timestamptz) is
    'Notes that the cash was taken out, and gives what the machine says it was. Times must go forward.';
revoke execute on function public.machine_cash_collected(uuid, bigint, timestamptz)
    from public, anon, authenticated, service_role;
grant execute on function public.machine_cash_collected(uuid, bigint, timestamptz) to authenticated, service_role;

-- Retention. docs/dex.md has the sizes and the plan for more of them.

-- Captures that failed are listed again for 30 days, and those of a first collection for 37. A capture that is
-- stored after its neighbours' counters were dropped would count their sales again.
create function private.setting_days(p_settings jsonb, p_name text, p_default integer) returns interval
language sql immutable set search_path = '' as $$
    select make_interval(days => case
        when p_settings ->> p_name ~ '^[0-9]{1,5}$' then greatest((p_settings ->> p_name)::integer, 40)
        else p_default
    end);
$$;
comment on function private.setting_days(jsonb, text, integer) is
    'A number of days from settings, 40 at the least: longer than collection_state.collect_from goes back.';
revoke execute on function private.setting_days(jsonb, text, integer) from public, anon, authenticated, service_role;

create function private.dex_retention(p_limit integer default 20000)
returns table (parsed_dropped integer, captures_deleted integer)
language plpgsql security definer set search_path = '' as $$
begin
    -- A bounded number a night keeps the transaction short; the next night goes on. The newest four sound
    -- captures of a machine stay whole: sales go on from them.
    with old as (
        select capture.id
        from public.companies as company
        cross join lateral (
            select aged.id from public.dex_captures as aged
            where aged.company_id = company.id and aged.parsed_data is not null
              and aged.captured_at < now() - private.setting_days(company.settings, 'keepParsedDays', 90)
              and (aged.captured_at, aged.dex_id) < (
                  select newest.captured_at, newest.dex_id from public.dex_captures as newest
                  where newest.machine_id = aged.machine_id and newest.counters is not null
                  order by newest.captured_at desc, newest.dex_id desc offset 3 limit 1
              )
            order by aged.captured_at limit p_limit
        ) as capture
        limit p_limit
    )
    update public.dex_captures as capture set parsed_data = null, counters = null
    from old where capture.id = old.id;
    get diagnostics parsed_dropped = row_count;

    with old as (
        select capture.id
        from public.companies as company
        cross join lateral (
            select id from public.dex_captures
            where company_id = company.id and parsed_data is null
              and captured_at < now() - private.setting_days(company.settings, 'keepCapturesDays', 750)
            order by captured_at limit p_limit
        ) as capture
        limit p_limit
    )
    delete from public.dex_captures as capture using old where capture.id = old.id;
    get diagnostics captures_deleted = row_count;
    return next;
end;
$$;
comment on function private.dex_retention(integer) is
    'Drops what was read from captures after settings.keepParsedDays (90), and captures after settings.keepCapturesDays (750). Sales stay.';
revoke execute on function private.dex_retention(integer) from public, anon, authenticated, service_role;

create function private.purge_collection_runs() returns void
language plpgsql security definer set search_path = '' as $$
begin
    -- An entry a company a run: the large part, and after a week nobody asks.
    update public.collection_runs set results = '[]'
    where started_at < now() - interval '7 days' and results <> '[]';
    delete from public.collection_runs where started_at < now() - interval '30 days';
end;
$$;
comment on function private.purge_collection_runs() is
    'Called by private.purge_history(): forgets the results of runs after 7 days, and the runs after 30.';
revoke execute on function private.purge_collection_runs() from public, anon, authenticated, service_role;

-- What runs by itself

create function private.collect_dex_tick() returns integer
language plpgsql security definer set search_path = '' as $$
declare
    -- Each call has its own limits of time and requests; leases keep the calls apart.
    v_companies_a_call constant integer := 250;
    v_most_calls       constant integer := 8;
    v_due   integer;
    v_calls integer;
begin
    select count(*) into v_due from (
        select from public.collection_state
        where next_due_at <= now() and (leased_until is null or leased_until <= now())
        limit v_companies_a_call * v_most_calls
    ) as due;
    -- One even when none is due: the ledger then shows that the ticks arrive.
    v_calls := greatest(1, ceil(v_due::numeric / v_companies_a_call)::integer);
    for v_call in 1..v_calls loop
        perform private.call_function('collect-dex', '{"triggered_by": "cron"}');
    end loop;
    return v_calls;
end;
$$;
comment on function private.collect_dex_tick() is
    'Calls collect-dex once per 250 companies that are due, 8 times at the most, and gives the number of calls.';
revoke execute on function private.collect_dex_tick() from public, anon, authenticated, service_role;

-- By name: scheduling again replaces.
select cron.schedule('collect-dex', '*/5 * * * *', 'select private.collect_dex_tick()');
select cron.schedule('dex-retention', '37 3 * * *', 'select private.dex_retention()');

insert into private.sealed_columns (relation, column_name, ring, holder, reseal, place) values
    ('public.user_credentials', 'username_encrypted', 'CREDENTIALS_ENCRYPTION_KEYS', 'collect-bulk', 'collect-bulk/rotate-key',
     $$ 'user_credentials/' || user_credentials.company_id || '/username' $$),
    ('public.user_credentials', 'password_encrypted', 'CREDENTIALS_ENCRYPTION_KEYS', 'collect-bulk', 'collect-bulk/rotate-key',
     $$ 'user_credentials/' || user_credentials.company_id || '/password' $$);

create function private.health_collector() returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'companies', (select count(*) from public.collection_state),
        'due', count(*),
        'lag_seconds', coalesce(greatest(0, floor(extract(epoch from clock_timestamp() - min(next_due_at))))::bigint, 0),
        'failing', (select count(*) from public.collection_state where consecutive_failures > 0),
        'last_run_at', (select max(started_at) from public.collection_runs)
    )
    from public.collection_state
    where next_due_at <= clock_timestamp() and (leased_until is null or leased_until <= clock_timestamp());
$$;
comment on function private.health_collector() is
    'Section of health_report: how long the company has waited that has been due longest, how many fail.';
revoke execute on function private.health_collector() from public, anon, authenticated, service_role;
