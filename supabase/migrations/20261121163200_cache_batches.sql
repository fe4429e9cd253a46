-- Looking for what raises an alarm read the whole audit log, at each batch. And a batch that took the database longer
-- than the worker waits was written all the same, and once more when it was sent again.

-- As private.cache_watch asks; it serves those who ask for failures alone as well.
create index cache_audit_alarming on public.cache_audit_log (created_at, code) where not success or details ? 'repaired';
drop index public.cache_audit_refused;

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

create or replace function public.cache_record(p_entries jsonb) returns void
language plpgsql security definer set search_path = '' as $$
begin
    insert into private.cache_batches (digest) values (sha256(convert_to(p_entries::text, 'utf8'))) on conflict do nothing;
    if not found then
        return;
    end if;
    insert into public.cache_audit_log (
        project_id, cache_type, operation, user_role, ip_address, user_agent, data_size, success, status, code, request_id, details, happened_at
    )
    select
        project.id, left(entry ->> 'type', 100), entry ->> 'operation', entry ->> 'role', (entry ->> 'ip')::inet,
        left(entry ->> 'user_agent', 200), (entry ->> 'size')::integer, (entry ->> 'status')::integer < 400,
        (entry ->> 'status')::integer, entry ->> 'code', entry ->> 'request_id',
        jsonb_strip_nulls(jsonb_build_object('layer', entry -> 'layer', 'ms', entry -> 'ms', 'repaired', entry -> 'repaired')),
        (entry ->> 'at')::timestamptz
    from jsonb_array_elements(p_entries) as entry
    left join public.projects as project on project.project_name = entry ->> 'project';

    insert into public.cache_metrics as metrics (project_id, minute, layer, answers, bytes, total_ms, histogram)
    select
        project.id, date_trunc('minute', (entry ->> 'at')::timestamptz), layer, count(*),
        sum(coalesce((entry ->> 'size')::bigint, 0)), sum((entry ->> 'ms')::numeric),
        (
            select array_agg(coalesce(counted.answers, 0) order by bucket)
            from generate_series(0, array_length(private.cache_buckets(), 1)) as bucket
            left join lateral (
                select count(*) as answers from unnest(array_agg((entry ->> 'ms')::numeric)) as took
                where width_bucket(took, private.cache_buckets()) = bucket
            ) as counted on true
        )
    from jsonb_array_elements(p_entries) as entry
    cross join lateral unnest(array[entry ->> 'layer', case when entry ? 'repaired' then 'repair' end]) as layer
    left join public.projects as project on project.project_name = entry ->> 'project'
    where layer is not null
    group by project.id, date_trunc('minute', (entry ->> 'at')::timestamptz), layer
    on conflict on constraint cache_metrics_once do update
    set answers = metrics.answers + excluded.answers,
        bytes = metrics.bytes + excluded.bytes,
        total_ms = metrics.total_ms + excluded.total_ms,
        histogram = array(
            select sum(part) from (
                select part, place from unnest(metrics.histogram) with ordinality as one (part, place)
                union all
                select part, place from unnest(excluded.histogram) with ordinality as other (part, place)
            ) as parts group by place order by place
        );
    perform private.cache_watch();
end;
$$;
comment on function public.cache_record(jsonb) is
    'Writes operations to the audit log, counts them, and raises alerts; a batch that was written before, not again.';

create or replace function private.cache_purge() returns void
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.cache_storage where updated_at < now() - make_interval(days => retention_days);
    delete from public.cache_audit_log where created_at < now() - interval '90 days';
    delete from public.cache_metrics where minute < now() - interval '30 days';
    delete from public.cache_rates where begun_at < now() - interval '1 day';
    delete from public.cache_alerts where created_at < now() - interval '90 days';
    delete from public.cache_keys where expires_at < now() - interval '90 days';
    delete from private.cache_batches where created_at < now() - interval '1 day';
end;
$$;
comment on function private.cache_purge() is 'Enforces retention: data by its own days, the audit log after 90, figures after 30, digests of batches after one.';
