-- The cache's lowest layer: what survives every restart.

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

create function private.cache_checksum(p_data jsonb) returns text
language sql immutable set search_path = '' as $$
    select encode(sha256(convert_to(p_data::text, 'utf8')), 'hex');
$$;
comment on function private.cache_checksum(jsonb) is 'SHA-256 of data as text, in hex.';

create function private.cache_storage_measure() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    new.checksum := private.cache_checksum(new.data);
    -- Changed by hand: another version.
    if tg_op = 'UPDATE' and new.data <> old.data and new.etag = old.etag then
        new.etag := left(new.checksum, 32);
    end if;
    return new;
end;
$$;
comment on function private.cache_storage_measure() is 'Trigger: keeps checksum and etag true.';

create trigger cache_storage_measure before insert or update of data on public.cache_storage
    for each row execute function private.cache_storage_measure();
create trigger cache_storage_touch before update on public.cache_storage
    for each row execute function private.touch_updated_at();

alter table public.cache_storage enable row level security;
revoke all on public.cache_storage from anon, authenticated, service_role;
grant select, insert, update, delete on public.cache_storage to service_role;

revoke execute on function private.cache_checksum(jsonb), private.cache_storage_measure()
from public, anon, authenticated, service_role;
