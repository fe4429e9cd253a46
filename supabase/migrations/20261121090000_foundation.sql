-- What every chapter stands on: extensions, and the schema that the API does not see.
--
-- New functions are executable by everybody, and tables were open to the API's roles before 2026-10-30.
-- Each chapter therefore revokes first and then grants. The defaults themselves stay as they are: they
-- would change for all else in the project too. supabase/tests/10-inventory.sql finds what was forgotten.

create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;

-- PostgREST exposes `public` only. Policies call helpers in here as the user who asks.
create schema if not exists private;
comment on schema private is 'Helpers that no client may call by name. Not exposed by the API.';
revoke all on schema private from public, anon, service_role;
grant usage on schema private to authenticated;

create function private.touch_updated_at() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end;
$$;
comment on function private.touch_updated_at() is 'Trigger: keeps updated_at true.';
revoke execute on function private.touch_updated_at() from public, anon, authenticated, service_role;
