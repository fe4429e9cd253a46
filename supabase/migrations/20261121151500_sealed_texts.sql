-- Everything that functions keep sealed, so that a key of a ring can be replaced: which texts are still under the
-- old one, and the new text in place of the old, where nobody changed it meanwhile.

create table private.sealed_columns (
    relation     text not null,
    column_name  text not null,
    ring         text not null,
    holder       text not null,
    reseal       text not null,
    place        text not null,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    primary key (relation, column_name),
    constraint sealed_columns_ring check (ring ~ '^[A-Z][A-Z0-9_]*_KEYS$'),
    constraint sealed_columns_reseal check (reseal ~ '^[a-z][a-z0-9-]*[/?]\S+$')
);
comment on table private.sealed_columns is
    'One row per column with sealed texts. A function of your own that seals adds its columns here, by a migration.';
comment on column private.sealed_columns.relation is 'The table, with its schema.';
comment on column private.sealed_columns.column_name is 'The column: v1.<key id>.<base64url of nonce and ciphertext>, or null.';
comment on column private.sealed_columns.ring is 'The secret that holds the ring of keys.';
comment on column private.sealed_columns.holder is 'The function that seals and opens them.';
comment on column private.sealed_columns.reseal is 'What to POST for sealing again what is not under the first key: function, path and query.';
comment on column private.sealed_columns.place is
    'The place that a text is sealed for, as an SQL expression over the columns of the table. Unique within the holder.';
comment on column private.sealed_columns.created_at is 'When the row was made.';
comment on column private.sealed_columns.updated_at is 'When the row was last changed.';
create trigger sealed_columns_touch before update on private.sealed_columns
    for each row execute function private.touch_updated_at();
-- What is in `place` is run by the functions below: only migrations write it.
alter table private.sealed_columns enable row level security;
revoke all on private.sealed_columns from public, anon, authenticated, service_role;

insert into private.sealed_columns (relation, column_name, ring, holder, reseal, place) values
    ('public.user_credentials', 'username_encrypted', 'CREDENTIALS_ENCRYPTION_KEYS', 'collect-bulk', 'collect-bulk/rotate-key',
     $$ 'user_credentials/' || user_credentials.company_id || '/username' $$),
    ('public.user_credentials', 'password_encrypted', 'CREDENTIALS_ENCRYPTION_KEYS', 'collect-bulk', 'collect-bulk/rotate-key',
     $$ 'user_credentials/' || user_credentials.company_id || '/password' $$),
    ('public.webhook_configs', 'hmac_secret_sealed', 'CREDENTIALS_ENCRYPTION_KEYS', 'receive-webhook', 'receive-webhook/rotate-key',
     $$ 'webhook_configs/' || webhook_configs.id || '/hmac_secret' $$),
    ('public.webhook_configs', 'alpaca_api_key_sealed', 'CREDENTIALS_ENCRYPTION_KEYS', 'receive-webhook', 'receive-webhook/rotate-key',
     $$ 'webhook_configs/' || webhook_configs.id || '/alpaca_api_key' $$),
    ('public.webhook_configs', 'alpaca_api_secret_sealed', 'CREDENTIALS_ENCRYPTION_KEYS', 'receive-webhook', 'receive-webhook/rotate-key',
     $$ 'webhook_configs/' || webhook_configs.id || '/alpaca_api_secret' $$),
    ('public.cache_sources', 'credentials', 'CREDENTIALS_ENCRYPTION_KEYS', 'cache', 'cache/rotate-key',
     $$ 'cache_sources/' || (select project.project_name from public.projects as project where project.id = cache_sources.project_id)
        || '/' || cache_sources.cache_type || '/credentials' $$),
    ('public.tradovate_tokens', 'access_token', 'TOKEN_ENCRYPTION_KEYS', 'token-manager', 'token-manager?action=rotate-key',
     $$ 'tradovate_tokens/' || tradovate_tokens.account_name $$);

create function private.sealed_counts(p_ring text) returns table (reseal text, key_id text, texts bigint)
language plpgsql stable security definer set search_path = '' as $$
declare
    v_column record;
begin
    for v_column in select * from private.sealed_columns as known where known.ring = p_ring loop
        return query execute format(
            'select $1, split_part(%1$I, ''.'', 2), count(*) from %2$s where %1$I is not null group by 2',
            v_column.column_name, v_column.relation::regclass
        ) using v_column.reseal;
        -- A column that is empty is known all the same.
        return query select v_column.reseal, null::text, 0::bigint;
    end loop;
end;
$$;
comment on function private.sealed_counts(text) is
    'How many texts of a ring are sealed under which key, and what to call to seal them again. No row: nothing is known of such a ring.';

create function public.sealed_batch(p_holder text, p_key_id text, p_after text default '', p_limit integer default 200) returns json
language plpgsql stable security definer set search_path = '' as $$
declare
    v_all   text;
    v_batch json;
begin
    select string_agg(format(
        'select (%s)::text collate "C" as place, %I as old_text from %s', known.place, known.column_name, known.relation::regclass
    ), ' union all ') into v_all
    from private.sealed_columns as known where known.holder = p_holder;
    if v_all is null then
        return '[]'::json;
    end if;
    execute format(
        'select json_agg(batch order by batch.place) from (
             select text.place, text.old_text from (%s) as text
             where split_part(text.old_text, ''.'', 2) <> $1 and text.place > $2 order by text.place limit $3
         ) as batch', v_all
    ) into v_batch using p_key_id, p_after, p_limit;
    return coalesce(v_batch, '[]'::json);
end;
$$;
comment on function public.sealed_batch(text, text, text, integer) is
    'Texts of a function that are sealed under another key than p_key_id, with their places, the first ones after p_after.';

create function public.sealed_store(p_holder text, p_texts json) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_column record;
    v_stored integer;
    v_all    integer := 0;
begin
    perform set_config('ironferry.resealing', 'on', true);
    for v_column in select * from private.sealed_columns as known where known.holder = p_holder loop
        execute format(
            'update %1$s set %2$I = given.new_text
             from json_to_recordset($1) as given (place text, old_text text, new_text text)
             -- What was replaced meanwhile is under the new key already.
             where %3$s = given.place and %2$I = given.old_text',
            v_column.relation::regclass, v_column.column_name, v_column.place
        ) using p_texts;
        get diagnostics v_stored = row_count;
        v_all := v_all + v_stored;
    end loop;
    perform set_config('ironferry.resealing', '', true);
    return v_all;
end;
$$;
comment on function public.sealed_store(text, json) is
    'Puts texts in place that were sealed again, where nobody changed them meanwhile; gives their number. Each: place, old_text, new_text.';

-- The same login under another key: no reason to try again at once.
create or replace function private.collection_state_wake() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if current_setting('ironferry.resealing', true) = 'on' then
        return null;
    end if;
    update public.collection_state set next_due_at = now(), consecutive_failures = 0
    where company_id = new.company_id;
    return null;
end;
$$;

revoke execute on function
    private.sealed_counts(text),
    public.sealed_batch(text, text, text, integer),
    public.sealed_store(text, json)
from public, anon, authenticated, service_role;
grant execute on function
    public.sealed_batch(text, text, text, integer),
    public.sealed_store(text, json)
to service_role;
