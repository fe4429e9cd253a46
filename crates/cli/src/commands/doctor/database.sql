-- What `ferry doctor` asks a database, as one JSON object. Nothing is changed.
with ours as (
    select c.oid, c.relname, c.relkind, c.relrowsecurity from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
        and not exists (select from pg_depend as d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
), functions as (
    select p.oid, p.proname, p.prosrc, p.prorettype, p.pronamespace, p.prosecdef from pg_proc as p
    where p.pronamespace in (select oid from pg_namespace where nspname in ('public', 'private'))
        and not exists (select from pg_depend as d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
), reachable as (
    -- Who may do what with a table; one that only a function with its owner's rights touches needs no grant.
    select ours.relname,
        exists (
            select from pg_roles where rolname = 'service_role'
                and has_any_column_privilege(rolname, ours.oid, 'select, insert, update')
        ) as by_service,
        exists (
            select from pg_roles where rolname in ('anon', 'authenticated')
                and has_any_column_privilege(rolname, ours.oid, 'select, insert, update')
        ) as by_clients
    from ours
    where not exists (select from functions where prosecdef and prosrc ~ ('\m' || ours.relname || '\M'))
)
select jsonb_build_object(
    'now', extract(epoch from clock_timestamp())::float8,
    'vault', to_regclass('vault.decrypted_secrets') is not null,
    'cron', to_regclass('cron.job') is not null,
    'wanted_secrets', (
        select coalesce(jsonb_agg(distinct found.name order by found.name), '[]') from (
            select (regexp_matches(prosrc, 'vault_secret\(''([a-z0-9_]+)''\)', 'g'))[1] as name from functions
        ) as found
    ),
    'no_rls', (select coalesce(jsonb_agg(relname order by relname), '[]') from ours where relkind in ('r', 'p') and not relrowsecurity),
    'tables', (select coalesce(jsonb_agg(relname order by relname), '[]') from reachable where not by_service and not by_clients),
    'not_for_service', (select coalesce(jsonb_agg(relname order by relname), '[]') from reachable where not by_service and by_clients),
    'routines', (select coalesce(jsonb_agg(distinct proname order by proname), '[]') from functions
        where pronamespace = 'public'::regnamespace and prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
            and not exists (
                select from unnest(array['anon', 'authenticated', 'service_role']) as role join pg_roles on rolname = role
                where has_function_privilege(role, functions.oid, 'execute')
            ))
)
