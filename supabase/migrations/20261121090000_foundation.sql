-- What every chapter stands on: extensions, the schema that the API does not see, and helpers.

create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;

-- Helpers, secrets and leases. PostgREST exposes `public` only, and nobody else gets in.
create schema if not exists private;
comment on schema private is 'Helpers that no client may see. Not exposed by the API.';
revoke all on schema private from public;
-- Policies call the permission helpers as the caller.
grant usage on schema private to authenticated, service_role;

-- New functions are executable by everybody unless this is said first.
alter default privileges in schema private revoke execute on functions from public;
alter default privileges in schema public revoke execute on functions from public, anon, authenticated;

create function private.touch_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end;
$$;
comment on function private.touch_updated_at() is 'Trigger: keeps updated_at true.';
