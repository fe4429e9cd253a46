-- What a sync has read is in an unlogged table, which Postgres empties when it comes back from a crash. The sync itself
-- goes on, since its calls are tried again, and took every key that was lost for one that is gone from Redis. How
-- many it has read is now kept with the sync, which survives, and is compared before anything is put in place.

alter table public.token_syncs add column staged integer not null default 0;
comment on column public.token_syncs.staged is 'Keys that it has read; as many rows of private.token_sync_rows.';

create or replace function public.token_sync_stage(p_sync_id uuid, p_rows json) returns integer[]
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

create or replace function public.token_sync_finish(p_sync_id uuid) returns jsonb
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
