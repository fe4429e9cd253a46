-- Stand-in for Supabase Vault: the same schema, functions and view. Unlike the real one it keeps its
-- key in the database, so it protects a backup from nobody: it is for local work.

create table vault.local_key (key bytea not null default extensions.gen_random_bytes(32));
insert into vault.local_key default values;
revoke all on vault.local_key from public;

create table vault.secrets (
    id uuid primary key default gen_random_uuid(),
    name text,
    description text not null default '',
    secret text not null,
    key_id uuid,
    nonce bytea default extensions.gen_random_bytes(16),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table vault.secrets is 'Table with encrypted `secret` column for storing sensitive information on disk.';
create unique index secrets_name_idx on vault.secrets using btree (name) where name is not null;
select pg_catalog.pg_extension_config_dump('vault.secrets', '');

-- Security definer: only these two read the key.
create function vault.local_seal(new_secret text, nonce bytea) returns text
    language sql security definer set search_path = ''
as $$
    select encode(extensions.encrypt_iv(convert_to(new_secret, 'utf8'), key, nonce, 'aes-cbc'), 'base64')
    from vault.local_key
$$;
create function vault.local_open(secret text, nonce bytea) returns text
    language sql stable security definer set search_path = ''
as $$
    select convert_from(extensions.decrypt_iv(decode(secret, 'base64'), key, nonce, 'aes-cbc'), 'utf8')
    from vault.local_key
$$;

create view vault.decrypted_secrets as
    select id, name, description, secret, vault.local_open(secret, nonce) as decrypted_secret,
           key_id, nonce, created_at, updated_at
    from vault.secrets;

create function vault.create_secret(
    new_secret text,
    new_name text default null,
    new_description text default '',
    new_key_id uuid default null
) returns uuid
    language plpgsql security definer set search_path = ''
as $$
declare
    fresh_nonce constant bytea := extensions.gen_random_bytes(16);
    made uuid;
begin
    insert into vault.secrets (secret, nonce, name, description, key_id)
    values (vault.local_seal(new_secret, fresh_nonce), fresh_nonce, new_name, new_description, new_key_id)
    returning id into made;
    return made;
end
$$;

create function vault.update_secret(
    secret_id uuid,
    new_secret text default null,
    new_name text default null,
    new_description text default null,
    new_key_id uuid default null
) returns void
    language plpgsql security definer set search_path = ''
as $$
declare
    fresh_nonce constant bytea := extensions.gen_random_bytes(16);
begin
    update vault.secrets as s
    set secret = case when new_secret is null then s.secret else vault.local_seal(new_secret, fresh_nonce) end,
        nonce = case when new_secret is null then s.nonce else fresh_nonce end,
        name = coalesce(new_name, s.name),
        description = coalesce(new_description, s.description),
        key_id = coalesce(new_key_id, s.key_id),
        updated_at = now()
    where s.id = secret_id;
end
$$;

revoke execute on all functions in schema vault from public;
grant usage on schema vault to postgres with grant option;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;
grant execute on function vault.create_secret, vault.update_secret, vault.local_open to postgres with grant option;
grant usage on schema vault to service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
grant execute on function vault.create_secret, vault.update_secret, vault.local_open to service_role;
