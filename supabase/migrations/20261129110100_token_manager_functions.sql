-- What the function `token-manager` asks of the database: one atomic function a verb.

-- Storing, reading, listing and cleaning up tokens

-- Set by set and not row by row: a sync brings 100,000. Every caller holds the lock of private.token_lock().
create function private.token_lock() returns void
language sql security definer set search_path = '' as $$
    select pg_advisory_xact_lock(hashtextextended('public.tradovate_tokens', 0));
$$;
comment on function private.token_lock() is 'Takes turns: those who put tokens in place do so one after the other.';
revoke execute on function private.token_lock() from public, anon, authenticated, service_role;

create function private.token_note(
    p_event text, p_accounts text[], p_actor text, p_request_id text, p_details jsonb default '{}'
) returns void
language sql security definer set search_path = '' as $$
    insert into public.token_events (event, account_name, actor, request_id, details)
    select p_event, account.name, left(p_actor, 200), p_request_id, p_details
    from unnest(p_accounts) as account (name);
$$;
comment on function private.token_note(text, text[], text, text, jsonb) is 'Writes the same event for several accounts.';
revoke execute on function private.token_note(text, text[], text, text, jsonb)
    from public, anon, authenticated, service_role;

create function public.token_store(p_tokens json, p_actor text, p_request_id text) returns json
language plpgsql security definer set search_path = '' as $$
declare
    v_changes    json;
    v_constraint text;
begin
    perform private.token_lock();
    with given as (
        -- Of two tokens for one account the last one counts.
        select distinct on (listed.value ->> 'account_name')
            listed.value ->> 'account_name' as account_name,
            listed.value ->> 'main_account' as main_account,
            coalesce(listed.value ->> 'token_type', 'bearer') as token_type,
            listed.value ->> 'access_token' as access_token,
            listed.value ->> 'fingerprint' as fingerprint,
            (listed.value ->> 'token_length')::integer as token_length,
            (listed.value ->> 'expires_at')::timestamptz as expires_at,
            coalesce((listed.value -> 'metadata')::jsonb, '{}') as metadata
        from json_array_elements(p_tokens) with ordinality as listed (value, place)
        order by listed.value ->> 'account_name', listed.place desc
    ), known as (
        select token.account_name, token.fingerprint, token.is_active
        from public.tradovate_tokens as token join given using (account_name)
    ), stored as (
        insert into public.tradovate_tokens as token (
            account_name, main_account, token_type, access_token, fingerprint, token_length, expires_at, metadata, source
        )
        select account_name, main_account, token_type, access_token, fingerprint, token_length, expires_at, metadata, 'store'
        from given order by account_name
        on conflict on constraint tradovate_tokens_account do update
        set main_account = excluded.main_account,
            token_type = excluded.token_type,
            access_token = excluded.access_token,
            fingerprint = excluded.fingerprint,
            token_length = excluded.token_length,
            expires_at = excluded.expires_at,
            metadata = excluded.metadata,
            source = 'store',
            version = token.version + (token.fingerprint <> excluded.fingerprint)::integer,
            is_active = true,
            renew_claimed_until = null,
            renew_failures = 0
        returning token.account_name, token.version, token.fingerprint
    ), noted as (
        insert into public.token_events (event, account_name, actor, request_id, details)
        select
            case when known.account_name is null then 'created' when known.is_active then 'updated' else 'reactivated' end,
            stored.account_name, left(p_actor, 200), p_request_id,
            jsonb_build_object('source', 'store', 'version', stored.version)
        from stored left join known using (account_name)
        returning event
    )
    select json_build_object(
        'tokens_stored', count(*),
        'created', count(*) filter (where event = 'created'),
        'updated', count(*) filter (where event <> 'created')
    ) into v_changes from noted;
    return v_changes;
exception when check_violation or not_null_violation then
    -- Postgres' own error shows the row.
    get stacked diagnostics v_constraint = constraint_name;
    raise exception 'a token is refused: %', v_constraint using errcode = '23514', constraint = v_constraint;
end;
$$;
comment on function public.token_store(json, text, text) is
    'Stores sealed tokens, each in place of the account''s other one, all or none; gives tokens_stored, created, updated.';
revoke execute on function public.token_store(json, text, text) from public, anon, authenticated, service_role;
grant execute on function public.token_store(json, text, text) to service_role;

create function public.token_get(p_account text, p_actor text, p_request_id text) returns json
language plpgsql security definer set search_path = '' as $$
declare
    v_token   public.tradovate_tokens;
    v_expired boolean;
begin
    select * into v_token from public.tradovate_tokens where account_name = p_account;
    if not found then
        return null;
    end if;
    v_expired := coalesce(v_token.expires_at <= now(), false);
    insert into public.token_events (event, account_name, actor, request_id, details)
    values (
        case when v_expired or not v_token.is_active then 'refused' else 'read' end,
        p_account, left(p_actor, 200), p_request_id, jsonb_build_object('version', v_token.version)
    );
    return json_build_object(
        'account_name', v_token.account_name,
        'main_account', v_token.main_account,
        'token_type', v_token.token_type,
        'access_token', v_token.access_token,
        'token_length', v_token.token_length,
        'expires_at', v_token.expires_at,
        'is_active', v_token.is_active,
        'is_expired', v_expired,
        'version', v_token.version,
        'metadata', v_token.metadata
    );
end;
$$;
comment on function public.token_get(text, text, text) is
    'One account''s sealed token, and whether it has expired by the database''s clock; null when there is none. Noted as read or refused.';
revoke execute on function public.token_get(text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.token_get(text, text, text) to service_role;

create function public.token_list(
    p_main_account text default null,
    p_expiring_within_seconds integer default null,
    p_all boolean default false,
    p_after text default null,
    p_limit integer default 100
) returns json
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(json_build_object(
        'account_name', listed.account_name,
        'main_account', listed.main_account,
        'token_type', listed.token_type,
        'token_length', listed.token_length,
        'expires_at', listed.expires_at,
        'is_active', listed.is_active,
        'is_expired', coalesce(listed.expires_at <= now(), false),
        'source', listed.source,
        'version', listed.version,
        'key_id', listed.key_id,
        'created_at', listed.created_at,
        'updated_at', listed.updated_at
    ) order by listed.account_name), '[]')
    from (
        select * from public.tradovate_tokens
        where (p_all or is_active)
          and (p_main_account is null or main_account = p_main_account)
          and (p_expiring_within_seconds is null
               or expires_at < now() + make_interval(secs => p_expiring_within_seconds))
          and (p_after is null or account_name > p_after)
        order by account_name
        limit least(p_limit, 1000)
    ) as listed;
$$;
comment on function public.token_list(text, integer, boolean, text, integer) is
    'Up to 1,000 tokens without the tokens, by account name: active ones unless p_all is set.';
revoke execute on function public.token_list(text, integer, boolean, text, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.token_list(text, integer, boolean, text, integer) to service_role;

create function public.token_status() returns json
language sql stable security definer set search_path = '' as $$
    select json_build_object(
        'supabase_tokens', (select count(*) from public.tradovate_tokens where is_active),
        'inactive_tokens', (select count(*) from public.tradovate_tokens where not is_active),
        'expired_tokens', (select count(*) from public.tradovate_tokens where is_active and expires_at <= now()),
        'expiring_tokens', (
            select count(*) from public.tradovate_tokens
            where is_active and expires_at > now() and expires_at <= now() + interval '15 minutes'
        ),
        'key_mappings', (select count(*) from public.token_key_mappings),
        'keys', (
            select coalesce(json_object_agg(used.key_id, used.tokens), '{}')
            from (select key_id, count(*) as tokens from public.tradovate_tokens group by key_id) as used
        ),
        'last_updated', (select max(updated_at) from public.tradovate_tokens),
        'last_synced', (select max(finished_at) from public.token_syncs where status in ('done', 'superseded')),
        'last_sync', (
            select json_build_object('status', status, 'started_at', started_at, 'finished_at', finished_at, 'error', error)
            from public.token_syncs order by started_at desc limit 1
        ),
        'renewal_paused_until', (select paused_until from private.token_renewals where paused_until > now()),
        'recent_tokens', (
            select coalesce(json_agg(recent order by recent.updated_at desc, recent.account_name), '[]')
            from (
                select account_name, main_account, expires_at, created_at, updated_at
                from public.tradovate_tokens where is_active
                order by updated_at desc, account_name
                limit 10
            ) as recent
        )
    );
$$;
comment on function public.token_status() is 'Counts, the last sync, and the 10 tokens that changed last.';
revoke execute on function public.token_status() from public, anon, authenticated, service_role;
grant execute on function public.token_status() to service_role;

create function public.token_cleanup(p_actor text, p_request_id text) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_accounts text[];
begin
    perform private.token_lock();
    with expired as (
        update public.tradovate_tokens set is_active = false
        where is_active and expires_at <= now()
        returning account_name
    )
    select coalesce(array_agg(account_name order by account_name), '{}') into v_accounts from expired;
    perform private.token_note('expired', v_accounts, p_actor, p_request_id);
    return cardinality(v_accounts);
end;
$$;
comment on function public.token_cleanup(text, text) is 'Marks tokens that have expired as inactive, and gives their number.';
revoke execute on function public.token_cleanup(text, text) from public, anon, authenticated, service_role;
grant execute on function public.token_cleanup(text, text) to service_role;

-- Synchronising with Redis: begin, stage in batches, then one call that puts everything in place.
-- A reader sees the state before or after that call.

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
revoke execute on function public.token_sync_begin(text, text) from public, anon, authenticated, service_role;
grant execute on function public.token_sync_begin(text, text) to service_role;

-- Most syncs find most tokens as they were. So a row may come without its token, and the answer tells for
-- which rows it is needed: only those are sealed and sent.
create function public.token_sync_stage(p_sync_id uuid, p_rows json) returns integer[]
language plpgsql security definer set search_path = '' as $$
declare
    v_needed integer[];
    v_staged integer;
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
        returning 1
    )
    select coalesce(array_agg(listed.place::integer - 1 order by listed.place), '{}'), (select count(*) from staged)
    into v_needed, v_staged
    from listed
    left join public.tradovate_tokens as token
        on token.account_name = listed.account_name and token.fingerprint = listed.fingerprint
    where listed.access_token is null and token.account_name is null;
    update public.token_syncs set staged = staged + v_staged where id = p_sync_id;
    return v_needed;
end;
$$;
comment on function public.token_sync_stage(uuid, json) is
    'Keeps what was read from Redis until the sync ends. Gives the places, from 0, of rows whose token is needed.';
revoke execute on function public.token_sync_stage(uuid, json) from public, anon, authenticated, service_role;
grant execute on function public.token_sync_stage(uuid, json) to service_role;

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
revoke execute on function public.token_sync_seal(uuid, json) from public, anon, authenticated, service_role;
grant execute on function public.token_sync_seal(uuid, json) to service_role;

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
revoke execute on function private.token_sync_changes(uuid) from public, anon, authenticated, service_role;

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
revoke execute on function private.token_sync_apply(public.token_syncs)
    from public, anon, authenticated, service_role;

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
revoke execute on function private.token_sync_map(uuid) from public, anon, authenticated, service_role;

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
    v_staged integer;
begin
    perform private.token_lock();
    select * into v_sync from public.token_syncs where id = p_sync_id and status = 'running' for update;
    if not found then
        raise exception 'the sync % is not running', p_sync_id using errcode = 'P0002';
    end if;
    select count(*) into v_staged from private.token_sync_rows where sync_id = p_sync_id;
    if v_staged <> v_sync.staged then
        raise exception 'the sync % read % keys and has % left: the database was restarted', p_sync_id, v_sync.staged, v_staged
            using errcode = '55000', hint = 'Nothing was changed; the next sync reads all of them again.';
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
revoke execute on function public.token_sync_finish(uuid) from public, anon, authenticated, service_role;
grant execute on function public.token_sync_finish(uuid) to service_role;

create function public.token_sync_fail(p_sync_id uuid, p_error text) returns void
language sql security definer set search_path = '' as $$
    update public.token_syncs set status = 'failed', error = left(p_error, 1000), finished_at = clock_timestamp()
    where id = p_sync_id and status = 'running';
    delete from private.token_sync_rows where sync_id = p_sync_id;
$$;
comment on function public.token_sync_fail(uuid, text) is 'Ends a sync that failed. Nothing was changed.';
revoke execute on function public.token_sync_fail(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.token_sync_fail(uuid, text) to service_role;

create function public.token_sync_compare(p_keys text[], p_fingerprints text[]) returns integer
language sql stable security definer set search_path = '' as $$
    select count(*)::integer
    from unnest(p_keys, p_fingerprints) as seen (redis_key, fingerprint)
    join public.token_key_mappings as mapping using (redis_key, fingerprint);
$$;
comment on function public.token_sync_compare(text[], text[]) is 'How many of these keys hold what the last sync saw there.';
revoke execute on function public.token_sync_compare(text[], text[]) from public, anon, authenticated, service_role;
grant execute on function public.token_sync_compare(text[], text[]) to service_role;

-- Renewing tokens before they expire, within Tradovate's rate limit, and sealing them under a new key

create function public.token_renew_claim(
    p_within_seconds integer, p_per_minute integer, p_account text default null
) returns json
language plpgsql security definer set search_path = '' as $$
declare
    -- As long as a renewal may take, and some more: the worker may have died.
    v_claimed_for constant interval := interval '2 minutes';
    v_state   private.token_renewals;
    v_granted integer;
    v_due     text[];
    v_tokens  json;
begin
    -- Those who ask at the same moment take turns here.
    select * into v_state from private.token_renewals for update;
    if v_state.paused_until > now() then
        return json_build_object('tokens', '[]'::json, 'waiting', 0, 'paused_until', v_state.paused_until, 'reason', v_state.reason);
    end if;
    v_state.calls := array(select called.at from unnest(v_state.calls) as called (at) where called.at > now() - interval '1 minute');
    v_granted := greatest(0, p_per_minute - cardinality(v_state.calls));
    -- One token serves a main account and all its sub-accounts: it is renewed once.
    v_due := array(
        select token.fingerprint from public.tradovate_tokens as token
        where token.is_active and token.expires_at > now()
          and (p_account is not null or token.expires_at <= now() + make_interval(secs => p_within_seconds))
          and (p_account is null or token.account_name = p_account)
          and (p_account is not null or token.renew_claimed_until is null or token.renew_claimed_until <= now())
        group by token.fingerprint
        order by min(token.expires_at), token.fingerprint
    );
    update public.tradovate_tokens set renew_claimed_until = now() + v_claimed_for
    where fingerprint = any (v_due[1:v_granted]) and is_active;
    update private.token_renewals
    set calls = v_state.calls || array_fill(now(), array[least(v_granted, cardinality(v_due))]), paused_until = null, reason = null
    -- The table has one row; hosted Postgres refuses an UPDATE without WHERE (safeupdate).
    where true;
    select coalesce(json_agg(json_build_object(
        'fingerprint', claimed.fingerprint,
        'account_name', claimed.accounts[1],
        'access_token', claimed.sealed[1],
        'accounts', claimed.accounts,
        'redis_keys', (
            select coalesce(json_agg(mapping.redis_key order by mapping.redis_key), '[]') from public.token_key_mappings as mapping
            where mapping.account_name = any (claimed.accounts) and mapping.fingerprint = claimed.fingerprint
        )
    ) order by claimed.ends), '[]') into v_tokens
    from (
        select token.fingerprint, min(token.expires_at) as ends,
            array_agg(token.account_name order by token.account_name <> token.main_account, token.account_name) as accounts,
            array_agg(token.access_token order by token.account_name <> token.main_account, token.account_name) as sealed
        from public.tradovate_tokens as token
        where token.fingerprint = any (v_due[1:v_granted]) and token.is_active
        group by token.fingerprint
    ) as claimed;
    return json_build_object('tokens', v_tokens, 'waiting', greatest(0, cardinality(v_due) - v_granted));
end;
$$;
comment on function public.token_renew_claim(integer, integer, text) is
    'Claims tokens that end soon, as many as the rate limit still allows, each with all accounts and Redis keys that share it.';
revoke execute on function public.token_renew_claim(integer, integer, text)
    from public, anon, authenticated, service_role;
grant execute on function public.token_renew_claim(integer, integer, text) to service_role;

create function public.token_renew_store(
    p_fingerprint text, p_tokens json, p_actor text, p_request_id text
) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_accounts text[];
begin
    perform private.token_lock();
    with renewed as (
        update public.tradovate_tokens as token
        set access_token = given.access_token,
            fingerprint = given.fingerprint,
            token_length = given.token_length,
            expires_at = given.expires_at,
            source = 'renew',
            version = token.version + 1,
            is_active = true,
            renew_claimed_until = null,
            renew_failures = 0
        from json_to_recordset(p_tokens) as given (
            account_name text, access_token text, fingerprint text, token_length integer, expires_at timestamptz
        )
        -- A token that somebody has replaced meanwhile is newer than ours.
        where token.account_name = given.account_name and token.fingerprint = p_fingerprint
        returning token.account_name
    )
    select coalesce(array_agg(account_name order by account_name), '{}') into v_accounts from renewed;
    perform private.token_note('renewed', v_accounts, p_actor, p_request_id);
    return cardinality(v_accounts);
end;
$$;
comment on function public.token_renew_store(text, json, text, text) is
    'Stores a renewed token for each account that still has the old one, and gives their number.';
revoke execute on function public.token_renew_store(text, json, text, text)
    from public, anon, authenticated, service_role;
grant execute on function public.token_renew_store(text, json, text, text) to service_role;

create function public.token_renew_written(p_redis_keys text[], p_fingerprint text) returns void
language sql security definer set search_path = '' as $$
    update public.token_key_mappings set fingerprint = p_fingerprint where redis_key = any (p_redis_keys);
    update public.tradovate_tokens as token set source = 'redis'
    from public.token_key_mappings as mapping
    where mapping.redis_key = any (p_redis_keys)
      and token.account_name = mapping.account_name
      and token.fingerprint = p_fingerprint;
$$;
comment on function public.token_renew_written(text[], text) is 'Notes that Redis has the renewed token too: its keys count again.';
revoke execute on function public.token_renew_written(text[], text) from public, anon, authenticated, service_role;
grant execute on function public.token_renew_written(text[], text) to service_role;

create function public.token_renew_fail(
    p_fingerprint text, p_error text, p_actor text, p_request_id text
) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_accounts text[];
begin
    with failed as (
        update public.tradovate_tokens
        -- 1, 2, 4, 8 minutes: a token has 15 of them left.
        set renew_claimed_until = now() + make_interval(mins => (2 ^ least(renew_failures, 3))::integer),
            renew_failures = renew_failures + 1
        where fingerprint = p_fingerprint
        returning account_name
    )
    select coalesce(array_agg(account_name order by account_name), '{}') into v_accounts from failed;
    perform private.token_note(
        'renewal_failed', v_accounts, p_actor, p_request_id, jsonb_build_object('reason', left(p_error, 500)));
end;
$$;
comment on function public.token_renew_fail(text, text, text, text) is 'Notes a renewal that failed; the next one waits 1, 2, 4, then 8 minutes.';
revoke execute on function public.token_renew_fail(text, text, text, text)
    from public, anon, authenticated, service_role;
grant execute on function public.token_renew_fail(text, text, text, text) to service_role;

create function public.token_renew_pause(p_seconds integer, p_reason text, p_release text[]) returns timestamptz
language sql security definer set search_path = '' as $$
    update public.tradovate_tokens set renew_claimed_until = null where fingerprint = any (p_release);
    update private.token_renewals
    set paused_until = greatest(paused_until, now() + make_interval(secs => p_seconds)), reason = left(p_reason, 500)
    where true
    returning paused_until;
$$;
comment on function public.token_renew_pause(integer, text, text[]) is
    'Tradovate wants no calls for a while: nobody makes one before then. Gives claims back, and the time.';
revoke execute on function public.token_renew_pause(integer, text, text[])
    from public, anon, authenticated, service_role;
grant execute on function public.token_renew_pause(integer, text, text[]) to service_role;

-- Keys: what is sealed under an old one is sealed again under the new one.
create function public.token_rotate_batch(p_key_id text, p_after text default '', p_limit integer default 500) returns json
language sql stable security definer set search_path = '' as $$
    select coalesce(json_agg(json_build_object(
        'account_name', token.account_name, 'access_token', token.access_token, 'fingerprint', token.fingerprint
    ) order by token.account_name), '[]')
    from (
        select account_name, access_token, fingerprint from public.tradovate_tokens
        where key_id <> p_key_id and account_name > p_after
        order by account_name limit p_limit
    ) as token;
$$;
comment on function public.token_rotate_batch(text, text, integer) is 'Tokens that are sealed under another key, the first ones by name after p_after.';
revoke execute on function public.token_rotate_batch(text, text, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.token_rotate_batch(text, text, integer) to service_role;

create function public.token_rotate_store(p_tokens json, p_actor text, p_request_id text) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_rotated integer;
begin
    perform private.token_lock();
    with rotated as (
        update public.tradovate_tokens as token
        set access_token = given.access_token, fingerprint = given.fingerprint
        from json_to_recordset(p_tokens) as given (account_name text, old_token text, access_token text, fingerprint text)
        -- What was replaced meanwhile is under the new key already.
        where token.account_name = given.account_name and token.access_token = given.old_token
        returning token.account_name
    )
    select count(*) into v_rotated from rotated;
    update public.token_key_mappings as mapping
    set fingerprint = given.fingerprint
    from json_to_recordset(p_tokens) as given (account_name text, old_fingerprint text, fingerprint text)
    where mapping.account_name = given.account_name and mapping.fingerprint = given.old_fingerprint;
    insert into public.token_events (event, actor, request_id, details)
    select 'key_rotated', left(p_actor, 200), p_request_id, jsonb_build_object('tokens', v_rotated)
    where v_rotated > 0;
    return v_rotated;
end;
$$;
comment on function public.token_rotate_store(json, text, text) is
    'Puts tokens in place that were sealed again, where nobody changed them meanwhile; gives their number.';
revoke execute on function public.token_rotate_store(json, text, text) from public, anon, authenticated, service_role;
grant execute on function public.token_rotate_store(json, text, text) to service_role;

-- What runs by itself

create function private.token_renew_tick() returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    -- Asked every minute: a call is made only when there is something to do.
    if exists (select from private.token_renewals where paused_until > now()) or not exists (
        select from public.tradovate_tokens
        where is_active and expires_at > now() and expires_at <= now() + interval '15 minutes'
          and (renew_claimed_until is null or renew_claimed_until <= now())
    ) then
        return null;
    end if;
    return private.call_function('token-manager?action=renew&wait=false');
end;
$$;
comment on function private.token_renew_tick() is
    'Calls for a renewal when a token ends within 15 minutes; the id of pg_net''s request, or null when none does.';
revoke execute on function private.token_renew_tick() from public, anon, authenticated, service_role;

create function private.token_purge() returns void
language sql security definer set search_path = '' as $$
    delete from public.token_events where created_at < now() - interval '90 days';
    delete from public.token_syncs where started_at < now() - interval '30 days';
$$;
comment on function private.token_purge() is 'Forgets events after 90 days and syncs after 30.';
revoke execute on function private.token_purge() from public, anon, authenticated, service_role;

-- By name: scheduling again replaces.
select cron.schedule('token-manager-sync', '*/30 * * * *', $$ select private.call_function('token-manager?action=sync&wait=false') $$);
select cron.schedule('token-manager-cleanup', '0 2 * * *', $$ select private.call_function('token-manager?action=cleanup') $$);
select cron.schedule('token-manager-renew', '* * * * *', 'select private.token_renew_tick()');
select cron.schedule('token-manager-purge', '47 3 * * *', 'select private.token_purge()');

insert into private.sealed_columns (relation, column_name, ring, holder, reseal, place) values
    ('public.tradovate_tokens', 'access_token', 'TOKEN_ENCRYPTION_KEYS', 'token-manager', 'token-manager?action=rotate-key',
     $$ 'tradovate_tokens/' || tradovate_tokens.account_name $$);

create function private.health_tokens(p_expiring_seconds integer) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    v_table constant regclass := to_regclass('public.tradovate_tokens');
    v_tokens jsonb;
begin
    if v_table is null then
        return null;
    end if;
    execute format($sql$
        select jsonb_build_object(
            'active', count(*),
            'expired', count(*) filter (where expires_at <= clock_timestamp()),
            'expiring', count(*) filter (
                where expires_at > clock_timestamp() and expires_at <= clock_timestamp() + make_interval(secs => $1)
            ),
            'next_expires_at', min(expires_at) filter (where expires_at > clock_timestamp())
        )
        from %s where is_active
    $sql$, v_table) into v_tokens using p_expiring_seconds;
    return v_tokens;
end;
$$;
comment on function private.health_tokens(integer) is
    'Section of health_report: active broker tokens, those that expired and those that will within so many seconds.';
revoke execute on function private.health_tokens(integer) from public, anon, authenticated, service_role;
