-- Who may ask, how often and from where; what was asked; and what is wrong with it.

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
create index cache_audit_refused on public.cache_audit_log (created_at, code) where not success;

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

create table public.cache_alerts (
    id          bigint generated always as identity primary key,
    kind        text not null,
    ip_address  inet,
    occurrences integer not null,
    threshold   integer not null,
    notified    boolean not null default false,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint cache_alerts_kind check (kind in ('failed_auth', 'rate_limited', 'invalid_input', 'corrupt_data'))
);
comment on table public.cache_alerts is 'Thresholds that were passed within 5 minutes, one row a kind, address and 5 minutes.';
comment on column public.cache_alerts.id is 'Key.';
comment on column public.cache_alerts.kind is 'failed_auth (5), rate_limited (10), invalid_input (20) or corrupt_data (1).';
comment on column public.cache_alerts.ip_address is 'Whose doing.';
comment on column public.cache_alerts.occurrences is 'How many there were when the threshold was passed.';
comment on column public.cache_alerts.threshold is 'How many are too many.';
comment on column public.cache_alerts.notified is 'Whether the webhook in the Vault secret cache_alert_url was called.';
comment on column public.cache_alerts.created_at is 'When.';
comment on column public.cache_alerts.updated_at is 'When the row was last changed.';
create index cache_alerts_recent on public.cache_alerts (created_at, kind);

create trigger cache_keys_touch before update on public.cache_keys
    for each row execute function private.touch_updated_at();
create trigger allowed_ips_touch before update on public.allowed_ips
    for each row execute function private.touch_updated_at();
create trigger cache_rates_touch before update on public.cache_rates
    for each row execute function private.touch_updated_at();
create trigger cache_audit_log_touch before update on public.cache_audit_log
    for each row execute function private.touch_updated_at();
create trigger cache_metrics_touch before update on public.cache_metrics
    for each row execute function private.touch_updated_at();
create trigger cache_alerts_touch before update on public.cache_alerts
    for each row execute function private.touch_updated_at();

create function private.cache_audit_keep() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'DELETE' and old.created_at < now() - interval '90 days' then
        return old;
    end if;
    raise exception 'the audit log is append-only' using errcode = '42501';
end;
$$;
comment on function private.cache_audit_keep() is 'Trigger: no row of the audit log is changed, nor deleted within 90 days, by whomever.';
create trigger cache_audit_log_keep before update or delete on public.cache_audit_log
    for each row execute function private.cache_audit_keep();
create trigger cache_audit_log_keep_all before truncate on public.cache_audit_log
    for each statement execute function private.cache_audit_keep();
revoke execute on function private.cache_audit_keep() from public, anon, authenticated, service_role;

alter table public.cache_keys enable row level security;
alter table public.allowed_ips enable row level security;
alter table public.cache_rates enable row level security;
alter table public.cache_audit_log enable row level security;
alter table public.cache_metrics enable row level security;
alter table public.cache_alerts enable row level security;
revoke all on public.cache_keys, public.allowed_ips, public.cache_rates, public.cache_audit_log,
    public.cache_metrics, public.cache_alerts from anon, authenticated, service_role;
grant select on public.cache_keys, public.cache_audit_log, public.cache_metrics, public.cache_alerts to service_role;
grant select, insert, update, delete on public.allowed_ips to service_role;

create view public.security_analysis with (security_invoker = true) as
select ip_address, cache_type, operation, count(*) as failures, max(created_at) as last_at
from public.cache_audit_log
where not success and created_at > now() - interval '24 hours'
group by ip_address, cache_type, operation
having count(*) > 5;
comment on view public.security_analysis is 'Who failed more than 5 times at the same thing within a day.';
comment on column public.security_analysis.ip_address is 'From where.';
comment on column public.security_analysis.cache_type is 'At which type.';
comment on column public.security_analysis.operation is 'At which operation.';
comment on column public.security_analysis.failures is 'How often.';
comment on column public.security_analysis.last_at is 'When last.';
revoke all on public.security_analysis from anon, authenticated, service_role;
grant select on public.security_analysis to service_role;
