-- What the function `cache` asks of the database: one atomic function a verb.
--
-- Data goes out as `json`, not `jsonb`: it is copied into the reply as text and not taken apart again.

create function private.cache_project(p_project text, p_make boolean default false) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_id uuid;
begin
    select id into v_id from public.projects where project_name = p_project and is_active;
    if v_id is null and p_make then
        insert into public.projects (project_name) values (p_project) on conflict on constraint projects_once do nothing
        returning id into v_id;
    end if;
    if v_id is null then
        raise exception 'there is no active project %', p_project using errcode = 'P0002';
    end if;
    return v_id;
end;
$$;
comment on function private.cache_project(text, boolean) is 'The id of an active project, made if asked; raises P0002 when there is none.';

create function private.cache_source(p_source public.cache_sources) returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object(
        'kind', p_source.kind, 'url', p_source.url, 'refresh_seconds', p_source.refresh_seconds,
        'rich_seconds', p_source.rich_seconds, 'headers', p_source.headers, 'settings', p_source.settings,
        'credentials', p_source.credentials
    );
$$;
comment on function private.cache_source(public.cache_sources) is 'A source as the function reads it.';

create function private.ms(p_interval interval) returns bigint
language sql immutable set search_path = '' as $$ select (extract(epoch from p_interval) * 1000)::bigint; $$;
comment on function private.ms(interval) is 'Milliseconds of an interval.';

create function public.cache_load(p_project text, p_type text) returns json
language plpgsql stable security definer set search_path = '' as $$
declare
    v_project uuid := private.cache_project(p_project);
    v_row     public.cache_storage;
    v_source  public.cache_sources;
    v_sound   boolean;
begin
    select * into v_row from public.cache_storage where project_id = v_project and cache_type = p_type;
    select * into v_source from public.cache_sources where project_id = v_project and cache_type = p_type and is_active;
    v_sound := v_row.id is not null and v_row.checksum = private.cache_checksum(v_row.data);
    return json_build_object(
        'standing', case when v_row.id is null then 'absent' when v_sound then 'sound' else 'corrupt' end,
        'source', case when v_source.id is not null then private.cache_source(v_source) end,
        'etag', v_row.etag,
        'age_ms', private.ms(clock_timestamp() - v_row.last_fetch),
        'rich_age_ms', private.ms(clock_timestamp() - v_row.last_rich_fetch),
        'fresh_seconds', v_row.fresh_seconds,
        'data', case when v_sound then v_row.data end
    );
end;
$$;
comment on function public.cache_load(text, text) is
    'The row of a project and type with its ages by the database''s clock, and its source; without data when that does not fit its checksum.';

-- p_sent_at is the caller's own now: what its clock is wrong by is taken off p_last_fetch.
create function public.cache_save(
    p_project text, p_type text, p_data jsonb, p_etag text, p_last_fetch timestamptz, p_sent_at timestamptz,
    p_last_rich_fetch timestamptz default null, p_fresh_seconds integer default null, p_metadata jsonb default null,
    p_retention_days integer default null, p_make_project boolean default false,
    p_lease_id uuid default null, p_every_seconds integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_project    uuid := private.cache_project(p_project, p_make_project);
    v_wrong_by   interval := clock_timestamp() - p_sent_at;
    v_last_fetch timestamptz;
    v_id         bigint;
    v_is_new     boolean;
begin
    -- The way from there to here takes a moment too.
    if abs(extract(epoch from v_wrong_by)) < 5 then v_wrong_by := interval '0'; end if;
    v_last_fetch := least(p_last_fetch + v_wrong_by, clock_timestamp());
    insert into public.cache_storage as kept (
        project_id, cache_type, data, etag, last_fetch, last_rich_fetch, fresh_seconds, metadata, retention_days
    ) values (
        v_project, p_type, p_data, p_etag, v_last_fetch,
        case when p_last_rich_fetch is not null then least(p_last_rich_fetch + v_wrong_by, clock_timestamp()) end,
        p_fresh_seconds, coalesce(p_metadata, '{}'), coalesce(p_retention_days, 30)
    )
    on conflict on constraint cache_storage_once do update
    set data = excluded.data, etag = excluded.etag, last_fetch = excluded.last_fetch,
        last_rich_fetch = coalesce(excluded.last_rich_fetch, kept.last_rich_fetch),
        fresh_seconds = excluded.fresh_seconds,
        metadata = coalesce(p_metadata, kept.metadata),
        retention_days = coalesce(p_retention_days, kept.retention_days)
    where kept.last_fetch <= excluded.last_fetch
       -- A corrupt row wins against nobody.
       or kept.checksum <> private.cache_checksum(kept.data)
    returning kept.id, kept.xmax = 0 into v_id, v_is_new;
    if p_lease_id is not null then
        update public.cache_sources
        set lease_id = null, leased_until = null, consecutive_failures = 0, last_error = null,
            last_succeeded_at = clock_timestamp(),
            next_due_at = clock_timestamp() + private.cache_wait(p_every_seconds)
        where project_id = v_project and cache_type = p_type and lease_id = p_lease_id;
    end if;
    return jsonb_build_object(
        'outcome', case when v_id is null then 'older' when v_is_new then 'new' else 'replaced' end,
        'age_ms', private.ms(clock_timestamp() - v_last_fetch)
    );
end;
$$;
comment on function public.cache_save(
    text, text, jsonb, text, timestamptz, timestamptz, timestamptz, integer, jsonb, integer, boolean, uuid, integer
) is 'Saves data unless newer is there (outcome older), and ends the lease it was fetched under.';

-- Sources that are due together part: each comes up to a tenth of its interval early, 5 s for each
-- source there is, 2 minutes at the most.
create function private.cache_wait(p_every_seconds integer) returns interval
language sql volatile security definer set search_path = '' as $$
    select make_interval(secs => p_every_seconds - random() * least(
        p_every_seconds * 0.1, 120, 5 * (select count(*) from public.cache_sources where is_active)
    ));
$$;
comment on function private.cache_wait(integer) is 'The wait until the next refresh: the interval less a jitter that grows with the number of sources.';

create function public.cache_claim(
    p_lease_seconds integer, p_limit integer default 1, p_project text default null, p_type text default null,
    p_settled_ms integer default 0
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_claimed jsonb;
    v_busy    bigint;
    v_resting bigint;
begin
    with due as (
        select source.id, source.next_due_at from public.cache_sources as source
        join public.projects as project on project.id = source.project_id and project.is_active
        where source.is_active
          and (source.leased_until is null or source.leased_until <= clock_timestamp())
          and case
              when p_project is null then source.next_due_at <= clock_timestamp()
              else project.project_name = p_project and source.cache_type = p_type
                   and (source.last_succeeded_at is null
                        or source.last_succeeded_at <= clock_timestamp() - make_interval(secs => p_settled_ms / 1000.0))
                   -- Who only passes by does not disturb a source that fails.
                   and (p_settled_ms = 0 or source.consecutive_failures = 0 or source.next_due_at <= clock_timestamp())
          end
        order by source.next_due_at
        limit p_limit
        for update of source skip locked
    ), leased as (
        update public.cache_sources as source
        set lease_id = gen_random_uuid(),
            leased_until = clock_timestamp() + make_interval(secs => p_lease_seconds),
            last_started_at = clock_timestamp(),
            last_lag_seconds = case
                when p_project is null then extract(epoch from clock_timestamp() - due.next_due_at) else source.last_lag_seconds
            end,
            -- Should this run end without a word, the source is not due again at once.
            next_due_at = clock_timestamp() + make_interval(secs => p_lease_seconds)
        from due where due.id = source.id
        returning source.*
    )
    select jsonb_agg(jsonb_build_object(
        'project', project.project_name, 'type', leased.cache_type, 'lease_id', leased.lease_id,
        'source', private.cache_source(row(leased.*)::public.cache_sources)
    )) into v_claimed
    from leased join public.projects as project on project.id = leased.project_id;
    if v_claimed is null and p_project is not null then
        select
            greatest(coalesce(private.ms(source.leased_until - clock_timestamp()), 0), 0),
            case when source.consecutive_failures > 0 and source.leased_until is null
                 then greatest(private.ms(source.next_due_at - clock_timestamp()), 0) end
        into v_busy, v_resting from public.cache_sources as source
        join public.projects as project on project.id = source.project_id
        where project.project_name = p_project and source.cache_type = p_type and source.is_active;
    end if;
    return jsonb_build_object(
        'claimed', coalesce(v_claimed, '[]'),
        'busy_ms', v_busy,
        'resting_ms', v_resting
    );
end;
$$;
comment on function public.cache_claim(integer, integer, text, text, integer) is
    'Leases sources that are due, or a named one, due or not, unless it was fetched p_settled_ms ago or sooner; busy_ms when another has it, or just had it; resting_ms when it fails.';

create function public.cache_fail(p_lease_id uuid, p_error text, p_retry_seconds integer default null) returns void
language sql security definer set search_path = '' as $$
    update public.cache_sources
    set lease_id = null, leased_until = null, consecutive_failures = consecutive_failures + 1, last_error = left(p_error, 500),
        next_due_at = clock_timestamp() + greatest(
            make_interval(secs => coalesce(p_retry_seconds, 0)),
            least(interval '1 minute' * power(2, least(consecutive_failures, 10)), interval '1 hour') * (0.9 + random() * 0.2)
        )
    where lease_id = p_lease_id;
$$;
comment on function public.cache_fail(uuid, text, integer) is
    'Ends a lease without data: a minute, doubled by each failure, an hour at the most, or longer where the source asks for it.';

create function public.cache_credentials(p_project text, p_type text, p_credentials text, p_got_at timestamptz) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.cache_sources set credentials = p_credentials, credentials_at = p_got_at
    where project_id = private.cache_project(p_project) and cache_type = p_type
      and (credentials_at is null or credentials_at <= p_got_at);
    return found;
end;
$$;
comment on function public.cache_credentials(text, text, text, timestamptz) is 'Keeps sealed credentials unless newer ones are there.';

create function public.cache_delete(p_project text, p_type text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.cache_storage where project_id = private.cache_project(p_project) and cache_type = p_type;
    return found;
end;
$$;
comment on function public.cache_delete(text, text) is 'Deletes the data of a project and type. Its source stays.';

create function public.cache_source_save(
    p_project text, p_type text, p_kind text, p_url text, p_headers jsonb, p_settings jsonb, p_is_active boolean,
    p_refresh_seconds integer default null, p_rich_seconds integer default null, p_credentials text default null
) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_id uuid;
begin
    insert into public.cache_sources as source (
        project_id, cache_type, kind, url, headers, settings, is_active, refresh_seconds, rich_seconds, credentials, credentials_at
    ) values (
        private.cache_project(p_project, true), p_type, p_kind, p_url, p_headers, p_settings, p_is_active,
        p_refresh_seconds, p_rich_seconds, p_credentials, case when p_credentials is not null then now() end
    )
    on conflict on constraint cache_sources_once do update
    set kind = excluded.kind, url = excluded.url, headers = excluded.headers, settings = excluded.settings,
        is_active = excluded.is_active, refresh_seconds = excluded.refresh_seconds, rich_seconds = excluded.rich_seconds,
        credentials = coalesce(excluded.credentials, source.credentials),
        credentials_at = coalesce(excluded.credentials_at, source.credentials_at),
        next_due_at = now(), consecutive_failures = 0, last_error = null
    returning source.id into v_id;
    return v_id;
end;
$$;
comment on function public.cache_source_save(text, text, text, text, jsonb, jsonb, boolean, integer, integer, text) is
    'Makes or replaces a source, due at once. Credentials stay unless new ones are given.';

create function public.cache_warm(p_limit integer default 50) returns json
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(entry), '[]') from (
        select project.project_name as project, kept.cache_type as type, kept.etag
        from public.cache_storage as kept
        join public.projects as project on project.id = kept.project_id and project.is_active
        order by kept.updated_at desc limit p_limit
    ) as entry;
$$;
comment on function public.cache_warm(integer) is 'What a new instance fills its files with: the rows that were saved last.';

create function public.cache_status(p_project text default '') returns json
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(entry order by entry.project, entry.type), '[]') from (
        select
            project.project_name as project, coalesce(kept.cache_type, source.cache_type) as type, source.kind,
            kept.last_fetch, kept.last_rich_fetch, kept.data_size, kept.etag, kept.fresh_seconds, kept.retention_days,
            round(extract(epoch from now() - kept.last_fetch)) as age_seconds,
            source.next_due_at, source.last_succeeded_at, source.consecutive_failures, source.last_error,
            source.last_lag_seconds, source.leased_until > now() as refreshing
        from public.cache_storage as kept
        full join public.cache_sources as source on source.project_id = kept.project_id and source.cache_type = kept.cache_type
        join public.projects as project on project.id = coalesce(kept.project_id, source.project_id)
        where p_project = '' or project.project_name = p_project
        limit 1000
    ) as entry;
$$;
comment on function public.cache_status(text) is 'What is kept and where each source stands, of one project or of all; never the data.';

revoke execute on function
    private.cache_project(text, boolean), private.cache_source(public.cache_sources), private.ms(interval), private.cache_wait(integer),
    public.cache_load(text, text),
    public.cache_save(text, text, jsonb, text, timestamptz, timestamptz, timestamptz, integer, jsonb, integer, boolean, uuid, integer),
    public.cache_claim(integer, integer, text, text, integer), public.cache_fail(uuid, text, integer),
    public.cache_credentials(text, text, text, timestamptz), public.cache_delete(text, text),
    public.cache_source_save(text, text, text, text, jsonb, jsonb, boolean, integer, integer, text),
    public.cache_warm(integer), public.cache_status(text)
from public, anon, authenticated, service_role;
grant execute on function
    public.cache_load(text, text),
    public.cache_save(text, text, jsonb, text, timestamptz, timestamptz, timestamptz, integer, jsonb, integer, boolean, uuid, integer),
    public.cache_claim(integer, integer, text, text, integer), public.cache_fail(uuid, text, integer),
    public.cache_credentials(text, text, text, timestamptz), public.cache_delete(text, text),
    public.cache_source_save(text, text, text, text, jsonb, jsonb, boolean, integer, integer, text),
    public.cache_warm(integer), public.cache_status(text)
to service_role;
