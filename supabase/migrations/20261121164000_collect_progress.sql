-- A site that lets in a hundred requests and then answers 429 ends each step of a first collection with a failure.
-- Doubled each time, the pauses between them grew to 6 hours. A failure behind which something was stored is the
-- first one again.

create or replace function public.collect_dex_finish(
    p_run_id uuid, p_company_id uuid, p_success boolean, p_records integer, p_error text default null,
    p_failed_from timestamptz default null, p_login text default null
) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    v_failures integer;
begin
    select case
        when p_success then 0
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
