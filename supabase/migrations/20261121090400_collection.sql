-- The ledger of runs, and where each company stands.

create table public.collection_runs (
    id                      uuid primary key,
    function                text not null,
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
comment on column public.collection_runs.finished_at is 'When it reported, or was found abandoned.';
comment on column public.collection_runs.companies_processed is 'Companies collected or tried.';
comment on column public.collection_runs.successful_collections is 'Of those, the ones that succeeded.';
comment on column public.collection_runs.total_records is 'New captures.';
comment on column public.collection_runs.results is 'One entry per company. Emptied after 7 days.';
comment on column public.collection_runs.error is 'Why the run failed.';
comment on column public.collection_runs.created_at is 'When the row was made.';
comment on column public.collection_runs.updated_at is 'When the row was last changed.';
create index collection_runs_latest on public.collection_runs (started_at desc);
create index collection_runs_running on public.collection_runs (started_at) where status = 'running';

create table public.collection_state (
    company_id            uuid primary key references public.companies on delete cascade,
    next_due_at           timestamptz not null default now(),
    lease_run_id          uuid references public.collection_runs on delete set null,
    leased_until          timestamptz,
    consecutive_failures  integer not null default 0,
    last_error            text,
    skip_reason           text,
    last_started_at       timestamptz,
    last_succeeded_at     timestamptz,
    last_records          integer,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint collection_state_skip check (skip_reason in ('no credentials', 'no active machines'))
);
comment on table public.collection_state is 'Where each company stands: when it is due, which run has it, how it went.';
comment on column public.collection_state.company_id is 'The company.';
comment on column public.collection_state.next_due_at is 'Due from then on.';
comment on column public.collection_state.lease_run_id is 'The run that has it. Who finds another run here has lost the lease.';
comment on column public.collection_state.leased_until is 'When the lease ends by itself: what a crashed run held is taken by the next. Empty: no lease.';
comment on column public.collection_state.consecutive_failures is 'Failures and crashes since the last success; the backoff doubles with each.';
comment on column public.collection_state.last_error is 'Code and message of the last failure; none after a success.';
comment on column public.collection_state.skip_reason is 'Why it was passed over when it was last due; none when it was collected.';
comment on column public.collection_state.last_started_at is 'When it was last leased.';
comment on column public.collection_state.last_succeeded_at is 'When it last succeeded.';
comment on column public.collection_state.last_records is 'New captures of the last success.';
comment on column public.collection_state.created_at is 'When the row was made.';
comment on column public.collection_state.updated_at is 'When the row was last changed.';
-- Read from its old end by every claim, whatever the number of companies.
create index collection_state_due on public.collection_state (next_due_at, company_id);
create index collection_state_lease on public.collection_state (lease_run_id) where lease_run_id is not null;

create trigger collection_runs_touch before update on public.collection_runs
    for each row execute function private.touch_updated_at();
create trigger collection_state_touch before update on public.collection_state
    for each row execute function private.touch_updated_at();

alter table public.collection_runs enable row level security;
alter table public.collection_state enable row level security;
revoke all on public.collection_runs, public.collection_state from anon, authenticated, service_role;
-- A run spans companies, so no user reads it. Only the functions below write: they keep the leases true.
grant select on public.collection_state to authenticated;
grant select on public.collection_runs, public.collection_state to service_role;
create policy "members read their collection state" on public.collection_state
    for select to authenticated using (company_id in (select private.my_companies()));

create function private.collection_state_begin() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.collection_state (company_id) values (new.id);
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

revoke execute on function private.collection_state_begin(), private.collection_state_wake()
from public, anon, authenticated, service_role;

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
revoke all on public.collection_overview from anon, authenticated, service_role;
grant select on public.collection_overview to authenticated, service_role;
