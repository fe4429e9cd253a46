-- The project's own schemas: neither the server's, nor the platform's, nor an extension's.
select nspname::text from pg_catalog.pg_namespace as namespace
where nspname !~ '^pg_' and nspname not in (
    'information_schema', 'auth', 'cron', 'extensions', 'graphql', 'graphql_public', 'net', 'pgbouncer', 'pgmq', 'pgmq_public', 'pgsodium',
    'pgsodium_masks', 'realtime', 'storage', 'supabase_functions', 'vault', 'dbdev', 'tiger', 'tiger_data', 'topology'
)
-- The platform's own, like _realtime, are somebody else's.
and (nspname !~ '^_' or pg_catalog.pg_has_role(nspowner, 'usage'))
and not exists (select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_namespace'::regclass and objid = namespace.oid and deptype = 'e')
order by nspname
