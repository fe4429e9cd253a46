-- Keys, rates, networks, the record of it all, and alerts.
begin;
\ir support/accounts.psql
select plan(42);

create function tests.hash(key text) returns text language sql as $$ select encode(sha256(key::bytea), 'hex'); $$;
create function tests.verdict(key text, project text default 'tracker', ip text default '198.51.100.7', rate integer default 100) returns text
language sql as $$ select public.cache_admit(ip, rate, project, tests.hash(key)) ->> 'verdict'; $$;
create function tests.entries(status integer, code text, count integer, ip text default '198.51.100.30') returns void
language sql as $$
    select public.cache_record(jsonb_agg(jsonb_build_object(
        'project', 'tracker', 'type', 'strava', 'operation', 'READ', 'role', 'nobody', 'ip', ip, 'status', status, 'code', code,
        'layer', case when status = 200 then 'memory' end, 'ms', number * 0.1, 'size', 10, 'request_id', 'r', 'at', now()
    ))) from generate_series(1, count) as number;
$$;

select tests.create_user('stranger');
select tests.clear();
delete from public.allowed_ips;
select tests.as_service();

-- Keys

select is(tests.verdict('k1'), 'unknown', 'a key that was never issued opens nothing');
select public.cache_key_issue('tracker', 'web', tests.hash('k1'), false, 0);
select is(tests.verdict('k1'), 'admitted', 'one that was, opens its project');
select is(tests.verdict('k1', 'other'), 'elsewhere', 'and no other');
select is((public.cache_admit('198.51.100.7', 100, 'tracker', tests.hash('k1')) ->> 'can_write')::boolean, false, 'for reading');
select ok((public.cache_key_issue('tracker', 'web', tests.hash('k2'), true, 3600) ->> 'replaced')::int = 1, 'a second of the name replaces it');
select is(tests.verdict('k1') || ' ' || tests.verdict('k2'), 'admitted admitted', 'and both are good in between');
select tests.clear();
update public.cache_keys set expires_at = now() - interval '1 second' where key_hash = tests.hash('k1');
select tests.as_service();
select is(tests.verdict('k1') || ' ' || tests.verdict('k2'), 'unknown admitted', 'then the old one is not');
select is(public.cache_key_revoke('tracker', 'web'), 2, 'all of a name are revoked at once');
select is(tests.verdict('k2'), 'unknown', 'and good for nothing from then on');
select is_empty($$ select 1 from public.cache_keys where key_hash in ('k1', 'k2') $$, 'keys are not stored, only their hashes');

-- Rates

select public.cache_key_issue('tracker', 'cli', tests.hash('k3'), false, 0);
select results_eq(
    $$ select sum((public.cache_admit('198.51.100.9', 100, 'tracker', tests.hash('k3')) ->> 'granted')::int) from generate_series(1, 200) $$,
    $$ values (100::bigint) $$, 'a caller gets 100 requests a minute, however it asks'
);
select is(tests.verdict('k3', ip => '198.51.100.9'), 'limited', 'and no more');
select is(tests.verdict('k3', ip => '198.51.100.10'), 'admitted', 'from another address it has its own');
select ok((public.cache_admit('198.51.100.9', 100, 'tracker', tests.hash('k3')) ->> 'reset_ms')::int between 50000 and 60000, 'it learns when');
select tests.clear();
update public.cache_rates set begun_at = clock_timestamp() - interval '61 seconds';
select tests.as_service();
select is(tests.verdict('k3', ip => '198.51.100.9'), 'admitted', 'a minute later it may ask again');
select is(
    (select string_agg(tests.verdict('guess' || number, ip => '198.51.100.20', rate => 3), ' ') from generate_series(1, 5) as number),
    'unknown unknown unknown limited limited', 'who guesses keys has a limit too'
);

-- Networks

insert into public.allowed_ips (project_id, network) select id, '203.0.113.0/24' from public.projects where project_name = 'tracker';
select is(tests.verdict('k3'), 'network', 'with a list of networks, others are refused');
select is(tests.verdict('k3', ip => '203.0.113.200'), 'admitted', 'and those in it are not');
select is(public.cache_admit('198.51.100.7', 100, 'tracker') ->> 'verdict', 'network', 'that holds for services too');
select is(public.cache_admit('198.51.100.7', 100, 'elsewhere') ->> 'verdict', 'admitted', 'but not for other projects');
insert into public.allowed_ips (network) values ('2001:db8::/32');
select is(public.cache_admit('198.51.100.7', 100, 'elsewhere') ->> 'verdict', 'network', 'unless the list is for all');
select is(tests.verdict('k3', ip => '2001:db8::5'), 'admitted', 'and then it is in addition');

-- The record

select tests.entries(200, null, 60);
select tests.entries(200, null, 40);
select is((select count(*) from public.cache_audit_log where ip_address = '198.51.100.30'), 100::bigint, 'each operation is a row');
select results_eq(
    $$ select report -> 'layers' -> 'memory' ->> 'answers', report ->> 'hit_ratio', report -> 'layers' -> 'memory' ->> 'p50_ms'
       from public.cache_report('tracker') as report $$,
    $$ values ('100', '1.0000', '5') $$, 'and counted, with the latency that half of them had'
);
select tests.entries(200, null, 40);
select results_eq(
    $$ select count(*), public.cache_report('tracker') -> 'layers' -> 'memory' ->> 'answers'
       from public.cache_audit_log where ip_address = '198.51.100.30' $$,
    $$ values (100::bigint, '100') $$, 'a batch that comes once more, as its answer was lost, counts once'
);
select tests.entries(401, 'INVALID_KEY', 4);
select is_empty($$ select 1 from public.cache_alerts where ip_address = '198.51.100.30' $$, '4 failed logins are no alarm');
select tests.entries(401, 'INVALID_KEY', 2);
select results_eq(
    $$ select kind, threshold, notified from public.cache_alerts where ip_address = '198.51.100.30' $$,
    $$ values ('failed_auth', 5, false) $$, '5 are'
);
select tests.entries(401, 'INVALID_KEY', 5);
select is((select count(*) from public.cache_alerts where ip_address = '198.51.100.30'), 1::bigint, 'once, for as long as they go on');
select is_empty($$ select 1 from public.notifications where sender = 'cache' $$, 'without a URL nobody is told');
select tests.clear();
select vault.create_secret(E'https://alerts.example/hook\n', 'cache_alert_url') is not null as made \gset
select tests.as_service();
select tests.entries(429, 'RATE_LIMITED', 10);
select tests.entries(413, 'BODY_TOO_LARGE', 20);
select results_eq(
    $$ select kind, threshold, notified from public.cache_alerts where ip_address = '198.51.100.30' and kind <> 'failed_auth' order by kind $$,
    $$ values ('invalid_input', 20, true), ('rate_limited', 10, true) $$, 'so are 10 rate limits and 20 bad inputs, and the webhook hears of them'
);
select tests.entries(413, 'BODY_TOO_LARGE', 1);
select results_eq(
    $$ select event, url, message, body ->> 'state', (body ->> 'occurrences')::integer from public.notifications where sender = 'cache' order by event $$,
    $$ values
        ('invalid_input', 'https://alerts.example/hook', 'Cache: invalid inputs from 198.51.100.30 within 5 minutes: 20.', 'began', 20),
        ('rate_limited', 'https://alerts.example/hook', 'Cache: requests over the rate limit from 198.51.100.30 within 5 minutes: 10.', 'began', 10) $$,
    'by one message each, when it begins'
);

-- Six minutes pass, but for one entry.
select tests.clear();
alter table public.cache_audit_log disable trigger user;
update public.cache_audit_log set created_at = created_at - interval '6 minutes';
alter table public.cache_audit_log enable trigger user;
select tests.as_service();
select tests.entries(429, 'RATE_LIMITED', 1);
select results_eq(
    $$ select event, message from public.notifications where body ->> 'state' = 'ended' order by event $$,
    $$ values
        ('failed_auth', 'Cache: no more failed logins from 198.51.100.30 in the last 5 minutes.'),
        ('invalid_input', 'Cache: no more invalid inputs from 198.51.100.30 in the last 5 minutes.') $$,
    'and by one when none has come for 5 minutes'
);
select is((select count(*) from public.cache_alerts where ip_address = '198.51.100.30'), 3::bigint, 'an end is no alert');
select tests.entries(401, 'INVALID_KEY', 7);
select results_eq(
    $$ select occurrences, notified from public.cache_alerts where kind = 'failed_auth' order by id $$,
    $$ values (6, false), (7, true) $$, 'what begins again is'
);
select tests.clear();
delete from vault.secrets where name in ('project_url', 'service_api_key');
select vault.create_secret('http://127.0.0.1:9', 'project_url') is not null as has_url \gset
select vault.create_secret('the-service-key', 'service_api_key') is not null as has_key \gset
alter table public.cache_audit_log disable trigger user;
update public.cache_audit_log set created_at = created_at - interval '6 minutes';
alter table public.cache_audit_log enable trigger user;
select private.cache_tick() as request \gset
select results_eq(
    format('select url from net.http_request_queue where id = %s', :request),
    $$ values ('http://127.0.0.1:9/functions/v1/cache/tick') $$, 'the tick calls the function'
);
select is_empty($$ select 1 from private.conditions where sender = 'cache' $$, 'and ends conditions while nobody asks for anything');
-- Watching, however long the log is: not a scan of it, and no guess of the planner's from a small table.
set local enable_seqscan = off;
discard plans;
create temporary table scans as select pg_stat_get_xact_numscans('public.cache_audit_log'::regclass) as before;
select private.cache_watch();
select is(
    pg_stat_get_xact_numscans('public.cache_audit_log'::regclass) - before, 0::bigint, 'what raises an alarm is found by an index'
) from scans;
reset enable_seqscan;
select throws_ok($$ update public.cache_audit_log set success = true $$, '42501', 'the audit log is append-only', 'nobody changes the record');
select throws_ok($$ delete from public.cache_audit_log $$, '42501', 'the audit log is append-only', 'nor deletes from it');
select throws_ok($$ truncate public.cache_audit_log $$, '42501', 'the audit log is append-only', 'nor empties it');
select tests.as_service();
select throws_ok($$ insert into public.cache_audit_log (operation, user_role, success, status) values ('READ', 'x', true, 200) $$, '42501', null, 'a service adds to it by the function alone');

select tests.authenticate_as('stranger');
select throws_ok($$ select 1 from public.cache_audit_log $$, '42501', null, 'a user does not read it');

select tests.clear();
select * from finish();
rollback;
