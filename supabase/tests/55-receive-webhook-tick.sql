-- The sweep is called each minute, and only when something is due.
begin;
\ir support/accounts.psql
\ir support/trading.psql
select plan(8);

delete from vault.secrets where name in ('project_url', 'service_api_key');
update public.webhook_signals set next_attempt_at = 'infinity';
update public.orders set next_check_at = 'infinity' where closed_at is null;
update public.notifications set next_attempt_at = 'infinity';
select tests.create_user('anna');
select tests.create_webhook('anna', 'trend', $$ notification_preferences = '{"on_failure": true, "url": "https://x.example"}' $$);

select results_eq(
    $$ select schedule || ' ' || command collate "default" from cron.job where jobname = 'receive-webhook' $$,
    array['* * * * * select private.receive_webhook_tick()'], 'the tick comes each minute'
);
select is(private.receive_webhook_tick(), null, 'and calls nobody when nothing is due');
select tests.record('trend', 'a', 'one') ->> 'signal_id' as signal \gset
update public.webhook_signals set next_attempt_at = now() where id = :'signal';
select throws_ok('select private.receive_webhook_tick()', 'P0001', null, 'a signal is due: without its secrets the job fails aloud');
select vault.create_secret('http://127.0.0.1:54321', 'project_url') is not null as made \gset
select vault.create_secret('a-key', 'service_api_key') is not null as made \gset
select private.receive_webhook_tick() as request \gset
select results_eq(
    format('select url from net.http_request_queue where id = %s', :request),
    array['http://127.0.0.1:54321/functions/v1/receive-webhook/sweep'], 'with them the sweep is called'
);
select tests.next('anna', 1) ->> 'signal_id' as taken \gset
select public.receive_webhook_place(:'taken', tests.lease(1), 'tick-1', true, tests.order('buy', '1'), '[]', tests.state('new'));
select is(private.receive_webhook_tick(), null, 'what was done calls nobody');
update public.orders set next_check_at = now() where client_order_id = 'tick-1';
select isnt(private.receive_webhook_tick(), null, 'an order that is to be asked about does');
select public.receive_webhook_settle(id, tests.state('canceled')) from public.orders where client_order_id = 'tick-1';
update public.notifications set next_attempt_at = now() where user_id = tests.user_id('anna');
select isnt(private.receive_webhook_tick(), null, 'and so does an owner who is to be told');

select tests.authenticate_as('anna');
select throws_ok('select private.receive_webhook_tick()', '42501', null, 'users set off no sweeps');
select tests.clear();
select * from finish();
rollback;
