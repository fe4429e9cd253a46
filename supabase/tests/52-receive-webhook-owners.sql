-- Two owners and a stranger: webhooks, signals, orders and limits are their owner's only.
begin;
\ir support/accounts.psql
\ir support/trading.psql
select plan(27);

select tests.create_user('anna');
select tests.create_user('boris');
select tests.create_user('stranger');
select tests.create_webhook('anna', 'trend');
select tests.create_webhook('boris', 'swing');

-- Each has a signal, an order, and a position that was closed at a gain.
select tests.as_service();
select tests.record('trend', 'a');
select tests.record('swing', 'b');
select public.receive_webhook_place((tests.next('anna', 1) ->> 'signal_id')::uuid, tests.lease(1), 'anna-1', true,
    tests.order('buy', '2'), '[]', tests.state('filled', '2', '100'));
select public.receive_webhook_place((tests.next('boris', 2) ->> 'signal_id')::uuid, tests.lease(2), 'boris-1', true,
    tests.order('buy', '5'), '[]', tests.state('filled', '5', '100'));
select tests.record('trend', 'c', 'second');
select public.receive_webhook_place((tests.next('anna', 1) ->> 'signal_id')::uuid, tests.lease(1), 'anna-2', true,
    tests.order('sell', '2'), '[]', tests.state('filled', '2', '110.5'));

select tests.authenticate_as('anna');
select results_eq('select name from public.webhook_configs', array['trend'], 'anna sees her webhook');
select throws_ok('select security_token from public.webhook_configs', '42501', null, 'but not its passphrase, not even hashed');
select throws_ok('select alpaca_api_key_sealed from public.webhook_configs', '42501', null, 'nor keys of accounts');
select results_eq('select count(*)::integer from public.webhook_signals', array[2], 'she sees her signals');
select results_eq('select client_order_id from public.orders order by 1', array['anna-1', 'anna-2'], 'and her orders');
select results_eq($$ select distinct o.client_order_id from public.order_events join public.orders as o on o.id = order_id order by 1 $$,
    array['anna-1', 'anna-2'], 'and what happened to them');
select results_eq('select direction, quantity, profit from public.trade_results', $$ values ('long', 2::numeric, 21.0::numeric) $$, 'and what they brought');
select results_eq('select quantity from public.positions', array[0::numeric], 'and what she holds');
select throws_ok($$ update public.orders set status = 'filled' $$, '42501', null, 'orders are written by the function only');
select throws_ok($$ insert into public.webhook_signals (user_id) values (tests.user_id('anna')) $$, '42501', null, 'and so are signals');
select lives_ok($$ update public.webhook_configs set name = 'trend 2', is_active = false $$, 'she changes her webhook');
select throws_ok($$ update public.webhook_configs set user_id = tests.user_id('boris') $$, '42501', null, 'and gives it to nobody');
select throws_ok(
    $$ insert into public.webhook_configs (user_id, name, security_token) values (tests.user_id('boris'), 'x', 'a passphrase') $$,
    '42501', null, 'she makes none for others'
);
select lives_ok($$ insert into public.webhook_configs (name, security_token) values ('mine', 'another passphrase') $$, 'she makes one of her own');
select throws_ok($$ insert into public.webhook_configs (name, security_token) values ('short', '12345') $$, '23514', null, 'with a passphrase of 6 characters at least');
select lives_ok($$ insert into public.risk_limits (max_orders_per_day) values (5) $$, 'she limits herself');
select throws_ok(
    $$ insert into public.risk_limits (user_id, kill_switch) values (tests.user_id('boris'), true) $$, '42501', null, 'and nobody else'
);
delete from public.webhook_configs;

select tests.authenticate_as('boris');
select results_eq('select name, is_active from public.webhook_configs', $$ values ('swing', true) $$, 'boris'' webhook is as it was');
select is_empty('select 1 from public.risk_limits', 'and he has no limits');
select results_eq('select client_order_id from public.orders', array['boris-1'], 'and his order');

select tests.authenticate_as('stranger');
select is_empty('select name from public.webhook_configs', 'a stranger sees no webhooks');
select is_empty('select 1 from public.webhook_signals', 'nor signals');
select is_empty('select 1 from public.orders', 'nor orders');
select throws_ok($$ select tests.record('swing', 'x') $$, '42501', null, 'and stores none past the function');
select tests.as_anon();
select throws_ok('select 1 from public.webhook_configs', '42501', null, 'without a login there is nothing to see');

select tests.clear();
select results_eq('select count(*)::integer from public.webhook_signals where user_id = tests.user_id(''anna'')', array[2],
    'what a removed webhook received stays as the audit trail');
select is_empty($$ select 1 from public.webhook_configs where security_token !~ '^sha256:[0-9a-f]{64}$' $$, 'no passphrase is stored in clear');
select * from finish();
rollback;
