-- What owners page through is found by index, however many rows they and others have.
begin;
\ir support/accounts.psql
\ir support/plans.psql
select plan(8);

insert into auth.users (id, email)
select gen_random_uuid(), 'owner ' || number || '@tests.example' from generate_series(1, 40) as number;
insert into public.webhook_configs (user_id, name, security_token)
select id, 'w' || number, 'a passphrase' from auth.users cross join generate_series(1, 5) as number where email like 'owner %';
insert into public.webhook_signals (config_id, user_id, dedupe_key, content_hash, payload, signal, symbol, received_at, status)
select id, user_id, number, 'h', '{}', '{}', 'AAPL', now() - make_interval(mins => number), 'refused'
from public.webhook_configs cross join generate_series(1, 100) as number;
insert into public.orders (
    signal_id, config_id, user_id, client_order_id, is_simulated, role, symbol, asset_class, side, order_type, quantity,
    time_in_force, created_at
)
select id, config_id, user_id, id, true, 'entry', symbol, 'us_equity', 'buy', 'market', 1, 'day', received_at
from public.webhook_signals;
insert into public.order_events (order_id, user_id, event, created_at) select id, user_id, 'pending', created_at from public.orders;
insert into public.trade_results (
    user_id, config_id, order_id, symbol, direction, quantity, entry_price, exit_price, profit, is_simulated, created_at
)
select user_id, config_id, id, symbol, 'long', 1, 1, 1, 0, true, created_at from public.orders;
insert into public.positions (user_id, symbol, is_simulated)
select id, 'S' || number, true from auth.users cross join generate_series(1, 100) as number where email like 'owner %';
insert into auth.users (id, email)
select gen_random_uuid(), 'quiet ' || number || '@tests.example' from generate_series(1, 5000) as number;
insert into public.webhook_configs (user_id, name, security_token)
select id, 'quiet', 'sha256:' || repeat('0', 64) from auth.users where email like 'quiet %';
analyze public.webhook_configs, public.webhook_signals, public.orders, public.order_events, public.trade_results, public.positions;
select ok(count(*) >= 20000, 'there are 20,000 orders, 500 an owner') from public.orders;

select tests.authenticate_as('owner 7');
select tests.pages_by_index('webhook_configs', 'created_at', 5, columns => 'id, name');
select tests.pages_by_index('webhook_signals', 'received_at', 20);
select tests.pages_by_index('orders', 'created_at', 20);
select tests.pages_by_index('order_events', 'created_at', 20);
select tests.pages_by_index('trade_results', 'created_at', 20);
select tests.pages_by_index('positions', 'updated_at', 100);
select is(count(*), 500::bigint, 'owners see all of theirs') from public.orders;

select tests.clear();
select * from finish();
rollback;
