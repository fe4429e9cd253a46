-- How a capture becomes sales. The collector computes them: it asks what is stored around its captures
-- (collect_dex_around) and sends, with each capture, the intervals that it makes or splits
-- (collect_dex_store). Both ends look at the same neighbours, or else nothing is stored.

create function private.dex_around(p_machine_id uuid, p_captured_at timestamptz, p_dex_id bigint) returns bigint[]
language sql stable security definer set search_path = '' as $$
    -- Two to each side: the second tells a slip of one capture from a counter that was set back, and has
    -- the selections that the first lacks.
    select array(
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
$$;
comment on function private.dex_around(uuid, timestamptz, bigint) is
    'The sound captures of a machine next to this one: up to two older, up to two newer, in order.';

create function public.collect_dex_around(p_company_id uuid, p_captures json) returns jsonb
language sql stable security definer set search_path = '' as $$
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
    ) as machine;
$$;
comment on function public.collect_dex_around(uuid, json) is
    'What is stored next to these captures [{dex_id, case_serial, captured_at}], by serial: [{dex_id, captured_at (microseconds since 1970), counters}].';

-- A counter may be any 64-bit number without a sign, and a damaged file may say it sold as many.
create function private.dex_count(p_value jsonb) returns bigint
language sql immutable set search_path = '' as $$
    -- least() passes nulls over.
    select case when p_value <> 'null' then least((p_value #>> '{}')::numeric, 9223372036854775807)::bigint end;
$$;
comment on function private.dex_count(jsonb) is 'A counter as bigint, the largest bigint when it is larger; null for none.';

-- ID4 seldom tells: "N/A", "1", a telephone code. So the company's word comes first.
create function private.dex_currency(p_company_id uuid, p_parsed jsonb) returns text
language sql stable security definer set search_path = '' as $$
    select coalesce(settings ->> 'currency', substring(p_parsed #>> '{currency,alpha}' from '^[A-Z]{3}$'))
    from public.companies where id = p_company_id;
$$;
comment on function private.dex_currency(uuid, jsonb) is
    'ISO 4217: settings.currency of the company, else what the capture says, if it is such a code.';

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

create function private.dex_events_of(p_parsed jsonb)
returns table (code text, selection text, occurrences bigint, is_active boolean)
language sql immutable set search_path = '' as $$
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
$$;
comment on function private.dex_events_of(jsonb) is 'What a capture reports: faults that are active, and events that have a time.';

create or replace function private.collect_store_one(p_company_id uuid, p_capture jsonb) returns uuid
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

create function private.dex_sold_out(p_now jsonb, p_before jsonb, p_sold_out text[]) returns text[]
language sql immutable set search_path = '' as $$
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
       );
$$;
comment on function private.dex_sold_out(jsonb, jsonb, text[]) is
    'Which selections are sold out by a capture, the one before, and what was sold out then.';

-- What is measured, by whatever name; what is wished for says so in its name.
create function private.dex_celsius(p_parsed jsonb) returns numeric
language sql immutable set search_path = '' as $$
    select round(case when temperature ->> 'unit' = 'F' then (degrees - 32) / 1.8 else degrees end, 2)
    from jsonb_array_elements(p_parsed -> 'temperatures') with ordinality as listed (temperature, place)
    cross join lateral (select (temperature ->> 'hundredths')::numeric / 100 as degrees) as read
    where temperature ->> 'name' not ilike '%desired%' and temperature ->> 'name' not ilike '%set%'
      and abs(degrees) < 500
    order by place limit 1;
$$;
comment on function private.dex_celsius(jsonb) is 'The temperature that a capture reports, in degrees Celsius; null for none.';

create function private.dex_tubes_worth(p_parsed jsonb) returns bigint
language sql immutable set search_path = '' as $$
    select coalesce(private.dex_count(p_parsed #> '{totals,tube_value}'), (
        select sum(private.dex_count(tube -> 'value') * private.dex_count(tube -> 'coins'))::bigint
        from jsonb_array_elements(p_parsed -> 'coin_tubes') as tube
        -- Some files have a value there that no coin has.
        where private.dex_count(tube -> 'value') <= 100000 and private.dex_count(tube -> 'coins') <= 10000
    ));
$$;
comment on function private.dex_tubes_worth(jsonb) is 'What a capture says is in the coin tubes, in minor units; null when it does not.';

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

    update public.dex_events as event
    set is_active = shown.is_active,
        acknowledged_at = case when shown.comes_back then null else event.acknowledged_at end,
        acknowledged_by = case when shown.comes_back then null else event.acknowledged_by end
    from (
        select
            known.id,
            coalesce(seen.is_active, false) as is_active,
            coalesce(seen.is_active, false) and not known.is_active
                and known.acknowledged_at < v_newest.captured_at as comes_back
        from public.dex_events as known
        left join private.dex_events_of(v_newest.parsed_data) as seen
            on seen.code = known.code and seen.selection is not distinct from known.selection
        where known.machine_id = p_machine_id
    ) as shown
    where event.id = shown.id and event.is_active <> shown.is_active;
end;
$$;
comment on function private.dex_refresh_state(uuid) is
    'Brings the state of a machine, and which of its events are active, up to its newest sound capture.';

revoke execute on function
    private.dex_around(uuid, timestamptz, bigint),
    private.dex_count(jsonb),
    private.dex_currency(uuid, jsonb),
    private.dex_store_sales(uuid, uuid, jsonb),
    private.dex_events_of(jsonb),
    private.dex_sold_out(jsonb, jsonb, text[]),
    private.dex_celsius(jsonb),
    private.dex_tubes_worth(jsonb),
    private.dex_refresh_state(uuid),
    public.collect_dex_around(uuid, json)
from public, anon, authenticated, service_role;
grant execute on function public.collect_dex_around(uuid, json) to service_role;
