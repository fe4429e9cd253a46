-- The ledger: how runs end, which ones ended without a word, and what the overview makes of it.
begin;
\ir support/accounts.psql
select plan(17);

select tests.only_ours_are_due();
update public.collection_runs set status = 'failed' where status = 'running';
select tests.create_company(name, 'owner-of-' || name) from unnest(array['north', 'south']) as name;
select tests.make_collectable('north');
select tests.make_collectable('south');
create function tests.standing(name text) returns text
language sql as $$ select standing from public.collection_overview where company_name = name; $$;
grant execute on function tests.standing to public;

-- A run that reports

select tests.as_service();
select public.collect_dex_claim(tests.run_id(1), 'cron', 1, 150);
select is(tests.standing('north') || ' ' || tests.standing('south'), 'collecting late', 'one is being collected, the other waits for 20 years');
select public.collect_dex_claim(tests.run_id(1), 'cron', 1, 150);
select public.collect_dex_finish(tests.run_id(1), tests.company_id('north'), true, 3);
select public.collect_dex_end(tests.run_id(1), 'succeeded', $$ {
    "success": true, "companiesProcessed": 1, "successfulCollections": 1, "totalRecords": 3,
    "results": [{"company_id": "…", "success": true, "recordsCollected": 3}]
} $$);
select results_eq(
    $$ select status, companies_processed, successful_collections, total_records, jsonb_array_length(results), error, finished_at >= started_at
       from public.collection_runs where id = tests.run_id(1) $$,
    $$ values ('succeeded', 1, 1, 3, 1, null::text, true) $$, 'a run that reports has its figures in the ledger'
);
select results_eq(
    $$ select leased_until, consecutive_failures, next_due_at <= now() from public.collection_state where company_id = tests.company_id('south') $$,
    $$ values (null::timestamptz, 0, true) $$, 'and gives back what it had begun and not ended'
);
select is(tests.standing('north'), 'collected', 'what it collected is collected');
select throws_ok(
    $$ select public.collect_dex_end(tests.run_id(1), 'excellent', '{}') $$, '23514', null, 'a run succeeds or fails'
);
select throws_ok(
    $$ select public.collect_dex_claim(tests.run_id(9), 'whim', 1, 150) $$, '23514', null, 'and cron or a person sets it off'
);

-- A run that fails, and one that has nothing to say

select public.collect_dex_claim(tests.run_id(2), 'manual', 1, 150);
select public.collect_dex_finish(tests.run_id(2), tests.company_id('south'), false, 0, 'LOGIN_REFUSED: the DEX site refuses the login');
select public.collect_dex_end(tests.run_id(2), 'failed', '{}', 'DATABASE_UNAVAILABLE: gone');
select results_eq(
    $$ select status, triggered_by, companies_processed, error from public.collection_runs where id = tests.run_id(2) $$,
    $$ values ('failed', 'manual', 0, 'DATABASE_UNAVAILABLE: gone') $$, 'a run that fails says why'
);
select results_eq(
    $$ select standing, reason from public.collection_overview where company_name = 'south' $$,
    $$ values ('failing', 'LOGIN_REFUSED: the DEX site refuses the login') $$, 'and so does a company'
);

-- Runs that never reported

select tests.clear();
update public.collection_state set next_due_at = '2000-01-01' where company_id in (tests.company_id('north'), tests.company_id('south'));
select public.collect_dex_claim(tests.run_id(3), 'cron', 1, 150), public.collect_dex_claim(tests.run_id(4), 'cron', 1, 3600);
select public.collect_dex_claim(tests.run_id(5), 'cron', 0, 150);
update public.collection_runs set started_at = now() - interval '11 minutes' where id in (tests.run_id(3), tests.run_id(4));
update public.collection_state set leased_until = now() - interval '9 minutes' where lease_run_id = tests.run_id(3);
select public.collect_dex_claim(tests.run_id(6), 'cron', 0, 150);
select results_eq(
    $$ select id, status from public.collection_runs where id in (tests.run_id(3), tests.run_id(4), tests.run_id(5)) order by id $$,
    $$ values (tests.run_id(3), 'killed'), (tests.run_id(4), 'running'), (tests.run_id(5), 'running') $$,
    'a run was killed when it is old and holds no lease: not when it is at work, not when it is new'
);
select isnt(
    (select finished_at from public.collection_runs where id = tests.run_id(3)), null, 'and then it is over'
);
select public.collect_dex_end(tests.run_id(3), 'succeeded', '{"companiesProcessed": 4}');
select is(
    (select status || ' ' || companies_processed from public.collection_runs where id = tests.run_id(3)),
    'succeeded 4', 'unless it reports after all'
);

-- The rest of the overview

update public.collection_state set leased_until = null, next_due_at = now() + interval '5 minutes', consecutive_failures = 0, last_succeeded_at = null
where company_id = tests.company_id('north');
select is(tests.standing('north'), 'new', 'a company that was never collected is new');
update public.collection_state set skip_reason = 'no credentials' where company_id = tests.company_id('north');
select is(tests.standing('north'), 'skipped', 'or skipped, with the reason');
update public.machines set dex_has_errors = true, dex_last_capture = '2026-11-21' where case_serial = 'CSA-north';
select results_eq(
    $$ select active_machines, faulty_machines, last_capture_at from public.collection_overview where company_name = 'north' $$,
    $$ values (1, 1, timestamptz '2026-11-21') $$, 'it counts machines and their faults'
);

-- Nothing grows for ever

update public.collection_runs set started_at = now() - interval '8 days', results = '[1]' where id = tests.run_id(1);
update public.collection_runs set started_at = now() - interval '31 days' where id = tests.run_id(2);
update public.collection_runs set results = '[1]' where id = tests.run_id(3);
select private.purge_history();
select results_eq(
    $$ select id, results from public.collection_runs where id in (tests.run_id(1), tests.run_id(2), tests.run_id(3)) order by id $$,
    $$ values (tests.run_id(1), '[]'::jsonb), (tests.run_id(3), '[1]'::jsonb) $$,
    'results are kept for a week, runs for 30 days'
);

-- A company that goes takes its state with it, and leaves the ledger

delete from public.companies where id = tests.company_id('south');
select is_empty(
    $$ select 1 from public.collection_overview where company_name = 'south' $$, 'a company can be deleted while it is leased'
);
select isnt_empty(
    $$ select 1 from public.collection_runs where id = tests.run_id(4) $$, 'and its runs stay'
);

select * from finish();
rollback;
