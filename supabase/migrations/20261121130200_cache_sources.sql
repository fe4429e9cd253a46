-- Where data comes from, when it is due, and who is fetching it.

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

create trigger cache_sources_touch before update on public.cache_sources
    for each row execute function private.touch_updated_at();

alter table public.cache_sources enable row level security;
revoke all on public.cache_sources from anon, authenticated, service_role;
-- All but the sealed column, which only the functions below hand out. Only they write: they keep the leases true.
grant select (
    id, project_id, cache_type, kind, url, refresh_seconds, rich_seconds, headers, settings, credentials_at, is_active,
    next_due_at, lease_id, leased_until, consecutive_failures, last_error, last_started_at, last_succeeded_at,
    last_lag_seconds, created_at, updated_at
) on public.cache_sources to service_role;
