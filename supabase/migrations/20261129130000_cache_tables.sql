-- The cache: the layer that survives every restart, the sources it is filled from, who may ask, and the record of
-- what was asked.

create table public.cache_storage (
    id               bigint generated always as identity primary key,
    project_id       uuid not null references public.projects on delete cascade,
    cache_type       text not null,
    data             jsonb not null,
    last_fetch       timestamptz not null,
    last_rich_fetch  timestamptz,
    data_size        integer generated always as (octet_length(data::text)) stored,
    checksum         text not null default '',
    etag             text not null default '',
    fresh_seconds    integer,
    cache_version    text not null default '1.0',
    retention_days   integer not null default 30,
    metadata         jsonb not null default '{}',
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    constraint cache_storage_once unique (project_id, cache_type),
    constraint cache_storage_type check (cache_type ~ '^[a-z0-9_-]{1,50}$'),
    constraint cache_storage_object check (jsonb_typeof(data) = 'object'),
    constraint cache_storage_size check (octet_length(data::text) < 10485760),
    constraint cache_storage_etag check (length(etag) <= 64),
    constraint cache_storage_fresh check (fresh_seconds between 1 and 31536000),
    constraint cache_storage_retention check (retention_days between 1 and 3650),
    constraint cache_storage_metadata check (jsonb_typeof(metadata) = 'object' and octet_length(metadata::text) <= 10000)
);
comment on table public.cache_storage is 'One row per project and type: the newest data that was fetched or saved.';
comment on column public.cache_storage.id is 'Key.';
comment on column public.cache_storage.project_id is 'Whose data.';
comment on column public.cache_storage.cache_type is 'Which data: strava, fundraising, or any other name.';
comment on column public.cache_storage.data is 'The data, an object below 10 MB.';
comment on column public.cache_storage.last_fetch is 'When the data was true at its source. Of two saves the newer of these wins.';
comment on column public.cache_storage.last_rich_fetch is 'When the fields that are fetched less often were.';
comment on column public.cache_storage.data_size is 'Bytes of the data as text.';
comment on column public.cache_storage.checksum is 'SHA-256 of the data as text, kept by a trigger: a row that does not fit it is corrupt.';
comment on column public.cache_storage.etag is 'Names this version in every layer.';
comment on column public.cache_storage.fresh_seconds is 'From last_fetch on it is fresh for so long; none: until it is replaced.';
comment on column public.cache_storage.cache_version is 'The format of the data.';
comment on column public.cache_storage.retention_days is 'A row that was not saved for so long is deleted at night.';
comment on column public.cache_storage.metadata is 'Anything else about it.';
comment on column public.cache_storage.created_at is 'When the row was made.';
comment on column public.cache_storage.updated_at is 'When the row was last changed.';
create index cache_storage_updated on public.cache_storage (updated_at);
create trigger cache_storage_touch before update on public.cache_storage
    for each row execute function private.touch_updated_at();
alter table public.cache_storage enable row level security;
revoke all on public.cache_storage from public, anon, authenticated, service_role;
revoke all on sequence public.cache_storage_id_seq from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.cache_storage to service_role;

create table public.cache_sources (
    id                    uuid primary key default gen_random_uuid(),
    project_id            uuid not null references public.projects on delete cascade,
    cache_type            text not null,
    kind                  text not null,
    url                   text not null,
    refresh_seconds       integer,
    rich_seconds          integer,
    headers               jsonb not null default '{}',
    settings              jsonb not null default '{}',
    credentials           text,
    credentials_at        timestamptz,
    rotating_until        timestamptz,
    needs_login_at        timestamptz,
    is_active             boolean not null default true,
    next_due_at           timestamptz not null default now(),
    lease_id              uuid,
    leased_until          timestamptz,
    consecutive_failures  integer not null default 0,
    last_error            text,
    last_started_at       timestamptz,
    last_succeeded_at     timestamptz,
    last_lag_seconds      numeric,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint cache_sources_once unique (project_id, cache_type),
    constraint cache_sources_type check (cache_type ~ '^[a-z0-9_-]{1,50}$'),
    constraint cache_sources_kind check (kind in ('json', 'justgiving', 'strava')),
    constraint cache_sources_url check (url ~ '^https?://\S+$' and length(url) <= 2048),
    constraint cache_sources_refresh check (refresh_seconds between 30 and 31536000),
    constraint cache_sources_rich check (rich_seconds between 30 and 31536000),
    constraint cache_sources_headers check (jsonb_typeof(headers) = 'object' and octet_length(headers::text) <= 4000),
    constraint cache_sources_settings check (jsonb_typeof(settings) = 'object' and octet_length(settings::text) <= 10000),
    -- Nothing that was not sealed: 54 characters hold a nonce and the tag of an empty text.
    constraint cache_sources_sealed check (credentials ~ '^v1\.[0-9A-Za-z]+\.[0-9A-Za-z_-]{54,}$' and length(credentials) <= 8192)
);
comment on table public.cache_sources is 'Where the data of a project and type is fetched, and how that stands.';
comment on column public.cache_sources.id is 'Key.';
comment on column public.cache_sources.project_id is 'Whose data.';
comment on column public.cache_sources.cache_type is 'Which data.';
comment on column public.cache_sources.kind is 'json, justgiving or strava.';
comment on column public.cache_sources.url is 'Where to fetch; for justgiving and strava the API''s own address.';
comment on column public.cache_sources.refresh_seconds is 'Between two refreshes; none: the kind''s own interval, a setting of the function.';
comment on column public.cache_sources.rich_seconds is 'Between two fetches of the rich fields; none: a day.';
comment on column public.cache_sources.headers is 'Headers to send, by name; a value of the form {"secret": "CACHE_SECRET_…"} names a secret of the function.';
comment on column public.cache_sources.settings is 'What the kind needs: pointer and max_bytes, page, or after and types.';
comment on column public.cache_sources.credentials is 'Sealed by the function: the newest refresh token and its access token.';
comment on column public.cache_sources.credentials_at is 'When those were got: an older pair never replaces a newer one.';
comment on column public.cache_sources.rotating_until is
    'A worker is renewing the credentials. Until then it may hold a refresh token that is not here yet, and no other worker renews them.';
comment on column public.cache_sources.needs_login_at is
    'Since when the source refuses the credentials: it is not refreshed until it is saved with a new refresh token.';
comment on column public.cache_sources.is_active is 'Whether it is refreshed.';
comment on column public.cache_sources.next_due_at is 'Due from then on.';
comment on column public.cache_sources.lease_id is 'Who is fetching. Who finds another id here has lost the lease.';
comment on column public.cache_sources.leased_until is 'When the lease ends by itself. Empty: no lease.';
comment on column public.cache_sources.consecutive_failures is 'Failures since the last success; the backoff doubles with each.';
comment on column public.cache_sources.last_error is 'Code and message of the last failure; none after a success.';
comment on column public.cache_sources.last_started_at is 'When it was last leased.';
comment on column public.cache_sources.last_succeeded_at is 'When it last succeeded.';
comment on column public.cache_sources.last_lag_seconds is 'How long after it was due the last scheduled refresh began.';
comment on column public.cache_sources.created_at is 'When the row was made.';
comment on column public.cache_sources.updated_at is 'When the row was last changed.';
create index cache_sources_due on public.cache_sources (next_due_at) where is_active;
-- Serves private.cache_watch().
create index cache_sources_login on public.cache_sources (project_id) where needs_login_at is not null;
create trigger cache_sources_touch before update on public.cache_sources
    for each row execute function private.touch_updated_at();
alter table public.cache_sources enable row level security;
revoke all on public.cache_sources from public, anon, authenticated, service_role;
-- All but the sealed column, which only functions hand out. Only functions write: they keep the leases true.
grant select (
    id, project_id, cache_type, kind, url, refresh_seconds, rich_seconds, headers, settings, credentials_at,
    rotating_until, needs_login_at, is_active, next_due_at, lease_id, leased_until, consecutive_failures, last_error, last_started_at, last_succeeded_at,
    last_lag_seconds, created_at, updated_at
) on public.cache_sources to service_role;

create table public.cache_keys (
    id          uuid primary key default gen_random_uuid(),
    project_id  uuid not null references public.projects on delete cascade,
    key_name    text not null,
    key_hash    text not null,
    can_write   boolean not null default false,
    expires_at  timestamptz,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint cache_keys_once unique (key_hash),
    constraint cache_keys_name check (key_name ~ '^[A-Za-z0-9_-]{1,50}$'),
    constraint cache_keys_hash check (key_hash ~ '^[0-9a-f]{64}$')
);
comment on table public.cache_keys is 'API keys of projects. A key has 256 random bits, so its bare hash tells nothing.';
comment on column public.cache_keys.id is 'Key.';
comment on column public.cache_keys.project_id is 'The project that it opens, and no other.';
comment on column public.cache_keys.key_name is 'Who uses it. A new key of the same name replaces the old one after an overlap.';
comment on column public.cache_keys.key_hash is 'SHA-256 of the key, in hex.';
comment on column public.cache_keys.can_write is 'Whether it may save, refresh and delete.';
comment on column public.cache_keys.expires_at is 'Until when it is good; none: until it is replaced or revoked.';
comment on column public.cache_keys.created_at is 'When the row was made.';
comment on column public.cache_keys.updated_at is 'When the row was last changed.';
create index cache_keys_project on public.cache_keys (project_id, key_name);
create trigger cache_keys_touch before update on public.cache_keys
    for each row execute function private.touch_updated_at();
alter table public.cache_keys enable row level security;
revoke all on public.cache_keys from public, anon, authenticated, service_role;
grant select on public.cache_keys to service_role;

create table public.allowed_ips (
    id           bigint generated always as identity primary key,
    project_id   uuid references public.projects on delete cascade,
    network      cidr not null,
    description  text not null default '',
    is_active    boolean not null default true,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    constraint allowed_ips_once unique nulls not distinct (project_id, network),
    constraint allowed_ips_description check (length(description) <= 500)
);
comment on table public.allowed_ips is 'Networks from which the cache may be asked. A project without any rows, its own or common ones, is open to all.';
comment on column public.allowed_ips.id is 'Key.';
comment on column public.allowed_ips.project_id is 'For this project; none: for all of them.';
comment on column public.allowed_ips.network is 'An address or a network.';
comment on column public.allowed_ips.description is 'Who is there.';
comment on column public.allowed_ips.is_active is 'Whether the row counts.';
comment on column public.allowed_ips.created_at is 'When the row was made.';
comment on column public.allowed_ips.updated_at is 'When the row was last changed.';
create trigger allowed_ips_touch before update on public.allowed_ips
    for each row execute function private.touch_updated_at();
alter table public.allowed_ips enable row level security;
revoke all on public.allowed_ips from public, anon, authenticated, service_role;
revoke all on sequence public.allowed_ips_id_seq from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.allowed_ips to service_role;

create table public.cache_rates (
    caller      text not null,
    ip          inet not null,
    begun_at    timestamptz not null default clock_timestamp(),
    used        integer not null default 0,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (caller, ip)
);
comment on table public.cache_rates is 'How much of its minute each caller has used, from each address.';
comment on column public.cache_rates.caller is 'service, a key''s id, or nobody.';
comment on column public.cache_rates.ip is 'Where from.';
comment on column public.cache_rates.begun_at is 'When the minute began.';
comment on column public.cache_rates.used is 'Requests granted since, whether made or kept ready by an instance.';
comment on column public.cache_rates.created_at is 'When the row was made.';
comment on column public.cache_rates.updated_at is 'When the row was last changed.';
create index cache_rates_begun on public.cache_rates (begun_at);
create trigger cache_rates_touch before update on public.cache_rates
    for each row execute function private.touch_updated_at();
alter table public.cache_rates enable row level security;
revoke all on public.cache_rates from public, anon, authenticated, service_role;

create table public.cache_audit_log (
    id           bigint generated always as identity primary key,
    project_id   uuid,
    cache_type   text,
    operation    text not null,
    user_role    text not null,
    ip_address   inet,
    user_agent   text,
    data_size    integer,
    success      boolean not null,
    status       integer not null,
    code         text,
    request_id   text,
    details      jsonb not null default '{}',
    happened_at  timestamptz not null default now(),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    constraint cache_audit_operation check (operation in ('READ', 'WRITE', 'UPDATE', 'DELETE', 'REFRESH', 'ADMIN'))
);
comment on table public.cache_audit_log is 'Every operation, refused ones too. Rows are only added, and go after 90 days.';
comment on column public.cache_audit_log.id is 'Key.';
comment on column public.cache_audit_log.project_id is 'The project, where there is one of the name that was asked for. Outlives it.';
comment on column public.cache_audit_log.cache_type is 'The type that was asked for.';
comment on column public.cache_audit_log.operation is 'READ, WRITE, UPDATE (a save of what was there), DELETE, REFRESH or ADMIN.';
comment on column public.cache_audit_log.user_role is 'service, key:<id> or nobody.';
comment on column public.cache_audit_log.ip_address is 'Where the caller was.';
comment on column public.cache_audit_log.user_agent is 'What the caller called itself.';
comment on column public.cache_audit_log.data_size is 'Bytes that were read or saved.';
comment on column public.cache_audit_log.success is 'Whether it was done.';
comment on column public.cache_audit_log.status is 'The HTTP status of the reply.';
comment on column public.cache_audit_log.code is 'Of the error.';
comment on column public.cache_audit_log.request_id is 'As in the reply and in the function''s log.';
comment on column public.cache_audit_log.details is 'The layer that answered, its milliseconds, what was repaired.';
comment on column public.cache_audit_log.happened_at is 'When it happened, by the function''s clock.';
comment on column public.cache_audit_log.created_at is 'When the row was made.';
comment on column public.cache_audit_log.updated_at is 'The same: no row is ever changed.';
create index cache_audit_happened on public.cache_audit_log (happened_at);
-- Serves private.cache_watch() and everybody who asks for failures alone.
create index cache_audit_alarming on public.cache_audit_log (created_at, code) where not success or details ? 'repaired';
create trigger cache_audit_log_touch before update on public.cache_audit_log
    for each row execute function private.touch_updated_at();
alter table public.cache_audit_log enable row level security;
revoke all on public.cache_audit_log from public, anon, authenticated, service_role;
revoke all on sequence public.cache_audit_log_id_seq from public, anon, authenticated, service_role;
grant select on public.cache_audit_log to service_role;

create table public.cache_metrics (
    project_id  uuid references public.projects on delete cascade,
    minute      timestamptz not null,
    layer       text not null,
    answers     bigint not null default 0,
    bytes       bigint not null default 0,
    total_ms    numeric not null default 0,
    histogram   bigint[] not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint cache_metrics_once unique nulls not distinct (project_id, minute, layer),
    constraint cache_metrics_layer check (layer in ('memory', 'file', 'database', 'origin', 'stale', 'miss', 'refresh', 'repair'))
);
comment on table public.cache_metrics is 'What each layer answered in each minute. Goes after 30 days.';
comment on column public.cache_metrics.project_id is 'Of which project.';
comment on column public.cache_metrics.minute is 'Which minute.';
comment on column public.cache_metrics.layer is 'Who answered: a layer, stale, miss (nobody), refresh (the source, behind), repair (a corrupt layer).';
comment on column public.cache_metrics.answers is 'How many.';
comment on column public.cache_metrics.bytes is 'Of the data.';
comment on column public.cache_metrics.total_ms is 'Milliseconds inside the function, added up.';
comment on column public.cache_metrics.histogram is 'Answers by private.cache_buckets().';
comment on column public.cache_metrics.created_at is 'When the row was made.';
comment on column public.cache_metrics.updated_at is 'When the row was last changed.';
create index cache_metrics_minute on public.cache_metrics (minute);
create trigger cache_metrics_touch before update on public.cache_metrics
    for each row execute function private.touch_updated_at();
alter table public.cache_metrics enable row level security;
revoke all on public.cache_metrics from public, anon, authenticated, service_role;
grant select on public.cache_metrics to service_role;

create table public.cache_alerts (
    id          bigint generated always as identity primary key,
    kind        text not null,
    ip_address  inet,
    subject     text,
    occurrences integer not null,
    threshold   integer not null,
    notified    boolean not null default false,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint cache_alerts_kind check (kind in ('failed_auth', 'rate_limited', 'invalid_input', 'corrupt_data', 'needs_login'))
);
comment on table public.cache_alerts is
    'Conditions that began: by kind and address a threshold passed within 5 minutes, and sources that need a login.';
comment on column public.cache_alerts.id is 'Key.';
comment on column public.cache_alerts.kind is 'failed_auth (5), rate_limited (10), invalid_input (20), corrupt_data (1) or needs_login (1).';
comment on column public.cache_alerts.ip_address is 'Whose doing.';
comment on column public.cache_alerts.subject is 'The source that needs a login, as project/type.';
comment on column public.cache_alerts.occurrences is 'How many there were when the condition began.';
comment on column public.cache_alerts.threshold is 'How many are too many.';
comment on column public.cache_alerts.notified is
    'Whether a message was put into the outbox, as the Vault secret cache_alert_url was set. Whether it arrived is in public.notifications.';
comment on column public.cache_alerts.created_at is 'When the condition began.';
comment on column public.cache_alerts.updated_at is 'When the row was last changed.';
create index cache_alerts_recent on public.cache_alerts (created_at, kind);
create trigger cache_alerts_touch before update on public.cache_alerts
    for each row execute function private.touch_updated_at();
alter table public.cache_alerts enable row level security;
revoke all on public.cache_alerts from public, anon, authenticated, service_role;
revoke all on sequence public.cache_alerts_id_seq from public, anon, authenticated, service_role;
grant select on public.cache_alerts to service_role;

-- Saves that Postgres has not taken wait in the memory and the files of the cache's workers, where no query sees
-- them. The workers therefore report how many they hold as soon as any call gets through.
create table private.cache_pending (
    instance_id uuid primary key,
    pending     integer not null check (pending >= 0),
    oldest_at   timestamptz,
    refused     integer not null default 0 check (refused >= 0),
    refused_at  timestamptz,
    last_error  text,
    reported_at timestamptz not null default clock_timestamp(),
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
comment on table private.cache_pending is 'What the instances of the cache hold that Postgres has not taken, as they say. A report counts for an hour.';
comment on column private.cache_pending.instance_id is 'The instance; a restarted one that finds the same files has the same.';
comment on column private.cache_pending.pending is 'Saves and credentials that wait.';
comment on column private.cache_pending.oldest_at is 'Since when the oldest of them waits.';
comment on column private.cache_pending.refused is 'Those that Postgres refused for good, until a day passes without one: their data is lost.';
comment on column private.cache_pending.refused_at is 'When it last refused one.';
comment on column private.cache_pending.last_error is 'What Postgres last said of one of them.';
comment on column private.cache_pending.reported_at is 'When the instance last said so.';
comment on column private.cache_pending.created_at is 'When the row was made.';
comment on column private.cache_pending.updated_at is 'When the row was last changed.';
create trigger cache_pending_touch before update on private.cache_pending
    for each row execute function private.touch_updated_at();
alter table private.cache_pending enable row level security;
revoke all on private.cache_pending from public, anon, authenticated, service_role;

-- A batch that took the database longer than the worker waits is sent again, and must not be written twice.
create table private.cache_batches (
    digest      bytea primary key,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
comment on table private.cache_batches is 'Batches of the audit log that were written within a day: the same batch again is one that was sent again.';
comment on column private.cache_batches.digest is 'SHA-256 of the entries. They have times and request ids: no two batches are alike.';
comment on column private.cache_batches.created_at is 'When it was written.';
comment on column private.cache_batches.updated_at is 'When the row was last changed.';
create index cache_batches_created on private.cache_batches (created_at);
create trigger cache_batches_touch before update on private.cache_batches
    for each row execute function private.touch_updated_at();
alter table private.cache_batches enable row level security;
revoke all on private.cache_batches from public, anon, authenticated, service_role;
