-- Admission, the record of what was asked, keys, figures, and what runs by itself.

create function public.cache_admit(
    p_ip text, p_limit integer, p_project text default '', p_key_hash text default '', p_at_once integer default 1
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_ip      inet := p_ip::inet;
    v_caller  text := 'service';
    v_key     public.cache_keys;
    v_project uuid;
    v_rate    public.cache_rates;
    v_left    integer;
    v_granted integer;
    v_verdict text := 'admitted';
begin
    select id into v_project from public.projects where project_name = p_project and is_active;
    if p_key_hash <> '' then
        select key.* into v_key from public.cache_keys as key
        join public.projects as project on project.id = key.project_id and project.is_active
        where key.key_hash = p_key_hash and (key.expires_at is null or key.expires_at > now());
        v_caller := coalesce('key:' || v_key.id, 'nobody');
        if v_key.id is null then
            v_verdict := 'unknown';
        elsif p_project <> '' and v_key.project_id is distinct from v_project then
            v_verdict := 'elsewhere';
        end if;
    end if;
    if exists (
        select from public.allowed_ips where is_active and (project_id is null or project_id = v_project)
    ) and not exists (
        select from public.allowed_ips
        where is_active and (project_id is null or project_id = v_project) and v_ip <<= network
    ) then
        v_verdict := 'network';
    end if;

    insert into public.cache_rates as rate (caller, ip) values (v_caller, v_ip)
    on conflict (caller, ip) do update
    set begun_at = case when rate.begun_at <= clock_timestamp() - interval '1 minute' then clock_timestamp() else rate.begun_at end,
        used = case when rate.begun_at <= clock_timestamp() - interval '1 minute' then 0 else rate.used end
    returning * into v_rate;
    v_left := greatest(p_limit - v_rate.used, 0);
    if v_left = 0 then
        v_verdict := 'limited';
    end if;
    -- An instance keeps a tenth of what is left ready, so that most requests need not ask; what is
    -- refused costs one.
    v_granted := case
        when v_left = 0 then 0
        when v_verdict = 'admitted' then least(v_left, greatest(p_at_once, v_left / 10))
        else 1
    end;
    update public.cache_rates set used = used + v_granted where caller = v_caller and ip = v_ip;
    return jsonb_build_object(
        'verdict', v_verdict, 'caller', v_caller, 'can_write', v_caller = 'service' or coalesce(v_key.can_write, false),
        'granted', case when v_verdict = 'admitted' then v_granted else 0 end,
        'remaining', v_left - v_granted,
        'reset_ms', greatest(private.ms(v_rate.begun_at + interval '1 minute' - clock_timestamp()), 0)
    );
end;
$$;
comment on function public.cache_admit(text, integer, text, text, integer) is
    'Whether a caller may ask (admitted, limited, network, unknown, elsewhere), and how many requests of its minute it may make unasked.';

create function private.cache_buckets() returns numeric[]
language sql immutable set search_path = '' as $$
    select array[0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000]::numeric[];
$$;
comment on function private.cache_buckets() is 'The histograms'' bounds in milliseconds; what is above the last is in one more.';

create function public.cache_record(p_entries jsonb) returns void
language plpgsql security definer set search_path = '' as $$
begin
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
comment on function public.cache_record(jsonb) is 'Writes operations to the audit log, counts them, and raises alerts.';

create function private.cache_watch() returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_alert public.cache_alerts;
    v_url   text;
begin
    for v_alert in
        insert into public.cache_alerts (kind, ip_address, occurrences, threshold)
        select recent.kind, recent.ip_address, recent.occurrences, recent.threshold
        from (
            select kind, log.ip_address, count(*) as occurrences, threshold
            from public.cache_audit_log as log
            cross join lateral (
                select case
                    when log.status = 401 then 'failed_auth'
                    when log.code = 'RATE_LIMITED' then 'rate_limited'
                    when log.status in (400, 413, 415, 422) then 'invalid_input'
                    when log.details ? 'repaired' then 'corrupt_data'
                end as kind
            ) as named
            join (values ('failed_auth', 5), ('rate_limited', 10), ('invalid_input', 20), ('corrupt_data', 1))
                as thresholds (alert, threshold) on alert = kind
            where log.created_at > now() - interval '5 minutes'
              and (not log.success or log.details ? 'repaired')
            group by kind, log.ip_address, threshold
            having count(*) >= threshold
        ) as recent
        where not exists (
            select from public.cache_alerts as raised
            where raised.kind = recent.kind and raised.ip_address is not distinct from recent.ip_address
              and raised.created_at > now() - interval '5 minutes'
        )
        returning *
    loop
        select btrim(decrypted_secret, E' \t\r\n') into v_url from vault.decrypted_secrets where name = 'cache_alert_url';
        if coalesce(v_url, '') <> '' then
            perform net.http_post(
                url => v_url,
                body => jsonb_build_object(
                    'alert', v_alert.kind, 'ip_address', host(v_alert.ip_address), 'occurrences', v_alert.occurrences,
                    'threshold', v_alert.threshold, 'within_minutes', 5, 'at', v_alert.created_at
                ),
                headers => '{"Content-Type": "application/json"}'::jsonb
            );
            update public.cache_alerts set notified = true where id = v_alert.id;
        end if;
    end loop;
end;
$$;
comment on function private.cache_watch() is
    'Raises an alert for each threshold passed within 5 minutes, and posts it to the URL in the Vault secret cache_alert_url.';

create function public.cache_key_issue(
    p_project text, p_name text, p_key_hash text, p_can_write boolean, p_overlap_seconds integer
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_project uuid := private.cache_project(p_project, true);
    v_old     integer;
begin
    update public.cache_keys set expires_at = now() + make_interval(secs => p_overlap_seconds)
    where project_id = v_project and key_name = p_name
      and (expires_at is null or expires_at > now() + make_interval(secs => p_overlap_seconds));
    get diagnostics v_old = row_count;
    insert into public.cache_keys (project_id, key_name, key_hash, can_write)
    values (v_project, p_name, p_key_hash, p_can_write);
    return jsonb_build_object('replaced', v_old, 'overlap_until', case when v_old > 0 then now() + make_interval(secs => p_overlap_seconds) end);
end;
$$;
comment on function public.cache_key_issue(text, text, text, boolean, integer) is
    'Adds a key by its hash. Older keys of the same name stay good for the overlap.';

create function public.cache_key_revoke(p_project text, p_name text) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_count integer;
begin
    delete from public.cache_keys where project_id = private.cache_project(p_project) and key_name = p_name;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;
comment on function public.cache_key_revoke(text, text) is 'Ends all keys of a name at once, and gives their number.';

create function private.cache_percentile(p_histogram bigint[], p_share numeric) returns numeric
language sql immutable set search_path = '' as $$
    select coalesce((private.cache_buckets())[reached.place], 10000)
    from (
        select place, sum(part) over (order by place) as so_far, sum(part) over () as total
        from unnest(p_histogram) with ordinality as parts (part, place)
    ) as reached
    where reached.so_far >= p_share * reached.total and reached.total > 0
    order by reached.place limit 1;
$$;
comment on function private.cache_percentile(bigint[], numeric) is 'The upper bound of the bucket in which a share of the answers ends, ms.';

create function public.cache_report(p_project text default '', p_hours integer default 24) returns json
language sql stable security definer set search_path = '' as $$
    with chosen as (
        select metrics.* from public.cache_metrics as metrics
        left join public.projects as project on project.id = metrics.project_id
        where metrics.minute > now() - make_interval(hours => p_hours)
          and (p_project = '' or project.project_name = p_project)
    ), layers as (
        select layer, sum(answers) as answers, sum(bytes) as bytes, round(sum(total_ms) / sum(answers), 3) as mean_ms,
            (
                select array_agg(total order by place) from (
                    select place, sum(part)::bigint as total
                    from chosen as one cross join unnest(one.histogram) with ordinality as parts (part, place)
                    where one.layer = chosen.layer group by place
                ) as summed
            ) as histogram
        from chosen group by layer
    ), reads as (
        select sum(answers) as answers from layers where layer not in ('refresh', 'repair')
    )
    select json_build_object(
        'hours', p_hours,
        'reads', coalesce(reads.answers, 0),
        'hit_ratio', (
            select round(sum(answers) / reads.answers, 4) from layers where layer in ('memory', 'file', 'database', 'stale')
        ),
        'layers', (
            select coalesce(json_object_agg(layers.layer, json_build_object(
                'answers', layers.answers, 'bytes', layers.bytes,
                'ratio', case when layers.layer not in ('refresh', 'repair') then round(layers.answers / reads.answers, 4) end,
                'mean_ms', layers.mean_ms,
                'p50_ms', private.cache_percentile(layers.histogram, 0.5),
                'p95_ms', private.cache_percentile(layers.histogram, 0.95),
                'p99_ms', private.cache_percentile(layers.histogram, 0.99)
            )), '{}') from layers
        ),
        'refresh', (
            select json_build_object(
                'sources', count(*),
                'failing', count(*) filter (where source.consecutive_failures > 0),
                'overdue', count(*) filter (where source.next_due_at < now() - interval '5 minutes'),
                'overdue_seconds', round(greatest(extract(epoch from now() - min(source.next_due_at)), 0)),
                'lag_seconds_mean', round(avg(source.last_lag_seconds), 1),
                'lag_seconds_max', round(max(source.last_lag_seconds), 1)
            )
            from public.cache_sources as source
            join public.projects as project on project.id = source.project_id
            where source.is_active and project.is_active and (p_project = '' or project.project_name = p_project)
        ),
        'alerts', (select count(*) from public.cache_alerts where created_at > now() - make_interval(hours => p_hours))
    ) from reads;
$$;
comment on function public.cache_report(text, integer) is
    'Hit ratios and latencies by layer, lag of refreshes, number of alerts; of one project or of all.';

create function private.cache_purge() returns void
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.cache_storage where updated_at < now() - make_interval(days => retention_days);
    delete from public.cache_audit_log where created_at < now() - interval '90 days';
    delete from public.cache_metrics where minute < now() - interval '30 days';
    delete from public.cache_rates where begun_at < now() - interval '1 day';
    delete from public.cache_alerts where created_at < now() - interval '90 days';
    delete from public.cache_keys where expires_at < now() - interval '90 days';
end;
$$;
comment on function private.cache_purge() is 'Enforces retention: data by its own days, the audit log after 90, figures after 30.';

revoke execute on function
    public.cache_admit(text, integer, text, text, integer), private.cache_buckets(), public.cache_record(jsonb), private.cache_watch(),
    public.cache_key_issue(text, text, text, boolean, integer), public.cache_key_revoke(text, text),
    private.cache_percentile(bigint[], numeric), public.cache_report(text, integer), private.cache_purge()
from public, anon, authenticated, service_role;
grant execute on function
    public.cache_admit(text, integer, text, text, integer), public.cache_record(jsonb),
    public.cache_key_issue(text, text, text, boolean, integer), public.cache_key_revoke(text, text),
    public.cache_report(text, integer)
to service_role;

-- One call a tick, due or not: it also retries saves that the database did not take.
select cron.schedule('cache', '*/5 * * * *', $$select private.call_function('cache/tick', '{"triggered_by": "cron"}')$$);
select cron.schedule('cache-purge', '41 3 * * *', 'select private.cache_purge()');
