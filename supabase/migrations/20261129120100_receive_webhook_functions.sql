-- From the alert to the result: one atomic function a verb. Numbers go in and out as text: JSON readers
-- turn bare numbers into floating point.

-- The function verified the alert against a copy of the webhook. This call compares the copy's version where it
-- stores the alert: one query an alert instead of two.
create function public.receive_webhook_record(
    p_config_id       uuid,
    p_payload         jsonb,
    p_signal          jsonb,
    p_content_hash    text,
    p_dedupe_key      text default null,
    p_price           text default null,
    p_alert_at        timestamptz default null,
    p_config_version  timestamptz default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_config     public.webhook_configs;
    v_rate       private.webhook_rates;
    v_earlier    public.webhook_signals;
    v_now        timestamptz;
    v_signal_id  uuid;
    v_is_busy    boolean;
begin
    insert into private.webhook_rates (config_id)
    select id from public.webhook_configs where id = p_config_id
    on conflict (config_id) do nothing;
    -- From here on one at a time for each webhook.
    select * into v_rate from private.webhook_rates where config_id = p_config_id for update;
    select * into v_config from public.webhook_configs where id = p_config_id;
    if v_config.id is null or not v_config.is_active then
        return jsonb_build_object('outcome', 'inactive');
    end if;
    if p_config_version <> v_config.updated_at then
        return jsonb_build_object('outcome', 'changed');
    end if;
    v_now := clock_timestamp();

    if p_dedupe_key is not null then
        select * into v_earlier from public.webhook_signals
        where config_id = p_config_id and dedupe_key = p_dedupe_key;
    else
        -- An alert without id or time of its own: TradingView repeats itself within 20 seconds.
        select * into v_earlier from public.webhook_signals
        where config_id = p_config_id and content_hash = p_content_hash and received_at > v_now - interval '1 minute'
        order by received_at desc limit 1;
    end if;
    if v_earlier.id is not null then
        return jsonb_build_object(
            'outcome', 'duplicate', 'signal_id', v_earlier.id, 'user_id', v_earlier.user_id, 'status', v_earlier.status,
            'is_busy', v_earlier.finished_at is not null or v_earlier.next_attempt_at > v_now or exists (
                select from private.trading_turns where user_id = v_earlier.user_id and leased_until > v_now
            )
        );
    end if;

    if v_rate.window_start <= v_now - interval '1 minute' then
        v_rate.window_start := v_now;
        v_rate.taken := 0;
    end if;
    if v_rate.taken >= v_config.rate_limit_per_minute then
        return jsonb_build_object(
            'outcome', 'limited',
            'retry_after', greatest(1, ceil(extract(epoch from v_rate.window_start + interval '1 minute' - v_now))::integer)
        );
    end if;
    update private.webhook_rates set window_start = v_rate.window_start, taken = v_rate.taken + 1
    where config_id = p_config_id;

    insert into public.webhook_signals (
        config_id, user_id, dedupe_key, content_hash, payload, signal, symbol, price, alert_at, received_at, next_attempt_at
    ) values (
        p_config_id, v_config.user_id, coalesce(p_dedupe_key, 'at:' || extract(epoch from v_now) || ':' || p_content_hash),
        p_content_hash, p_payload, p_signal, p_signal #>> '{symbol,name}', p_price::numeric, p_alert_at, v_now, v_now
    ) returning id into v_signal_id;
    -- Who has the turn asks for the next signal before giving it back, and waits for this lock to do so:
    -- it will find this one. A row that is locked at the moment tells nothing.
    select leased_until > clock_timestamp() into v_is_busy from private.trading_turns
    where user_id = v_config.user_id for update skip locked;
    return jsonb_build_object(
        'outcome', 'accepted', 'signal_id', v_signal_id, 'user_id', v_config.user_id, 'is_busy', coalesce(v_is_busy, false)
    );
end;
$$;
comment on function public.receive_webhook_record(uuid, jsonb, jsonb, text, text, text, timestamptz, timestamptz) is
    'Stores an alert once: accepted, duplicate, limited (with retry_after in seconds), inactive, or changed: the webhook is of another version than the caller verified the alert by. is_busy: somebody is at the owner''s signals and will come to this one, or it is not due.';
revoke execute on function
    public.receive_webhook_record(uuid, jsonb, jsonb, text, text, text, timestamptz, timestamptz)
from public, anon, authenticated, service_role;
grant execute on function
    public.receive_webhook_record(uuid, jsonb, jsonb, text, text, text, timestamptz, timestamptz)
to service_role;

-- What decisions are made from. Orders in simulation and real ones do not count together.
create function private.trading_context(p_signal public.webhook_signals, p_simulation boolean) returns jsonb
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
revoke execute on function private.trading_context(public.webhook_signals, boolean)
    from public, anon, authenticated, service_role;

create function private.order_json(p_order public.orders) returns jsonb
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
revoke execute on function private.order_json(public.orders) from public, anon, authenticated, service_role;

-- An alert that waits, for the broker or for a later attempt, is not overtaken by the next one of its symbol.
create function public.receive_webhook_next(
    p_user_id uuid, p_lease_id uuid, p_lease_seconds integer, p_simulation boolean, p_most_attempts integer default 10
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_turn    private.trading_turns;
    v_signal  public.webhook_signals;
    v_end     timestamptz;
begin
    insert into private.trading_turns (user_id) values (p_user_id) on conflict (user_id) do nothing;
    -- Whoever stores a signal asks here afterwards: either it gets the turn, or the one who has it
    -- comes here again and finds the signal.
    select * into v_turn from private.trading_turns where user_id = p_user_id for update;
    if v_turn.leased_until > clock_timestamp() and v_turn.lease_id is distinct from p_lease_id then
        return null;
    end if;
    loop
        select * into v_signal from public.webhook_signals as one
        where user_id = p_user_id and status in ('pending', 'processing') and next_attempt_at <= clock_timestamp()
          and (leased_until is null or leased_until <= clock_timestamp() or lease_id is distinct from p_lease_id)
          -- Else the close finds nothing, and the buy that waited comes after it.
          and received_at <= (
              select earliest.received_at from public.webhook_signals as earliest
              where earliest.user_id = p_user_id and earliest.status in ('pending', 'processing')
                and earliest.symbol = one.symbol
              order by earliest.received_at limit 1
          )
        order by received_at limit 1;
        exit when v_signal.id is null or v_signal.attempts < p_most_attempts;
        -- What was taken up so often ended without a word each time, or the broker never answered.
        perform private.signal_end(
            v_signal.id, 'failed',
            jsonb_build_array(jsonb_build_object(
                'code', 'GIVEN_UP', 'message', coalesce(v_signal.last_error, 'every attempt ended without a word')
            )), null
        );
    end loop;
    if v_signal.id is null then
        update private.trading_turns set lease_id = null, leased_until = null where user_id = p_user_id;
        return null;
    end if;
    v_end := clock_timestamp() + make_interval(secs => greatest(p_lease_seconds, 1));
    update private.trading_turns set lease_id = p_lease_id, leased_until = v_end where user_id = p_user_id;
    update public.webhook_signals
    set status = 'processing', attempts = attempts + 1, lease_id = p_lease_id, leased_until = v_end
    where id = v_signal.id
    returning * into v_signal;
    return private.trading_context(v_signal, p_simulation);
end;
$$;
comment on function public.receive_webhook_next(uuid, uuid, integer, boolean, integer) is
    'Takes or keeps the owner''s turn and gives the oldest signal that is due, and before which none of its symbol waits, with all that its decision is made from; without one, gives the turn back. Null when another has the turn.';
revoke execute on function public.receive_webhook_next(uuid, uuid, integer, boolean, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_next(uuid, uuid, integer, boolean, integer) to service_role;

create function public.receive_webhook_yield(p_user_id uuid, p_lease_id uuid) returns void
language sql security definer set search_path = '' as $$
    update private.trading_turns set lease_id = null, leased_until = null
    where user_id = p_user_id and lease_id = p_lease_id;
$$;
comment on function public.receive_webhook_yield(uuid, uuid) is 'Gives the turn back though signals may be left.';
revoke execute on function public.receive_webhook_yield(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_yield(uuid, uuid) to service_role;

-- `Trend · AAPL: buy 10, filled 10 at 150.02 (simulated)`
create function private.webhook_sentence(p_name text, p_body jsonb) returns text
language sql stable set search_path = '' as $$
    select format('%s · %s: ', p_name, p_body ->> 'symbol') || case
        when p_body ? 'order_id' then format('%s %s, %s', p_body ->> 'side', p_body ->> 'quantity', p_body ->> 'status')
            || coalesce(' ' || (p_body ->> 'filled_quantity') || ' at ' || nullif(p_body ->> 'filled_avg_price', ''), '')
            || coalesce(': ' || nullif(p_body ->> 'error', ''), '')
            || case when (p_body ->> 'simulated')::boolean then ' (simulated)' else '' end
        else concat_ws(', ', p_body ->> 'status', (
            select string_agg(refusal ->> 'message', ', ' order by place)
            from jsonb_array_elements(coalesce(p_body -> 'refusals', '[]')) with ordinality as refusals (refusal, place)
        ))
    end;
$$;
comment on function private.webhook_sentence(text, jsonb) is 'What became of an alert or an order, for its owner to read.';
revoke execute on function private.webhook_sentence(text, jsonb) from public, anon, authenticated, service_role;

create function private.webhook_notify(p_config_id uuid, p_user_id uuid, p_event text, p_body jsonb) returns void
language sql security definer set search_path = '' as $$
    select private.notify(
        'receive-webhook', p_event,
        coalesce(preferences ->> 'url', preferences ->> 'webhook_url', preferences ->> 'webhookUrl'),
        private.webhook_sentence(config.name, p_body),
        jsonb_build_object('webhook', config.name, 'data', p_body),
        preferences ->> 'format', p_user_id
    )
    from public.webhook_configs as config
    cross join lateral (select config.notification_preferences as preferences) as owner
    where config.id = p_config_id
      and case p_event
          when 'success' then coalesce(preferences ->> 'on_success', preferences ->> 'onSuccess')
          else coalesce(preferences ->> 'on_failure', preferences ->> 'onFailure')
      end = 'true';
$$;
comment on function private.webhook_notify(uuid, uuid, text, jsonb) is 'Puts a message to the owner into the outbox where the preferences ask for it.';
revoke execute on function private.webhook_notify(uuid, uuid, text, jsonb)
    from public, anon, authenticated, service_role;

create function private.signal_end(p_signal_id uuid, p_status text, p_refusals jsonb, p_reasons jsonb) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_signal public.webhook_signals;
begin
    perform from public.webhook_configs
    where id = (select config_id from public.webhook_signals where id = p_signal_id) for key share;
    update public.webhook_signals
    set status = p_status, refusals = coalesce(p_refusals, refusals), reasons = coalesce(p_reasons, reasons),
        lease_id = null, leased_until = null, finished_at = clock_timestamp()
    where id = p_signal_id and finished_at is null
    returning * into v_signal;
    if v_signal.id is not null and p_status <> 'ordered' then
        perform private.webhook_notify(v_signal.config_id, v_signal.user_id, 'failure', jsonb_build_object(
            'signal_id', v_signal.id, 'symbol', v_signal.symbol, 'status', p_status, 'refusals', v_signal.refusals
        ));
    end if;
end;
$$;
comment on function private.signal_end(uuid, text, jsonb, jsonb) is 'Ends a signal, once.';
revoke execute on function private.signal_end(uuid, text, jsonb, jsonb)
    from public, anon, authenticated, service_role;

create function public.receive_webhook_finish(
    p_signal_id uuid, p_lease_id uuid, p_status text, p_refusals jsonb default null, p_reasons jsonb default null
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    perform from public.webhook_configs
    where id = (select config_id from public.webhook_signals where id = p_signal_id) for key share;
    perform from public.webhook_signals where id = p_signal_id and lease_id = p_lease_id for update;
    if not found then
        return false;
    end if;
    perform private.signal_end(p_signal_id, p_status, p_refusals, p_reasons);
    return true;
end;
$$;
comment on function public.receive_webhook_finish(uuid, uuid, text, jsonb, jsonb) is
    'Ends a signal as ordered, refused or failed. False when another has it by now; then nothing changes.';
revoke execute on function public.receive_webhook_finish(uuid, uuid, text, jsonb, jsonb)
    from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_finish(uuid, uuid, text, jsonb, jsonb) to service_role;

-- Waiting for the broker to finish what it was asked for is no failed attempt.
create function public.receive_webhook_later(
    p_signal_id uuid, p_lease_id uuid, p_after_seconds integer, p_error text, p_is_attempt boolean default true
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.webhook_signals
    set status = 'pending', lease_id = null, leased_until = null, last_error = left(p_error, 1000),
        attempts = attempts - case when p_is_attempt then 0 else 1 end,
        next_attempt_at = clock_timestamp() + make_interval(secs => greatest(p_after_seconds, 0))
    where id = p_signal_id and lease_id = p_lease_id and finished_at is null;
    return found;
end;
$$;
comment on function public.receive_webhook_later(uuid, uuid, integer, text, boolean) is
    'Leaves a signal for a later attempt. What is no attempt does not count to those after which a signal is given up.';
revoke execute on function public.receive_webhook_later(uuid, uuid, integer, text, boolean)
    from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_later(uuid, uuid, integer, text, boolean) to service_role;

create function private.order_fill(p_order public.orders, p_quantity numeric, p_price numeric) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_held    public.positions;
    v_signed  numeric := case p_order.side when 'buy' then p_quantity else -p_quantity end;
    v_closed  numeric;
    v_left    numeric;
begin
    insert into public.order_events (order_id, user_id, event, quantity, price)
    values (p_order.id, p_order.user_id, 'fill', p_quantity, p_price);
    insert into public.positions (user_id, symbol, is_simulated) values (p_order.user_id, p_order.symbol, p_order.is_simulated)
    on conflict (user_id, symbol, is_simulated) do nothing;
    select * into v_held from public.positions
    where user_id = p_order.user_id and symbol = p_order.symbol and is_simulated = p_order.is_simulated
    for update;
    v_left := v_held.quantity + v_signed;
    if v_held.quantity <> 0 and sign(v_held.quantity) <> sign(v_signed) then
        v_closed := least(abs(v_held.quantity), p_quantity);
        insert into public.trade_results (
            user_id, config_id, order_id, symbol, direction, quantity, entry_price, exit_price, profit, is_simulated
        ) values (
            p_order.user_id, p_order.config_id, p_order.id, p_order.symbol,
            case when v_held.quantity > 0 then 'long' else 'short' end,
            v_closed, v_held.avg_entry_price, p_price,
            trim_scale(round((p_price - v_held.avg_entry_price) * v_closed * sign(v_held.quantity), 9)), p_order.is_simulated
        );
    end if;
    update public.positions
    set quantity = v_left,
        last_price = p_price,
        avg_entry_price = case
            when v_left = 0 then null
            when v_held.quantity = 0 or sign(v_left) <> sign(v_held.quantity) then p_price
            when sign(v_signed) = sign(v_held.quantity)
                then trim_scale(round((v_held.avg_entry_price * abs(v_held.quantity) + p_price * p_quantity) / abs(v_left), 12))
            else v_held.avg_entry_price
        end
    where user_id = p_order.user_id and symbol = p_order.symbol and is_simulated = p_order.is_simulated;
end;
$$;
comment on function private.order_fill(public.orders, numeric, numeric) is
    'Adds a fill to the position; what it closes of it becomes a trade result.';
revoke execute on function private.order_fill(public.orders, numeric, numeric)
    from public, anon, authenticated, service_role;

create function private.order_settle(p_order_id uuid, p_state jsonb) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_order    public.orders;
    v_status   text := p_state ->> 'status';
    v_filled   numeric;
    v_average  numeric := (p_state ->> 'filled_avg_price')::numeric;
    v_delta    numeric;
    v_final    boolean := v_status in ('refused', 'lost', 'filled', 'canceled', 'expired', 'replaced', 'rejected');
    v_changed  boolean;
    v_leg      jsonb;
    v_leg_id   uuid;
begin
    perform from public.webhook_configs
    where id = (select config_id from public.orders where id = p_order_id) for key share;
    select * into v_order from public.orders where id = p_order_id for update;
    -- What is closed stays closed, and old news takes no fill back.
    if v_order.id is null or v_order.closed_at is not null then
        return;
    end if;
    v_filled := least(greatest(coalesce((p_state ->> 'filled_quantity')::numeric, 0), v_order.filled_quantity), v_order.quantity);
    v_delta := v_filled - v_order.filled_quantity;
    v_changed := v_delta > 0 or v_status <> v_order.status;
    if v_delta > 0 and v_average is not null then
        perform private.order_fill(
            v_order, v_delta,
            trim_scale(round((v_filled * v_average - v_order.filled_quantity * coalesce(v_order.filled_avg_price, 0)) / v_delta, 12))
        );
    end if;
    update public.orders
    set status = v_status,
        broker_order_id = coalesce(p_state ->> 'broker_order_id', broker_order_id),
        filled_quantity = v_filled,
        filled_avg_price = coalesce(v_average, filled_avg_price),
        error_code = coalesce(p_state ->> 'error_code', error_code),
        error_message = coalesce(left(p_state ->> 'error_message', 1000), error_message),
        closed_at = case when v_final then clock_timestamp() end,
        checks = case when v_changed then 0 else checks + 1 end,
        next_check_at = case
            when v_final then null
            else clock_timestamp() + make_interval(secs => case when v_changed then 5 else least(5 * power(2, least(checks, 10)), 300) end)
        end
    where id = p_order_id;
    if v_status <> v_order.status then
        insert into public.order_events (order_id, user_id, event, details)
        values (p_order_id, v_order.user_id, v_status, jsonb_strip_nulls(jsonb_build_object(
            'code', p_state ->> 'error_code', 'message', left(p_state ->> 'error_message', 1000)
        )));
    end if;

    for v_leg in select value from jsonb_array_elements(coalesce(p_state -> 'legs', '[]')) as legs (value) loop
        insert into public.orders (
            signal_id, config_id, user_id, parent_order_id, client_order_id, is_simulated, role, symbol, asset_class, side,
            order_type, quantity, limit_price, stop_price, time_in_force, next_check_at
        ) values (
            v_order.signal_id, v_order.config_id, v_order.user_id, v_order.id, v_leg ->> 'client_order_id',
            v_order.is_simulated, v_leg ->> 'role', v_order.symbol, v_order.asset_class,
            case v_order.side when 'buy' then 'sell' else 'buy' end, v_leg ->> 'order_type',
            (v_leg ->> 'quantity')::numeric, (v_leg ->> 'limit_price')::numeric, (v_leg ->> 'stop_price')::numeric,
            v_order.time_in_force, clock_timestamp()
        ) on conflict (client_order_id) do nothing;
        select id into v_leg_id from public.orders where client_order_id = v_leg ->> 'client_order_id';
        perform private.order_settle(v_leg_id, v_leg);
    end loop;

    -- In simulation nobody else cancels the other leg, or the legs of an entry that came to nothing.
    if v_final and v_order.is_simulated then
        for v_leg_id in
            select id from public.orders
            where closed_at is null and id <> p_order_id and (
                (v_order.parent_order_id is not null and parent_order_id = v_order.parent_order_id)
                or (parent_order_id = p_order_id and v_filled = 0)
            )
        loop
            perform private.order_settle(v_leg_id, '{"status": "canceled"}');
        end loop;
    end if;
    if v_final and v_order.parent_order_id is null then
        perform private.webhook_notify(
            v_order.config_id, v_order.user_id,
            case when v_filled > 0 then 'success' else 'failure' end,
            jsonb_build_object(
                'signal_id', v_order.signal_id, 'order_id', p_order_id, 'symbol', v_order.symbol, 'side', v_order.side,
                'quantity', v_order.quantity::text, 'status', v_status, 'filled_quantity', v_filled::text,
                'filled_avg_price', coalesce(v_average, v_order.filled_avg_price)::text,
                'simulated', v_order.is_simulated, 'error', p_state ->> 'error_message'
            )
        );
    end if;
end;
$$;
comment on function private.order_settle(uuid, jsonb) is
    'Brings an order to the state that the broker tells: fills, legs, events, results. Old news changes nothing.';
revoke execute on function private.order_settle(uuid, jsonb) from public, anon, authenticated, service_role;

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

create function public.receive_webhook_settle(p_order_id uuid, p_state jsonb) returns void
language sql security definer set search_path = '' as $$
    select private.order_settle(p_order_id, p_state);
$$;
comment on function public.receive_webhook_settle(uuid, jsonb) is 'Notes what the broker says of an order.';
revoke execute on function public.receive_webhook_settle(uuid, jsonb) from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_settle(uuid, jsonb) to service_role;

create function public.receive_webhook_open_orders(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_orders jsonb;
begin
    with due as (
        select id from public.orders
        where closed_at is null and next_check_at <= statement_timestamp()
        order by next_check_at limit least(greatest(p_limit, 0), 500)
        for update skip locked
    ), taken as (
        update public.orders as one
        set next_check_at = clock_timestamp() + make_interval(secs => greatest(p_lease_seconds, 1))
        from due where one.id = due.id
        returning one.*
    )
    select jsonb_agg(
        private.order_json(one) || jsonb_build_object(
            'alpaca_api_key_sealed', config.alpaca_api_key_sealed,
            'alpaca_api_secret_sealed', config.alpaca_api_secret_sealed,
            'alpaca_api_url', config.alpaca_api_url,
            'config_id', one.config_id,
            'parent_filled', parent.filled_quantity > 0,
            'signal_open', exists (
                select from public.webhook_signals as signal where signal.id = one.signal_id and signal.finished_at is null
            ),
            'last_price', (
                select signal.price::text from public.webhook_signals as signal
                where signal.user_id = one.user_id and signal.symbol = one.symbol and signal.price is not null
                order by signal.received_at desc limit 1
            )
        )
    ) into v_orders
    from taken as taken_one
    join public.orders as one on one.id = taken_one.id
    left join public.webhook_configs as config on config.id = one.config_id
    left join public.orders as parent on parent.id = one.parent_order_id;
    return coalesce(v_orders, '[]');
end;
$$;
comment on function public.receive_webhook_open_orders(integer, integer) is
    'Open orders that the broker is to be asked about, leased. Two calls at once never give the same order.';
revoke execute on function public.receive_webhook_open_orders(integer, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_open_orders(integer, integer) to service_role;

create function public.receive_webhook_waiting(p_limit integer) returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(user_id), '[]') from (
        select signal.user_id
        from public.webhook_signals as signal
        left join private.trading_turns as turn on turn.user_id = signal.user_id
        where signal.status in ('pending', 'processing') and signal.next_attempt_at <= statement_timestamp()
          and (turn.leased_until is null or turn.leased_until <= statement_timestamp())
        group by signal.user_id
        order by min(signal.received_at)
        limit least(greatest(p_limit, 0), 500)
    ) as waiting;
$$;
comment on function public.receive_webhook_waiting(integer) is 'Owners with signals that nobody is at, the longest waiting first.';
revoke execute on function public.receive_webhook_waiting(integer) from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_waiting(integer) to service_role;

-- The safety net: what no request has finished is taken up again every minute.

create function private.receive_webhook_tick() returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    if exists (
        select from public.webhook_signals where status in ('pending', 'processing') and next_attempt_at <= now()
    ) or exists (
        select from public.orders where closed_at is null and next_check_at <= now()
    ) or private.notifications_due('receive-webhook') then
        return private.call_function('receive-webhook/sweep');
    end if;
    return null;
end;
$$;
comment on function private.receive_webhook_tick() is
    'Calls receive-webhook/sweep when a signal, an order or a notification is due. The id of pg_net''s request.';
revoke execute on function private.receive_webhook_tick() from public, anon, authenticated, service_role;

select cron.schedule('receive-webhook', '* * * * *', 'select private.receive_webhook_tick()');

insert into private.sealed_columns (relation, column_name, ring, holder, reseal, place) values
    ('public.webhook_configs', 'hmac_secret_sealed', 'CREDENTIALS_ENCRYPTION_KEYS', 'receive-webhook', 'receive-webhook/rotate-key',
     $$ 'webhook_configs/' || webhook_configs.id || '/hmac_secret' $$),
    ('public.webhook_configs', 'alpaca_api_key_sealed', 'CREDENTIALS_ENCRYPTION_KEYS', 'receive-webhook', 'receive-webhook/rotate-key',
     $$ 'webhook_configs/' || webhook_configs.id || '/alpaca_api_key' $$),
    ('public.webhook_configs', 'alpaca_api_secret_sealed', 'CREDENTIALS_ENCRYPTION_KEYS', 'receive-webhook', 'receive-webhook/rotate-key',
     $$ 'webhook_configs/' || webhook_configs.id || '/alpaca_api_secret' $$);

create function private.health_signals() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    v_table constant regclass := to_regclass('public.webhook_signals');
    v_signals jsonb;
begin
    if v_table is null then
        return null;
    end if;
    execute format($sql$
        select jsonb_build_object(
            'pending', count(*),
            'oldest_seconds', coalesce(floor(extract(epoch from clock_timestamp() - min(received_at)))::bigint, 0)
        )
        from %s where status in ('pending', 'processing')
    $sql$, v_table) into v_signals;
    return v_signals;
end;
$$;
comment on function private.health_signals() is 'Section of health_report: signals that are not done, and the age of the oldest.';
revoke execute on function private.health_signals() from public, anon, authenticated, service_role;
