-- Two runs at the same moment, in two sessions of their own. What they see must be committed, so this
-- test cleans up by hand.
begin;
\ir support/accounts.psql
create extension if not exists dblink with schema extensions;

create function tests.open_session(name text) returns boolean
language plpgsql as $$
begin
    perform extensions.dblink_connect(name, format(
        'host=%s port=%s dbname=%s user=postgres password=postgres application_name=pgtap',
        host(inet_server_addr()), inet_server_port(), current_database()));
    return true;
exception when others then
    return false;
end;
$$;

create function tests.claim_in(session text, run integer, number integer) returns setof text
language sql as $$
    select company_name from extensions.dblink(session, format(
        'select company_name from public.collect_dex_claim(%L, ''cron'', %s, 150)', tests.run_id(run), number
    )) as claimed (company_name text);
$$;

create function tests.clean_up() returns text
language sql as $$
    select extensions.dblink_exec('first', $sql$
        delete from public.companies where company_name like 'overlap %';
        delete from public.collection_runs where id::text like '00000000-0000-4000-8000-%';
    $sql$);
$$;

select tests.open_session('first') and tests.open_session('second') as can_connect \gset
\if :can_connect
select plan(10);
select tests.clean_up();
select extensions.dblink_exec('first', $$
    with company as (
        insert into public.companies (company_name) select 'overlap ' || number from generate_series(1, 6) as number
        returning id
    ), machine as (
        insert into public.machines (company_id, case_serial) select id, 'CSA' from company
    )
    insert into public.user_credentials (company_id, username_encrypted, password_encrypted)
    select id, 'v1.k1.' || repeat('A', 54), 'v1.k1.' || repeat('A', 54) from company;
    update public.collection_state set next_due_at = '2000-01-01'
    where company_id in (select id from public.companies where company_name like 'overlap %');
$$);

-- Claims

select extensions.dblink_exec('first', 'begin');
select extensions.dblink_exec('second', 'begin');
select extensions.dblink_exec('second', $$ set local lock_timeout = '2s' $$);
create temporary table claimed as
select 'first' as session, company_name from tests.claim_in('first', 1, 3) as company_name;
insert into claimed select 'second', company_name from tests.claim_in('second', 2, 3) as company_name;
select results_eq(
    'select session, count(*)::integer from claimed group by session order by session',
    $$ values ('first', 3), ('second', 3) $$, 'a claim does not wait for another that is not yet committed'
);
select results_eq(
    $$ select count(distinct company_name)::integer from claimed where company_name like 'overlap %' $$,
    array[6], 'and no company is given to both'
);
select extensions.dblink_exec('second', 'rollback');
select extensions.dblink_exec('first', 'commit');
select set_eq(
    $$ select * from tests.claim_in('second', 2, 3) $$,
    $$ select company_name from claimed where session = 'second' $$,
    'what a session gives up by breaking down is there for the next'
);
-- Not committed: on a stack in use this may be given others.
select extensions.dblink_exec('first', 'begin');
select is_empty(
    $$ select * from tests.claim_in('first', 3, 6) as company_name where company_name like 'overlap %' $$,
    'then none is left'
);
select extensions.dblink_exec('first', 'rollback');

-- Captures of one company, stored by two at once: one lost its lease and does not know it yet

select company.id as company_id from extensions.dblink(
    'first', $$ select id from public.companies where company_name = 'overlap 1' $$) as company (id uuid) \gset
create function tests.store_statement(company_id text, variadic captures jsonb[]) returns text
language sql as $$
    select format('select dex_id, outcome from public.collect_dex_store(%L, %L)', company_id, array_to_json(captures));
$$;
create temporary table capture as
select tests.capture(1, 'CSA', '2026-11-21T09:00:00Z') as one, tests.capture(2, 'CSA', '2026-11-21T10:00:00Z') as two,
       tests.capture(3, 'CSA', '2026-11-21T09:30:00Z') as three, tests.capture(4, 'CSA', '2026-11-21T09:15:00Z') as four;
select tests.store_statement(:'company_id', one, two) as one_two, tests.store_statement(:'company_id', three) as three,
       tests.store_statement(:'company_id', two, four) as two_four from capture \gset

select extensions.dblink_exec('first', 'begin');
select results_eq(
    format('select * from extensions.dblink(''first'', %L) as stored (dex_id bigint, outcome text)', :'one_two'),
    $$ values (1::bigint, 'stored'), (2, 'stored') $$, 'one session stores two captures'
);
select is(extensions.dblink_send_query('second', :'three'), 1, 'while another stores an older one of the same machine');
select pg_sleep(0.2);
select extensions.dblink_exec('first', 'commit');
select results_eq(
    $$ select * from extensions.dblink_get_result('second') as stored (dex_id bigint, outcome text) $$,
    $$ values (3::bigint, 'stored') $$, 'which is stored too'
);
select count(*) from extensions.dblink_get_result('second') as done (dex_id bigint, outcome text);
select results_eq(
    $$ select * from extensions.dblink('first', $sql$
           select latest_dex_id, (select string_agg(entry ->> 'dexId', ' ') from jsonb_array_elements(dex_history) as entry)
           from public.machines join public.companies as company on company.id = company_id
           where company_name = 'overlap 1'
       $sql$) as machine (latest bigint, history text) $$,
    $$ values (2::bigint, '2 3 1') $$, 'and the machine shows what both brought'
);
select results_eq(
    format('select * from extensions.dblink(''second'', %L) as stored (dex_id bigint, outcome text)', :'two_four'),
    $$ values (2::bigint, 'duplicate'), (4, 'stored') $$, 'what both bring is stored once'
);
select ok(tests.clean_up() is not null, 'cleaned up');
\else
select plan(1);
select skip('this server lets no second session in', 1);
\endif

select * from finish();
rollback;
