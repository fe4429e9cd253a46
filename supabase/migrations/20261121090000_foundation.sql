-- What every chapter stands on: extensions, the schema that the API does not see, and "deny first".

create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;

-- PostgREST exposes `public` only. Policies call helpers in here as the user who asks.
create schema if not exists private;
comment on schema private is 'Helpers that no client may call by name. Not exposed by the API.';
revoke all on schema private from public, anon, service_role;
grant usage on schema private to authenticated;

-- What is made from here on belongs to nobody but its owner until a grant says otherwise.
-- PUBLIC's right to execute new functions is global, and a rule `in schema` cannot take it away.
alter default privileges revoke execute on functions from public;
-- Projects from before 2026-10-30 still hand everything new in `public` to the API's roles.
alter default privileges in schema public revoke execute on functions from anon, authenticated, service_role;
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;

create function private.touch_updated_at() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end;
$$;
comment on function private.touch_updated_at() is 'Trigger: keeps updated_at true.';
