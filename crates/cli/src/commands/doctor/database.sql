-- What `ferry doctor` asks a database, as one JSON object. Nothing is changed.
with ours as (
    select c.oid, c.relname, c.relkind, c.relrowsecurity from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
        and not exists (select from pg_depend as d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
), functions as (
    select p.oid, p.proname, p.prosrc, p.prorettype, p.pronamespace from pg_proc as p
    where p.pronamespace in (select oid from pg_namespace where nspname in ('public', 'private'))
        and not exists (select from pg_depend as d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
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
    'tables', (select coalesce(jsonb_agg(relname order by relname), '[]') from ours
        where not exists (
            select from unnest(array['anon', 'authenticated', 'service_role']) as role join pg_roles on rolname = role
            where has_any_column_privilege(role, ours.oid, 'select, insert, update')
        )),
    'routines', (select coalesce(jsonb_agg(distinct proname order by proname), '[]') from functions
        where pronamespace = 'public'::regnamespace and prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
            and not exists (
                select from unnest(array['anon', 'authenticated', 'service_role']) as role join pg_roles on rolname = role
                where has_function_privilege(role, functions.oid, 'execute')
            ))
)
