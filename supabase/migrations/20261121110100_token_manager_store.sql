-- Storing, reading, listing and cleaning up of tokens.

-- Set by set and not row by row: a sync brings 100,000. Every caller holds the lock of private.token_lock().
create function private.token_lock() returns void
language sql security definer set search_path = '' as $$
    select pg_advisory_xact_lock(hashtextextended('public.tradovate_tokens', 0));
$$;
comment on function private.token_lock() is 'Takes turns: those who put tokens in place do so one after the other.';

create function private.token_note(
    p_event text, p_accounts text[], p_actor text, p_request_id text, p_details jsonb default '{}'
) returns void
language sql security definer set search_path = '' as $$
    insert into public.token_events (event, account_name, actor, request_id, details)
    select p_event, account.name, left(p_actor, 200), p_request_id, p_details
    from unnest(p_accounts) as account (name);
$$;
comment on function private.token_note(text, text[], text, text, jsonb) is 'Writes the same event for several accounts.';

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

revoke execute on function
    private.token_lock(),
    private.token_note(text, text[], text, text, jsonb),
    public.token_store(json, text, text),
    public.token_get(text, text, text),
    public.token_list(text, integer, boolean, text, integer),
    public.token_status(),
    public.token_cleanup(text, text)
from public, anon, authenticated, service_role;
grant execute on function
    public.token_store(json, text, text),
    public.token_get(text, text, text),
    public.token_list(text, integer, boolean, text, integer),
    public.token_status(),
    public.token_cleanup(text, text)
to service_role;
