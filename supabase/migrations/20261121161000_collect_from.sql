-- Where a collection begins is kept apart from when the last one succeeded: captures that failed while others
-- were stored are listed again, however old they are.

alter table public.collection_state add column collect_from timestamptz;
comment on column public.collection_state.collect_from is
    'The next collection lists captures made from then on: two days before the last success, or the oldest capture that failed in it, if that is older; 30 days back at the most, and at first. What is older is stored or given up.';
update public.collection_state set collect_from = last_succeeded_at - interval '2 days';

alter type public.collect_dex_claimed add attribute collect_from timestamptz;

create or replace function private.collect_lease(
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

drop function public.collect_dex_finish(uuid, uuid, boolean, integer, text);
-- A lease that ended but was not taken by another run still counts: the work was done.
create function public.collect_dex_finish(
    p_run_id uuid, p_company_id uuid, p_success boolean, p_records integer, p_error text default null,
    p_failed_from timestamptz default null, p_login text default null
) returns boolean
language plpgsql security definer set search_path = '' as $$
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
comment on column public.user_credentials.last_validated is 'Since when validation_status is what it is; none when it is unchecked.';

-- Finishing says it.
drop function public.collect_credentials_checked(uuid, text);

revoke execute on function public.collect_dex_finish(uuid, uuid, boolean, integer, text, timestamptz, text)
from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_finish(uuid, uuid, boolean, integer, text, timestamptz, text) to service_role;
