-- What becomes of captures: stored once, the newest shown, the bad ones refused alone.
begin;
\ir support/accounts.psql
select plan(25);

select tests.create_company('north', 'anna');
select tests.create_company('south', 'boris');
insert into public.machines (company_id, case_serial, location, machine_model, status)
values (tests.company_id('north'), '0007', 'Lobby', 'Operator''s own', 'maintenance');

create function tests.store(variadic captures jsonb[]) returns setof text
language sql as $$
    select concat_ws(' ', dex_id::text, outcome) from public.collect_dex_store(tests.company_id('north'), array_to_json(captures));
$$;
grant execute on function tests.store to public;
select tests.as_service();

-- New

select results_eq(
    $$ select tests.store(tests.capture(10, 'CSA1', '2026-11-21T08:00:00Z',
           '{"parsed_data": {"errors": ["EJB"], "identity": {"model": "Vendo"}}, "has_errors": true}')) $$,
    array['10 stored'], 'a capture is stored'
);
select results_eq(
    $$ select raw_content, raw_encoding, parsed_data -> 'errors', crc_status, has_errors, record_count, captured_at, firmware_version
       from public.dex_captures where company_id = tests.company_id('north') $$,
    $$ values ('DXS*10', 'utf-8', '["EJB"]'::jsonb, 'valid', true, 80, timestamptz '2026-11-21 08:00Z', '1.2') $$, 'whole'
);
select results_eq(
    $$ select status, machine_model, firmware_version, latest_dex_id, latest_dex_data, latest_errors, dex_has_errors, dex_last_capture
       from public.machines where case_serial = 'CSA1' $$,
    $$ values ('active', 'Vendo', '1.2', 10::bigint, 'DXS*10', '["EJB"]'::jsonb, true, timestamptz '2026-11-21 08:00Z') $$,
    'an unknown serial makes a machine, which shows it'
);
select results_eq(
    $$ select tests.store(tests.capture(11, '0007', '2026-11-21T08:00:00Z', '{"parsed_data": {"identity": {"model": "Vendo"}}}')) $$,
    array['11 stored'], 'a known serial has its machine'
);
select results_eq(
    $$ select location, machine_model, status, latest_errors from public.machines where case_serial = '0007' $$,
    $$ values ('Lobby', 'Operator''s own', 'maintenance', '[]'::jsonb) $$, 'and what the operator set stays'
);

-- Again

select results_eq(
    $$ select tests.store(tests.capture(10, 'CSA1', '2026-11-21T08:00:00Z', '{"raw_content": "changed"}')) $$,
    array['10 duplicate'], 'the same capture again is a duplicate'
);
select results_eq(
    $$ select raw_content from public.dex_captures where dex_id = 10 and company_id = tests.company_id('north') $$,
    array['DXS*10'], 'and changes nothing'
);
select results_eq(
    $$ select tests.store(tests.capture(12, 'CSA1', '2026-11-21T09:00:00Z'), tests.capture(12, 'CSA1', '2026-11-21T09:00:00Z')) $$,
    array['12 stored', '12 duplicate'], 'also when both come in one call'
);
select results_eq(
    $$ select outcome from public.collect_dex_store(tests.company_id('south'), json_build_array(
           tests.capture(10, 'CSA1', '2026-11-21T08:00:00Z'), tests.capture(9, 'CSA1', '2026-11-21T08:00:00Z'))) $$,
    array['stored', 'stored'], 'another company may have a capture of that number'
);
select set_eq(
    $$ select unnest(public.collect_dex_unseen(tests.company_id('north'), array[9, 10, 12, 13, 13])) $$,
    array[9, 13]::bigint[], 'what is not stored is unseen, once'
);
select is(public.collect_dex_unseen(tests.company_id('north'), array[10, 12]), '{}'::bigint[], 'and when all is stored, nothing');
select is(
    cardinality(public.collect_dex_unseen(tests.company_id('north'), array(select generate_series(1000, 3999)))),
    3000, 'however many there are'
);

-- Late, and out of order

select tests.store(tests.capture(5, 'CSA1', '2026-11-21T07:00:00Z', '{"firmware_version": "1.1"}'));
select results_eq(
    $$ select latest_dex_id, latest_dex_data, firmware_version, dex_last_capture from public.machines
       where company_id = tests.company_id('north') and case_serial = 'CSA1' $$,
    $$ values (12::bigint, 'DXS*12', '1.2', timestamptz '2026-11-21 09:00Z') $$, 'a capture that comes late does not replace a newer one'
);
select results_eq(
    $$ select entry ->> 'dexId' from public.machines, jsonb_array_elements(dex_history) as entry
       where company_id = tests.company_id('north') and case_serial = 'CSA1' $$,
    array['12', '10', '5'], 'and takes its place in the history'
);
select tests.store(tests.capture(14, 'CSA1', '2026-11-21T09:00:00Z'), tests.capture(13, 'CSA1', '2026-11-21T09:00:00Z'));
select is(
    (select latest_dex_id from public.machines where company_id = tests.company_id('north') and case_serial = 'CSA1'),
    14::bigint, 'of two of the same moment the higher number is newer'
);
select tests.store(variadic array(
    select tests.capture(1000 + number, 'CSA1', (timestamptz '2026-11-20 00:00Z' + number * interval '1 minute')::text)
    from generate_series(1, 150) as number
));
select results_eq(
    $$ select jsonb_array_length(dex_history), dex_history -> 0 ->> 'dexId', dex_history -> -1 ->> 'dexId' from public.machines
       where company_id = tests.company_id('north') and case_serial = 'CSA1' $$,
    $$ values (100, '14', '1056') $$, 'the history holds the newest 100'
);
select tests.store(tests.capture(15, 'CSA4h', (now() - interval '239 minutes')::text), tests.capture(16, 'CSA4h', (now() - interval '241 minutes')::text));
select results_eq(
    $$ select machine.dex_last_4hrs from public.machines as machine where case_serial = 'CSA4h' $$,
    array[1], 'four hours are counted back from now'
);

-- Bad

select tests.clear();
create temporary table bad (place integer generated always as identity, capture text);
grant select on bad to public;
insert into bad (capture) values
    (tests.capture(20, 'CSA2', '2026-11-21T08:00:00Z')::text),
    (tests.capture(21, 'CSA2', 'yesterday-ish')::text),
    (tests.capture(22, 'CSA2', '2026-11-21T08:00:00Z', '{"crc_status": "excellent"}')::text),
    (tests.capture(23, '  ', '2026-11-21T08:00:00Z')::text),
    (tests.capture(24, 'CSA2', '2026-11-21T08:00:00Z', '{"raw_content": null}')::text),
    (tests.capture(25, 'CSA2', '2026-11-21T08:00:00Z', jsonb_build_object('raw_content', repeat('x', 6000001)))::text),
    (replace(tests.capture(26, 'CSA2', '2026-11-21T08:00:00Z', '{"raw_content": "zero>"}')::text, '>', '\u0000')),
    (tests.capture(27, 'CSA2', 'infinity')::text),
    ('{"dex_id": 28}'), ('{"dex_id": 9223372036854775808}'), ('{"dex_id": "many"}'), ('{}'), ('null'), ('7'), ('[]'),
    (tests.capture(29, 'CSA2', '2026-11-21T08:00:00Z', '{"raw_content": "AAAA", "raw_encoding": "base64", "crc_status": "absent"}')::text);
select tests.as_service();
create temporary table outcome as
select row_number() over () as place, stored.*
from public.collect_dex_store(tests.company_id('north'), (select ('[' || string_agg(capture, ',' order by place) || ']')::json from bad)) as stored;
select results_eq(
    $$ select dex_id from outcome where outcome = 'stored' $$, array[20, 29]::bigint[], 'what is good is stored, whatever came between'
);
select results_eq(
    $$ select dex_id from outcome where outcome = 'rejected' order by place $$,
    array[21, 22, 23, 24, 25, 26, 27, 28, null, null, null, null, null, null]::bigint[], 'what is bad is rejected, by its number where it has one'
);
select is_empty($$ select 1 from outcome where (error is null) <> (outcome = 'stored') $$, 'with the reason');
select is(
    (select count(*) from public.machines where company_id = tests.company_id('north') and case_serial !~ '\S'), 0::bigint,
    'and leaves no trace'
);
select is_empty(
    $$ select 1 from public.collect_dex_store(tests.company_id('north'), '[]') $$, 'nothing to store is nothing stored'
);
select throws_ok(
    $$ select public.collect_dex_store(tests.company_id('north'), '{"dex_id": 1}') $$, '22023', null, 'captures come as an array'
);
select throws_ok(
    $$ select public.collect_dex_store(gen_random_uuid(), json_build_array(tests.capture(1, 'CSA1', '2026-11-21T08:00:00Z'))) $$,
    'P0002', null, 'there is no such company'
);

-- Users

select tests.authenticate_as('anna');
select throws_ok(
    $$ select public.collect_dex_store(tests.company_id('north'), '[]') $$, '42501', null, 'a user stores nothing'
);

select tests.clear();
select * from finish();
rollback;
