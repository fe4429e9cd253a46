-- Orders come to their end once: fills, positions, results, legs, and who is told.
begin;
\ir support/accounts.psql
\ir support/trading.psql
select plan(31);

select tests.create_user('anna');
select tests.create_webhook('anna', 'trend', $$ notification_preferences = '{"onSuccess": true, "on_failure": true, "url": "https://x.example"}' $$);

create function pg_temp.place(number integer, side text, quantity text, state jsonb, more jsonb default '{}') returns uuid
language plpgsql as $$
begin
    perform tests.record('trend', number::text, 'place:' || number);
    return public.receive_webhook_place((tests.next('anna', 1) ->> 'signal_id')::uuid, tests.lease(1), 'test-' || number, true,
        tests.order(side, quantity, more), '[]', state);
end $$;
create function pg_temp.held() returns text language sql as $$
    select concat_ws(' at ', trim_scale(quantity), trim_scale(avg_entry_price)) from public.positions where user_id = tests.user_id('anna') and symbol = 'AAPL';
$$;
create function pg_temp.results() returns text language sql as $$
    select string_agg(concat_ws(' ', direction, trim_scale(quantity), trim_scale(profit)), ', ' order by id)
    from public.trade_results where user_id = tests.user_id('anna');
$$;

-- Fills add up

select pg_temp.place(1, 'buy', '10', tests.state('partially_filled', '4', '100')) as first \gset
select is(pg_temp.held(), '4 at 100', 'a partial fill is held');
select public.receive_webhook_settle(:'first', tests.state('partially_filled', '4', '100'));
select is(pg_temp.held(), '4 at 100', 'the same news twice is one fill');
select public.receive_webhook_settle(:'first', tests.state('filled', '10', '106'));
select is(pg_temp.held(), '10 at 106', 'the rest comes at its own price: 6 at 110');
select results_eq(
    format($$ select quantity, price from public.order_events where order_id = %L and event = 'fill' order by id $$, :'first'),
    $$ values (4::numeric, 100::numeric), (6, 110) $$, 'and each fill is noted'
);
select public.receive_webhook_settle(:'first', tests.state('canceled', '4', '100'));
select results_eq(format('select status from public.orders where id = %L', :'first'), array['filled'], 'old news changes nothing');
select is(pg_temp.results(), null, 'an entry is no result');

-- Closing, and beyond

select isnt(pg_temp.place(2, 'sell', '4', tests.state('filled', '4', '111')), null, 'a part is sold');
select is(pg_temp.held(), '6 at 106', 'the rest has cost what it had cost');
select is(pg_temp.results(), 'long 4 20', 'a gain of 5 each');
select isnt(pg_temp.place(3, 'sell', '8', tests.state('filled', '8', '100')), null, 'more is sold than is held');
select is(pg_temp.held(), '-2 at 100', 'which is short by the rest');
select is(pg_temp.results(), 'long 4 20, long 6 -36', 'and a loss on what was held');
select isnt(pg_temp.place(4, 'buy', '2', tests.state('filled', '2', '90.5')), null, 'the short one is covered');
select is(pg_temp.held(), '0', 'and nothing is held');
select is(pg_temp.results(), 'long 4 20, long 6 -36, short 2 19', 'a short one gains as the price falls');

-- Legs

select pg_temp.place(5, 'buy', '1', tests.state('filled', '1', '100') || jsonb_build_object('legs', jsonb_build_array(
    tests.state('new') || '{"client_order_id": "leg-sl", "role": "stop_loss", "order_type": "stop", "quantity": "1", "stop_price": "90"}',
    tests.state('new') || '{"client_order_id": "leg-tp", "role": "take_profit", "order_type": "limit", "quantity": "1", "limit_price": "120"}'
))) as parent \gset
select results_eq(
    format('select role, side, status from public.orders where parent_order_id = %L order by role', :'parent'),
    $$ values ('stop_loss', 'sell', 'new'), ('take_profit', 'sell', 'new') $$, 'the legs stand on the other side'
);
update public.orders set next_check_at = now() where parent_order_id = :'parent';
select is(jsonb_array_length(public.receive_webhook_open_orders(500, 60)) >= 2, true, 'and are due to be asked about');
select is_empty(
    format($$ select 1 from jsonb_array_elements(public.receive_webhook_open_orders(500, 60)) where value ->> 'client_order_id' like 'leg-%%' $$),
    'by one at a time'
);
select public.receive_webhook_settle(id, tests.state('filled', '1', '120')) from public.orders where client_order_id = 'leg-tp';
select results_eq($$ select status from public.orders where client_order_id = 'leg-sl' $$, array['canceled'], 'when one is filled the other is canceled');
select is(pg_temp.held(), '0', 'and nothing is sold twice');

-- Asking twice, and refusals

select tests.record('trend', 'x', 'twice') ->> 'signal_id' as twice \gset
select tests.next('anna', 1) ->> 'signal_id' as same \gset
select public.receive_webhook_place(:'same', tests.lease(1), 'once', false, tests.order('buy', '1'), '[]') as one \gset
select is(public.receive_webhook_place(:'same', tests.lease(1), 'once', false, tests.order('buy', '1'), '[]'), :'one'::uuid, 'an order is noted once');
select is(public.receive_webhook_place(:'same', tests.lease(9), 'again', false, tests.order('buy', '1'), '[]'), null, 'and only by who has the signal');
select public.receive_webhook_settle(:'one', tests.state('refused') || '{"error_code": "40310000", "error_message": "insufficient buying power"}');
select ok(public.receive_webhook_finish(:'same', tests.lease(1), 'failed', '[{"code": "BROKER_REFUSED", "message": "no"}]'), 'what the broker refuses has failed');

-- Who is told

select results_eq(
    $$ select event, count(*)::integer from public.notifications where user_id = tests.user_id('anna') group by event order by event $$,
    $$ values ('failure', 2), ('success', 5) $$, 'the owner hears of each order that ended, and of what failed'
);
select is(jsonb_array_length(public.notifications_claim('receive-webhook', 100, 60, tests.user_id('anna'))), 7, 'all of it is due');
select is(jsonb_array_length(public.notifications_claim('receive-webhook', 100, 60, tests.user_id('anna'))), 0, 'once');
select public.notifications_finish(min(id)), public.notifications_finish(max(id), 'answered 500') from public.notifications
where user_id = tests.user_id('anna');
select results_eq(
    $$ select status, count(*)::integer from public.notifications where user_id = tests.user_id('anna') group by status order by status $$,
    $$ values ('pending', 6), ('sent', 1) $$, 'what did not get through is tried again'
);

-- What is open counts

select isnt(pg_temp.place(6, 'buy', '3', tests.state('new'), '{"order_type": "limit", "limit_price": "50", "time_in_force": "gtc"}'), null, 'an entry stands');
update public.orders set created_at = now() - interval '30 days' where client_order_id = 'test-6';
select tests.record('trend', 'z', 'open') ->> 'signal_id' as open \gset
select tests.next('anna', 1) as task \gset
select is(:'task'::jsonb #>> '{usage,open_notional}', '150', 'and counts to the position, however old');
select public.receive_webhook_finish(:'open', tests.lease(1), 'refused');

-- Where it was sent

update public.webhook_configs set alpaca_api_key_sealed = 'v1.k.x', alpaca_api_secret_sealed = 'v1.k.y' where name = 'trend';
select tests.record('trend', 'y', 'account') ->> 'signal_id' as sent \gset
select tests.next('anna', 1) ->> 'signal_id' as same \gset
select public.receive_webhook_place(:'sent', tests.lease(1), 'sent', false, tests.order('buy', '1'), '[]', tests.state('new') || jsonb_build_object('legs',
    jsonb_build_array(tests.state('held') || '{"client_order_id": "sent-sl", "role": "stop_loss", "order_type": "stop", "quantity": "1"}')
), 'an account') as order_id \gset
update public.orders set next_check_at = now() where client_order_id like 'sent%';
select results_eq(
    $$ select value ->> 'account', value #>> '{own,alpaca_api_key_sealed}' from jsonb_array_elements(public.receive_webhook_open_orders(500, 60))
       where value ->> 'client_order_id' like 'sent%' $$,
    $$ values ('an account', 'v1.k.x'), ('an account', 'v1.k.x') $$, 'an order has its account, and so has its stop loss'
);
delete from public.webhook_configs where name = 'trend';
select results_eq(
    $$ select private.order_json(one) ->> 'account', private.order_json(one) ->> 'own' from public.orders as one where client_order_id = 'sent' $$,
    $$ values ('an account', null) $$, 'also when its webhook is gone with the keys'
);

select * from finish();
rollback;
