-- Which run collects which company: claimed once, oldest first, free again after a crash.
begin;
\ir support/accounts.psql
select plan(31);

select tests.only_ours_are_due();
select tests.create_company(name, 'owner-of-' || name) from unnest(array['north', 'south', 'west', 'bare', 'parked', 'later']) as name;
select tests.make_collectable(name) from unnest(array['north', 'south', 'west', 'parked', 'later']) as name;
update public.machines set status = 'retired' where case_serial = 'CSA-parked';
update public.collection_state set next_due_at = case company_id
    when tests.company_id('south') then timestamptz '2001-01-01'
    when tests.company_id('west') then timestamptz '2002-01-01'
    when tests.company_id('bare') then timestamptz '2003-01-01'
    when tests.company_id('north') then timestamptz '2004-01-01'
    when tests.company_id('parked') then timestamptz '2005-01-01'
    else now() + interval '1 minute'
end
where next_due_at < 'infinity';

-- What a claim gives

select tests.as_service();
select results_eq(
    $$ select company_name from public.collect_dex_claim(tests.run_id(1), 'cron', 2, 150) $$,
    array['south', 'west'], 'a run gets as many as it asks for, the longest due first'
);
select results_eq(
    $$ select lease_run_id = tests.run_id(1), leased_until > now() + interval '149 seconds', last_started_at >= now()
       from public.collection_state where company_id = tests.company_id('south') $$,
    $$ values (true, true, true) $$, 'and has them for the time it asks for'
);
select results_eq(
    $$ select company_name, skip_reason from public.collect_dex_claim(tests.run_id(2), 'cron', 50, 150) $$,
    $$ values ('bare', 'no credentials'), ('north', null), ('parked', 'no active machines') $$,
    'the next run gets the others; what cannot be collected says why'
);
select results_eq(
    $$ select company.company_name, state.lease_run_id, state.next_due_at - now()
       from public.collection_state as state join public.companies as company on company.id = state.company_id
       where state.skip_reason is not null and company.company_name in ('bare', 'parked') order by 1 $$,
    $$ values ('bare', null::uuid, interval '5 minutes'), ('parked', null, interval '5 minutes') $$,
    'what is skipped has no lease, and is looked at again after its interval'
);
select is_empty(
    $$ select 1 from public.collect_dex_claim(tests.run_id(3), 'cron', 50, 150) $$,
    'then nothing is left, least of all what is not due'
);
select is_empty(
    $$ select 1 from public.collect_dex_claim(tests.run_id(3), 'cron', 0, 150) $$, 'who asks for none gets none'
);
select results_eq(
    $$ select status, function, triggered_by from public.collection_runs where id = tests.run_id(3) $$,
    $$ values ('running', 'collect-dex', 'cron') $$, 'a run is in the ledger from its first claim, even an idle one'
);

-- What a claim carries

select tests.clear();
update public.companies set settings = '{"collectEveryMinutes": 15}' where id = tests.company_id('later');
update public.collection_state set next_due_at = '2000-01-01', last_succeeded_at = '2026-01-01' where company_id = tests.company_id('later');
select tests.as_service();
select results_eq(
    $$ select company_id, settings, last_succeeded_at, username_encrypted, password_encrypted, site_url, skip_reason
       from public.collect_dex_claim(tests.run_id(3), 'cron', 50, 150) $$,
    $$ values (tests.company_id('later'), '{"collectEveryMinutes": 15}'::jsonb, timestamptz '2026-01-01',
               tests.sealed(), tests.sealed(), 'https://dashboard.cantaloupe.online', null) $$,
    'a claim carries all that a collection needs'
);
select tests.clear();
update public.user_credentials set is_active = false where company_id = tests.company_id('later');
update public.collection_state set leased_until = null where company_id = tests.company_id('later');
select tests.as_service();
select results_eq(
    $$ select company_name, username_encrypted, skip_reason from public.collect_dex_claim(tests.run_id(3), 'cron', 50, 150) $$,
    $$ values ('later', null, 'no credentials') $$, 'a login that is switched off is not handed out'
);

-- Giving back

select ok(public.collect_dex_finish(tests.run_id(2), tests.company_id('north'), true, 3), 'a run finishes what it has');
select ok(
    not public.collect_dex_finish(tests.run_id(1), tests.company_id('north'), true, 3), 'and not what it does not have'
);
select public.collect_dex_release(tests.run_id(1), array[tests.company_id('south')]);
select public.collect_dex_release(tests.run_id(9), array[tests.company_id('west')]);
select results_eq(
    $$ select company_name from public.collect_dex_claim(tests.run_id(4), 'cron', 50, 150) $$,
    array['south'], 'what is released is due at once; what another run has cannot be released'
);
select results_eq(
    $$ select consecutive_failures, last_error from public.collection_state where company_id = tests.company_id('south') $$,
    $$ values (0, null::text) $$, 'being released is no failure'
);

-- A crash

select tests.clear();
update public.collection_state set leased_until = now() - interval '1 second'
where company_id in (tests.company_id('south'), tests.company_id('west'));
select tests.as_service();
select results_eq(
    $$ select company_name from public.collect_dex_claim(tests.run_id(5), 'cron', 50, 150) $$,
    array['west', 'south'], 'when the lease of a crashed run ends, the next one takes over'
);
select results_eq(
    $$ select consecutive_failures, left(last_error, 7) from public.collection_state where company_id = tests.company_id('south') $$,
    $$ values (1, 'CRASHED') $$, 'and the crash is on record'
);
select ok(
    not public.collect_dex_finish(tests.run_id(4), tests.company_id('south'), true, 99),
    'the run that was only slow cannot finish any more'
);
select results_eq(
    $$ select lease_run_id, last_records from public.collection_state where company_id = tests.company_id('south') $$,
    $$ values (tests.run_id(5), null::integer) $$, 'and changes nothing'
);
select ok(public.collect_dex_finish(tests.run_id(5), tests.company_id('south'), true, 7), 'the one that took over does');
select results_eq(
    $$ select lease_run_id, leased_until, consecutive_failures, last_error, last_records
       from public.collection_state where company_id = tests.company_id('south') $$,
    $$ values (null::uuid, null::timestamptz, 0, null::text, 7) $$, 'and all is well again'
);
select tests.clear();
update public.collection_state set leased_until = now() - interval '1 second' where company_id = tests.company_id('west');
select tests.as_service();
select is_empty(
    $$ select 1 from public.collect_dex_claim(tests.run_id(6), 'cron', 50, 150) $$,
    'a company that is there at a second crash waits: perhaps it is the cause'
);
select tests.clear();
update public.collection_state set next_due_at = now() where company_id = tests.company_id('west');
select tests.as_service();
select results_eq(
    $$ select company_name from public.collect_dex_claim(tests.run_id(6), 'cron', 50, 1) $$, array['west'], 'and is not given up'
);
select tests.clear();
update public.collection_state set leased_until = now() - interval '1 second' where company_id = tests.company_id('west');
select tests.as_service();
select ok(
    public.collect_dex_finish(tests.run_id(6), tests.company_id('west'), true, 1),
    'a lease that ended and that nobody took still counts'
);

-- One company, for collect-bulk

select results_eq(
    $$ select company_name from public.collect_dex_claim_one(tests.run_id(7), 'manual', tests.company_id('south'), 150) $$,
    array['south'], 'one company is claimed by name, due or not'
);
select results_eq(
    $$ select function, triggered_by from public.collection_runs where id = tests.run_id(7) $$,
    $$ values ('collect-bulk', 'manual') $$, 'which is a run of collect-bulk'
);
select is_empty(
    $$ select 1 from public.collect_dex_claim_one(tests.run_id(8), 'manual', tests.company_id('south'), 150) $$,
    'and not by two at once'
);
select isnt_empty(
    $$ select 1 from public.collect_dex_claim_one(tests.run_id(7), 'manual', tests.company_id('south'), 150) $$,
    'the run that has it may go on'
);
select is(
    (select consecutive_failures from public.collection_state where company_id = tests.company_id('south')),
    0, 'which is not taken for a crash'
);
select results_eq(
    $$ select skip_reason from public.collect_dex_claim_one(tests.run_id(8), 'manual', tests.company_id('bare'), 150) $$,
    array['no credentials'], 'what cannot be collected says why here too'
);
select is_empty(
    $$ select 1 from public.collection_runs where id = tests.run_id(8) $$, 'and is no run'
);
select throws_ok(
    $$ select public.collect_dex_claim_one(tests.run_id(8), 'manual', gen_random_uuid(), 150) $$,
    'P0002', null, 'there is no such company'
);

-- Users

select tests.authenticate_as('owner-of-north');
select throws_ok(
    $$ select public.collect_dex_claim(gen_random_uuid(), 'manual', 50, 150) $$, '42501', null, 'a user claims nothing'
);

select tests.clear();
select * from finish();
rollback;
