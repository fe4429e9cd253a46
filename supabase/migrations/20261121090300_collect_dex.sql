-- The collector: its ledger, each company's state, and one atomic function a verb.

create table public.collection_runs (
    id                      uuid primary key,
    function                text not null default 'collect-dex',
    triggered_by            text not null,
    status                  text not null default 'running',
    started_at              timestamptz not null default now(),
    finished_at             timestamptz,
    companies_processed     integer not null default 0,
    successful_collections  integer not null default 0,
    total_records           integer not null default 0,
    results                 jsonb not null default '[]',
    error                   text,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    constraint collection_runs_trigger check (triggered_by in ('cron', 'manual')),
    constraint collection_runs_status check (status in ('running', 'succeeded', 'failed', 'abandoned'))
);
comment on table public.collection_runs is 'One row per run. pg_cron only knows that a call was queued; this knows what came of it.';
comment on column public.collection_runs.id is 'The run''s id, made by the function.';
comment on column public.collection_runs.function is 'The function that ran.';
comment on column public.collection_runs.triggered_by is 'cron or manual.';
comment on column public.collection_runs.status is 'running, succeeded, failed, or abandoned when it ended without a word.';
comment on column public.collection_runs.started_at is 'When it claimed for the first time.';
comment on column public.collection_runs.finished_at is 'When it reported.';
comment on column public.collection_runs.companies_processed is 'Companies collected or tried.';
comment on column public.collection_runs.successful_collections is 'Of those, the ones that succeeded.';
comment on column public.collection_runs.total_records is 'New captures.';
comment on column public.collection_runs.results is 'One entry per company.';
comment on column public.collection_runs.error is 'Why the run failed.';
comment on column public.collection_runs.created_at is 'When the row was made.';
comment on column public.collection_runs.updated_at is 'When the row was last changed.';
create index collection_runs_latest on public.collection_runs (function, started_at desc);
create index collection_runs_running on public.collection_runs (started_at) where status = 'running';

create table public.collection_state (
    company_id            uuid primary key references public.companies on delete cascade,
    next_due_at           timestamptz not null default now(),
    lease_run_id          uuid references public.collection_runs on delete set null,
    leased_until          timestamptz,
    consecutive_failures  integer not null default 0,
    last_error            text,
    last_started_at       timestamptz,
    last_succeeded_at     timestamptz,
    last_records          integer,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now()
);
comment on table public.collection_state is 'Where each company stands: when it is due, who has it, how it went.';
comment on column public.collection_state.company_id is 'The company.';
comment on column public.collection_state.next_due_at is 'Due from then on.';
comment on column public.collection_state.lease_run_id is 'The run that has it.';
comment on column public.collection_state.leased_until is 'When the lease ends by itself: what a crashed run held is taken by the next.';
comment on column public.collection_state.consecutive_failures is 'Failures since the last success; the backoff doubles with each.';
comment on column public.collection_state.last_error is 'Code and message of the last failure; none after a success.';
comment on column public.collection_state.last_started_at is 'When it was last claimed.';
comment on column public.collection_state.last_succeeded_at is 'When it last succeeded.';
comment on column public.collection_state.last_records is 'New captures of the last success.';
comment on column public.collection_state.created_at is 'When the row was made.';
comment on column public.collection_state.updated_at is 'When the row was last changed.';
create index collection_state_due on public.collection_state (next_due_at, company_id);
create index collection_state_lease on public.collection_state (lease_run_id) where lease_run_id is not null;

create trigger collection_runs_touch before update on public.collection_runs
    for each row execute function private.touch_updated_at();
create trigger collection_state_touch before update on public.collection_state
    for each row execute function private.touch_updated_at();

alter table public.collection_runs enable row level security;
alter table public.collection_state enable row level security;
-- A run spans companies, so no user reads it.
grant select on public.collection_state to authenticated;
grant select, insert, update, delete on public.collection_runs, public.collection_state to service_role;
create policy "members read their collection state" on public.collection_state
    for select to authenticated using (company_id in (select private.my_companies()));

-- Each company has its state from the start, and a saved login makes it due.
create function private.collection_state_begin() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.collection_state (company_id) values (new.id) on conflict do nothing;
    return null;
end;
$$;
comment on function private.collection_state_begin() is 'Trigger: a new company is due at once.';
create trigger companies_state after insert on public.companies
    for each row execute function private.collection_state_begin();

create function private.collection_state_wake() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update public.collection_state set next_due_at = now(), consecutive_failures = 0
    where company_id = new.company_id;
    return null;
end;
$$;
comment on function private.collection_state_wake() is 'Trigger: a company whose login changed need not wait out its backoff.';
create trigger user_credentials_wake
    after insert or update of username_encrypted, password_encrypted, site_url, is_active on public.user_credentials
    for each row execute function private.collection_state_wake();

create function private.collect_interval(settings jsonb) returns interval
language sql immutable set search_path = '' as $$
    select make_interval(mins => least(greatest(
        case when settings ->> 'collectEveryMinutes' ~ '^\d{1,5}$'
             then (settings ->> 'collectEveryMinutes')::integer else 5 end, 1), 10080));
$$;
comment on function private.collect_interval(jsonb) is 'Between two collections: settings.collectEveryMinutes, 1 minute to a week, 5 minutes unless set.';

create type public.collect_dex_claimed as (
    company_id          uuid,
    company_name        text,
    last_succeeded_at   timestamptz,
    username_encrypted  text,
    password_encrypted  text,
    site_url            text,
    skip_reason         text
);
comment on type public.collect_dex_claimed is 'A company that a run has leased, or must skip and why.';

-- The run's row, and an end to runs that ended without a word.
create function private.collect_dex_open(p_run_id uuid, p_triggered_by text) returns void
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.collection_runs (id, triggered_by) values (p_run_id, p_triggered_by)
    on conflict (id) do nothing;
    update public.collection_runs as run
    set status = 'abandoned', finished_at = clock_timestamp()
    where run.status = 'running' and run.started_at < now() - interval '10 minutes'
      and not exists (
          select from public.collection_state as state
          where state.lease_run_id = run.id and state.leased_until > now()
      );
end;
$$;
comment on function private.collect_dex_open(uuid, text) is 'Makes the run''s row and marks abandoned ones.';

-- Why a company cannot be collected now; null when it can.
create function private.collect_dex_obstacle(p_company_id uuid) returns text
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
comment on function private.collect_dex_obstacle(uuid) is 'no credentials, no active machines, or null.';

create function public.collect_dex_claim(
    p_run_id uuid, p_triggered_by text, p_limit integer, p_lease_seconds integer
) returns setof public.collect_dex_claimed
language plpgsql security definer set search_path = '' as $$
begin
    perform private.collect_dex_open(p_run_id, p_triggered_by);
    return query
    with due as (
        select state.company_id, private.collect_dex_obstacle(state.company_id) as obstacle
        from public.collection_state as state
        where state.next_due_at <= now()
          and (state.leased_until is null or state.leased_until <= now())
        order by state.next_due_at, state.company_id
        limit least(greatest(p_limit, 0), 1000)
        for update skip locked
    ), claimed as (
        update public.collection_state as state
        set lease_run_id = case when due.obstacle is null then p_run_id end,
            leased_until = case when due.obstacle is null then now() + make_interval(secs => p_lease_seconds) end,
            last_started_at = case when due.obstacle is null then now() else state.last_started_at end,
            next_due_at = case when due.obstacle is null then state.next_due_at
                               else now() + private.collect_interval(company.settings) end
        from due join public.companies as company on company.id = due.company_id
        where state.company_id = due.company_id
        returning state.company_id, company.company_name, state.last_succeeded_at, due.obstacle
    )
    select claimed.company_id, claimed.company_name, claimed.last_succeeded_at,
           login.username_encrypted, login.password_encrypted, login.site_url, claimed.obstacle
    from claimed
    left join public.user_credentials as login on login.company_id = claimed.company_id and login.is_active;
end;
$$;
comment on function public.collect_dex_claim(uuid, text, integer, integer) is
    'Leases up to so many due companies, the longest due first. Two calls at once never give the same company.';

create function public.collect_dex_claim_one(
    p_run_id uuid, p_triggered_by text, p_company_id uuid, p_lease_seconds integer
) returns setof public.collect_dex_claimed
language plpgsql security definer set search_path = '' as $$
declare
    v_state    public.collection_state;
    v_obstacle text;
begin
    select * into v_state from public.collection_state where company_id = p_company_id for update;
    if not found then
        raise exception 'there is no company %', p_company_id using errcode = 'P0002';
    end if;
    if v_state.leased_until > now() and v_state.lease_run_id is distinct from p_run_id then
        return;
    end if;
    v_obstacle := private.collect_dex_obstacle(p_company_id);
    if v_obstacle is null then
        perform private.collect_dex_open(p_run_id, p_triggered_by);
        update public.collection_state
        set lease_run_id = p_run_id,
            leased_until = now() + make_interval(secs => p_lease_seconds),
            last_started_at = now()
        where company_id = p_company_id;
    end if;
    return query
    select company.id, company.company_name, v_state.last_succeeded_at,
           login.username_encrypted, login.password_encrypted, login.site_url, v_obstacle
    from public.companies as company
    left join public.user_credentials as login on login.company_id = company.id and login.is_active
    where company.id = p_company_id;
end;
$$;
comment on function public.collect_dex_claim_one(uuid, text, uuid, integer) is
    'Leases one company, due or not; no row when another run has it. P0002 when there is none.';

create function public.collect_dex_unseen(p_company_id uuid, p_dex_ids bigint[]) returns setof bigint
language sql stable security definer set search_path = '' as $$
    select listed.dex_id
    from unnest(p_dex_ids) as listed (dex_id)
    where not exists (
        select from public.dex_captures as capture
        where capture.company_id = p_company_id and capture.dex_id = listed.dex_id
    );
$$;
comment on function public.collect_dex_unseen(uuid, bigint[]) is 'Of these captures, those that are not stored.';

-- One capture: the row, and the machine if this is its newest.
create function private.collect_dex_store_one(p_company_id uuid, p_capture jsonb) returns text
language plpgsql security definer set search_path = '' as $$
declare
    v_machine  uuid;
    v_at       timestamptz := (p_capture ->> 'captured_at')::timestamptz;
    v_dex_id   bigint := (p_capture ->> 'dex_id')::bigint;
    v_stored   bigint;
begin
    insert into public.machines (company_id, case_serial, firmware_version)
    values (p_company_id, p_capture ->> 'case_serial', p_capture ->> 'firmware_version')
    on conflict on constraint machines_once do update set case_serial = excluded.case_serial
    returning id into v_machine;

    insert into public.dex_captures (
        company_id, machine_id, dex_id, case_serial, captured_at, raw_content, raw_encoding,
        parsed_data, crc_status, has_errors, record_count
    ) values (
        p_company_id, v_machine, v_dex_id, p_capture ->> 'case_serial', v_at,
        p_capture ->> 'raw_content', p_capture ->> 'raw_encoding', p_capture -> 'parsed_data',
        p_capture ->> 'crc_status', (p_capture ->> 'has_errors')::boolean, (p_capture ->> 'record_count')::integer
    )
    on conflict on constraint dex_captures_once do nothing
    returning id into v_stored;
    if v_stored is null then
        return 'duplicate';
    end if;

    -- A capture that comes late is kept, but does not replace a newer one.
    update public.machines as machine
    set latest_dex_data = p_capture ->> 'raw_content',
        latest_dex_parsed = p_capture -> 'parsed_data',
        latest_errors = coalesce(p_capture #> '{parsed_data,errors}', '[]'),
        firmware_version = coalesce(p_capture ->> 'firmware_version', machine.firmware_version),
        machine_model = coalesce(machine.machine_model, p_capture #>> '{parsed_data,identity,model}'),
        dex_has_errors = (p_capture ->> 'has_errors')::boolean,
        dex_last_capture = v_at,
        latest_dex_id = v_dex_id
    where machine.id = v_machine
      and (machine.dex_last_capture is null or (machine.dex_last_capture, machine.latest_dex_id) < (v_at, v_dex_id));

    update public.machines as machine
    set dex_history = history.entries,
        dex_last_4hrs = (
            select count(*) from public.dex_captures as capture
            where capture.machine_id = v_machine
              and capture.captured_at > machine.dex_last_capture - interval '4 hours'
        )
    from (
        select jsonb_agg(jsonb_build_object('dexId', newest.dex_id, 'created', newest.captured_at)) as entries
        from (
            select dex_id, captured_at from public.dex_captures
            where machine_id = v_machine
            order by captured_at desc, dex_id desc
            limit 100
        ) as newest
    ) as history
    where machine.id = v_machine;
    return 'stored';
end;
$$;
comment on function private.collect_dex_store_one(uuid, jsonb) is 'Stores one capture: stored or duplicate.';

create function public.collect_dex_store(p_company_id uuid, p_captures jsonb)
returns table (dex_id bigint, outcome text, error text)
language plpgsql security definer set search_path = '' as $$
declare
    v_capture jsonb;
begin
    for v_capture in select value from jsonb_array_elements(p_captures) loop
        dex_id := (v_capture ->> 'dex_id')::bigint;
        error := null;
        -- A block of its own is a transaction of its own: what is wrong with one is not the others'.
        begin
            outcome := private.collect_dex_store_one(p_company_id, v_capture);
        exception when others then
            outcome := 'rejected';
            error := sqlerrm;
        end;
        return next;
    end loop;
end;
$$;
comment on function public.collect_dex_store(uuid, jsonb) is
    'Stores captures, each in a transaction of its own: stored, duplicate, or rejected with the reason.';

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
            -- Half a minute early: the tick that is meant must not come a second before it.
            when p_success then state.last_started_at + private.collect_interval(company.settings) - interval '30 seconds'
            else clock_timestamp() + least(
                private.collect_interval(company.settings) * power(2, least(state.consecutive_failures, 20)),
                interval '6 hours'
            ) * (0.9 + random() * 0.2)
        end
    from public.companies as company
    where company.id = state.company_id
      and state.company_id = p_company_id
      and state.lease_run_id = p_run_id
      and state.leased_until > clock_timestamp();
    return found;
end;
$$;
comment on function public.collect_dex_finish(uuid, uuid, boolean, integer, text) is
    'Ends a company''s collection: next due, or backoff doubling to 6 h. False when the lease was lost; then nothing changes.';

create function public.collect_dex_release(p_run_id uuid, p_company_ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    update public.collection_state set lease_run_id = null, leased_until = null
    where company_id = any (p_company_ids) and lease_run_id = p_run_id;
$$;
comment on function public.collect_dex_release(uuid, uuid[]) is 'Gives leases back; the companies stay due.';

create function public.collect_dex_end(p_run_id uuid, p_status text, p_summary jsonb, p_error text default null) returns void
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
$$;
comment on function public.collect_dex_end(uuid, text, jsonb, text) is 'Ends a run in the ledger.';

create function public.collect_credentials_save(
    p_company_id uuid, p_username_encrypted text, p_password_encrypted text,
    p_site_url text, p_validation_status text, p_user_id uuid default null
) returns uuid
language sql security definer set search_path = '' as $$
    insert into public.user_credentials as login (
        company_id, user_id, username_encrypted, password_encrypted, site_url, validation_status, last_validated
    ) values (
        p_company_id, p_user_id, p_username_encrypted, p_password_encrypted, p_site_url, p_validation_status,
        case when p_validation_status <> 'unchecked' then now() end
    )
    on conflict (company_id) do update
    set user_id = excluded.user_id,
        username_encrypted = excluded.username_encrypted,
        password_encrypted = excluded.password_encrypted,
        site_url = excluded.site_url,
        validation_status = excluded.validation_status,
        last_validated = excluded.last_validated,
        is_active = true
    returning login.id;
$$;
comment on function public.collect_credentials_save(uuid, text, text, text, text, uuid) is 'Saves a sealed login, replacing the company''s other one.';

create function public.collect_credentials_checked(p_company_id uuid, p_status text) returns void
language sql security definer set search_path = '' as $$
    update public.user_credentials set validation_status = p_status, last_validated = now()
    where company_id = p_company_id;
$$;
comment on function public.collect_credentials_checked(uuid, text) is 'Notes whether the site took the login.';

revoke execute on function
    public.collect_dex_claim(uuid, text, integer, integer),
    public.collect_dex_claim_one(uuid, text, uuid, integer),
    public.collect_dex_unseen(uuid, bigint[]),
    public.collect_dex_store(uuid, jsonb),
    public.collect_dex_finish(uuid, uuid, boolean, integer, text),
    public.collect_dex_release(uuid, uuid[]),
    public.collect_dex_end(uuid, text, jsonb, text),
    public.collect_credentials_save(uuid, text, text, text, text, uuid),
    public.collect_credentials_checked(uuid, text)
from public, anon, authenticated;
grant execute on function
    public.collect_dex_claim(uuid, text, integer, integer),
    public.collect_dex_claim_one(uuid, text, uuid, integer),
    public.collect_dex_unseen(uuid, bigint[]),
    public.collect_dex_store(uuid, jsonb),
    public.collect_dex_finish(uuid, uuid, boolean, integer, text),
    public.collect_dex_release(uuid, uuid[]),
    public.collect_dex_end(uuid, text, jsonb, text),
    public.collect_credentials_save(uuid, text, text, text, text, uuid),
    public.collect_credentials_checked(uuid, text)
to service_role;
