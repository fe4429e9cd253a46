-- An entry counts to what may be held for as long as it is open.

create or replace function private.trading_context(p_signal public.webhook_signals, p_simulation boolean) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_config     public.webhook_configs;
    v_simulated  boolean;
    v_price      numeric;
    v_day        timestamptz := date_trunc('day', now(), 'UTC');
begin
    select * into v_config from public.webhook_configs where id = p_signal.config_id;
    -- Whoever writes `false` into a row must not trade with the operator's account.
    v_simulated := case
        when v_config.simulation_mode is false and p_simulation then v_config.alpaca_api_key_sealed is null
        else coalesce(v_config.simulation_mode, p_simulation)
    end;
    select price into v_price from public.webhook_signals
    where user_id = p_signal.user_id and symbol = p_signal.symbol and price is not null
    order by received_at desc limit 1;
    return jsonb_build_object(
        'signal_id', p_signal.id,
        'config_id', p_signal.config_id,
        'signal', p_signal.signal,
        'attempts', p_signal.attempts,
        'age_seconds', extract(epoch from clock_timestamp() - p_signal.received_at)::integer,
        'act_within_seconds', v_config.act_within_seconds,
        'is_active', coalesce(v_config.is_active, false),
        'simulated', v_simulated,
        'last_price', v_price::text,
        'config', jsonb_build_object(
            'default_order_quantity', v_config.default_order_quantity::text,
            'position_sizing_method', v_config.position_sizing_method,
            'position_size_value', v_config.position_size_value::text,
            'alpaca_api_key_sealed', v_config.alpaca_api_key_sealed,
            'alpaca_api_secret_sealed', v_config.alpaca_api_secret_sealed,
            'alpaca_api_url', v_config.alpaca_api_url
        ),
        'limits', coalesce((
            select jsonb_build_object(
                'kill_switch', kill_switch, 'allowed_symbols', allowed_symbols,
                'max_order_notional', max_order_notional::text, 'max_position_notional', max_position_notional::text,
                'max_orders_per_day', max_orders_per_day, 'max_daily_loss', max_daily_loss::text,
                'cooldown_seconds', cooldown_seconds
            ) from public.risk_limits where user_id = p_signal.user_id
        ), '{}'),
        'usage', (
            select jsonb_build_object(
                'orders_today', count(*) filter (where created_at >= v_day),
                'seconds_since_last', (
                    extract(epoch from clock_timestamp() - max(created_at) filter (where symbol = p_signal.symbol))
                )::integer,
                'open_notional', coalesce(sum(
                    (quantity - filled_quantity) * coalesce(limit_price, stop_price, reference_price, 0)
                ) filter (where symbol = p_signal.symbol and closed_at is null), 0)::text
            ) from public.orders
            where user_id = p_signal.user_id and role = 'entry' and is_simulated = v_simulated
              and signal_id is distinct from p_signal.id and status not in ('refused', 'rejected', 'lost')
              -- A cooldown is a week at the most; what is open counts to the position, however old.
              and (created_at > v_day or symbol = p_signal.symbol and (created_at > now() - interval '7 days' or closed_at is null))
        ),
        'held', (
            select jsonb_build_object(
                'quantity', quantity::text, 'last_price', coalesce(v_price, last_price)::text
            ) from public.positions
            where user_id = p_signal.user_id and symbol = p_signal.symbol and is_simulated = v_simulated
        ),
        'book', case when v_simulated then (
            select jsonb_build_object(
                'realised', coalesce((
                    select sum(profit) from public.trade_results where user_id = p_signal.user_id and is_simulated
                ), 0)::text,
                'realised_today', coalesce((
                    select sum(profit) from public.trade_results
                    where user_id = p_signal.user_id and is_simulated and created_at >= v_day
                ), 0)::text,
                'unrealised', coalesce(sum((coalesce(last_price, avg_entry_price) - avg_entry_price) * quantity), 0)::text,
                'invested', coalesce(sum(abs(quantity) * avg_entry_price), 0)::text
            ) from public.positions where user_id = p_signal.user_id and is_simulated and quantity <> 0
        ) end,
        'orders', coalesce((
            select jsonb_agg(private.order_json(one) order by one.created_at) from public.orders as one
            where one.signal_id = p_signal.id and one.parent_order_id is null
        ), '[]'),
        'open_orders', coalesce((
            select jsonb_agg(private.order_json(one) order by one.created_at) from public.orders as one
            where one.user_id = p_signal.user_id and one.symbol = p_signal.symbol and one.is_simulated = v_simulated
              and one.closed_at is null and one.signal_id is distinct from p_signal.id
        ), '[]')
    );
end;
$$;
comment on function private.trading_context(public.webhook_signals, boolean) is 'A signal with all that its decision is made from.';
