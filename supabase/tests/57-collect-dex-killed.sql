-- Runs whose worker is killed, and companies that a run gives back before it has finished them.
begin;
\ir support/accounts.psql
select plan(7);

select tests.only_ours_are_due();
update public.collection_runs set status = 'failed' where status = 'running';
select tests.create_company(name, 'owner-of-' || name) from unnest(array['crowded', 'north', 'south']) as name;
select tests.make_collectable(name) from unnest(array['crowded', 'north', 'south']) as name;
update public.collection_state set next_due_at = now() - due.age
from (values ('crowded', interval '30 minutes'), ('north', interval '20 minutes'), ('south', interval '10 minutes')) as due (name, age)
where company_id = tests.company_id(due.name);
create function tests.claimed(run integer, companies integer) returns text
language sql as $$
    select string_agg(company_name, ' ') from public.collect_dex_claim(tests.run_id(run), 'cron', companies, 150);
$$;
grant execute on function tests.claimed to public;

-- The queue

select tests.as_service();
select is(tests.claimed(1, 2), 'crowded north', 'the longest due come first');
select public.collect_dex_release(tests.run_id(1), array[tests.company_id('crowded')]);
select public.collect_dex_end(tests.run_id(1), 'succeeded', '{"companiesProcessed": 1}', 'CPU_BUDGET_SPENT: the rest stays due');
select is(
    (select status || ' ' || error from public.collection_runs where id = tests.run_id(1)),
    'succeeded CPU_BUDGET_SPENT: the rest stays due', 'a run that used up its CPU budget has succeeded, and says why companies are left'
);
select is(
    tests.claimed(2, 3), 'north south crowded',
    'a company that was given back waits behind those that were not begun, which keep their places'
);
select results_eq(
    $$ select consecutive_failures, last_error from public.collection_state where company_id = tests.company_id('crowded') $$,
    $$ values (0, null::text) $$, 'giving a company back is not a failure'
);

-- A worker that is killed

select tests.clear();
update public.collection_runs set started_at = now() - interval '5 minutes' where id = tests.run_id(2);
update public.collection_state set leased_until = now() - interval '150 seconds' where lease_run_id = tests.run_id(2);
select tests.as_service();
select is(tests.claimed(3, 3), 'north south crowded', 'the next tick takes what the killed run held');
select results_eq(
    $$ select status, error like 'the worker ended before the run reported: %', finished_at is not null from public.collection_runs where id = tests.run_id(2) $$,
    $$ values ('killed', true, true) $$, 'and reports the run as killed, with the reason'
);
select is(
    (select status from public.collection_runs where id = tests.run_id(3)), 'running', 'and its own run goes on'
);

select * from finish();
rollback;
