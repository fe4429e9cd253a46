-- What captures sell: intervals that are made, split and never counted twice; events, states and cash.
begin;
\ir support/accounts.psql
select plan(64);

select tests.create_company('north', 'anna');
select tests.create_company('south', 'boris');

create function tests.store(variadic captures jsonb[]) returns setof text
language sql as $$
    select concat_ws(' ', dex_id::text, outcome, error) from public.collect_dex_store(tests.company_id('north'), array_to_json(captures));
$$;
-- A capture with counters; the intervals are what the collector would have computed.
create function tests.sound(dex_id bigint, captured_at text, around bigint[], intervals text, parsed text default '{}') returns jsonb
language sql as $$
    select tests.capture(dex_id, 'CSA1', captured_at, jsonb_build_object(
        'parsed_data', '{"products": [], "events": [], "errors": [], "temperatures": [], "coin_tubes": [], "currency": {"decimals": 2, "alpha": "AUD"}}'::jsonb
            || parsed::jsonb,
        'sales', jsonb_build_object(
            'around', around, 'intervals', intervals::jsonb,
            'counters', jsonb_build_object('serial', 'SN1', 'lines', '[[null, "vends", 5, 500]]'::jsonb)
        )
    ));
$$;
create function tests.machine_id() returns uuid
language sql stable security definer set search_path = '' as $$
    select id from public.machines where company_id = tests.company_id('north') and case_serial = 'CSA1';
$$;
grant execute on all functions in schema tests to public;
select tests.as_service();

-- Intervals

select results_eq(
    $$ select tests.store(tests.sound(10, '2026-11-20T08:00:00Z', '{}', '[]')) $$, array['10 stored'], 'a first capture is where counting begins'
);
select is_empty($$ select 1 from public.dex_intervals where company_id = tests.company_id('north') $$, 'and sells nothing');
select results_eq(
    $$ select tests.store(tests.sound(20, '2026-11-20T18:00:00Z', '{10}', '[{"from": 10, "to": 20, "continuity": "continuous", "sales": [
           [null, "vends", 9, 1350], [null, "cash", 6, 900], [null, "cashless", 3, 450], [null, "cash_box", null, 700], [null, "bills", null, 500],
           ["010", "vends", 4, 600], ["10", "vends", 5, 750], ["10", "cashless", 3, 450], ["10", "test", 1, null]]}]',
       '{"products": [{"selection": "10", "name": "Cola"}], "totals": {"cash_in": {"since_reset": {"cash_box": 300, "bills": 500}}}}')) $$,
    array['20 stored'], 'the next one ends an interval'
);
select results_eq(
    $$ select from_dex_id, to_dex_id, started_at, ended_at, continuity, vends, value_minor, cash_minor, cashless_vends, token_minor, cash_box_minor, bills_minor, currency
       from public.dex_intervals where company_id = tests.company_id('north') $$,
    $$ values (10::bigint, 20::bigint, timestamptz '2026-11-20 08:00Z', timestamptz '2026-11-20 18:00Z', 'continuous',
               9::bigint, 1350::bigint, 900::bigint, 3::bigint, null::bigint, 700::bigint, 500::bigint, 'AUD') $$,
    'which has what the machine sold'
);
select results_eq(
    $$ select selection, product_name, vends, value_minor, cashless_minor, test_vends from public.dex_sales
       where company_id = tests.company_id('north') order by selection collate "C" $$,
    $$ values ('010', null, 4::bigint, 600::bigint, null::bigint, null::bigint), ('10', 'Cola', 5::bigint, 750::bigint, 450::bigint, 1::bigint) $$,
    'and what its selections sold, each by its own name'
);
select results_eq(
    $$ select tests.store(tests.sound(20, '2026-11-20T18:00:00Z', '{10}', '[]')) $$, array['20 duplicate'], 'the same capture again'
);
select is((select count(*) from public.dex_sales where company_id = tests.company_id('north')), 2::bigint, 'changes nothing');

-- Late

select results_eq(
    $$ select public.collect_dex_around(tests.company_id('north'), '[{"dex_id": 15, "case_serial": "CSA1", "captured_at": "2026-11-20T12:00:00Z"},
           {"dex_id": 9, "case_serial": "never seen", "captured_at": "2026-11-20T12:00:00Z"}]') -> 'CSA1' -> 1 $$,
    $$ values ('{"dex_id": 20, "captured_at": 1795197600000000, "counters": {"serial": "SN1", "lines": [[null, "vends", 5, 500]]}}'::jsonb) $$,
    'a collector learns what is stored around its captures'
);
select results_eq(
    $$ select tests.store(tests.sound(15, '2026-11-20T12:00:00Z', '{10,20}', '[
           {"from": 10, "to": 15, "continuity": "continuous", "sales": [[null, "vends", 2, 300], ["010", "vends", 2, 300]]},
           {"from": 15, "to": 20, "continuity": "continuous", "sales": [[null, "vends", 7, 1050], ["010", "vends", 2, 300], ["10", "vends", 5, 750]]}]')) $$,
    array['15 stored'], 'a capture that comes late'
);
select results_eq(
    $$ select from_dex_id, to_dex_id, vends from public.dex_intervals where company_id = tests.company_id('north') order by ended_at $$,
    $$ values (10::bigint, 15::bigint, 2::bigint), (15, 20, 7) $$, 'splits its interval'
);
select results_eq(
    $$ select sum(vends)::integer, sum(value_minor)::integer from public.dex_sales where company_id = tests.company_id('north') $$,
    $$ values (9, 1350) $$, 'and the total stays what it was'
);
select results_eq(
    $$ select tests.store(tests.sound(17, '2026-11-20T13:00:00Z', '{10,20}', '[]')) $$,
    array['17 rejected another call stored a capture of this machine meanwhile; collect it again'],
    'sales that were computed from other neighbours are not stored'
);
select is_empty(
    $$ select 1 from public.dex_captures where dex_id = 17 and company_id = tests.company_id('north') $$, 'nor is their capture, so that the next tick brings it again'
);

-- Unsound

select results_eq(
    $$ select tests.store(tests.capture(30, 'CSA1', '2026-11-20T19:00:00Z', '{"crc_status": "mismatch", "flaw": "mismatch", "parsed_data": {"errors": ["EJB"], "events": [{"code": "EJB", "is_active": true}]}}')) $$,
    array['30 stored'], 'a damaged capture is kept'
);
select tests.clear();
select results_eq(
    $$ select unnest(private.dex_around(tests.machine_id(), '2026-11-20T20:00Z', 40)) $$, array[15, 20]::bigint[], 'and passed over by sales'
);
select tests.as_service();
select is_empty($$ select 1 from public.dex_events where company_id = tests.company_id('north') $$, 'and by events');
select results_eq(
    $$ select dex_id, cash_level_minor from public.machine_states where machine_id = tests.machine_id() $$,
    $$ values (20::bigint, 800::bigint) $$, 'and the state is that of the newest sound one'
);
select results_eq(
    $$ select tests.store(tests.sound(31, '2026-11-20T19:30:00Z', '{15,20}', '[{"from": 20, "to": 31, "continuity": "continuous", "sales": [
           [null, "vends", 18446744073709551615, 1], ["010", "vends", 1, 1]]}]')) $$,
    array['31 stored'], 'a machine that says it sold more than there is'
);
select is(
    (select vends from public.dex_intervals where to_dex_id = 31 and company_id = tests.company_id('north')), 1000000000000000, 'is not lost for that'
);
select lives_ok(
    $$ select vends + 1 from public.dex_sales_by_day('2026-11-01', '2026-11-30') union all
       select vends + 1 from public.dex_sales_by_machine('2026-11-01', '2026-11-30') union all
       select vends + 1 from public.dex_sales_by_product('2026-11-01', '2026-11-30') $$, 'and no report fails for it'
);
select tests.clear();
select is(
    private.dex_sold_out(
        '{"products": [{"selection": "7", "vends": {"since_init": {"count": 4}}, "sold_out": {"presses": 18446744073709551615}}]}',
        '{"products": [{"selection": "7", "vends": {"since_init": {"count": 4}}, "sold_out": {"presses": 1}}]}', '{}'
    ), array['7'], 'nor does asking in vain as often'
);
delete from public.dex_captures where dex_id = 31 and company_id = tests.company_id('north');
delete from public.dex_intervals where to_dex_id = 31 and company_id = tests.company_id('north');
delete from public.machine_states where company_id = tests.company_id('north');
select tests.as_service();

-- Events and state

select results_eq(
    $$ select tests.store(tests.sound(40, '2026-11-20T20:00:00Z', '{15,20}', '[{"from": 20, "to": 40, "continuity": "continuous", "sales": []}]', '{
           "events": [{"code": "EJB_101", "selection": "101", "count": {"since_init": 7}, "is_active": true}, {"code": "EGS", "count": {"since_init": 99}},
                      {"code": "EAR", "at": "2026-11-20T09:00"}],
           "errors": ["EJB_101", "UA09"],
           "temperatures": [{"name": "DESIRED TEMPERATURE", "hundredths": 300, "unit": "C"}, {"name": "Cold", "hundredths": 5000, "unit": "F"}],
           "coin_tubes": [{"coin": 0, "value": 10, "coins": 59}, {"coin": 1, "value": 63792, "coins": 48000}],
           "products": [{"selection": "010", "vends": {"since_init": {"count": 4}}, "sold_out": {"presses": 1}}, {"selection": "10", "level": 0}]}')) $$,
    array['40 stored'], 'a capture with faults'
);
select results_eq(
    $$ select code, selection, occurrences, is_active, first_seen_at = last_seen_at from public.dex_events
       where company_id = tests.company_id('north') order by code $$,
    $$ values ('EAR', null, null::bigint, false, true), ('EJB_101', '101', 7, true, true), ('UA09', null, null, true, true) $$,
    'shows them; counters of what is as it should be are none'
);
select results_eq(
    $$ select dex_id, temperature_celsius, coin_tubes_minor, sold_out, errors from public.machine_states where machine_id = tests.machine_id() $$,
    $$ values (40::bigint, 10.00, 590::bigint, array['10'], array['EJB_101', 'UA09']) $$,
    'temperature is what is measured, in Celsius; a coin of 637.92 is none; an empty column is sold out'
);
select tests.authenticate_as('anna');
select is(
    public.dex_events_acknowledge(array(select id from public.dex_events where is_active)), 2, 'a member takes note of what is wrong'
);
select is(public.dex_events_acknowledge(array(select id from public.dex_events where is_active)), 0, 'once');
select tests.authenticate_as('boris');
select is(
    public.dex_events_acknowledge((select array_agg(number) from generate_series(1, 10000) as number)), 0, 'a stranger takes note of nothing'
);
select tests.as_service();
select tests.store(tests.sound(50, '2026-11-20T21:00:00Z', '{20,40}', '[{"from": 40, "to": 50, "continuity": "continuous", "sales": []}]', '{
    "errors": ["UA09"],
    "products": [{"selection": "010", "vends": {"since_init": {"count": 4}}, "sold_out": {"presses": 3}}, {"selection": "10", "level": 9}]}'));
select results_eq(
    $$ select code, is_active, acknowledged_at is not null from public.dex_events where company_id = tests.company_id('north') order by code $$,
    $$ values ('EAR', false, false), ('EJB_101', false, true), ('UA09', true, true) $$, 'a fault that is gone is not active; one that lasts stays acknowledged'
);
select is(
    (select sold_out from public.machine_states where machine_id = tests.machine_id()), array['010'], 'asked for in vain and not sold since: sold out'
);
select tests.clear();
update public.dex_events set acknowledged_at = '2026-11-20T20:30Z' where company_id = tests.company_id('north') and code = 'EJB_101';
select tests.as_service();
select tests.store(tests.sound(60, '2026-11-20T22:00:00Z', '{40,50}', '[{"from": 50, "to": 60, "continuity": "continuous", "sales": []}]', '{
    "events": [{"code": "EJB_101", "selection": "101", "count": {"since_init": 8}, "is_active": true}], "errors": ["EJB_101"],
    "products": [{"selection": "010", "vends": {"since_init": {"count": 4}}, "sold_out": {"presses": 3}}]}'));
select results_eq(
    $$ select is_active, acknowledged_at, acknowledged_by, occurrences, first_seen_at, last_seen_at from public.dex_events
       where company_id = tests.company_id('north') and code = 'EJB_101' $$,
    $$ values (true, null::timestamptz, null::uuid, 8::bigint, timestamptz '2026-11-20 20:00Z', timestamptz '2026-11-20 22:00Z') $$,
    'one that comes back asks again'
);
select is((select sold_out from public.machine_states where machine_id = tests.machine_id()), array['010'], 'still sold out');
select tests.store(tests.sound(70, '2026-11-20T23:00:00Z', '{50,60}', '[{"from": 60, "to": 70, "continuity": "continuous", "sales": []}]', '{
    "products": [{"selection": "010", "vends": {"since_init": {"count": 5}}, "sold_out": {"presses": 3}}]}'));
select is((select sold_out from public.machine_states where machine_id = tests.machine_id()), array[]::text[], 'until it sells');
select tests.store(tests.sound(45, '2026-11-20T20:30:00Z', '{20,40,50,60}', '[{"from": 40, "to": 45, "continuity": "continuous", "sales": []},
    {"from": 45, "to": 50, "continuity": "continuous", "sales": []}]', '{"events": [{"code": "ENA", "is_active": true}], "errors": ["ENA"]}'));
select results_eq(
    $$ select dex_id, (select is_active from public.dex_events where code = 'ENA' and company_id = tests.company_id('north'))
       from public.machine_states where machine_id = tests.machine_id() $$,
    $$ values (70::bigint, false) $$, 'a late capture tells what was, not what is'
);

-- Cash

select is(
    (select cash_to_collect_minor from public.machine_overview where machine_id = tests.machine_id()), 0::bigint,
    'the split interval has no cash any more: each is what its capture says'
);
select tests.clear();
update public.dex_intervals set cash_box_minor = 700, bills_minor = 500 where to_dex_id = 20 and company_id = tests.company_id('north');
update public.dex_intervals set cash_box_minor = 40 where to_dex_id = 60 and company_id = tests.company_id('north');
select tests.authenticate_as('anna');
select is((select cash_to_collect_minor from public.machine_overview), 1240::bigint, 'cash to collect is what went in');
select is(public.machine_cash_collected(tests.machine_id(), 1195, '2026-11-20T19:00Z'), 1200::bigint, 'taking it out says what it should be');
select results_eq(
    $$ select cash_to_collect_minor, cash_collected_at from public.machine_overview $$,
    $$ values (40::bigint, timestamptz '2026-11-20 19:00Z') $$, 'and what came since is left'
);
select throws_ok(
    $$ select public.machine_cash_collected(tests.machine_id(), null, '2026-11-20T18:00Z') $$, '22023', null, 'times go forward'
);
select throws_ok(
    $$ select public.machine_cash_collected(tests.machine_id(), null, now() + interval '1 day') $$, '22023', null, 'and not beyond now'
);
select results_eq(
    $$ select collected_by, expected_minor, counted_minor from public.cash_collections $$,
    $$ values (tests.user_id('anna'), 1200::bigint, 1195::bigint) $$, 'it is known who took it'
);
select tests.clear();
update public.dex_intervals set cash_box_minor = 300 where to_dex_id = 15 and company_id = tests.company_id('north');
select tests.authenticate_as('anna');
select is(
    (select cash_to_collect_minor from public.machine_overview), 340::bigint,
    'cash that a capture tells of which was made before and stored after is still to collect'
);
select is(
    public.machine_cash_collected(tests.machine_id(), null, '2026-11-20T21:30Z'), 300::bigint, 'and expected the next time'
);
select tests.as_service();
select results_eq(
    $$ select tests.store(tests.sound(52, '2026-11-20T21:20:00Z', '{45,50,60,70}', '[
           {"from": 50, "to": 52, "continuity": "continuous", "sales": [[null, "cash_box", null, 30]]},
           {"from": 52, "to": 60, "continuity": "continuous", "sales": [[null, "cash_box", null, 10]]}]')) $$,
    array['52 stored'], 'a capture from before, which splits the interval that the cash was taken in'
);
select is(
    (select cash_to_collect_minor from public.machine_overview where machine_id = tests.machine_id()), 40::bigint, 'takes nothing away'
);
select tests.clear();
update public.dex_intervals set cash_box_minor = null where to_dex_id in (15, 52, 60) and company_id = tests.company_id('north');
select tests.authenticate_as('anna');
select is((select cash_to_collect_minor from public.machine_overview), 0::bigint, 'and there is never less than nothing');

-- Reports

select results_eq(
    $$ select day, vends, value_minor, currency, machines from public.dex_sales_by_day('2026-11-20', '2026-11-20') $$,
    $$ values (date '2026-11-20', 9::bigint, 1350::bigint, 'AUD', 1) $$, 'sales by day'
);
select results_eq(
    $$ select selection, vends from public.dex_sales_by_product('2026-11-01', '2026-11-30') $$,
    $$ values ('10', 5::bigint), ('010', 4) $$, 'by product, the best first'
);
select results_eq(
    $$ select case_serial, vends, last_sale_at from public.dex_sales_by_machine('2026-11-20', '2026-11-21') $$,
    $$ values ('CSA1', 9::bigint, timestamptz '2026-11-20 18:00Z') $$, 'by machine'
);
select is_empty($$ select 1 from public.dex_sales_by_day('2026-11-21', '2026-11-30') $$, 'a day before or after is not in it');
select tests.clear();
update public.companies set settings = '{"timezone": "Australia/Sydney"}' where company_name = 'north';
select tests.authenticate_as('anna');
select results_eq(
    $$ select day, vends from public.dex_sales_by_day('2026-11-20', '2026-11-30') $$,
    $$ values (date '2026-11-20', 2::bigint), (date '2026-11-21', 7) $$, 'a day is the company''s day'
);
select tests.clear();
update public.companies set settings = '{"timezone": "Atlantis/Capital"}' where company_name = 'north';
select tests.authenticate_as('anna');
select is((select count(*) from public.dex_sales_by_day('2026-11-20', '2026-11-20')), 1::bigint, 'a zone that does not exist is UTC');

-- Who needs a visit

select tests.as_service();
insert into public.machines (company_id, case_serial) values (tests.company_id('north'), 'never');
select tests.store(tests.capture(100, 'day', (now() - interval '25 hours')::text, '{"has_errors": true}'));
select tests.store(tests.capture(101, 'hours', (now() - interval '5 hours')::text, '{"has_errors": true}'));
select tests.store(tests.capture(102, 'fault', (now() - interval '1 hour')::text, '{"has_errors": true}'));
select tests.store(tests.capture(103, 'well', (now() - interval '1 hour')::text));
select results_eq(
    $$ select case_serial, standing, silent_hours::integer from public.machine_overview
       where company_id = tests.company_id('north') and case_serial <> 'CSA1' order by silent_hours desc nulls first, standing $$,
    $$ values ('never', 'never_heard', null), ('day', 'silent_24h', 25), ('hours', 'silent_4h', 5), ('fault', 'faulty', 1), ('well', 'ok', 1) $$,
    'silent machines come before faulty ones'
);

select tests.authenticate_as('boris');
select is_empty(
    $$ select company_id from public.dex_intervals union all select company_id from public.dex_sales union all select company_id from public.dex_events
       union all select company_id from public.machine_states union all select company_id from public.cash_collections
       union all select company_id from public.machine_overview union all select company_id from public.dex_sales_by_day('2026-01-01', '2027-01-01')
       union all select company_id from public.dex_sales_by_machine('2026-01-01', '2027-01-01')
       union all select company_id from public.dex_sales_by_product('2026-01-01', '2027-01-01') $$,
    'a stranger sees none of it'
);
select throws_ok(
    $$ select public.machine_cash_collected(tests.machine_id()) $$, 'P0002', null, 'and takes no cash'
);
select throws_ok(
    $$ delete from public.dex_intervals $$, '42501', null, 'nor sells anything'
);


-- Retention

select tests.clear();
select is(
    private.setting_days('{"keepParsedDays": 7}', 'keepParsedDays', 90), interval '40 days',
    'what was read is kept for as long as captures from then may still come'
);
select is(private.setting_days('{"keepParsedDays": "1e9"}', 'keepParsedDays', 90), interval '90 days', 'and nonsense changes nothing');
update public.companies set settings = '{"keepParsedDays": 40, "keepCapturesDays": 60}' where company_name = 'north';
select tests.as_service();
select tests.store(variadic array(
    select tests.capture(200 + number, 'aged', (now() - number * interval '10 days')::text, jsonb_build_object('sales', jsonb_build_object(
        'around', array(select 200 + other from generate_series(least(number + 2, 9), number + 1, -1) as other), 'intervals', '[]'::jsonb, 'counters', '{"lines": []}'::jsonb)))
    from generate_series(9, 1, -1) as number
));
select tests.clear();
select is((select count(*) from public.dex_captures where case_serial = 'aged'), 9::bigint, 'captures of 10 to 90 days');
select results_eq(
    $$ select parsed_dropped, captures_deleted from private.dex_retention() $$, $$ values (5, 3) $$,
    'what was read is dropped after its time, and the capture after its own'
);
select results_eq(
    $$ select dex_id, raw_content is not null, parsed_data is not null, counters is not null from public.dex_captures where case_serial = 'aged' order by dex_id $$,
    $$ values (201::bigint, true, true, true), (202, true, true, true), (203, true, true, true), (204, true, true, true), (205, true, false, false), (206, true, false, false) $$,
    'the newest four stay whole, however old; what was downloaded outlives what was read'
);
select is((select vends from public.dex_intervals where to_dex_id = 15 and company_id = tests.company_id('north')), 2::bigint, 'and sales stay');
select results_eq(
    $$ select parsed_dropped, captures_deleted from private.dex_retention() $$, $$ values (0, 0) $$, 'the next night has nothing to do'
);
select results_eq(
    $$ select schedule, active from cron.job where jobname = 'dex-retention' $$, $$ values ('37 3 * * *', true) $$, 'it runs every night'
);
select tests.authenticate_as('anna');
select throws_ok($$ select private.dex_retention() $$, '42501', null, 'by itself');

select tests.clear();
select * from finish();
rollback;
