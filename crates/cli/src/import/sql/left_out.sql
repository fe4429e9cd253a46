-- What a database has that is not taken along.
select what from (
    select 1 as rank, 'schema ' || nspname || ': a Supabase project has its own of that name' as what
    from pg_catalog.pg_namespace
    where nspname in ('auth', 'storage', 'realtime', 'vault', 'extensions', 'cron', 'net', 'graphql', 'graphql_public', 'supabase_functions')
      and exists (select from pg_catalog.pg_class where relnamespace = pg_namespace.oid)
      and not exists (select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_namespace'::regclass and objid = pg_namespace.oid and deptype = 'e')
    union all
    select 2, 'foreign table ' || oid::regclass from pg_catalog.pg_class where relkind = 'f'
    union all
    select 3, count(*) || ' roles, their passwords and memberships' from pg_catalog.pg_roles
    where rolname !~ '^(pg_|supabase_)' and not rolsuper
      and rolname not in ('anon', 'authenticated', 'service_role', 'authenticator', 'dashboard_user', 'pgbouncer', 'cron_owner', 'postgres')
    having count(*) > 0
    union all
    select 4, 'owners and grants: everything will belong to the role that imports'
    union all
    select 5, 'event trigger ' || evtname from pg_catalog.pg_event_trigger
    where not exists (select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_event_trigger'::regclass and objid = pg_event_trigger.oid and deptype = 'e')
      and evtname !~ '^(issue_|pgrst_)'
    union all
    select 6, 'publication ' || pubname from pg_catalog.pg_publication where pubname <> 'supabase_realtime'
    union all
    select 7, count(*) || ' large objects' from pg_catalog.pg_largeobject_metadata having count(*) > 0
    union all
    select 8, 'settings of the database: ' || array_to_string(setconfig, ', ') from pg_catalog.pg_db_role_setting
    where setrole = 0 and setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())
) as things order by rank, what
