-- A save that was slow on its way is not newer for it.

create or replace function public.cache_save(
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
