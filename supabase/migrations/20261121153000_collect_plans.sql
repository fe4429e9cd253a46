-- Postgres reads and plans the statement of a function in the language sql at each call, and that of one in plpgsql
-- once a session. Of storing a capture it was a third. What the collectors call is the same here, in plpgsql.

create or replace function private.collect_interval(p_settings jsonb) returns interval
language plpgsql immutable set search_path = '' as $$
begin
    return make_interval(mins => least(greatest(
        case when p_settings ->> 'collectEveryMinutes' ~ '^\d{1,5}$'
             then (p_settings ->> 'collectEveryMinutes')::integer else 5 end, 1), 10080));
end;
$$;

create or replace function private.collect_obstacle(p_company_id uuid) returns text
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
end;
$$;

create or replace function public.collect_dex_unseen(p_company_id uuid, p_dex_ids bigint[]) returns bigint[]
language plpgsql stable security definer set search_path = '' as $$
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

create or replace function public.collect_dex_around(p_company_id uuid, p_captures json) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
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

create or replace function private.dex_around(p_machine_id uuid, p_captured_at timestamptz, p_dex_id bigint) returns bigint[]
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

create or replace function private.dex_count(p_value jsonb) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
    -- least() passes nulls over.
    return case when p_value <> 'null' then least((p_value #>> '{}')::numeric, 9223372036854775807)::bigint end;
end;
$$;

create or replace function private.dex_currency(p_company_id uuid, p_parsed jsonb) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
    return (
        select coalesce(settings ->> 'currency', substring(p_parsed #>> '{currency,alpha}' from '^[A-Z]{3}$'))
        from public.companies where id = p_company_id
    );
end;
$$;

create or replace function private.dex_events_of(p_parsed jsonb)
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

create or replace function private.dex_sold_out(p_now jsonb, p_before jsonb, p_sold_out text[]) returns text[]
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
                   or (now.product #> '{sold_out,presses}')::bigint > (before.product #> '{sold_out,presses}')::bigint
                   or now.product #> '{sold_out,at}' <> before.product #> '{sold_out,at}'
               )
           )
    );
end;
$$;

create or replace function private.dex_celsius(p_parsed jsonb) returns numeric
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

create or replace function private.dex_tubes_worth(p_parsed jsonb) returns bigint
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

create or replace function private.collect_refresh(p_machine_ids uuid[]) returns void
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
