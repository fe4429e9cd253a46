-- Renewing tokens before they end, within Tradovate's rate limit, and sealing them under a new key.

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

-- Keys

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

revoke execute on function
    public.token_renew_claim(integer, integer, text),
    public.token_renew_store(text, json, text, text),
    public.token_renew_written(text[], text),
    public.token_renew_fail(text, text, text, text),
    public.token_renew_pause(integer, text, text[]),
    public.token_rotate_batch(text, text, integer),
    public.token_rotate_store(json, text, text)
from public, anon, authenticated, service_role;
grant execute on function
    public.token_renew_claim(integer, integer, text),
    public.token_renew_store(text, json, text, text),
    public.token_renew_written(text[], text),
    public.token_renew_fail(text, text, text, text),
    public.token_renew_pause(integer, text, text[]),
    public.token_rotate_batch(text, text, integer),
    public.token_rotate_store(json, text, text)
to service_role;
