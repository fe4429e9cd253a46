-- What members page through is found by index, however many rows other companies have.
begin;
\ir support/accounts.psql
\ir support/plans.psql
select plan(15);

select tests.create_company('north', 'anna');
insert into public.companies (company_name) select 'crowd ' || number from generate_series(1, 999) as number;
insert into public.machines (company_id, case_serial)
select company.id, 'CSA-' || number from public.companies as company cross join generate_series(1, 2) as number;
insert into public.user_credentials (company_id, username_encrypted, password_encrypted)
select id, tests.sealed(), tests.sealed() from public.companies;
insert into public.machine_states (machine_id, company_id, dex_id, captured_at)
select id, company_id, 1, now() from public.machines;
insert into public.dex_captures (company_id, machine_id, dex_id, case_serial, captured_at, raw_content, crc_status)
select company_id, id, number * 10 + right(case_serial, 1)::integer, case_serial, now() - make_interval(hours => number), 'DXS', 'valid'
from public.machines cross join generate_series(1, 10) as number;
insert into public.dex_intervals (machine_id, to_dex_id, from_dex_id, company_id, started_at, ended_at, continuity)
select id, number, number - 1, company_id, now() - make_interval(hours => number), now() - make_interval(hours => number), 'continuous'
from public.machines cross join generate_series(1, 50) as number;
insert into public.dex_sales (machine_id, to_dex_id, selection, company_id, started_at, ended_at, vends)
select machine_id, to_dex_id, '1', company_id, started_at, ended_at, 1 from public.dex_intervals where to_dex_id <= 10;
insert into public.dex_events (company_id, machine_id, code, first_seen_at, last_seen_at)
select company_id, id, 'E' || number, now() - interval '1 year', now() - make_interval(hours => number)
from public.machines cross join generate_series(1, 10) as number;
insert into public.cash_collections (company_id, machine_id, collected_at, expected_minor)
select company_id, id, now() - make_interval(days => number), 100
from public.machines cross join generate_series(1, 10) as number;
insert into public.companies (company_name) select 'quiet ' || number from generate_series(1, 9000) as number;
analyze public.companies, public.company_members, public.machines, public.user_credentials, public.collection_state,
    public.machine_states, public.dex_captures, public.dex_intervals, public.dex_sales, public.dex_events, public.cash_collections;
select ok(count(*) >= 100000, 'there are 100,000 intervals') from public.dex_intervals;

select tests.authenticate_as('anna');
-- Her own rows, and none of another company's.
select tests.pages_by_index('companies', 'created_at', 1);
select tests.pages_by_index('machines', 'updated_at', 2);
select tests.pages_by_index('collection_state', 'next_due_at', 1);
select tests.pages_by_index('machine_states', 'captured_at', 2);
select tests.pages_by_index('dex_captures', 'captured_at', 20);
select tests.pages_by_index('dex_intervals', 'ended_at', 100);
select tests.pages_by_index('dex_sales', 'ended_at', 20);
select tests.pages_by_index('dex_events', 'last_seen_at', 20);
select tests.pages_by_index('cash_collections', 'collected_at', 20);
select tests.company_id('north') as north \gset
-- A page of one company's rows is read in order, and nothing more.
select tests.pages_by_index('dex_captures', 'captured_at', 20, format('company_id = %L', :'north'));
select tests.pages_by_index('dex_intervals', 'ended_at', 20, format('company_id = %L', :'north'));
select tests.pages_by_index('dex_sales', 'ended_at', 20, format('company_id = %L', :'north'));
select tests.pages_by_index('dex_events', 'last_seen_at', 20, format('company_id = %L', :'north'));
select is(count(*), 100::bigint, 'she sees all of hers') from public.dex_intervals;

select tests.clear();
select * from finish();
rollback;
