-- Saves that Postgres has not taken wait in the memory and the files of the cache's workers, where no query sees
-- them. So the workers say how many they hold, as soon as they can say anything: when one save does not get
-- through while others do, this is what tells.

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

create or replace function private.health_cache() returns jsonb
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
            'failing', count(*) filter (where consecutive_failures > 0)
        )
        from (
            select source.next_due_at, source.consecutive_failures,
                source.next_due_at <= clock_timestamp()
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
