-- Bringing the database in line with Redis: begin, stage in batches, then one call that puts all in
-- place. A reader sees the state before or after it.

create function public.token_sync_begin(p_actor text, p_request_id text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_id uuid;
begin
    -- What a worker that died left behind. No sync takes that long: workers live 150 to 400 s.
    update public.token_syncs set status = 'abandoned', finished_at = clock_timestamp()
    where status = 'running' and started_at < now() - interval '15 minutes';
    delete from private.token_sync_rows as staged
    where not exists (select from public.token_syncs as sync where sync.id = staged.sync_id and sync.status = 'running');
    insert into public.token_syncs (actor, request_id) values (left(p_actor, 200), p_request_id)
    returning id into v_id;
    return v_id;
end;
$$;
comment on function public.token_sync_begin(text, text) is 'Begins a sync and gives its id.';

-- Most syncs find most tokens as they were. So a row may come without its token, and the answer tells for
-- which rows it is needed: only those are sealed and sent.
create function public.token_sync_stage(p_sync_id uuid, p_rows json) returns integer[]
language plpgsql security definer set search_path = '' as $$
declare
    v_needed integer[];
begin
    if not exists (select from public.token_syncs where id = p_sync_id and status = 'running') then
        raise exception 'the sync % is not running', p_sync_id using errcode = 'P0002';
    end if;
    with listed as materialized (
        select * from rows from (json_to_recordset(p_rows) as (
            redis_key text, account_name text, main_account text, key_type text, access_token text, fingerprint text,
            token_length integer, expires_at timestamptz, ttl_seconds integer
        )) with ordinality as listed (
            redis_key, account_name, main_account, key_type, access_token, fingerprint,
            token_length, expires_at, ttl_seconds, place
        )
    ), staged as (
        insert into private.token_sync_rows (
            sync_id, redis_key, account_name, main_account, key_type, access_token, fingerprint,
            token_length, expires_at, ttl_seconds
        )
        select
            p_sync_id, redis_key, account_name, main_account, key_type, access_token, fingerprint,
            token_length, expires_at, ttl_seconds
        from listed
        -- SCAN may give a key twice.
        on conflict (sync_id, redis_key) do nothing
    )
    select coalesce(array_agg(listed.place::integer - 1 order by listed.place), '{}') into v_needed
    from listed
    left join public.tradovate_tokens as token
        on token.account_name = listed.account_name and token.fingerprint = listed.fingerprint
    where listed.access_token is null and token.account_name is null;
    return v_needed;
end;
$$;
comment on function public.token_sync_stage(uuid, json) is
    'Keeps what was read from Redis until the sync ends. Gives the places, from 0, of rows whose token is needed.';

create function public.token_sync_seal(p_sync_id uuid, p_rows json) returns void
language sql security definer set search_path = '' as $$
    update private.token_sync_rows as staged
    set access_token = listed.access_token
    from json_to_recordset(p_rows) as listed (redis_key text, access_token text, fingerprint text)
    where staged.sync_id = p_sync_id
      and staged.redis_key = listed.redis_key
      and staged.fingerprint = listed.fingerprint
      and staged.access_token is null;
$$;
comment on function public.token_sync_seal(uuid, json) is 'Adds the tokens that token_sync_stage asked for.';

-- What a sync does to each account. Of several keys for one account a token: key goes before an auth:
-- key, and then the one that lasts longer.
create function private.token_sync_changes(p_sync_id uuid) returns table (
    redis_key text, account_name text, main_account text, token_type text, access_token text, fingerprint text,
    token_length integer, expires_at timestamptz, ttl_seconds integer, change text
)
language sql stable security definer set search_path = '' as $$
    select
        seen.redis_key, seen.account_name, seen.main_account, seen.token_type,
        coalesce(seen.access_token, token.access_token), seen.fingerprint,
        seen.token_length, seen.expires_at, seen.ttl_seconds,
        case
            when token.account_name is null and seen.access_token is not null then 'created'
            -- Its token came meanwhile, by another way than this sync.
            when seen.access_token is null and not seen.is_same then 'kept'
            when seen.is_same and not token.is_active and coalesce(seen.expires_at > now(), true) then 'reactivated'
            when seen.is_same and not token.is_active then 'unchanged'
            -- A token that was stored or renewed, and outlives the one that Redis has, stays.
            when token.source <> 'redis' and token.is_active
                and coalesce(token.expires_at, 'infinity') > greatest(now(), coalesce(seen.expires_at, 'infinity'))
                then 'kept'
            when not seen.is_same and token.is_active then 'updated'
            when not seen.is_same then 'reactivated'
            when token.source <> 'redis' or token.token_type <> seen.token_type or token.main_account <> seen.main_account
                or token.key_id <> split_part(seen.access_token, '.', 2) or not seen.ends_alike
                then 'touched'
            else 'unchanged'
        end
    from (
        select distinct on (staged.account_name)
            staged.*, case staged.key_type when 'auth' then 'auth' else 'bearer' end as token_type,
            -- A fingerprint under another key of the ring says nothing; length and end do, nearly always.
            coalesce(case
                when staged.access_token is null or token.key_id = split_part(staged.access_token, '.', 2)
                    then token.fingerprint = staged.fingerprint
                else token.token_length = staged.token_length and ends.alike
            end, false) as is_same,
            ends.alike as ends_alike
        from private.token_sync_rows as staged
        left join public.tradovate_tokens as token on token.account_name = staged.account_name
        -- The end of a key's life is now and the rest of it: it differs a little each time.
        cross join lateral (
            select case
                when token.expires_at is null or staged.expires_at is null
                    then token.expires_at is null and staged.expires_at is null
                else token.expires_at between staged.expires_at - interval '2 seconds' and staged.expires_at + interval '2 seconds'
            end as alike
        ) as ends
        where staged.sync_id = p_sync_id
        order by staged.account_name, staged.key_type = 'auth', staged.expires_at desc nulls first, staged.redis_key
    ) as seen
    left join public.tradovate_tokens as token on token.account_name = seen.account_name;
$$;
comment on function private.token_sync_changes(uuid) is
    'One row per account of a sync: created, updated, reactivated, touched (same token, other details), kept or unchanged.';

create function private.token_sync_apply(p_sync public.token_syncs) returns jsonb
language sql security definer set search_path = '' as $$
    with changes as materialized (
        select * from private.token_sync_changes(p_sync.id)
    ), created as (
        -- Nobody else writes here now (private.token_lock), so that no conflict has to be looked for.
        insert into public.tradovate_tokens (
            account_name, main_account, token_type, access_token, fingerprint, token_length, expires_at, metadata, source
        )
        select
            account_name, main_account, token_type, access_token, fingerprint, token_length, expires_at,
            jsonb_build_object('redis_key', redis_key, 'ttl_seconds', ttl_seconds, 'synced_at', now()), 'redis'
        from changes where change = 'created'
        returning account_name, version
    ), changed as (
        update public.tradovate_tokens as token
        set main_account = changes.main_account,
            token_type = changes.token_type,
            access_token = changes.access_token,
            fingerprint = changes.fingerprint,
            token_length = changes.token_length,
            expires_at = changes.expires_at,
            metadata = jsonb_build_object('redis_key', redis_key, 'ttl_seconds', ttl_seconds, 'synced_at', now()),
            source = 'redis',
            version = token.version
                + (token.fingerprint <> changes.fingerprint and token.key_id = split_part(changes.access_token, '.', 2))::integer,
            is_active = true,
            renew_claimed_until = null,
            renew_failures = 0
        from changes
        where changes.change in ('updated', 'reactivated', 'touched') and token.account_name = changes.account_name
        returning token.account_name, token.version
    ), written as (
        select * from created union all select * from changed
    ), gone as (
        update public.tradovate_tokens as token set is_active = false
        where token.is_active and token.source = 'redis'
          and token.account_name not in (select changes.account_name from changes)
        returning token.account_name, token.version
    ), noted as (
        insert into public.token_events (event, account_name, actor, request_id, details)
        select changes.change, account_name, p_sync.actor, p_sync.request_id,
            jsonb_build_object('source', 'redis', 'version', written.version, 'sync_id', p_sync.id)
        from changes join written using (account_name) where changes.change <> 'touched'
        union all
        select 'deactivated', account_name, p_sync.actor, p_sync.request_id,
            jsonb_build_object('reason', 'gone from Redis', 'version', gone.version, 'sync_id', p_sync.id)
        from gone
    )
    select jsonb_build_object(
        'tokens_synced', (select count(*) from changes),
        'created', (select count(*) from changes where change = 'created'),
        'updated', (select count(*) from changes where change in ('updated', 'touched')),
        'reactivated', (select count(*) from changes where change = 'reactivated'),
        'unchanged', (select count(*) from changes where change = 'unchanged'),
        'kept', (select count(*) from changes where change = 'kept'),
        'deactivated', (select count(*) from gone)
    );
$$;
comment on function private.token_sync_apply(public.token_syncs) is 'Puts the tokens of a sync in place, and gives counts.';

create function private.token_sync_map(p_sync_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
    with staged as materialized (
        select
            staged.redis_key, staged.main_account, staged.key_type, staged.account_name, staged.fingerprint,
            mapping.redis_key is not null as is_known,
            (mapping.main_account, mapping.key_type, mapping.account_name, mapping.fingerprint)
                is not distinct from (staged.main_account, staged.key_type, staged.account_name, staged.fingerprint)
                as is_same
        from private.token_sync_rows as staged
        left join public.token_key_mappings as mapping on mapping.redis_key = staged.redis_key
        where staged.sync_id = p_sync_id
    ), created as (
        insert into public.token_key_mappings (main_account, redis_key, key_type, account_name, fingerprint)
        select main_account, redis_key, key_type, account_name, fingerprint from staged where not is_known
    ), changed as (
        update public.token_key_mappings as mapping
        set main_account = staged.main_account,
            key_type = staged.key_type,
            account_name = staged.account_name,
            fingerprint = staged.fingerprint
        from staged
        where staged.is_known and not staged.is_same and mapping.redis_key = staged.redis_key
    ), gone as (
        delete from public.token_key_mappings as mapping
        where mapping.redis_key not in (select staged.redis_key from staged)
        returning 1
    )
    select jsonb_build_object(
        'key_mappings', count(*),
        'key_mappings_created', count(*) filter (where not is_known),
        'key_mappings_removed', (select count(*) from gone)
    ) from staged;
$$;
comment on function private.token_sync_map(uuid) is 'Puts the key mappings of a sync in place, and gives counts.';

-- Thousands of rows are sorted and joined: in memory, and never each with each, as a plan made from the
-- statistics of an empty table would have it.
create function public.token_sync_finish(p_sync_id uuid) returns jsonb
language plpgsql security definer set search_path = '' set work_mem = '64MB' set enable_nestloop = 'off'
set statement_timeout = '28s' as $$
declare
    -- The accounts that a reply lists; all of 100,000 would be a reply of megabytes.
    v_listed constant integer := 1000;
    v_sync   public.token_syncs;
    v_counts jsonb;
begin
    perform private.token_lock();
    select * into v_sync from public.token_syncs where id = p_sync_id and status = 'running' for update;
    if not found then
        raise exception 'the sync % is not running', p_sync_id using errcode = 'P0002';
    end if;
    if exists (select from public.token_syncs where status = 'done' and started_at > v_sync.started_at) then
        v_counts := jsonb_build_object(
            'superseded', true,
            'tokens_synced', (select count(distinct account_name) from private.token_sync_rows where sync_id = p_sync_id),
            'key_mappings', (select count(*) from private.token_sync_rows where sync_id = p_sync_id)
        );
    else
        v_counts := private.token_sync_apply(v_sync) || private.token_sync_map(p_sync_id);
    end if;
    update public.token_syncs
    set status = case when v_counts ? 'superseded' then 'superseded' else 'done' end,
        counts = v_counts,
        finished_at = clock_timestamp()
    where id = p_sync_id;
    v_counts := v_counts || jsonb_build_object('accounts', (
        select coalesce(jsonb_agg(account_name order by account_name), '[]') from (
            select distinct account_name from private.token_sync_rows
            where sync_id = p_sync_id order by account_name limit v_listed
        ) as listed
    ));
    delete from private.token_sync_rows where sync_id = p_sync_id;
    return v_counts;
end;
$$;
comment on function public.token_sync_finish(uuid) is
    'Puts in place what a sync has staged, in one transaction; a sync that was overtaken by one begun later changes nothing.';

create function public.token_sync_fail(p_sync_id uuid, p_error text) returns void
language sql security definer set search_path = '' as $$
    update public.token_syncs set status = 'failed', error = left(p_error, 1000), finished_at = clock_timestamp()
    where id = p_sync_id and status = 'running';
    delete from private.token_sync_rows where sync_id = p_sync_id;
$$;
comment on function public.token_sync_fail(uuid, text) is 'Ends a sync that failed. Nothing was changed.';

create function public.token_sync_compare(p_keys text[], p_fingerprints text[]) returns integer
language sql stable security definer set search_path = '' as $$
    select count(*)::integer
    from unnest(p_keys, p_fingerprints) as seen (redis_key, fingerprint)
    join public.token_key_mappings as mapping using (redis_key, fingerprint);
$$;
comment on function public.token_sync_compare(text[], text[]) is 'How many of these keys hold what the last sync saw there.';

revoke execute on function
    public.token_sync_begin(text, text),
    public.token_sync_stage(uuid, json),
    public.token_sync_seal(uuid, json),
    private.token_sync_changes(uuid),
    private.token_sync_apply(public.token_syncs),
    private.token_sync_map(uuid),
    public.token_sync_finish(uuid),
    public.token_sync_fail(uuid, text),
    public.token_sync_compare(text[], text[])
from public, anon, authenticated, service_role;
grant execute on function
    public.token_sync_begin(text, text),
    public.token_sync_stage(uuid, json),
    public.token_sync_seal(uuid, json),
    public.token_sync_finish(uuid),
    public.token_sync_fail(uuid, text),
    public.token_sync_compare(text[], text[])
to service_role;
