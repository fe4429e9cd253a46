-- Broker tokens: what is stored, and who did what to it.
--
-- No table has a policy: no client role reads any of it, and the function writes through its RPCs alone.

create table public.tradovate_tokens (
    id                 uuid primary key default gen_random_uuid(),
    account_name       text not null,
    main_account       text not null,
    token_type         text not null default 'bearer',
    access_token       text not null,
    key_id             text not null generated always as (split_part(access_token, '.', 2)) stored,
    fingerprint        text not null,
    token_length       integer not null,
    expires_at         timestamptz,
    source             text not null default 'redis',
    version            integer not null default 1,
    is_active          boolean not null default true,
    metadata           jsonb not null default '{}',
    renew_claimed_until timestamptz,
    renew_failures     integer not null default 0,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now(),
    constraint tradovate_tokens_account unique (account_name),
    constraint tradovate_tokens_account_form check (length(account_name) between 1 and 128 and strpos(account_name, ' ') = 0),
    constraint tradovate_tokens_main_form check (length(main_account) between 1 and 128 and strpos(main_account, ' ') = 0),
    constraint tradovate_tokens_type check (token_type in ('bearer', 'auth')),
    -- By its beginning and length: a sync brings 100,000, and 54 characters hold a nonce and the tag of an
    -- empty text.
    constraint tradovate_tokens_sealed check (access_token ~ '^v1\.[0-9A-Za-z]+\.' and length(access_token) between 60 and 32768),
    constraint tradovate_tokens_fingerprint check (length(fingerprint) = 43),
    constraint tradovate_tokens_length check (token_length between 1 and 16384),
    constraint tradovate_tokens_source check (source in ('redis', 'store', 'renew')),
    constraint tradovate_tokens_metadata check (jsonb_typeof(metadata) = 'object' and pg_column_size(metadata) <= 16384)
);
comment on table public.tradovate_tokens is 'One row per broker account: its access token, sealed by the function. Plaintext is refused.';
comment on column public.tradovate_tokens.id is 'Key.';
comment on column public.tradovate_tokens.account_name is 'APEX_136189, PAAPEX1361890000001, and the like.';
comment on column public.tradovate_tokens.main_account is 'The account that it belongs to: APEX_136189. Its own name where the pattern is unknown.';
comment on column public.tradovate_tokens.token_type is 'bearer, or auth for one that only an auth: key holds.';
comment on column public.tradovate_tokens.access_token is
    'v1.<key id>.<base64url of nonce and ciphertext>, XChaCha20-Poly1305, bound to the account''s name.';
comment on column public.tradovate_tokens.key_id is 'The key of the ring that opens it.';
comment on column public.tradovate_tokens.fingerprint is
    'HMAC-SHA-256 of the token under a key of the ring, base64url: tells whether two tokens are the same, and nothing else.';
comment on column public.tradovate_tokens.token_length is 'Characters of the token.';
comment on column public.tradovate_tokens.expires_at is 'The earlier of the token''s own end and the Redis key''s; none when neither is known.';
comment on column public.tradovate_tokens.source is 'Where the token came from: redis, store or renew. A sync deactivates those of Redis only.';
comment on column public.tradovate_tokens.version is 'Counts the tokens that this account has had, from 1.';
comment on column public.tradovate_tokens.is_active is 'False once it has expired or is gone from Redis.';
comment on column public.tradovate_tokens.metadata is 'redis_key, ttl_seconds and synced_at, or what the caller stored. Never the token or a part of it.';
comment on column public.tradovate_tokens.renew_claimed_until is 'Until when nobody else renews it: a call under way, or the wait after one that failed.';
comment on column public.tradovate_tokens.renew_failures is 'Renewals that failed in a row.';
comment on column public.tradovate_tokens.created_at is 'When the row was made.';
comment on column public.tradovate_tokens.updated_at is 'When the row was last changed.';
create index tradovate_tokens_main on public.tradovate_tokens (main_account) where is_active;
create index tradovate_tokens_expiring on public.tradovate_tokens (expires_at) where is_active;
create trigger tradovate_tokens_touch before update on public.tradovate_tokens
    for each row execute function private.touch_updated_at();
alter table public.tradovate_tokens enable row level security;
revoke all on public.tradovate_tokens from public, anon, authenticated, service_role;
grant select on public.tradovate_tokens to service_role;

create table public.token_key_mappings (
    id            uuid primary key default gen_random_uuid(),
    main_account  text not null,
    redis_key     text not null,
    key_type      text not null,
    account_name  text not null,
    fingerprint   text not null,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint token_key_mappings_once unique (redis_key),
    constraint token_key_mappings_key_size check (length(redis_key) between 1 and 512),
    constraint token_key_mappings_type check (key_type in ('main', 'sub_account', 'auth')),
    constraint token_key_mappings_fingerprint check (length(fingerprint) = 43)
);
comment on table public.token_key_mappings is 'One row per Redis key that held a token at the last sync.';
comment on column public.token_key_mappings.id is 'Key.';
comment on column public.token_key_mappings.main_account is 'The main account of the key''s account.';
comment on column public.token_key_mappings.redis_key is 'token:APEX_272045, token:PAAPEX2720450000001, auth:APEX_272045.';
comment on column public.token_key_mappings.key_type is 'main, sub_account or auth.';
comment on column public.token_key_mappings.account_name is 'The account that the key names.';
comment on column public.token_key_mappings.fingerprint is 'Of the value last seen there, as in tradovate_tokens.';
comment on column public.token_key_mappings.created_at is 'When the row was made.';
comment on column public.token_key_mappings.updated_at is 'When the row was last changed.';
create index token_key_mappings_account on public.token_key_mappings (account_name);
create trigger token_key_mappings_touch before update on public.token_key_mappings
    for each row execute function private.touch_updated_at();
alter table public.token_key_mappings enable row level security;
revoke all on public.token_key_mappings from public, anon, authenticated, service_role;
grant select on public.token_key_mappings to service_role;

create table public.token_events (
    id            bigint generated always as identity primary key,
    event         text not null,
    account_name  text,
    actor         text not null default 'unknown',
    request_id    text,
    details       jsonb not null default '{}',
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint token_events_event check (event in (
        'created', 'updated', 'reactivated', 'deactivated', 'expired', 'read', 'refused',
        'renewed', 'renewal_failed', 'key_rotated'
    )),
    constraint token_events_details check (jsonb_typeof(details) = 'object'),
    constraint token_events_actor check (length(actor) <= 200)
);
comment on table public.token_events is 'The audit trail: who did what to which account''s token, and when. Never the token. Kept for 90 days.';
comment on column public.token_events.id is 'In the order of the events.';
comment on column public.token_events.event is
    'created, updated, reactivated, deactivated, expired, read, refused (a get that found it expired), renewed, renewal_failed, key_rotated.';
comment on column public.token_events.account_name is 'The account.';
comment on column public.token_events.actor is 'Who: X-Actor or User-Agent of the call, or the cron job.';
comment on column public.token_events.request_id is 'The call, as in the function''s log.';
comment on column public.token_events.details is 'source, version, reason and the like.';
comment on column public.token_events.created_at is 'When.';
comment on column public.token_events.updated_at is 'The same: events do not change.';
create index token_events_account on public.token_events (account_name, created_at desc);
create index token_events_time on public.token_events using brin (created_at);
create trigger token_events_touch before update on public.token_events
    for each row execute function private.touch_updated_at();
alter table public.token_events enable row level security;
revoke all on public.token_events from public, anon, authenticated, service_role;
revoke all on sequence public.token_events_id_seq from public, anon, authenticated, service_role;
grant select on public.token_events to service_role;

create table public.token_syncs (
    id            uuid primary key default gen_random_uuid(),
    status        text not null default 'running',
    actor         text not null default 'unknown',
    request_id    text,
    staged        integer not null default 0,
    counts        jsonb not null default '{}',
    error         text,
    started_at    timestamptz not null default clock_timestamp(),
    finished_at   timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint token_syncs_status check (status in ('running', 'done', 'superseded', 'failed', 'abandoned'))
);
comment on table public.token_syncs is 'The ledger of syncs. Kept for 30 days.';
comment on column public.token_syncs.id is 'Key.';
comment on column public.token_syncs.status is
    'running, done, superseded (another sync, begun later, was done first), failed, or abandoned (its worker died).';
comment on column public.token_syncs.actor is 'Who asked for it.';
comment on column public.token_syncs.request_id is 'The call, as in the function''s log.';
comment on column public.token_syncs.staged is 'Keys that it has read; as many rows of private.token_sync_rows.';
comment on column public.token_syncs.counts is 'What it did, as the reply says.';
comment on column public.token_syncs.error is 'Code and message of a failure.';
comment on column public.token_syncs.started_at is 'When it began: of two syncs, what the one begun later saw counts.';
comment on column public.token_syncs.finished_at is 'When it ended.';
comment on column public.token_syncs.created_at is 'When the row was made.';
comment on column public.token_syncs.updated_at is 'When the row was last changed.';
create index token_syncs_started on public.token_syncs (started_at desc);
create trigger token_syncs_touch before update on public.token_syncs
    for each row execute function private.touch_updated_at();
alter table public.token_syncs enable row level security;
revoke all on public.token_syncs from public, anon, authenticated, service_role;
grant select on public.token_syncs to service_role;

-- Unlogged: Postgres empties this table when it recovers from a crash. token_syncs.staged survives, and
-- token_sync_finish() compares the two, so that a lost key is never taken for one that is gone from Redis.
create unlogged table private.token_sync_rows (
    sync_id       uuid not null,
    redis_key     text not null,
    account_name  text not null,
    main_account  text not null,
    key_type      text not null,
    access_token  text,
    fingerprint   text not null,
    token_length  integer not null,
    expires_at    timestamptz,
    ttl_seconds   integer,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    primary key (sync_id, redis_key)
);
comment on table private.token_sync_rows is 'What a sync has read and not yet put in place. Sealed as in tradovate_tokens.';
comment on column private.token_sync_rows.sync_id is 'The sync; no foreign key, which would cost more than the row.';
comment on column private.token_sync_rows.redis_key is 'The key.';
comment on column private.token_sync_rows.account_name is 'The account that it names.';
comment on column private.token_sync_rows.main_account is 'And that one''s main account.';
comment on column private.token_sync_rows.key_type is 'main, sub_account or auth.';
comment on column private.token_sync_rows.access_token is 'The token, sealed; none when the account has it already.';
comment on column private.token_sync_rows.fingerprint is 'Its fingerprint.';
comment on column private.token_sync_rows.token_length is 'Its characters.';
comment on column private.token_sync_rows.expires_at is 'When it ends.';
comment on column private.token_sync_rows.ttl_seconds is 'What Redis said of the key.';
comment on column private.token_sync_rows.created_at is 'When it was read.';
comment on column private.token_sync_rows.updated_at is 'The same: these rows do not change.';
create trigger token_sync_rows_touch before update on private.token_sync_rows
    for each row execute function private.touch_updated_at();
alter table private.token_sync_rows enable row level security;
revoke all on private.token_sync_rows from public, anon, authenticated, service_role;

-- Tradovate counts all calls of an address together, so this is one row for all of them.
create table private.token_renewals (
    only_row      boolean primary key default true,
    paused_until  timestamptz,
    reason        text,
    calls         timestamptz[] not null default '{}',
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint token_renewals_only_row check (only_row)
);
comment on table private.token_renewals is 'What Tradovate''s rate limit still allows: one row.';
comment on column private.token_renewals.only_row is 'True.';
comment on column private.token_renewals.paused_until is 'No renewal before then.';
comment on column private.token_renewals.reason is 'Why.';
comment on column private.token_renewals.calls is 'When renewals of the last minute were granted.';
comment on column private.token_renewals.created_at is 'When the row was made.';
comment on column private.token_renewals.updated_at is 'When the row was last changed.';
create trigger token_renewals_touch before update on private.token_renewals
    for each row execute function private.touch_updated_at();
insert into private.token_renewals default values;
alter table private.token_renewals enable row level security;
revoke all on private.token_renewals from public, anon, authenticated, service_role;
