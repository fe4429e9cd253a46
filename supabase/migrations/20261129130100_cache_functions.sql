-- What the function `cache` asks of the database: one atomic function a verb.
--
-- Data goes out as `json`, not `jsonb`: it is copied into the reply as text and not taken apart again.

-- Integrity: checksums of data, and an audit log that is only added to

create function private.cache_checksum(p_data jsonb) returns text
language sql immutable set search_path = '' as $$
    select encode(sha256(convert_to(p_data::text, 'utf8')), 'hex');
$$;
comment on function private.cache_checksum(jsonb) is 'SHA-256 of data as text, in hex.';
revoke execute on function private.cache_checksum(jsonb) from public, anon, authenticated, service_role;

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
revoke execute on function private.cache_storage_measure() from public, anon, authenticated, service_role;
create trigger cache_storage_measure before insert or update of data on public.cache_storage
    for each row execute function private.cache_storage_measure();

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
revoke execute on function private.cache_audit_keep() from public, anon, authenticated, service_role;
create trigger cache_audit_log_keep before update or delete on public.cache_audit_log
    for each row execute function private.cache_audit_keep();
create trigger cache_audit_log_keep_all before truncate on public.cache_audit_log
    for each statement execute function private.cache_audit_keep();

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
revoke all on public.security_analysis from public, anon, authenticated, service_role;
grant select on public.security_analysis to service_role;

-- Loading, saving and refreshing

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
revoke execute on function private.cache_project(text, boolean) from public, anon, authenticated, service_role;

create function private.cache_source(p_source public.cache_sources) returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object(
        'kind', p_source.kind, 'url', p_source.url, 'refresh_seconds', p_source.refresh_seconds,
        'rich_seconds', p_source.rich_seconds, 'headers', p_source.headers, 'settings', p_source.settings,
        'credentials', p_source.credentials
    );
$$;
comment on function private.cache_source(public.cache_sources) is 'A source as the function reads it.';
revoke execute on function private.cache_source(public.cache_sources) from public, anon, authenticated, service_role;

create function private.ms(p_interval interval) returns bigint
language sql immutable set search_path = '' as $$ select (extract(epoch from p_interval) * 1000)::bigint; $$;
comment on function private.ms(interval) is 'Milliseconds of an interval.';
revoke execute on function private.ms(interval) from public, anon, authenticated, service_role;

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
revoke execute on function public.cache_load(text, text) from public, anon, authenticated, service_role;
grant execute on function public.cache_load(text, text) to service_role;

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
    -- The way from there to here takes a moment too: two attempts of 30 s at the most, and then a queue. Within that
    -- nobody can tell a slow call from a slow clock; taken for the latter it would make old data new.
    if v_wrong_by between interval '0' and interval '90 seconds' then v_wrong_by := interval '0'; end if;
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
revoke execute on function
    public.cache_save(text, text, jsonb, text, timestamptz, timestamptz, timestamptz, integer, jsonb, integer, boolean, uuid, integer)
from public, anon, authenticated, service_role;
grant execute on function
    public.cache_save(text, text, jsonb, text, timestamptz, timestamptz, timestamptz, integer, jsonb, integer, boolean, uuid, integer)
to service_role;

-- Sources that are due together part: each comes up to a tenth of its interval early, 5 s for each
-- source there is, 2 minutes at the most.
create function private.cache_wait(p_every_seconds integer) returns interval
language sql volatile security definer set search_path = '' as $$
    select make_interval(secs => p_every_seconds - random() * least(
        p_every_seconds * 0.1, 120, 5 * (select count(*) from public.cache_sources where is_active)
    ));
$$;
comment on function private.cache_wait(integer) is 'The wait until the next refresh: the interval less a jitter that grows with the number of sources.';
revoke execute on function private.cache_wait(integer) from public, anon, authenticated, service_role;

create function public.cache_claim(
    p_lease_seconds integer, p_limit integer default 1, p_project text default null, p_type text default null,
    p_settled_ms integer default 0
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_claimed     jsonb;
    v_busy        bigint;
    v_resting     bigint;
    v_needs_login boolean;
begin
    with due as (
        select source.id, source.next_due_at from public.cache_sources as source
        join public.projects as project on project.id = source.project_id and project.is_active
        where source.is_active
          and source.needs_login_at is null
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
                 then greatest(private.ms(source.next_due_at - clock_timestamp()), 0) end,
            source.needs_login_at is not null
        into v_busy, v_resting, v_needs_login from public.cache_sources as source
        join public.projects as project on project.id = source.project_id
        where project.project_name = p_project and source.cache_type = p_type and source.is_active;
    end if;
    return jsonb_build_object(
        'claimed', coalesce(v_claimed, '[]'),
        'busy_ms', v_busy,
        'resting_ms', v_resting,
        'needs_login', coalesce(v_needs_login, false)
    );
end;
$$;
comment on function public.cache_claim(integer, integer, text, text, integer) is
    'Leases sources that are due, or a named one, due or not, unless it was fetched p_settled_ms ago or sooner or needs a login; busy_ms when another has it, or just had it; resting_ms when it fails.';
revoke execute on function public.cache_claim(integer, integer, text, text, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.cache_claim(integer, integer, text, text, integer) to service_role;

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
revoke execute on function public.cache_fail(uuid, text, integer) from public, anon, authenticated, service_role;
grant execute on function public.cache_fail(uuid, text, integer) to service_role;

-- p_sent_at is the caller's own now. Which of two refresh tokens is newer must not depend on the clocks of workers:
-- the older one is used up. Without p_sent_at, the caller's clock is trusted.
create function public.cache_credentials(
    p_project text, p_type text, p_credentials text, p_got_at timestamptz, p_sent_at timestamptz default null
) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    -- By its age. What it took to arrive makes it newer, which does no harm: one at a time has the lease.
    v_got_at timestamptz := coalesce(clock_timestamp() - (p_sent_at - p_got_at), p_got_at);
begin
    update public.cache_sources
    set credentials = p_credentials, credentials_at = least(v_got_at, clock_timestamp()),
        rotating_until = null, needs_login_at = null
    where project_id = private.cache_project(p_project) and cache_type = p_type
      -- The same once more is a call that was repeated.
      and (credentials_at is null or credentials_at <= v_got_at or credentials = p_credentials);
    if not found then
        return false;
    end if;
    perform private.cache_watch();
    return true;
end;
$$;
comment on function public.cache_credentials(text, text, text, timestamptz, timestamptz) is
    'Keeps sealed credentials unless newer ones are there, by their age and not by the caller''s clock.';
revoke execute on function public.cache_credentials(text, text, text, timestamptz, timestamptz)
    from public, anon, authenticated, service_role;
grant execute on function public.cache_credentials(text, text, text, timestamptz, timestamptz) to service_role;

-- A refresh token may be used up by its renewal, and the new one is in the memory of one worker until it is kept
-- here. So each renewal is noted before it begins, and nobody else renews while that worker may still be alive: the
-- platform ends a worker after 400 s at the latest.
create function public.cache_rotation_begin(p_lease_id uuid) returns text
language sql security definer set search_path = '' as $$
    update public.cache_sources set rotating_until = clock_timestamp() + interval '7 minutes'
    where lease_id = p_lease_id and leased_until > clock_timestamp()
      and (
          rotating_until is null or rotating_until <= clock_timestamp()
          -- Begun under this lease: the call is repeated, as its answer was lost.
          or rotating_until >= last_started_at + interval '7 minutes'
      )
    returning credentials;
$$;
comment on function public.cache_rotation_begin(uuid) is
    'Lets the holder of a lease renew the credentials of its source, and gives the newest; null while another worker may hold newer ones, or without the lease.';
revoke execute on function public.cache_rotation_begin(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cache_rotation_begin(uuid) to service_role;

create function public.cache_rotation_fail(p_lease_id uuid) returns void
language sql security definer set search_path = '' as $$
    update public.cache_sources set rotating_until = null where lease_id = p_lease_id;
$$;
comment on function public.cache_rotation_fail(uuid) is 'Ends a renewal that brought no new credentials.';
revoke execute on function public.cache_rotation_fail(uuid) from public, anon, authenticated, service_role;
grant execute on function public.cache_rotation_fail(uuid) to service_role;

create function public.cache_needs_login(p_project text, p_type text, p_error text, p_credentials text default null)
returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.cache_sources
    set needs_login_at = clock_timestamp(), rotating_until = null, last_error = left(p_error, 500)
    where project_id = private.cache_project(p_project) and cache_type = p_type and needs_login_at is null
      -- Newer ones may have arrived meanwhile.
      and (p_credentials is null or credentials = p_credentials);
    if not found then
        return false;
    end if;
    perform private.cache_watch();
    return true;
end;
$$;
comment on function public.cache_needs_login(text, text, text, text) is
    'Notes that a source refuses these credentials, or that its newest are lost, and raises an alert. False where newer credentials are there or it was known.';
revoke execute on function public.cache_needs_login(text, text, text, text)
    from public, anon, authenticated, service_role;
grant execute on function public.cache_needs_login(text, text, text, text) to service_role;

create function public.cache_delete(p_project text, p_type text) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    delete from public.cache_storage where project_id = private.cache_project(p_project) and cache_type = p_type;
    return found;
end;
$$;
comment on function public.cache_delete(text, text) is 'Deletes the data of a project and type. Its source stays.';
revoke execute on function public.cache_delete(text, text) from public, anon, authenticated, service_role;
grant execute on function public.cache_delete(text, text) to service_role;

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
        rotating_until = case when excluded.credentials is null then source.rotating_until end,
        needs_login_at = case when excluded.credentials is null then source.needs_login_at end,
        next_due_at = now(), consecutive_failures = 0, last_error = null
    returning source.id into v_id;
    perform private.cache_watch();
    return v_id;
end;
$$;
comment on function public.cache_source_save(text, text, text, text, jsonb, jsonb, boolean, integer, integer, text) is
    'Makes or replaces a source, due at once. Credentials stay unless new ones are given.';
revoke execute on function
    public.cache_source_save(text, text, text, text, jsonb, jsonb, boolean, integer, integer, text)
from public, anon, authenticated, service_role;
grant execute on function
    public.cache_source_save(text, text, text, text, jsonb, jsonb, boolean, integer, integer, text)
to service_role;

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
revoke execute on function public.cache_warm(integer) from public, anon, authenticated, service_role;
grant execute on function public.cache_warm(integer) to service_role;

create function public.cache_status(p_project text default '') returns json
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(entry order by entry.project, entry.type), '[]') from (
        select
            project.project_name as project, coalesce(kept.cache_type, source.cache_type) as type, source.kind,
            kept.last_fetch, kept.last_rich_fetch, kept.data_size, kept.etag, kept.fresh_seconds, kept.retention_days,
            round(extract(epoch from now() - kept.last_fetch)) as age_seconds,
            source.next_due_at, source.last_succeeded_at, source.consecutive_failures, source.last_error,
            source.last_lag_seconds, source.leased_until > now() as refreshing, source.needs_login_at
        from public.cache_storage as kept
        full join public.cache_sources as source on source.project_id = kept.project_id and source.cache_type = kept.cache_type
        join public.projects as project on project.id = coalesce(kept.project_id, source.project_id)
        where p_project = '' or project.project_name = p_project
        limit 1000
    ) as entry;
$$;
comment on function public.cache_status(text) is 'What is kept and where each source stands, of one project or of all; never the data.';
revoke execute on function public.cache_status(text) from public, anon, authenticated, service_role;
grant execute on function public.cache_status(text) to service_role;

-- Admission, the record of what was asked, keys and figures

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
revoke execute on function public.cache_admit(text, integer, text, text, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.cache_admit(text, integer, text, text, integer) to service_role;

create function private.cache_buckets() returns numeric[]
language sql immutable set search_path = '' as $$
    select array[0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000]::numeric[];
$$;
comment on function private.cache_buckets() is 'The histograms'' bounds in milliseconds; what is above the last is in one more.';
revoke execute on function private.cache_buckets() from public, anon, authenticated, service_role;

create function public.cache_record(p_entries jsonb) returns void
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
revoke execute on function public.cache_record(jsonb) from public, anon, authenticated, service_role;
grant execute on function public.cache_record(jsonb) to service_role;

create function private.cache_alert(
    p_kind text, p_subject text, p_holds boolean, p_ip inet, p_occurrences integer, p_threshold integer
) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_url     text;
    v_what    text := case p_kind
        when 'failed_auth' then 'failed logins'
        when 'rate_limited' then 'requests over the rate limit'
        when 'invalid_input' then 'invalid inputs'
        when 'corrupt_data' then 'corrupt layers found by requests'
    end;
    v_message text := case
        when p_kind = 'needs_login' and p_holds then format(
            'Cache: the source %s needs a login. Save it with a new refresh token.', p_subject
        )
        when p_kind = 'needs_login' then format('Cache: the source %s no longer needs a login.', p_subject)
        when p_holds then format('Cache: %s from %s within 5 minutes: %s.', v_what, p_subject, p_occurrences)
        else format('Cache: no more %s from %s in the last 5 minutes.', v_what, p_subject)
    end;
    v_body    jsonb := '{}'::jsonb;
begin
    if p_holds then
        v_body := jsonb_strip_nulls(jsonb_build_object(
            'ip_address', host(p_ip), 'occurrences', p_occurrences, 'threshold', p_threshold,
            'within_minutes', case when p_kind <> 'needs_login' then 5 end, 'at', now()
        ));
    end if;
    select btrim(decrypted_secret, E' \t\r\n') into v_url from vault.decrypted_secrets where name = 'cache_alert_url';
    if private.notify_condition('cache', p_kind, p_subject, p_holds, v_url, v_message, v_body) and p_holds then
        insert into public.cache_alerts (kind, ip_address, subject, occurrences, threshold, notified)
        values (
            p_kind, p_ip, case when p_kind = 'needs_login' then p_subject end, p_occurrences, p_threshold,
            -- As private.notify decides it.
            coalesce(length(v_url) between 1 and 2048, false)
        );
    end if;
end;
$$;
comment on function private.cache_alert(text, text, boolean, inet, integer, integer) is
    'Records an alert when a condition begins, and puts a message for the URL in the Vault secret cache_alert_url into the outbox when it begins and when it ends.';
revoke execute on function private.cache_alert(text, text, boolean, inet, integer, integer)
    from public, anon, authenticated, service_role;

create function private.cache_watch() returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_change record;
begin
    for v_change in
        with recent as (
            select
                kind, coalesce(host(log.ip_address), 'an unknown address') as subject, log.ip_address,
                count(*)::integer as occurrences, threshold
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
            union all
            select 'needs_login', project.project_name || '/' || source.cache_type, null, 1, 1
            from public.cache_sources as source
            join public.projects as project on project.id = source.project_id
            where source.needs_login_at is not null
        ), lasting as (
            select event as kind, subject from private.conditions where sender = 'cache'
        )
        select kind, subject, lasting.kind is null as holds, recent.ip_address, recent.occurrences, recent.threshold
        from recent full join lasting using (kind, subject)
        where (lasting.kind is null and recent.occurrences >= recent.threshold) or recent.kind is null
        -- Two at once take the conditions in the same order, so that neither waits for the other.
        order by kind, subject
    loop
        perform private.cache_alert(
            v_change.kind, v_change.subject, v_change.holds, v_change.ip_address, v_change.occurrences, v_change.threshold
        );
    end loop;
end;
$$;
comment on function private.cache_watch() is
    'Notes which conditions begin: a threshold passed within 5 minutes, or a source that needs a login. A condition ends when nothing of its kind has happened for 5 minutes, or its source has a login.';
revoke execute on function private.cache_watch() from public, anon, authenticated, service_role;

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
revoke execute on function public.cache_key_issue(text, text, text, boolean, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.cache_key_issue(text, text, text, boolean, integer) to service_role;

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
revoke execute on function public.cache_key_revoke(text, text) from public, anon, authenticated, service_role;
grant execute on function public.cache_key_revoke(text, text) to service_role;

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
revoke execute on function private.cache_percentile(bigint[], numeric) from public, anon, authenticated, service_role;

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
revoke execute on function public.cache_report(text, integer) from public, anon, authenticated, service_role;
grant execute on function public.cache_report(text, integer) to service_role;

-- Ages and not times: the caller's clock may be wrong.
create function public.cache_pending_report(
    p_instance_id uuid, p_pending integer, p_oldest_seconds integer default 0, p_refused integer default 0,
    p_error text default null
) returns void
language plpgsql security definer set search_path = '' as $$
begin
    -- A refusal is shown for a day, everything else for an hour.
    delete from private.cache_pending
    where reported_at < clock_timestamp() - interval '1 hour'
      and (refused_at is null or refused_at < clock_timestamp() - interval '1 day');
    insert into private.cache_pending as known (instance_id, pending, oldest_at, refused, refused_at, last_error)
    values (
        p_instance_id, p_pending,
        case when p_pending > 0 then clock_timestamp() - make_interval(secs => p_oldest_seconds) end,
        p_refused, case when p_refused > 0 then clock_timestamp() end, left(p_error, 500)
    )
    on conflict (instance_id) do update
    set pending = excluded.pending,
        oldest_at = excluded.oldest_at,
        refused = excluded.refused
            + case when known.refused_at > clock_timestamp() - interval '1 day' then known.refused else 0 end,
        refused_at = coalesce(excluded.refused_at, known.refused_at),
        last_error = coalesce(excluded.last_error, known.last_error),
        reported_at = clock_timestamp();
    -- What holds nothing and lost nothing need not be remembered.
    delete from private.cache_pending where instance_id = p_instance_id and pending = 0 and refused = 0;
end;
$$;
comment on function public.cache_pending_report(uuid, integer, integer, integer, text) is
    'An instance of the cache says how many saves it holds, for how long, and how many more were refused for good.';
revoke execute on function public.cache_pending_report(uuid, integer, integer, integer, text)
    from public, anon, authenticated, service_role;
grant execute on function public.cache_pending_report(uuid, integer, integer, integer, text) to service_role;

-- What runs by itself

create function private.cache_purge() returns void
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
revoke execute on function private.cache_purge() from public, anon, authenticated, service_role;

create function private.cache_tick() returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    -- Conditions end while nobody uses the cache, too. The call then delivers what the outbox holds.
    perform private.cache_watch();
    return private.call_function('cache/tick', '{"triggered_by": "cron"}');
end;
$$;
comment on function private.cache_tick() is
    'Calls cache/tick, due or not: it also retries saves that the database did not take. The id of pg_net''s request.';
revoke execute on function private.cache_tick() from public, anon, authenticated, service_role;

select cron.schedule('cache', '*/5 * * * *', 'select private.cache_tick()');
select cron.schedule('cache-purge', '41 3 * * *', 'select private.cache_purge()');

insert into private.sealed_columns (relation, column_name, ring, holder, reseal, place) values
    ('public.cache_sources', 'credentials', 'CREDENTIALS_ENCRYPTION_KEYS', 'cache', 'cache/rotate-key',
     $$ 'cache_sources/' || (select project.project_name from public.projects as project where project.id = cache_sources.project_id)
        || '/' || cache_sources.cache_type || '/credentials' $$);

create function private.health_cache() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    v_table constant regclass := to_regclass('public.cache_sources');
    v_cache jsonb;
begin
    if v_table is null then
        return null;
    end if;
    execute format($sql$
        select jsonb_build_object(
            'sources', count(*),
            'due', count(*) filter (where is_late),
            'lag_seconds', coalesce(floor(extract(epoch from clock_timestamp() - min(next_due_at) filter (where is_late)))::bigint, 0),
            'failing', count(*) filter (where consecutive_failures > 0),
            'needs_login', count(*) filter (where needs_login_at is not null)
        )
        from (
            select source.next_due_at, source.consecutive_failures, source.needs_login_at,
                source.next_due_at <= clock_timestamp() and source.needs_login_at is null
                and (source.leased_until is null or source.leased_until <= clock_timestamp()) as is_late
            from %s as source
            join public.projects as project on project.id = source.project_id
            where source.is_active and project.is_active
        ) as source
    $sql$, v_table) into v_cache;
    return v_cache || (
        select jsonb_build_object(
            'pending', coalesce(sum(pending) filter (where is_heard), 0),
            'pending_seconds', coalesce(floor(extract(epoch from clock_timestamp() - min(oldest_at) filter (where is_heard)))::bigint, 0),
            'refused_24h', coalesce(sum(refused) filter (where refused_at > clock_timestamp() - interval '1 day'), 0),
            'pending_error', (array_agg(last_error order by reported_at desc) filter (where last_error is not null))[1]
        )
        from (
            select *, reported_at > clock_timestamp() - interval '1 hour' as is_heard from private.cache_pending
        ) as instance
    );
end;
$$;
comment on function private.health_cache() is
    'Section of health_report: sources of the cache that are due and not refreshed, saves that Postgres has not taken, and for how long.';
revoke execute on function private.health_cache() from public, anon, authenticated, service_role;
