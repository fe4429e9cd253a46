-- An order belongs to the account it was sent to, whatever its webhook's keys are by now.

alter table public.orders add column account text;
comment on column public.orders.account is
    'Where it was sent: 16 digits of the SHA-256 of the account''s key. None in simulation and where it was not noted yet; legs are where their entry is.';

create or replace function private.order_json(p_order public.orders) returns jsonb
language sql volatile set search_path = '' as $$
    select jsonb_build_object(
        'order_id', p_order.id, 'client_order_id', p_order.client_order_id, 'broker_order_id', p_order.broker_order_id,
        'simulated', p_order.is_simulated, 'role', p_order.role, 'symbol', p_order.symbol, 'asset_class', p_order.asset_class,
        'side', p_order.side, 'order_type', p_order.order_type, 'quantity', p_order.quantity::text,
        'limit_price', p_order.limit_price::text, 'stop_price', p_order.stop_price::text,
        'trail_price', p_order.trail_price::text, 'trail_percent', p_order.trail_percent::text,
        'time_in_force', p_order.time_in_force, 'stop_loss', p_order.stop_loss::text, 'take_profit', p_order.take_profit::text,
        'reference_price', p_order.reference_price::text, 'status', p_order.status,
        'filled_quantity', p_order.filled_quantity::text, 'filled_avg_price', p_order.filled_avg_price::text,
        'closed', p_order.closed_at is not null,
        'age_seconds', extract(epoch from clock_timestamp() - p_order.created_at)::integer,
        'config_id', p_order.config_id,
        'account', coalesce(p_order.account, (
            select entry.account from public.orders as entry where entry.id = p_order.parent_order_id
        )),
        'own', (
            select jsonb_build_object(
                'alpaca_api_key_sealed', config.alpaca_api_key_sealed,
                'alpaca_api_secret_sealed', config.alpaca_api_secret_sealed,
                'alpaca_api_url', config.alpaca_api_url
            ) from public.webhook_configs as config where config.id = p_order.config_id and not p_order.is_simulated
        )
    );
$$;
comment on function private.order_json(public.orders) is
    'An order as the function reads it, with the account it was sent to and the keys that its webhook has by now.';

drop function public.receive_webhook_place(uuid, uuid, text, boolean, jsonb, jsonb, jsonb);

create function public.receive_webhook_place(
    p_signal_id uuid, p_lease_id uuid, p_client_order_id text, p_simulated boolean, p_order jsonb, p_reasons jsonb,
    p_state jsonb default null, p_account text default null
) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_signal    public.webhook_signals;
    v_order_id  uuid;
begin
    -- The webhook before its signals and orders, in the order in which removing it locks them.
    perform from public.webhook_configs
    where id = (select config_id from public.webhook_signals where id = p_signal_id) for key share;
    select * into v_signal from public.webhook_signals where id = p_signal_id and lease_id = p_lease_id for update;
    if v_signal.id is null then
        return null;
    end if;
    insert into public.orders (
        signal_id, config_id, user_id, client_order_id, is_simulated, account, role, symbol, asset_class, side, order_type,
        quantity, limit_price, stop_price, trail_price, trail_percent, time_in_force, stop_loss, take_profit,
        reference_price, next_check_at
    ) values (
        v_signal.id, v_signal.config_id, v_signal.user_id, p_client_order_id, p_simulated, p_account, p_order ->> 'intent',
        p_order #>> '{symbol,name}', p_order #>> '{symbol,class}', p_order ->> 'side', p_order ->> 'order_type',
        (p_order ->> 'quantity')::numeric, (p_order ->> 'limit_price')::numeric, (p_order ->> 'stop_price')::numeric,
        (p_order #>> '{trail,price}')::numeric, (p_order #>> '{trail,percent}')::numeric, p_order ->> 'time_in_force',
        (p_order #>> '{bracket,stop_loss}')::numeric, (p_order #>> '{bracket,take_profit}')::numeric,
        (p_order ->> 'reference_price')::numeric,
        -- Should its maker end without a word, the sweep asks the broker.
        clock_timestamp() + interval '1 minute'
    ) on conflict (client_order_id) do nothing returning id into v_order_id;
    if v_order_id is null then
        select id into v_order_id from public.orders where client_order_id = p_client_order_id and signal_id = p_signal_id;
        return v_order_id;
    end if;
    insert into public.order_events (order_id, user_id, event) values (v_order_id, v_signal.user_id, 'pending');
    update public.webhook_signals set reasons = p_reasons where id = p_signal_id;
    if p_state is not null then
        perform private.order_settle(v_order_id, p_state);
        if p_order ->> 'intent' <> 'turn' then
            perform private.signal_end(p_signal_id, 'ordered', null, p_reasons);
        end if;
    end if;
    return v_order_id;
end;
$$;
comment on function public.receive_webhook_place(uuid, uuid, text, boolean, jsonb, jsonb, jsonb, text) is
    'Notes an order and its account before the broker is asked; with a state, as in simulation, its outcome too. The order''s id; null when another has the signal.';

revoke execute on function public.receive_webhook_place(uuid, uuid, text, boolean, jsonb, jsonb, jsonb, text)
from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_place(uuid, uuid, text, boolean, jsonb, jsonb, jsonb, text)
to service_role;
