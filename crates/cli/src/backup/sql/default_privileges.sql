-- Default privileges that this role may set, as the statements that set them. Those of a schema add to those of
-- the whole database; those of the whole database stand in for the built-in ones.
with defaults as (
    select role.rolname as role, namespace.nspname as schema, defaclobjtype as kind,
        defaclacl as acl,
        case when defaclnamespace = 0 then acldefault((case defaclobjtype when 'S' then 's' else defaclobjtype end)::"char", defaclrole) end as standard
    from pg_catalog.pg_default_acl
    join pg_catalog.pg_roles as role on role.oid = defaclrole and pg_catalog.pg_has_role(role.oid, 'usage')
    left join pg_catalog.pg_namespace as namespace on namespace.oid = defaclnamespace
    where defaclobjtype in ('r', 'S', 'f', 'T', 'n')
),
changes as (
    select 'grant %s on %s to %s%s' as verb, defaults.*, item.*
    from defaults cross join lateral aclexplode(acl) as item
    where not exists (
        select from aclexplode(standard) as other
        where (other.grantee, other.privilege_type, other.is_grantable) = (item.grantee, item.privilege_type, item.is_grantable)
    )
    union all
    select 'revoke %s on %s from %s%s', defaults.*, item.*
    from defaults cross join lateral aclexplode(standard) as item
    where not exists (
        select from aclexplode(acl) as other
        where (other.grantee, other.privilege_type) = (item.grantee, item.privilege_type)
    )
)
select role::text, schema::text, format('alter default privileges for role %I%s ', role, ' in schema ' || quote_ident(schema))
    || format(verb, string_agg(privilege_type, ', ' order by privilege_type),
        case kind when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' else 'schemas' end,
        case grantee when 0 then 'public' else quote_ident(grantee_role.rolname) end,
        case when is_grantable and verb ~ '^grant' then ' with grant option' else '' end) as statement
from changes left join pg_catalog.pg_roles as grantee_role on grantee_role.oid = grantee
where grantee = 0 or grantee_role.oid is not null
group by role, schema, verb, kind, grantee, grantee_role.rolname, is_grantable
order by statement
