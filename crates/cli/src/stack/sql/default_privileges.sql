-- Runs after permissive_default_privileges.sql, as on a hosted project (the rule since 2026-10-30):
-- new objects of `postgres` in `public` are out of reach of the Data API. The platform revokes these
-- privileges and no others. So TRUNCATE, REFERENCES, TRIGGER and MAINTAIN on tables and UPDATE on
-- sequences remain, functions keep PostgreSQL's own EXECUTE for PUBLIC, and what `supabase_admin`
-- creates stays open.
alter default privileges for role postgres in schema public
    revoke select, insert, update, delete on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke select, usage on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    revoke execute on functions from anon, authenticated, service_role;
