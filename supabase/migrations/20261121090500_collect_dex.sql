-- Who collects which company: one atomic function a verb. A run claims companies, and finishes or
-- releases each; what it does neither with is free again when the lease ends.
--
-- The database's clock decides. now() is the start of the call, which an index can be searched for;
-- clock_timestamp() is used where a call may have waited for a lock.

create function private.collect_interval(p_settings jsonb) returns interval
language sql immutable set search_path = '' as $$
    select make_interval(mins => least(greatest(
        case when p_settings ->> 'collectEveryMinutes' ~ '^\d{1,5}$'
             then (p_settings ->> 'collectEveryMinutes')::integer else 5 end, 1), 10080));
$$;
comment on function private.collect_interval(jsonb) is
    'Between two collections: settings.collectEveryMinutes, 1 minute to a week, 5 minutes unless set.';

create function private.collect_backoff(p_every interval, p_failures integer) returns interval
language sql volatile set search_path = '' as $$
    -- The jitter parts companies that failed together.
    select least(p_every * power(2, least(p_failures, 20) - 1), interval '6 hours') * (0.9 + random() * 0.2);
$$;
comment on function private.collect_backoff(interval, integer) is
    'The wait after so many failures: the interval, doubled by each, 6 h at the most, 10 % more or less.';

create function private.collect_obstacle(p_company_id uuid) returns text
language sql stable security definer set search_path = '' as $$
    select case
        when not exists (
            select from public.user_credentials where company_id = p_company_id and is_active
        ) then 'no credentials'
        when not exists (
            select from public.machines where company_id = p_company_id and status = 'active'
        ) then 'no active machines'
    end;
$$;
comment on function private.collect_obstacle(uuid) is 'Why a company cannot be collected now; null when it can.';

create function private.collect_open(p_run_id uuid, p_function text, p_triggered_by text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.collection_runs (id, function, triggered_by) values (p_run_id, p_function, p_triggered_by)
    on conflict (id) do nothing;
    -- No worker lives for 10 minutes. What another call marks at this moment is left to it.
    update public.collection_runs set status = 'abandoned', finished_at = clock_timestamp()
    where id in (
        select run.id from public.collection_runs as run
        where run.status = 'running' and run.started_at < now() - interval '10 minutes'
          and not exists (
              select from public.collection_state as state
              where state.lease_run_id = run.id and state.leased_until > now()
          )
        for update skip locked
    );
end;
$$;
comment on function private.collect_open(uuid, text, text) is 'Makes the run''s row at its first claim, and marks runs that ended without a word.';

create type public.collect_dex_claimed as (
    company_id          uuid,
    company_name        text,
    settings            jsonb,
    last_succeeded_at   timestamptz,
    username_encrypted  text,
    password_encrypted  text,
    site_url            text,
    skip_reason         text
);
comment on type public.collect_dex_claimed is 'A company that a run has leased, or must skip and why.';

create function private.collect_lease(
    p_run_id uuid, p_company_ids uuid[], p_lease_seconds integer
) returns setof public.collect_dex_claimed
language sql security definer set search_path = '' as $$
    with company as (
        select
            company.id, company.company_name, company.settings, company.skip_reason,
            state.next_due_at,
            private.collect_interval(company.settings) as every,
            clock_timestamp() + make_interval(secs => greatest(p_lease_seconds, 1)) as lease_end,
            -- A lease that nobody gave back is the trace of a crash.
            (state.leased_until is not null and state.lease_run_id is distinct from p_run_id) as crashed
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
        login.username_encrypted, login.password_encrypted, login.site_url, company.skip_reason
    from company
    join public.collection_state as state on state.company_id = company.id
    left join public.user_credentials as login
        on login.company_id = company.id and login.is_active and company.skip_reason is null
    order by company.next_due_at, company.id;
$$;
comment on function private.collect_lease(uuid, uuid[], integer) is
    'Leases these companies, or skips those that cannot be collected. The caller has locked their state.';

create function public.collect_dex_claim(
    p_run_id uuid, p_triggered_by text, p_limit integer, p_lease_seconds integer
) returns setof public.collect_dex_claimed
language plpgsql security definer set search_path = '' as $$
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

create function public.collect_dex_claim_one(
    p_run_id uuid, p_triggered_by text, p_company_id uuid, p_lease_seconds integer
) returns setof public.collect_dex_claimed
language plpgsql security definer set search_path = '' as $$
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

-- A lease that ended but was not taken by another run still counts: the work was done.
create function public.collect_dex_finish(
    p_run_id uuid, p_company_id uuid, p_success boolean, p_records integer, p_error text default null
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.collection_state as state
    set lease_run_id = null,
        leased_until = null,
        consecutive_failures = case when p_success then 0 else state.consecutive_failures + 1 end,
        last_error = case when p_success then null else left(p_error, 1000) end,
        last_succeeded_at = case when p_success then clock_timestamp() else state.last_succeeded_at end,
        last_records = case when p_success then p_records else state.last_records end,
        next_due_at = case
            -- Counted from the start of the run, half a minute early: the tick that is meant finds it
            -- due, however late in the run its turn came. Half the interval lies between in any case.
            when p_success then greatest(
                run.started_at + private.collect_interval(company.settings) - interval '30 seconds',
                state.last_started_at + private.collect_interval(company.settings) / 2
            )
            else clock_timestamp()
                + private.collect_backoff(private.collect_interval(company.settings), state.consecutive_failures + 1)
        end
    from public.companies as company, public.collection_runs as run
    where state.company_id = p_company_id
      and state.lease_run_id = p_run_id
      and company.id = state.company_id
      and run.id = state.lease_run_id;
    return found;
end;
$$;
comment on function public.collect_dex_finish(uuid, uuid, boolean, integer, text) is
    'Ends a company''s collection: next due, or backoff doubling to 6 h. False when another run has the lease; then nothing changes.';

create function public.collect_dex_release(p_run_id uuid, p_company_ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    update public.collection_state
    set lease_run_id = null, leased_until = null, next_due_at = least(next_due_at, now())
    where company_id = any (p_company_ids) and lease_run_id = p_run_id;
$$;
comment on function public.collect_dex_release(uuid, uuid[]) is 'Gives leases back, neither success nor failure: the companies are due.';

create function public.collect_dex_end(
    p_run_id uuid, p_status text, p_summary jsonb, p_error text default null
) returns void
language sql security definer set search_path = '' as $$
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

revoke execute on function
    private.collect_interval(jsonb),
    private.collect_backoff(interval, integer),
    private.collect_obstacle(uuid),
    private.collect_open(uuid, text, text),
    private.collect_lease(uuid, uuid[], integer),
    public.collect_dex_claim(uuid, text, integer, integer),
    public.collect_dex_claim_one(uuid, text, uuid, integer),
    public.collect_dex_finish(uuid, uuid, boolean, integer, text),
    public.collect_dex_release(uuid, uuid[]),
    public.collect_dex_end(uuid, text, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function
    public.collect_dex_claim(uuid, text, integer, integer),
    public.collect_dex_claim_one(uuid, text, uuid, integer),
    public.collect_dex_finish(uuid, uuid, boolean, integer, text),
    public.collect_dex_release(uuid, uuid[]),
    public.collect_dex_end(uuid, text, jsonb, text)
to service_role;
