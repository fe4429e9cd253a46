-- What runs by itself.

create function private.vault_secret(p_name text) returns text
language plpgsql security definer set search_path = '' as $$
declare
    v_value text;
begin
    -- A pasted secret often ends in a line break, and no header takes that.
    select btrim(decrypted_secret, E' \t\r\n') into v_value from vault.decrypted_secrets where name = p_name;
    -- pg_net drops a header without a value in silence, and pg_cron would call that a success.
    if coalesce(v_value, '') = '' then
        raise exception 'the Vault secret "%" is missing or empty', p_name
            using hint = format('select vault.create_secret(''…'', %L);', p_name);
    end if;
    return v_value;
end;
$$;
comment on function private.vault_secret(text) is 'A secret from Vault; raises when it is missing or empty.';

create function private.call_function(function_name text, body jsonb default '{}') returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    return net.http_post(
        url => rtrim(private.vault_secret('project_url'), '/') || '/functions/v1/' || function_name,
        body => body,
        headers => jsonb_build_object(
            'Content-Type', 'application/json',
            'X-Service-Key', private.vault_secret('service_api_key')
        ),
        -- One worker waits for the slowest of a batch: functions answer 202 at once.
        timeout_milliseconds => 10000
    );
end;
$$;
comment on function private.call_function(text, jsonb) is
    'Calls an edge function as a service, by the Vault secrets project_url and service_api_key. The id of pg_net''s request.';

create function private.collect_dex_tick() returns integer
language plpgsql security definer set search_path = '' as $$
declare
    -- A call is a request with a CPU budget of its own; leases keep the calls apart.
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

create function private.purge_history() returns void
language plpgsql security definer set search_path = '' as $$
begin
    -- By the number, because a call that never began has no times.
    delete from cron.job_run_details
    where runid <= (select max(runid) from cron.job_run_details where start_time < now() - interval '7 days');
    -- An entry a company a run: the large part, and after a week nobody asks.
    update public.collection_runs set results = '[]'
    where started_at < now() - interval '7 days' and results <> '[]';
    delete from public.collection_runs where started_at < now() - interval '30 days';
end;
$$;
comment on function private.purge_history() is
    'Forgets cron''s calls and the results of runs after 7 days, and the runs after 30.';

revoke execute on function
    private.vault_secret(text), private.call_function(text, jsonb), private.collect_dex_tick(), private.purge_history()
from public, anon, authenticated, service_role;

-- By name: scheduling again replaces.
select cron.schedule('collect-dex', '*/5 * * * *', 'select private.collect_dex_tick()');
select cron.schedule('purge-cron-history', '17 3 * * *', 'select private.purge_history()');
