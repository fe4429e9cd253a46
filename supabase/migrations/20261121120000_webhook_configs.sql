-- Where alerts come in, and what their owner lets them do.

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
create trigger webhook_configs_touch before update on public.webhook_configs
    for each row execute function private.touch_updated_at();

alter table public.webhook_configs enable row level security;
revoke all on public.webhook_configs from anon, authenticated, service_role;
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
revoke all on public.risk_limits from anon, authenticated, service_role;
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
