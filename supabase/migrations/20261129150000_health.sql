-- What `health` measures. Each section is a function private.health_<section>() that reports a state and leaves
-- the verdict to the function `health`, which has the thresholds. Every chapter defines its own section; what is
-- here concerns the database as a whole.

create function private.health_server() returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'size_bytes', pg_database_size(current_database()),
        -- The platform sets this when the disk is full.
        'read_only', current_setting('default_transaction_read_only')::boolean or pg_is_in_recovery(),
        'connections_used', (select count(*) from pg_stat_activity where backend_type = 'client backend'),
        'connections_allowed',
            current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
    );
$$;
comment on function private.health_server() is 'Section of health_report: size, connections, whether it takes writes.';
revoke execute on function private.health_server() from public, anon, authenticated, service_role;

create function private.health_queries() returns jsonb
language sql stable security definer set search_path = '' as $$
    -- Without their text: it may hold what no monitor should store.
    select coalesce(jsonb_agg(jsonb_build_object(
        'pid', pid, 'state', state, 'role', usename, 'application', application_name,
        'seconds', seconds, 'waits_for', wait_event_type
    ) order by seconds desc), '[]')
    from (
        select
            pid, state, usename, application_name,
            floor(extract(epoch from clock_timestamp() - coalesce(xact_start, query_start)))::bigint as seconds,
            wait_event_type
        from pg_stat_activity
        where backend_type = 'client backend' and state <> 'idle' and pid <> pg_backend_pid()
          and coalesce(xact_start, query_start) < clock_timestamp() - interval '1 second'
        order by coalesce(xact_start, query_start)
        limit 20
    ) as longest;
$$;
comment on function private.health_queries() is
    'Section of health_report: the 20 oldest transactions at work, idle ones included, of at least a second.';
revoke execute on function private.health_queries() from public, anon, authenticated, service_role;

create function private.health_tables() returns jsonb
-- A table that somebody locks shall cost a moment, not the report.
language plpgsql security definer set search_path = '' set lock_timeout = '100ms' as $$
declare
    v_table  record;
    v_tables jsonb := jsonb_build_object();
begin
    for v_table in
        select class.relnamespace::regnamespace::text as schema_name, class.relname as table_name
        from pg_catalog.pg_class as class
        where class.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and class.relkind in ('r', 'p')
          and not exists (select from pg_catalog.pg_depend where objid = class.oid and deptype = 'e')
        order by class.relnamespace::regnamespace::text = 'private', class.relname
    loop
        begin
            execute format('select from %I.%I limit 1', v_table.schema_name, v_table.table_name);
            v_tables := v_tables || jsonb_build_object(
                case v_table.schema_name when 'public' then '' else 'private.' end || v_table.table_name, null
            );
        exception when others then
            v_tables := v_tables || jsonb_build_object(
                case v_table.schema_name when 'public' then '' else 'private.' end || v_table.table_name, sqlstate || ' ' || sqlerrm
            );
        end;
    end loop;
    return v_tables;
end;
$$;
comment on function private.health_tables() is
    'Section of health_report: our tables by name, each with what went wrong when a row was read, or null.';
revoke execute on function private.health_tables() from public, anon, authenticated, service_role;

create function private.health_pg_cron() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
    if to_regclass('cron.job') is null then
        return null;
    end if;
    return jsonb_build_object(
        'running', exists (select from pg_catalog.pg_stat_activity where backend_type like 'pg_cron%'),
        'jobs', (
            with recent as (
                -- The history is not ours alone and has no index by time: its newest end will do.
                select jobid, runid, status, return_message, start_time from cron.job_run_details
                order by runid desc limit 20000
            ), ended as (
                select *, row_number() over (partition by jobid order by runid desc) as nth
                from recent where status in ('succeeded', 'failed')
            )
            select coalesce(jsonb_agg(jsonb_build_object(
                'name', coalesce(job.jobname, job.jobid::text), 'schedule', job.schedule, 'active', job.active,
                'last_status', past.last_status,
                'last_started_at', past.last_started_at,
                'last_seconds_ago', floor(extract(epoch from clock_timestamp() - past.last_started_at))::bigint,
                'runs_24h', coalesce(past.runs, 0), 'failures_24h', coalesce(past.failures, 0),
                'failures_in_a_row', coalesce(past.in_a_row, 0),
                'last_error', past.last_error
            ) order by job.jobname, job.jobid), '[]')
            from cron.job as job
            left join lateral (
                select
                    max(start_time) as last_started_at,
                    max(status) filter (where nth = 1) as last_status,
                    count(*) filter (where start_time > clock_timestamp() - interval '1 day') as runs,
                    count(*) filter (
                        where status = 'failed' and start_time > clock_timestamp() - interval '1 day'
                    ) as failures,
                    coalesce(min(nth) filter (where status = 'succeeded'), count(*) + 1) - 1 as in_a_row,
                    left((array_agg(return_message order by runid desc) filter (where status = 'failed'))[1], 300)
                        as last_error
                from ended where ended.jobid = job.jobid
            ) as past on true
        )
    );
end;
$$;
comment on function private.health_pg_cron() is
    'Section of health_report: whether pg_cron runs, and each job with its last run and its failures.';
revoke execute on function private.health_pg_cron() from public, anon, authenticated, service_role;

create function private.health_pg_net() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    v_running boolean := true;
begin
    if to_regclass('net.http_request_queue') is null then
        return null;
    end if;
    begin
        perform net.check_worker_is_up();
    exception
        when undefined_function then null; -- versions before 0.8 cannot tell
        when others then v_running := false;
    end;
    return jsonb_build_object(
        'running', v_running,
        'queued', (select count(*) from net.http_request_queue),
        'answered_1h', answered.calls,
        'failed_1h', answered.failed,
        'last_error', answered.last_error
    )
    from (
        select
            count(*) as calls,
            count(*) filter (where is_failure) as failed,
            left((array_agg(coalesce(error_msg, 'status ' || status_code) order by created desc) filter (where is_failure))[1], 300)
                as last_error
        from (
            select *, error_msg is not null or coalesce(timed_out, false) or status_code >= 400 as is_failure
            from net._http_response where created > clock_timestamp() - interval '1 hour'
        ) as response
    ) as answered;
end;
$$;
comment on function private.health_pg_net() is
    'Section of health_report: pg_net''s worker, what waits for it, and what the calls of the last hour came to.';
revoke execute on function private.health_pg_net() from public, anon, authenticated, service_role;

create function private.health_versions() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    v_migration text;
begin
    if to_regclass('supabase_migrations.schema_migrations') is not null then
        execute 'select max(version) from supabase_migrations.schema_migrations' into v_migration;
    end if;
    return jsonb_build_object('postgres', current_setting('server_version'), 'migration', v_migration) || (
        select coalesce(jsonb_object_agg(extname, extversion), '{}') from pg_catalog.pg_extension
        where extname in ('pg_cron', 'pg_net')
    );
end;
$$;
comment on function private.health_versions() is 'Section of health_report: Postgres, its extensions, the last migration.';
revoke execute on function private.health_versions() from public, anon, authenticated, service_role;

-- A section is a function of no argument, or of p_expiring_seconds: how soon a token must expire to be counted.
create function public.health_report(p_expiring_seconds integer default 300) returns jsonb
-- PostgREST takes this time limit over for the whole call.
language plpgsql security definer set search_path = '' set statement_timeout = '4s' as $$
declare
    v_section record;
    v_value   jsonb;
    v_report  jsonb := jsonb_build_object();
    v_errors  jsonb := jsonb_build_object();
begin
    for v_section in
        select substr(proname, length('health_') + 1) as name, pronargs as arguments
        from pg_catalog.pg_proc
        where pronamespace = 'private'::regnamespace and proname like 'health\_%' and prorettype = 'jsonb'::regtype
          and (pronargs = 0 or proargtypes = array['integer'::regtype::oid]::oidvector)
        order by proname
    loop
        -- What cannot be measured is said, and the rest is measured all the same.
        begin
            if v_section.arguments = 1 then
                execute format('select private.%I($1)', 'health_' || v_section.name) into v_value using p_expiring_seconds;
            else
                execute format('select private.%I()', 'health_' || v_section.name) into v_value;
            end if;
            v_report := v_report || jsonb_build_object(v_section.name, v_value);
        exception when others then
            v_errors := v_errors || jsonb_build_object(v_section.name, sqlstate || ' ' || sqlerrm);
        end;
    end loop;
    return jsonb_strip_nulls(v_report - 'tables') || jsonb_build_object(
        'tables', v_report -> 'tables',
        'errors', v_errors,
        'took_ms', floor(extract(epoch from clock_timestamp() - statement_timestamp()) * 1000)::bigint
    );
end;
$$;
comment on function public.health_report(integer) is
    'Everything that the function health measures in the database, a section a key; what is not installed is left out.';
revoke execute on function public.health_report(integer) from public, anon, authenticated, service_role;
grant execute on function public.health_report(integer) to service_role;
