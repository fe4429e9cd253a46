-- When a company is next due, and from where: after a success, after failures, after a login was mended.
begin;
\ir support/accounts.psql
select plan(30);

select tests.only_ours_are_due();
select tests.create_company('north', 'anna');
select tests.make_collectable('north');

-- Leases north and ends its collection, so many minutes after the run began.
create function tests.collect(run integer, success boolean, problem text default null, minutes_into_run integer default 0) returns boolean
language plpgsql as $$
begin
    perform public.collect_dex_claim_one(tests.run_id(run), 'cron', tests.company_id('north'), 150);
    update public.collection_runs set started_at = now() - make_interval(mins => minutes_into_run) where id = tests.run_id(run);
    return public.collect_dex_finish(tests.run_id(run), tests.company_id('north'), success, 5, problem);
end;
$$;

create function tests.minutes_until_due() returns numeric
language sql as $$
    select round(extract(epoch from next_due_at - now()) / 60, 1)
    from public.collection_state where company_id = tests.company_id('north');
$$;

-- Success

select tests.collect(1, true);
select is(tests.minutes_until_due(), 4.5, 'the tick 5 minutes after the one that collected it finds it due, even if it comes early');
select tests.collect(2, true, minutes_into_run => 2);
select is(tests.minutes_until_due(), 2.5, 'and no less when its turn came late in the run');
select tests.collect(3, true, minutes_into_run => 60);
select is(tests.minutes_until_due(), 2.5, 'but a run does not collect the same company over and over');
select results_eq(
    $$ select last_succeeded_at > now(), last_records, consecutive_failures from public.collection_state where company_id = tests.company_id('north') $$,
    $$ values (true, 5, 0) $$, 'a success is on record'
);

update public.companies set settings = '{"collectEveryMinutes": 60}';
select tests.collect(4, true);
select is(tests.minutes_until_due(), 59.5, 'a company may choose its interval');
select is(private.collect_interval('{"collectEveryMinutes": 0}'), interval '1 minute', 'though not less than a minute');
select is(private.collect_interval('{"collectEveryMinutes": 99999}'), interval '7 days', 'nor more than a week');
select is(private.collect_interval('{"collectEveryMinutes": "often"}'), interval '5 minutes', 'and nonsense changes nothing');
select is(private.collect_interval('{"collectEveryMinutes": 1e9}'), interval '5 minutes', 'however large');
select is(private.collect_interval('{"collectEveryMinutes": "٥"}'), interval '5 minutes', 'in whatever script');
update public.companies set settings = '{}';

-- Failure

select tests.collect(5, false, 'SITE_TIMEOUT: the DEX site does not answer');
select cmp_ok(tests.minutes_until_due(), '>=', 4.5, 'after a failure it is tried again in 5 minutes, less 10 %');
select cmp_ok(tests.minutes_until_due(), '<=', 5.6, 'or more 10 %');
select results_eq(
    $$ select consecutive_failures, last_error, last_records from public.collection_state where company_id = tests.company_id('north') $$,
    $$ values (1, 'SITE_TIMEOUT: the DEX site does not answer', 5) $$, 'with the reason on record, and the last success not forgotten'
);
select tests.collect(6, false, 'x'), tests.collect(7, false, 'x'), tests.collect(8, false, 'x');
select cmp_ok(tests.minutes_until_due(), '>=', 36.0, 'each further failure doubles that: 40 minutes at the fourth, less 10 %');
select cmp_ok(tests.minutes_until_due(), '<=', 44.1, 'or more 10 %');
with machine as (
    insert into public.machines (company_id, case_serial) values (tests.company_id('north'), 'M999') returning *
)
insert into public.dex_captures (company_id, machine_id, dex_id, case_serial, captured_at, created_at, raw_content, crc_status)
select company_id, id, 999, case_serial, now(), clock_timestamp() + interval '1 minute', 'DXS*', 'absent' from machine;
select tests.collect(62, false, 'TOO_MANY_REQUESTS: later');
select cmp_ok(tests.minutes_until_due(), '<=', 5.6, 'but one that came after something was stored is the first again');
delete from public.dex_captures where dex_id = 999;
select tests.collect(number, false, repeat('x', 5000)) from generate_series(9, 60) as number;
select cmp_ok(tests.minutes_until_due(), '>=', 324.0, 'but 6 hours are enough, less 10 %');
select cmp_ok(tests.minutes_until_due(), '<=', 396.1, 'or more 10 %');
select is(
    (select length(last_error) from public.collection_state where company_id = tests.company_id('north')),
    1000, 'a long story is cut'
);
select cmp_ok(
    (select count(distinct private.collect_backoff('5 minutes', 3)) from generate_series(1, 20)), '>', 10::bigint,
    'companies that fail together do not come back together'
);
select tests.collect(61, true);
select is(tests.minutes_until_due(), 4.5, 'the first success ends it');

-- Where the next collection begins

create function tests.days_back(run integer) returns numeric
language sql as $$
    select round(extract(epoch from now() - claim.collect_from) / 86400, 2)
    from public.collect_dex_claim_one(tests.run_id(run), 'cron', tests.company_id('north'), 150) as claim;
$$;
create function tests.collect_all_but(run integer, failed_from timestamptz) returns boolean
language sql as $$
    select public.collect_dex_finish(tests.run_id(run), tests.company_id('north'), true, 5, p_failed_from => failed_from)
    from public.collect_dex_claim_one(tests.run_id(run), 'cron', tests.company_id('north'), 150);
$$;
select is(tests.days_back(70), 2.00, 'two days before a success, because captures come late');
update public.collection_state set collect_from = now() - interval '12 days' where company_id = tests.company_id('north');
select public.collect_dex_finish(tests.run_id(70), tests.company_id('north'), false, 0, 'TOO_MANY_REQUESTS: later');
select is(tests.days_back(71), 12.00, 'where it was, after a failure: an outage may be long');
select public.collect_dex_release(tests.run_id(71), array[tests.company_id('north')]);
select tests.collect_all_but(72, now() - interval '9 days');
select is(tests.days_back(73), 9.00, 'with the oldest capture that failed, when others were stored');
select tests.collect_all_but(73, now() - interval '1 hour');
select is(tests.days_back(74), 2.00, 'unless it is within the two days');
select tests.collect_all_but(74, now() - interval '300 days');
select is(tests.days_back(75), 30.00, 'one that fails for ever is given up after 30 days');
update public.collection_state set collect_from = null, last_succeeded_at = null where company_id = tests.company_id('north');
select is(tests.days_back(75), 30.00, 'the first one goes 30 days back');
update public.collection_state set collect_from = now() - interval '33 days' where company_id = tests.company_id('north');
select is(tests.days_back(75), 33.00, 'and stays there until it succeeds, so that the list does not move between its calls');
update public.collection_state set collect_from = now() - interval '38 days' where company_id = tests.company_id('north');
select is(tests.days_back(75), 30.00, 'for a week');
select public.collect_dex_release(tests.run_id(75), array[tests.company_id('north')]);

-- A lease that never comes to an end, by an argument that makes no sense

select public.collect_dex_claim_one(tests.run_id(62), 'cron', tests.company_id('north'), -5);
select ok(
    (select leased_until > now() from public.collection_state where company_id = tests.company_id('north')),
    'a lease lasts a second at least'
);

select * from finish();
rollback;
