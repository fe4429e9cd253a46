-- What row level security leaves open in the exposed schemas ($1), and what makes it slow. The session
-- has an empty search_path, so that the server prints every name with its schema.
with relations as (
    select class.oid, format('%I.%I', namespace.nspname, class.relname) as name, class.relkind, class.relrowsecurity,
           coalesce(class.reloptions, '{}') as options, class.relacl, class.relnamespace
    from pg_catalog.pg_class as class
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where namespace.nspname = any ($1) and class.relkind in ('r', 'p', 'v', 'm', 'f')
      and not exists (select from pg_catalog.pg_depend where objid = class.oid and deptype = 'e')
),
-- What the API roles may do with rows: by name, or as part of everybody. The Data API offers no TRUNCATE,
-- REFERENCES, TRIGGER or MAINTAIN, which the default privileges of a hosted project leave on every table.
grants as (
    select relation.oid, case acl.grantee when 0 then 'everybody' else acl.grantee::regrole::text end as grantee,
           string_agg(lower(acl.privilege_type), ', ' order by acl.privilege_type) as privileges
    from relations as relation
    cross join lateral (
        select grantee, privilege_type from pg_catalog.aclexplode(relation.relacl)
        union
        select acl.grantee, acl.privilege_type from pg_catalog.pg_attribute as attribute
        cross join lateral pg_catalog.aclexplode(attribute.attacl) as acl
        where attribute.attrelid = relation.oid and attribute.attnum > 0 and not attribute.attisdropped
    ) as acl
    where acl.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
      and (acl.grantee = 0 or acl.grantee in (to_regrole('anon'), to_regrole('authenticated')))
    group by relation.oid, acl.grantee
),
policies as (
    select policy.oid, policy.polname, policy.polrelid, policy.polcmd, relation.name as table_name,
           coalesce(pg_catalog.pg_get_expr(policy.polqual, policy.polrelid), '') as using_text,
           coalesce(pg_catalog.pg_get_expr(policy.polwithcheck, policy.polrelid), '') as check_text
    from pg_catalog.pg_policy as policy
    join relations as relation on relation.oid = policy.polrelid
),
-- Functions of a policy that are not the server's own, and current_setting(), which is. A call is made once a
-- query when it stands alone in a sub-select; `select` in front of it tells.
calls as (
    select policy.oid, called.name,
           (select count(*) from regexp_matches(policy.using_text || ' ' || policy.check_text, called.pattern, 'g'))
           - (select count(*) from regexp_matches(policy.using_text || ' ' || policy.check_text, '\( ?SELECT ' || called.pattern, 'g')) as bare
    from policies as policy
    cross join lateral (
        select proc.oid::regprocedure::text as name,
               regexp_replace(format('%I.%I', namespace.nspname, proc.proname), '([.$])', '\\\1', 'g') || '\(' as pattern
        from pg_catalog.pg_depend as dependency
        join pg_catalog.pg_proc as proc on proc.oid = dependency.refobjid
        join pg_catalog.pg_namespace as namespace on namespace.oid = proc.pronamespace
        where dependency.classid = 'pg_catalog.pg_policy'::regclass and dependency.objid = policy.oid
          and dependency.refclassid = 'pg_catalog.pg_proc'::regclass and proc.provolatile <> 'i'
        union
        select 'current_setting()', 'current_setting\('
    ) as called
),
definers as (
    select proc.oid, proc.oid::regprocedure::text as name, proc.proconfig, namespace.nspname
    from pg_catalog.pg_proc as proc
    join pg_catalog.pg_namespace as namespace on namespace.oid = proc.pronamespace
    where proc.prosecdef
      and namespace.nspname !~ '^(pg_|information_schema$|auth$|cron$|extensions$|graphql|net$|pgbouncer$|pgmq|pgsodium|pgtle|realtime$|storage$|supabase_|vault$|_)'
      and not exists (select from pg_catalog.pg_depend where objid = proc.oid and deptype = 'e')
),
findings as (
    select 1 as rank, 'open' as level, 'rls-off' as kind, name as object,
           coalesce((select 'granted to ' || string_agg(grantee || ' (' || privileges || ')', ', ') from grants where grants.oid = relations.oid),
                    'no grants yet, which the next one forgets') as detail,
           format('alter table %s enable row level security;', name) as remedy
    from relations where relkind in ('r', 'p') and not relrowsecurity
    union all
    select 2, 'open', 'view-as-owner', relation.name,
           'shows what its owner may see, to ' || string_agg(grants.grantee, ', '),
           format('alter view %s set (security_invoker = true);', relation.name)
    from relations as relation join grants on grants.oid = relation.oid
    where relation.relkind = 'v' and not relation.options && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1']
    group by relation.name
    union all
    select 3, 'open', 'materialized-view', relation.name, 'has no row level security, and is granted to ' || string_agg(grants.grantee, ', '),
           format('revoke all on %s from anon, authenticated;', relation.name)
    from relations as relation join grants on grants.oid = relation.oid
    where relation.relkind = 'm' group by relation.name
    union all
    select 4, 'open', 'user-metadata', table_name, format('policy "%s" trusts what users can write themselves', polname),
           'use app_metadata'
    from policies where using_text || check_text ~ 'user_meta_?data'
    union all
    select 5, 'open', 'write-true', table_name,
           format('policy "%s" lets its roles %s any row', polname,
                  case polcmd when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'change' end),
           'say whose rows'
    from policies
    where polcmd <> 'r' and (case polcmd when 'a' then check_text when '*' then coalesce(nullif(check_text, ''), using_text) else using_text end) = 'true'
      and exists (
          select from pg_catalog.pg_policy as policy where policy.oid = policies.oid and policy.polpermissive
            and policy.polroles && array[0::oid, to_regrole('anon')::oid, to_regrole('authenticated')::oid]
      )
    union all
    select 6, 'open', 'definer-search-path', name, 'security definer, with the search_path of whoever calls it',
           format('alter function %s set search_path = '''';', name)
    from definers where not exists (select from unnest(proconfig) as setting where setting like 'search_path=%')
    union all
    select 7, 'open', 'anon-grant', relation.name, format('%s may %s', grants.grantee, grants.privileges),
           format('revoke all on %s from %s;', relation.name, case grants.grantee when 'everybody' then 'public' else grants.grantee end)
    from relations as relation join grants on grants.oid = relation.oid
    where grants.grantee in ('everybody', 'anon')
    union all
    select 8, 'warn', 'anon-definer', name, 'anybody may call it, and it acts as its owner',
           format('revoke execute on function %s from public, anon;', name)
    from definers where nspname = any ($1) and to_regrole('anon') is not null and has_function_privilege('anon', oid, 'execute')
    union all
    select 9, 'slow', 'call-per-row', policy.table_name, format('policy "%s" calls %s for each row', policy.polname, calls.name),
           format('write (select %s)', calls.name)
    from calls join policies as policy on policy.oid = calls.oid where calls.bare > 0
    union all
    select distinct 10, 'slow', 'policy-index', policy.table_name,
           format('policy "%s" asks for %I, which no index begins with', policy.polname, attribute.attname),
           format('create index on %s (%I);', policy.table_name, attribute.attname)
    from policies as policy
    join pg_catalog.pg_depend as dependency
      on dependency.classid = 'pg_catalog.pg_policy'::regclass and dependency.objid = policy.oid
     and dependency.refclassid = 'pg_catalog.pg_class'::regclass and dependency.refobjid = policy.polrelid
    join pg_catalog.pg_attribute as attribute on attribute.attrelid = policy.polrelid and attribute.attnum = dependency.refobjsubid
    where dependency.refobjsubid > 0 and attribute.atttypid in ('uuid'::regtype, 'bigint'::regtype, 'integer'::regtype, 'text'::regtype)
      and not exists (
          select from pg_catalog.pg_index as index
          where index.indrelid = policy.polrelid and index.indkey[0] = attribute.attnum and index.indisvalid
      )
    union all
    select 11, 'warn', 'no-policy', relation.name, 'granted to ' || string_agg(grants.grantee, ', ') || ', and no policy shows them a row',
           'create a policy, or revoke the grant'
    from relations as relation join grants on grants.oid = relation.oid
    where relation.relkind in ('r', 'p') and relation.relrowsecurity and not exists (select from policies where polrelid = relation.oid)
    group by relation.name
)
select level, kind, object, detail, remedy from findings order by rank, object, detail
