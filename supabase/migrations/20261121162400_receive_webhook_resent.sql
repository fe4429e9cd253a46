-- An alert that is sent again because its first sender was never answered may be one that nobody is at.

create or replace function public.receive_webhook_record(
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
