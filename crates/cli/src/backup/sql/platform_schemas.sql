-- Schemas that the platform makes and the project's own things refer to.
select nspname::text from pg_catalog.pg_namespace
where nspname in ('auth', 'storage', 'realtime', 'supabase_functions') and pg_catalog.has_schema_privilege(oid, 'usage')
order by nspname
