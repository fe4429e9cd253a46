-- What health_report measures is what is there.
begin;
\ir support/accounts.psql
select plan(41);

select is(
    (select public.health_report() -> 'errors'), '{}'::jsonb, 'all of it can be measured'
);
select ok(
    (public.health_report() #>> '{server,connections_used}')::integer between 1 and (public.health_report() #>> '{server,connections_allowed}')::integer,
    'this connection is one of those in use'
);
select is(
    (public.health_report() #>> '{server,connections_allowed}')::integer,
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer,
    'the reserved ones are not for us'
);
select is(public.health_report() #>> '{server,read_only}', 'false', 'it takes writes');
set local default_transaction_read_only = on;
select is(public.health_report() #>> '{server,read_only}', 'true', 'and says so when it does not');
set local default_transaction_read_only = off;
select cmp_ok((public.health_report() #>> '{server,size_bytes}')::bigint, '>', 1000000::bigint, 'it has a size');
select is(public.health_report() #>> '{versions,postgres}', current_setting('server_version'), 'and a version');
select set_eq(
    $$ select * from jsonb_object_keys(public.health_report() -> 'tables') $$,
    $$ select case relnamespace::regnamespace::text when 'public' then '' else 'private.' end || relname
       from pg_class as class
       where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and relkind in ('r', 'p')
         and not exists (select from pg_depend where objid = class.oid and deptype = 'e') $$,
    'every table of ours is tried'
);
select is_empty(
    $$ select * from jsonb_each_text(public.health_report() -> 'tables') where value is not null $$, 'and can be read'
);
select ok(
    not exists (select from jsonb_array_elements(public.health_report() -> 'queries') as one where (one ->> 'pid')::integer = pg_backend_pid()),
    'the question itself is no long query'
);

-- pg_cron

select cron.schedule('test-job', '*/7 * * * *', 'select 1') as job \gset
create function tests.job() returns jsonb
language sql as $$
    select one from jsonb_array_elements(public.health_report() #> '{pg_cron,jobs}') as one where one ->> 'name' = 'test-job';
$$;
create function tests.job_ran(number integer, state text, ago interval) returns void
language sql as $$
    insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time)
    select jobid, 1000000000 + number, 'postgres', 'postgres', 'select 1', state, state || ' ' || number, clock_timestamp() - ago
    from cron.job where jobname = 'test-job';
$$;
select is(public.health_report() #>> '{pg_cron,running}', 'true', 'the scheduler runs');
select is(
    tests.job(),
    '{"name": "test-job", "schedule": "*/7 * * * *", "active": true, "runs_24h": 0, "failures_24h": 0, "failures_in_a_row": 0}'::jsonb,
    'a job that never ran has never failed'
);
select tests.job_ran(1, 'failed', '30 hours');
select tests.job_ran(2, 'succeeded', '3 hours');
select tests.job_ran(3, 'failed', '2 hours');
select tests.job_ran(4, 'failed', '90 seconds');
select tests.job_ran(5, 'running', '1 second');
select is(tests.job() ->> 'last_status', 'failed', 'the last run that ended counts');
select is(tests.job() ->> 'last_error', 'failed 4', 'and what it said');
select cmp_ok((tests.job() ->> 'last_seconds_ago')::integer, '>=', 90, 'and when it was');
select is(
    array[tests.job() ->> 'runs_24h', tests.job() ->> 'failures_24h', tests.job() ->> 'failures_in_a_row'], array['3', '2', '2'],
    'failures are counted by the day and in a row'
);
select tests.job_ran(6, 'succeeded', '0 seconds');
select is(tests.job() ->> 'failures_in_a_row', '0', 'a success ends the row');

-- pg_net

delete from net._http_response;
delete from net.http_request_queue;
insert into net.http_request_queue (method, url, timeout_milliseconds) select 'GET', 'http://127.0.0.1:1/', 1 from generate_series(1, 3);
insert into net._http_response (id, status_code, timed_out, error_msg, created)
values
    (1, 200, false, null, now()), (2, 302, false, null, now()), (3, 404, false, null, now() - interval '9 minutes'),
    (4, null, false, 'Couldn''t connect to server', now() - interval '5 minutes'), (5, null, true, null, now() - interval '8 minutes'),
    (6, 500, false, null, now() - interval '2 hours');
select is(
    public.health_report() -> 'pg_net',
    '{"running": true, "queued": 3, "answered_1h": 5, "failed_1h": 3, "last_error": "Couldn''t connect to server"}'::jsonb,
    'what waits for pg_net, and what came of the calls of the last hour'
);

-- The collector

select tests.create_company('north', 'anna');
select tests.only_ours_are_due();
select is(public.health_report() #> '{collector,due}', '0'::jsonb, 'nothing is due');
select is(public.health_report() #> '{collector,lag_seconds}', '0'::jsonb, 'and nothing late');
update public.collection_state set next_due_at = clock_timestamp() - interval '20 minutes', consecutive_failures = 2
where company_id = tests.company_id('north');
select is(public.health_report() #> '{collector,due}', '1'::jsonb, 'a company is due');
select ok(
    (public.health_report() #>> '{collector,lag_seconds}')::integer between 1200 and 1260, 'and 20 minutes late'
);
select cmp_ok((public.health_report() #>> '{collector,failing}')::integer, '>=', 1, 'and failing');
update public.collection_state set leased_until = clock_timestamp() + interval '1 minute'
where company_id = tests.company_id('north');
select is(public.health_report() #> '{collector,lag_seconds}', '0'::jsonb, 'one that is being collected is not late');

-- Chapters that a project may do without: here without them, then with the columns that are looked at.

drop table if exists public.tradovate_tokens, public.webhook_signals, public.cache_sources cascade;
select is(
    array(select key from jsonb_object_keys(public.health_report()) as key where key in ('tokens', 'signals', 'cache')),
    '{}'::text[], 'what is not installed is left out'
);
create table public.tradovate_tokens (expires_at timestamptz, is_active boolean);
insert into public.tradovate_tokens values
    (now() + interval '1 hour', true), (now() + interval '1 minute', true), (now() - interval '1 minute', true),
    (now() - interval '1 minute', false), (null, true);
select is(
    (public.health_report() -> 'tokens') - 'next_expires_at', '{"active": 4, "expired": 1, "expiring": 1}'::jsonb,
    'tokens: active, expired, expiring'
);
select is(
    public.health_report(7200) #> '{tokens,expiring}', '2'::jsonb, 'how soon is soon is the caller''s'
);
create table public.webhook_signals (status text, received_at timestamptz);
insert into public.webhook_signals values
    ('pending', clock_timestamp() - interval '1 minute'), ('processing', clock_timestamp()), ('ordered', clock_timestamp() - interval '1 day');
select is(
    public.health_report() -> 'signals', '{"pending": 2, "oldest_seconds": 60}'::jsonb, 'signals that are not done, and the oldest'
);
insert into public.projects (project_name, is_active) values ('health-on', true), ('health-off', false);
create table public.cache_sources (
    project_id uuid, is_active boolean, next_due_at timestamptz, leased_until timestamptz, consecutive_failures integer,
    needs_login_at timestamptz
);
insert into public.cache_sources
select project.id, source.is_active, clock_timestamp() - source.late, clock_timestamp() + source.lease, source.failures,
    case when source.failures > 0 then clock_timestamp() end
from public.projects as project, (values
    (true, interval '5 minutes', null, 0), (true, interval '1 hour', interval '1 minute', 0),
    (true, interval '-1 minute', null, 3), (false, interval '1 day', null, 0)
) as source (is_active, late, lease, failures)
where project_name like 'health-%';
select is(
    (public.health_report() -> 'cache') - array['pending', 'pending_seconds', 'refused_24h'],
    '{"sources": 3, "due": 1, "lag_seconds": 300, "failing": 1, "needs_login": 1}'::jsonb,
    'sources of active projects that are due and that nobody is at, and those that need a login'
);

-- What the cache's workers hold, as they say.

create function tests.saves() returns jsonb
language sql as $$
    select jsonb_object_agg(key, value) from jsonb_each(public.health_report() -> 'cache')
    where key in ('pending', 'pending_seconds', 'refused_24h', 'pending_error');
$$;
create function tests.told(instance integer, pending integer, oldest integer default 0, refused integer default 0, error text default null)
returns void language sql as $$
    select public.cache_pending_report(format('00000000-0000-0000-0000-%s', lpad(instance::text, 12, '0'))::uuid, pending, oldest, refused, error);
$$;
delete from private.cache_pending;
select is(tests.saves(), '{"pending": 0, "pending_seconds": 0, "refused_24h": 0}'::jsonb, 'no worker holds anything');
select tests.told(1, 2, 90, 0, '57014 statement timeout');
select tests.told(2, 1, 600);
select is(
    tests.saves(), '{"pending": 3, "pending_seconds": 600, "refused_24h": 0, "pending_error": "57014 statement timeout"}'::jsonb,
    'what all workers hold, the oldest of it, and why'
);
select tests.told(2, 0);
select is(tests.saves() -> 'pending_seconds', '90'::jsonb, 'a worker whose saves are in says so');
select is((select count(*)::integer from private.cache_pending), 1, 'and is forgotten');
select tests.told(1, 0, 0, 1, '22003 overflow');
select is(
    tests.saves(), '{"pending": 0, "pending_seconds": 0, "refused_24h": 1, "pending_error": "22003 overflow"}'::jsonb,
    'what was refused for good is not forgotten so soon'
);
select tests.told(1, 1, 10, 2);
select is(tests.saves() -> 'refused_24h', '3'::jsonb, 'and adds up');
update private.cache_pending set reported_at = clock_timestamp() - interval '61 minutes';
select is(
    tests.saves() - 'pending_error', '{"pending": 0, "pending_seconds": 0, "refused_24h": 3}'::jsonb,
    'after an hour of silence a worker has ended'
);
update private.cache_pending set refused_at = clock_timestamp() - interval '25 hours';
select tests.told(3, 1, 5);
select is((select count(*)::integer from private.cache_pending), 1, 'and after a day nothing of it is left');

-- What goes wrong in a section does not take the others along.

alter table public.tradovate_tokens drop column expires_at;
select matches(
    public.health_report() #>> '{errors,tokens}', '^42703 ', 'what cannot be measured is said'
);
select is(public.health_report() #> '{signals,pending}', '2'::jsonb, 'and the rest is measured');

-- Who may ask

select tests.as_service();
select lives_ok('select public.health_report()', 'a service may');
select tests.authenticate_as('anna');
select throws_ok('select public.health_report()', '42501', null, 'a user may not');

select tests.clear();
select * from finish();
rollback;
