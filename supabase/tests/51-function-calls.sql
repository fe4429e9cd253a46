-- A call is linked to its answer, and one that failed is called again once, by the next tick.
begin;
\ir support/accounts.psql
select plan(20);

-- pg_net's worker sees nothing of this transaction: the answers are ours.
delete from vault.secrets where name in ('project_url', 'service_api_key');
select vault.create_secret('http://127.0.0.1:9', 'project_url') is not null as made \gset
select vault.create_secret('a-key', 'service_api_key') is not null as made \gset
delete from private.function_calls;

-- What a story needs: a call of some minutes ago, and its answer. It has left the queue.
create function tests.called(p_function text, p_minutes integer default 5) returns bigint
language plpgsql as $$
declare
    v_request bigint := private.function_calls_send(p_function, '{"n": 1}');
begin
    update private.function_calls set called_at = now() - make_interval(mins => p_minutes) where request_id = v_request;
    delete from net.http_request_queue where id = v_request;
    return v_request;
end;
$$;
create function tests.answered(p_request bigint, p_status integer, p_content text default '', p_error text default null)
returns void language sql as $$
    insert into net._http_response (id, status_code, content, error_msg, timed_out, created)
    values (p_request, p_status, p_content, p_error, p_error is not null, now() - interval '4 minutes');
$$;
create function tests.calls(p_function text) returns bigint
language sql as $$ select count(*) from private.function_calls where function_name = p_function $$;

-- A good answer

select tests.called('good') as request \gset
select tests.answered(:request, 202, '{"success":true,"run_id":"run-1"}');
select is(private.call_function('good') is not null, true, 'the next tick calls');
select results_eq(
    format('select status_code, run_id, error from private.function_calls where request_id = %s', :request),
    $$ values (202, 'run-1'::text, null::text) $$, 'an answer is written down with its run'
);
select is(tests.calls('good'), 2::bigint, 'and what was answered is not called again');
select is(
    (select backend_pid from private.function_calls where request_id = :request), pg_backend_pid(), 'the process tells which tick it was'
);

-- An answer of 500 and above

select tests.called('broken') as request \gset
select tests.answered(:request, 503, '{"code":"BOOT_ERROR","message":"Function \"a\" failed\nto start"}');
select private.call_function('broken', '{"n": 2}') as next \gset
select results_eq(
    format('select status_code, error from private.function_calls where request_id = %s', :request),
    $$ values (503, 'BOOT_ERROR: Function \"a\" failed\nto start'::text) $$, 'a failure is written down with its whole reason, as the JSON has it'
);
select results_eq(
    $$ select body, retry_of is not null from private.function_calls where function_name = 'broken' order by id $$,
    $$ values ('{"n": 1}'::jsonb, false), ('{"n": 1}'::jsonb, true), ('{"n": 2}'::jsonb, false) $$,
    'the next tick repeats the call as it was, and then makes its own'
);
select is(
    (select count(*) from net.http_request_queue where url = 'http://127.0.0.1:9/functions/v1/broken'), 2::bigint, 'both are queued'
);
select private.call_function('broken', '{"n": 3}') as next \gset
select is(tests.calls('broken'), 4::bigint, 'the tick after that repeats nothing');

-- The repetition fails too
update private.function_calls set called_at = now() - interval '5 minutes' where function_name = 'broken' and retry_of is not null;
select tests.answered(request_id, 500) from private.function_calls where function_name = 'broken' and retry_of is not null;
select private.call_function('broken', '{"n": 4}') as next \gset
select is(tests.calls('broken'), 5::bigint, 'a repetition that fails is not repeated');

-- No answer

select tests.called('slow') as request \gset
select tests.answered(:request, null, null, 'Timeout of 10000 ms reached');
select private.call_function('slow') as next \gset
select is(
    (select count(*) from private.function_calls where function_name = 'slow' and retry_of is not null), 1::bigint, 'no answer in time is a failure'
);
select tests.called('lost') as request \gset
select private.call_function('lost') as next \gset
select results_eq(
    format('select status_code, error from private.function_calls where request_id = %s', :request),
    $$ values (null::integer, 'the request was lost: neither queued nor answered'::text) $$, 'a request that is nowhere was lost'
);
select is(
    (select count(*) from private.function_calls where function_name = 'lost' and retry_of is not null), 1::bigint, 'and is called again'
);

-- Not failures

select tests.called('refused') as request \gset
select tests.answered(:request, 401, '{"code":"UNAUTHORIZED","error":"no"}');
select private.call_function('refused') as next \gset
select is(tests.calls('refused'), 2::bigint, 'a refusal would be refused again: it is not repeated');
select tests.called('fresh', 1) as request \gset
select private.call_function('fresh') as next \gset
select is(tests.calls('fresh'), 2::bigint, 'a call of a minute ago may still be answered');
select private.function_calls_send('queued', '{}') as request \gset
update private.function_calls set called_at = now() - interval '1 hour' where request_id = :request;
select private.call_function('queued') as next \gset
select is(tests.calls('queued'), 2::bigint, 'and so may one that waits in the queue, however long');

-- After an outage

select tests.answered(tests.called('outage', 10 + number), 502) from generate_series(1, 20) as number;
select private.call_function('outage') as next \gset
select is(
    (select count(*) from private.function_calls where function_name = 'outage' and retry_of is not null), 8::bigint, 'a tick repeats 8 calls at the most'
);

-- Keeping

select tests.called('old', 15 * 24 * 60) as request \gset
select private.function_calls_keep();
select is(tests.calls('old'), 0::bigint, 'calls are forgotten after 14 days');
select is(
    (select concat_ws(' ', schedule, command) from cron.job where jobname = 'function-calls'),
    '*/10 * * * * select private.function_calls_keep()', 'a job does it before pg_net forgets the answers'
);

select tests.create_user('stranger');
select tests.authenticate_as('stranger');
select throws_ok($$ select * from private.function_calls $$, '42501', null, 'a user sees no calls');
select tests.as_service();
select throws_ok($$ select private.function_calls_send('a', '{}') $$, '42501', null, 'and the service role makes none by itself');

select tests.clear();
select * from finish();
rollback;
