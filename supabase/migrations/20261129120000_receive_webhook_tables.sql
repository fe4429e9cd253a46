-- Trading webhooks: what their owners allow, the durable inbox of alerts, the orders, and the results of those.

create table public.webhook_configs (
    id                        uuid primary key default gen_random_uuid(),
    user_id                   uuid not null default auth.uid() references auth.users on delete cascade,
    name                      text not null,
    description               text,
    webhook_url               text unique,
    security_token            text not null,
    notification_preferences  jsonb not null default '{}',
    is_active                 boolean not null default true,
    source                    text not null default 'tradingview',
    allowed_ips               text[],
    hmac_secret_sealed        text,
    hmac_required             boolean not null default false,
    freshness_seconds         integer not null default 120,
    act_within_seconds        integer not null default 300,
    rate_limit_per_minute     integer not null default 60,
    simulation_mode           boolean,
    default_order_quantity    numeric,
    position_sizing_method    text,
    position_size_value       numeric,
    alpaca_api_key_sealed     text,
    alpaca_api_secret_sealed  text,
    alpaca_api_url            text,
    created_at                timestamptz not null default now(),
    updated_at                timestamptz not null default now(),
    constraint webhook_configs_name check (name ~ '\S' and length(name) <= 255),
    constraint webhook_configs_description check (length(description) <= 2000),
    constraint webhook_configs_token_hashed check (security_token ~ '^sha256:[0-9a-f]{64}$'),
    constraint webhook_configs_preferences check (
        jsonb_typeof(notification_preferences) = 'object' and length(notification_preferences::text) <= 8192
    ),
    constraint webhook_configs_source check (source in ('tradingview', 'other')),
    constraint webhook_configs_ips check (cardinality(allowed_ips) <= 100),
    constraint webhook_configs_sealed check (
        hmac_secret_sealed ~ '^v1\.' and alpaca_api_key_sealed ~ '^v1\.' and alpaca_api_secret_sealed ~ '^v1\.'
    ),
    constraint webhook_configs_hmac check (hmac_secret_sealed is not null or not hmac_required),
    constraint webhook_configs_own_account check ((alpaca_api_key_sealed is null) = (alpaca_api_secret_sealed is null)),
    constraint webhook_configs_freshness check (freshness_seconds between 0 and 86400),
    constraint webhook_configs_act_within check (act_within_seconds between 5 and 86400),
    constraint webhook_configs_rate check (rate_limit_per_minute between 1 and 100000),
    constraint webhook_configs_sizing check (position_sizing_method in ('fixed', 'percentage', 'risk')),
    constraint webhook_configs_sizes check (default_order_quantity > 0 and position_size_value > 0)
);
comment on table public.webhook_configs is 'One row per webhook: who may send alerts to it, and how they become orders.';
comment on column public.webhook_configs.id is 'The last part of the webhook''s URL.';
comment on column public.webhook_configs.user_id is 'The owner.';
comment on column public.webhook_configs.name is 'For people.';
comment on column public.webhook_configs.description is 'For people.';
comment on column public.webhook_configs.webhook_url is 'Where alerts are sent. Written by the function.';
comment on column public.webhook_configs.security_token is 'sha256: and the hash of the passphrase. A trigger hashes what is written in clear (6 to 255 characters).';
comment on column public.webhook_configs.notification_preferences is
    'on_success and on_failure (or onSuccess, onFailure): whether to tell; url: whom; format: slack, discord or json, guessed from the URL.';
comment on column public.webhook_configs.is_active is 'Alerts to an inactive webhook are answered 410.';
comment on column public.webhook_configs.source is 'tradingview: only its four addresses are let in, unless allowed_ips says otherwise. other: any.';
comment on column public.webhook_configs.allowed_ips is 'Addresses that are let in; an empty list: any. Not set: by the source.';
comment on column public.webhook_configs.hmac_secret_sealed is 'The sealed key of the signature that a relay may show instead of the passphrase.';
comment on column public.webhook_configs.hmac_required is 'Whether the signature must be there; the passphrase alone is refused then.';
comment on column public.webhook_configs.freshness_seconds is 'An alert whose own time is older is refused; 0: not looked at.';
comment on column public.webhook_configs.act_within_seconds is 'An alert that could not be acted on within that time is refused: the market has moved on.';
comment on column public.webhook_configs.rate_limit_per_minute is 'Alerts a minute that are let in; duplicates do not count.';
comment on column public.webhook_configs.simulation_mode is 'Instead of SIMULATION_MODE. False counts with an account of its own only, unless SIMULATION_MODE is false.';
comment on column public.webhook_configs.default_order_quantity is 'Instead of DEFAULT_ORDER_QUANTITY.';
comment on column public.webhook_configs.position_sizing_method is 'Instead of POSITION_SIZING_METHOD: fixed, percentage or risk.';
comment on column public.webhook_configs.position_size_value is 'Instead of POSITION_SIZE_VALUE.';
comment on column public.webhook_configs.alpaca_api_key_sealed is 'The sealed key of the owner''s own account at the broker, instead of ALPACA_API_KEY.';
comment on column public.webhook_configs.alpaca_api_secret_sealed is 'Its sealed secret, instead of ALPACA_API_SECRET.';
comment on column public.webhook_configs.alpaca_api_url is 'Instead of ALPACA_API_URL; counts with an account of its own only.';
comment on column public.webhook_configs.created_at is 'When the row was made.';
comment on column public.webhook_configs.updated_at is 'When the row was last changed.';
create index webhook_configs_user on public.webhook_configs (user_id, created_at);
create trigger webhook_configs_touch before update on public.webhook_configs
    for each row execute function private.touch_updated_at();
alter table public.webhook_configs enable row level security;
revoke all on public.webhook_configs from public, anon, authenticated, service_role;
-- What is hashed or sealed is read by the function only.
grant select (
    id, user_id, name, description, webhook_url, notification_preferences, is_active, source, allowed_ips, hmac_required,
    freshness_seconds, act_within_seconds, rate_limit_per_minute, simulation_mode, default_order_quantity,
    position_sizing_method, position_size_value, alpaca_api_url, created_at, updated_at
) on public.webhook_configs to authenticated;
grant insert (
    id, user_id, name, description, webhook_url, security_token, notification_preferences, is_active, source, allowed_ips,
    hmac_secret_sealed, hmac_required, freshness_seconds, act_within_seconds, rate_limit_per_minute, simulation_mode,
    default_order_quantity, position_sizing_method, position_size_value, alpaca_api_key_sealed, alpaca_api_secret_sealed,
    alpaca_api_url
) on public.webhook_configs to authenticated;
grant update (
    name, description, webhook_url, security_token, notification_preferences, is_active, source, allowed_ips,
    hmac_secret_sealed, hmac_required, freshness_seconds, act_within_seconds, rate_limit_per_minute, simulation_mode,
    default_order_quantity, position_sizing_method, position_size_value, alpaca_api_key_sealed, alpaca_api_secret_sealed,
    alpaca_api_url
) on public.webhook_configs to authenticated;
grant delete on public.webhook_configs to authenticated;
grant select, insert, update, delete on public.webhook_configs to service_role;
create policy "owners read their webhooks" on public.webhook_configs
    for select to authenticated using ((select auth.uid()) = user_id);
create policy "owners make their webhooks" on public.webhook_configs
    for insert to authenticated with check ((select auth.uid()) = user_id);
create policy "owners change their webhooks" on public.webhook_configs
    for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "owners remove their webhooks" on public.webhook_configs
    for delete to authenticated using ((select auth.uid()) = user_id);

create function private.webhook_token_hash() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if new.security_token !~ '^sha256:[0-9a-f]{64}$' then
        if length(new.security_token) not between 6 and 255 then
            raise exception 'security_token must have 6 to 255 characters' using errcode = '23514';
        end if;
        new.security_token := 'sha256:' || encode(sha256(convert_to(new.security_token, 'utf8')), 'hex');
    end if;
    return new;
end;
$$;
comment on function private.webhook_token_hash() is 'Trigger: a passphrase is never stored in clear, whoever writes it.';
revoke execute on function private.webhook_token_hash() from public, anon, authenticated, service_role;
create trigger webhook_configs_hash before insert or update of security_token on public.webhook_configs
    for each row execute function private.webhook_token_hash();

create table public.risk_limits (
    user_id                uuid primary key default auth.uid() references auth.users on delete cascade,
    kill_switch            boolean not null default false,
    allowed_symbols        text[],
    max_order_notional     numeric,
    max_position_notional  numeric,
    max_orders_per_day     integer,
    max_daily_loss         numeric,
    cooldown_seconds       integer,
    created_at             timestamptz not null default now(),
    updated_at             timestamptz not null default now(),
    constraint risk_limits_symbols check (cardinality(allowed_symbols) <= 1000),
    constraint risk_limits_amounts check (max_order_notional >= 0 and max_position_notional >= 0 and max_daily_loss >= 0),
    constraint risk_limits_counts check (max_orders_per_day >= 0 and cooldown_seconds between 0 and 604800)
);
comment on table public.risk_limits is 'What an owner''s alerts may not exceed. What is not set does not limit; no row: no limits.';
comment on column public.risk_limits.user_id is 'The owner.';
comment on column public.risk_limits.kill_switch is 'On: no order goes out, exits neither.';
comment on column public.risk_limits.allowed_symbols is 'Entries in these only, in the broker''s spelling: AAPL, BTC/USD.';
comment on column public.risk_limits.max_order_notional is 'What an entry may cost, in the account''s currency.';
comment on column public.risk_limits.max_position_notional is 'What a position with its open entries may be worth.';
comment on column public.risk_limits.max_orders_per_day is 'Entries a day, UTC.';
comment on column public.risk_limits.max_daily_loss is 'No entries once the equity has lost so much since the day before.';
comment on column public.risk_limits.cooldown_seconds is 'Between two entries in one symbol.';
comment on column public.risk_limits.created_at is 'When the row was made.';
comment on column public.risk_limits.updated_at is 'When the row was last changed.';
create trigger risk_limits_touch before update on public.risk_limits
    for each row execute function private.touch_updated_at();
alter table public.risk_limits enable row level security;
revoke all on public.risk_limits from public, anon, authenticated, service_role;
grant select on public.risk_limits to authenticated;
grant insert (
    user_id, kill_switch, allowed_symbols, max_order_notional, max_position_notional, max_orders_per_day, max_daily_loss,
    cooldown_seconds
) on public.risk_limits to authenticated;
grant update (
    kill_switch, allowed_symbols, max_order_notional, max_position_notional, max_orders_per_day, max_daily_loss,
    cooldown_seconds
) on public.risk_limits to authenticated;
grant select, insert, update on public.risk_limits to service_role;
create policy "owners read their limits" on public.risk_limits
    for select to authenticated using ((select auth.uid()) = user_id);
create policy "owners make their limits" on public.risk_limits
    for insert to authenticated with check ((select auth.uid()) = user_id);
create policy "owners change their limits" on public.risk_limits
    for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

create table public.webhook_signals (
    id               uuid primary key default gen_random_uuid(),
    config_id        uuid references public.webhook_configs on delete set null,
    user_id          uuid not null references auth.users on delete cascade,
    dedupe_key       text not null,
    content_hash     text not null,
    payload          jsonb not null,
    signal           jsonb not null,
    symbol           text not null,
    price            numeric,
    alert_at         timestamptz,
    received_at      timestamptz not null default clock_timestamp(),
    status           text not null default 'pending',
    attempts         integer not null default 0,
    next_attempt_at  timestamptz not null default clock_timestamp(),
    lease_id         uuid,
    leased_until     timestamptz,
    refusals         jsonb not null default '[]',
    reasons          jsonb not null default '[]',
    last_error       text,
    finished_at      timestamptz,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    constraint webhook_signals_once unique (config_id, dedupe_key),
    constraint webhook_signals_status check (status in ('pending', 'processing', 'ordered', 'refused', 'failed')),
    constraint webhook_signals_size check (length(payload::text) <= 65536)
);
comment on table public.webhook_signals is 'One row per accepted alert, kept as the audit trail. Ends as ordered, refused or failed.';
comment on column public.webhook_signals.id is 'The order''s client_order_id is made from it.';
comment on column public.webhook_signals.config_id is 'The webhook; empty when that was removed.';
comment on column public.webhook_signals.user_id is 'The owner.';
comment on column public.webhook_signals.dedupe_key is 'The same alert has the same key: its own id, its content with its own time, or its content within a minute.';
comment on column public.webhook_signals.content_hash is 'SHA-256 of the body without secrets.';
comment on column public.webhook_signals.payload is 'The body as it came, without passphrase and other secrets.';
comment on column public.webhook_signals.signal is 'What was read from it; numbers are text.';
comment on column public.webhook_signals.symbol is 'The symbol in the broker''s spelling.';
comment on column public.webhook_signals.price is 'The price that the alert names.';
comment on column public.webhook_signals.alert_at is 'The alert''s own time.';
comment on column public.webhook_signals.received_at is 'When it was stored.';
comment on column public.webhook_signals.status is 'pending, processing, ordered, refused (by a limit or rule) or failed (by the broker, or given up).';
comment on column public.webhook_signals.attempts is 'How often it was taken up.';
comment on column public.webhook_signals.next_attempt_at is 'Not taken up before.';
comment on column public.webhook_signals.lease_id is 'Who is at it.';
comment on column public.webhook_signals.leased_until is 'Taken up by another from then on.';
comment on column public.webhook_signals.refusals is 'Why there is no order: code and message each.';
comment on column public.webhook_signals.reasons is 'How the decision came about.';
comment on column public.webhook_signals.last_error is 'Why the last attempt came to nothing.';
comment on column public.webhook_signals.finished_at is 'When it was ordered, refused or given up.';
comment on column public.webhook_signals.created_at is 'When the row was made.';
comment on column public.webhook_signals.updated_at is 'When the row was last changed.';
create index webhook_signals_user on public.webhook_signals (user_id, received_at desc);
create index webhook_signals_open on public.webhook_signals (user_id, received_at) where status in ('pending', 'processing');
create index webhook_signals_content on public.webhook_signals (config_id, content_hash, received_at desc);
create index webhook_signals_price on public.webhook_signals (user_id, symbol, received_at desc) where price is not null;
create trigger webhook_signals_touch before update on public.webhook_signals
    for each row execute function private.touch_updated_at();
alter table public.webhook_signals enable row level security;
revoke all on public.webhook_signals from public, anon, authenticated, service_role;
-- Owners read; only the functions receive_webhook_… write.
grant select on public.webhook_signals to authenticated, service_role;
create policy "owners read their signals" on public.webhook_signals
    for select to authenticated using ((select auth.uid()) = user_id);

create table public.orders (
    id                uuid primary key default gen_random_uuid(),
    signal_id         uuid references public.webhook_signals on delete set null,
    config_id         uuid references public.webhook_configs on delete set null,
    user_id           uuid not null references auth.users on delete cascade,
    parent_order_id   uuid references public.orders on delete cascade,
    client_order_id   text not null unique,
    broker_order_id   text,
    is_simulated      boolean not null,
    account           text,
    role              text not null,
    symbol            text not null,
    asset_class       text not null,
    side              text not null,
    order_type        text not null,
    quantity          numeric not null,
    limit_price       numeric,
    stop_price        numeric,
    trail_price       numeric,
    trail_percent     numeric,
    time_in_force     text not null,
    stop_loss         numeric,
    take_profit       numeric,
    reference_price   numeric,
    status            text not null default 'pending',
    filled_quantity   numeric not null default 0,
    filled_avg_price  numeric,
    error_code        text,
    error_message     text,
    closed_at         timestamptz,
    checks            integer not null default 0,
    next_check_at     timestamptz,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    constraint orders_client_order_id check (length(client_order_id) between 1 and 48),
    constraint orders_role check (role in ('entry', 'exit', 'turn', 'stop_loss', 'take_profit')),
    constraint orders_side check (side in ('buy', 'sell')),
    constraint orders_quantity check (quantity > 0 and filled_quantity between 0 and quantity),
    constraint orders_status check (status in (
        'pending', 'refused', 'lost', 'new', 'held', 'accepted', 'pending_new', 'accepted_for_bidding', 'partially_filled',
        'filled', 'done_for_day', 'canceled', 'expired', 'replaced', 'pending_cancel', 'pending_replace', 'stopped',
        'rejected', 'suspended', 'calculated'
    )),
    constraint orders_closed check (
        (closed_at is not null) = (status in ('refused', 'lost', 'filled', 'canceled', 'expired', 'replaced', 'rejected'))
    )
);
comment on table public.orders is 'One row per order, written before the broker is asked. Open until its status is a final one.';
comment on column public.orders.id is 'Ours.';
comment on column public.orders.signal_id is 'The alert it comes from.';
comment on column public.orders.config_id is 'The webhook it comes from.';
comment on column public.orders.user_id is 'The owner.';
comment on column public.orders.parent_order_id is 'Of a stop loss or take profit: the entry.';
comment on column public.orders.client_order_id is 'Made from the alert''s id, so that asking twice cannot order twice; 48 characters at the most.';
comment on column public.orders.broker_order_id is 'The broker''s.';
comment on column public.orders.is_simulated is 'Whether no broker was asked.';
comment on column public.orders.account is
    'Where it was sent: 16 digits of the SHA-256 of the account''s key. None in simulation and where it was not noted yet; legs are where their entry is.';
comment on column public.orders.role is 'entry, exit, turn (an exit before the opposite entry), stop_loss or take_profit.';
comment on column public.orders.symbol is 'In the broker''s spelling.';
comment on column public.orders.asset_class is 'us_equity or crypto.';
comment on column public.orders.side is 'buy or sell.';
comment on column public.orders.order_type is 'market, limit, stop, stop_limit or trailing_stop.';
comment on column public.orders.quantity is 'Shares or coins.';
comment on column public.orders.limit_price is 'Of limit and stop-limit orders.';
comment on column public.orders.stop_price is 'Of stop and stop-limit orders.';
comment on column public.orders.trail_price is 'Of trailing stops.';
comment on column public.orders.trail_percent is 'Of trailing stops.';
comment on column public.orders.time_in_force is 'day, gtc, ioc or fok.';
comment on column public.orders.stop_loss is 'The stop price of the leg placed with it.';
comment on column public.orders.take_profit is 'The limit price of the leg placed with it.';
comment on column public.orders.reference_price is 'The price that the limits were checked by.';
comment on column public.orders.status is 'pending: not known to have arrived. refused: the broker said no. lost: never arrived. Else the broker''s own.';
comment on column public.orders.filled_quantity is 'So much of the quantity.';
comment on column public.orders.filled_avg_price is 'At this price on average.';
comment on column public.orders.error_code is 'The broker''s, where it refused.';
comment on column public.orders.error_message is 'The broker''s words.';
comment on column public.orders.closed_at is 'When it came to its final status.';
comment on column public.orders.checks is 'How often the broker was asked since it last changed.';
comment on column public.orders.next_check_at is 'When the broker is asked again; none once closed.';
comment on column public.orders.created_at is 'When the row was made.';
comment on column public.orders.updated_at is 'When the row was last changed.';
create index orders_user on public.orders (user_id, created_at desc);
create index orders_signal on public.orders (signal_id);
create index orders_config on public.orders (config_id);
create index orders_parent on public.orders (parent_order_id) where parent_order_id is not null;
create index orders_due on public.orders (next_check_at) where closed_at is null;
create index orders_usage on public.orders (user_id, symbol, created_at desc) where role = 'entry';
create trigger orders_touch before update on public.orders
    for each row execute function private.touch_updated_at();
alter table public.orders enable row level security;
revoke all on public.orders from public, anon, authenticated, service_role;
grant select on public.orders to authenticated, service_role;
create policy "owners read their orders" on public.orders
    for select to authenticated using ((select auth.uid()) = user_id);

create table public.order_events (
    id          bigint generated always as identity primary key,
    order_id    uuid not null references public.orders on delete cascade,
    user_id     uuid not null references auth.users on delete cascade,
    event       text not null,
    quantity    numeric,
    price       numeric,
    details     jsonb not null default '{}',
    created_at  timestamptz not null default clock_timestamp(),
    updated_at  timestamptz not null default now()
);
comment on table public.order_events is 'What happened to an order, in its order.';
comment on column public.order_events.id is 'Rises.';
comment on column public.order_events.order_id is 'The order.';
comment on column public.order_events.user_id is 'The owner.';
comment on column public.order_events.event is 'pending, fill, or the status it came to.';
comment on column public.order_events.quantity is 'Of a fill: how much.';
comment on column public.order_events.price is 'Of a fill: at which price.';
comment on column public.order_events.details is 'The broker''s words.';
comment on column public.order_events.created_at is 'When it was noted.';
comment on column public.order_events.updated_at is 'When the row was last changed.';
create index order_events_order on public.order_events (order_id, id);
create index order_events_user on public.order_events (user_id, created_at desc);
create trigger order_events_touch before update on public.order_events
    for each row execute function private.touch_updated_at();
alter table public.order_events enable row level security;
revoke all on public.order_events from public, anon, authenticated, service_role;
revoke all on sequence public.order_events_id_seq from public, anon, authenticated, service_role;
grant select on public.order_events to authenticated, service_role;
create policy "owners read what happened to their orders" on public.order_events
    for select to authenticated using ((select auth.uid()) = user_id);

create table public.trade_results (
    id            bigint generated always as identity primary key,
    user_id       uuid not null references auth.users on delete cascade,
    config_id     uuid references public.webhook_configs on delete set null,
    order_id      uuid references public.orders on delete set null,
    symbol        text not null,
    direction     text not null,
    quantity      numeric not null,
    entry_price   numeric not null,
    exit_price    numeric not null,
    profit        numeric not null,
    is_simulated  boolean not null,
    created_at    timestamptz not null default clock_timestamp(),
    updated_at    timestamptz not null default now(),
    constraint trade_results_direction check (direction in ('long', 'short'))
);
comment on table public.trade_results is 'One row per fill that closed a position or a part of it.';
comment on column public.trade_results.id is 'Rises.';
comment on column public.trade_results.user_id is 'The owner.';
comment on column public.trade_results.config_id is 'The webhook whose order closed it.';
comment on column public.trade_results.order_id is 'The order that closed it.';
comment on column public.trade_results.symbol is 'In the broker''s spelling.';
comment on column public.trade_results.direction is 'What was held: long or short.';
comment on column public.trade_results.quantity is 'How much of it was closed.';
comment on column public.trade_results.entry_price is 'What it had cost on average.';
comment on column public.trade_results.exit_price is 'What it was closed at.';
comment on column public.trade_results.profit is 'Above zero gained, below zero lost; before fees.';
comment on column public.trade_results.is_simulated is 'Whether no money moved.';
comment on column public.trade_results.created_at is 'When it was closed.';
comment on column public.trade_results.updated_at is 'When the row was last changed.';
create index trade_results_user on public.trade_results (user_id, created_at desc);
create index trade_results_config on public.trade_results (config_id);
create index trade_results_order on public.trade_results (order_id);
create trigger trade_results_touch before update on public.trade_results
    for each row execute function private.touch_updated_at();
alter table public.trade_results enable row level security;
revoke all on public.trade_results from public, anon, authenticated, service_role;
revoke all on sequence public.trade_results_id_seq from public, anon, authenticated, service_role;
grant select on public.trade_results to authenticated, service_role;
create policy "owners read their results" on public.trade_results
    for select to authenticated using ((select auth.uid()) = user_id);

create table public.positions (
    user_id          uuid not null references auth.users on delete cascade,
    symbol           text not null,
    is_simulated     boolean not null,
    quantity         numeric not null default 0,
    avg_entry_price  numeric,
    last_price       numeric,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    primary key (user_id, symbol, is_simulated)
);
comment on table public.positions is 'What the fills have added up to. With a broker its own positions count; this is the snapshot.';
comment on column public.positions.user_id is 'The owner.';
comment on column public.positions.symbol is 'In the broker''s spelling.';
comment on column public.positions.is_simulated is 'Whether no money moved.';
comment on column public.positions.quantity is 'Above zero long, below zero short.';
comment on column public.positions.avg_entry_price is 'What it cost on average; none when nothing is held.';
comment on column public.positions.last_price is 'The price of the last fill.';
comment on column public.positions.created_at is 'When the row was made.';
comment on column public.positions.updated_at is 'When the row was last changed.';
create trigger positions_touch before update on public.positions
    for each row execute function private.touch_updated_at();
alter table public.positions enable row level security;
revoke all on public.positions from public, anon, authenticated, service_role;
grant select on public.positions to authenticated, service_role;
create policy "owners read their positions" on public.positions
    for select to authenticated using ((select auth.uid()) = user_id);

-- Alerts of one owner are acted on one after the other: each is judged by what the one before has done.
create table private.trading_turns (
    user_id       uuid primary key references auth.users on delete cascade,
    lease_id      uuid,
    leased_until  timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);
comment on table private.trading_turns is 'Who acts for which owner at the moment.';
comment on column private.trading_turns.user_id is 'The owner.';
comment on column private.trading_turns.lease_id is 'Who acts.';
comment on column private.trading_turns.leased_until is 'Another may from then on.';
comment on column private.trading_turns.created_at is 'When the row was made.';
comment on column private.trading_turns.updated_at is 'When the row was last changed.';
create trigger trading_turns_touch before update on private.trading_turns
    for each row execute function private.touch_updated_at();
alter table private.trading_turns enable row level security;
revoke all on private.trading_turns from public, anon, authenticated, service_role;

create table private.webhook_rates (
    config_id     uuid primary key references public.webhook_configs on delete cascade,
    window_start  timestamptz not null default clock_timestamp(),
    taken         integer not null default 0,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);
comment on table private.webhook_rates is 'How many alerts a webhook took this minute. Its row is the lock under which duplicates are told.';
comment on column private.webhook_rates.config_id is 'The webhook.';
comment on column private.webhook_rates.window_start is 'When the minute began.';
comment on column private.webhook_rates.taken is 'Alerts since then.';
comment on column private.webhook_rates.created_at is 'When the row was made.';
comment on column private.webhook_rates.updated_at is 'When the row was last changed.';
create trigger webhook_rates_touch before update on private.webhook_rates
    for each row execute function private.touch_updated_at();
alter table private.webhook_rates enable row level security;
revoke all on private.webhook_rates from public, anon, authenticated, service_role;
