-- The grants on everything in these schemas ($1): one row for each privilege of each role.
-- An object without an ACL has its built-in default. An owner that holds all of its privileges has no row; an owner
-- that gave some up has a `revoke` row for each of them. Grants by different grantors count as one.
-- A row `object` says that the object exists, with or without grants.
-- `membership` tells what an extension has to do with it: `own` is the project's own object; `initial` is a member of an
-- extension as the extension made it; `changed` has other grants; `fixed` belongs to a role that this one cannot act as.
with objects as (
    select 'n'::"char" as acl_type, format('schema %I', nspname) as object, null::name as column_name,
        'pg_catalog.pg_namespace'::regclass as class_id, oid as object_id, 0 as column_number, nspowner as owner, nspacl as acl
    from pg_catalog.pg_namespace where nspname = any ($1)
    union all
    select (case relkind when 'S' then 's' else 'r' end)::"char",
        format('%s %I.%I', case relkind when 'S' then 'sequence' else 'table' end, namespace.nspname, relname),
        null, 'pg_catalog.pg_class'::regclass, class.oid, 0, relowner, relacl
    from pg_catalog.pg_class as class join pg_catalog.pg_namespace as namespace on namespace.oid = relnamespace
    where namespace.nspname = any ($1) and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'c', format('table %I.%I', namespace.nspname, relname), attname, 'pg_catalog.pg_class'::regclass, class.oid, attnum, relowner, attacl
    from pg_catalog.pg_attribute join pg_catalog.pg_class as class on class.oid = attrelid
    join pg_catalog.pg_namespace as namespace on namespace.oid = relnamespace
    where namespace.nspname = any ($1) and relkind in ('r', 'p', 'v', 'm', 'f') and attacl is not null and not attisdropped
    union all
    -- Type names do not depend on the search path of whoever asks.
    select 'f', format('routine %I.%I(%s)', namespace.nspname, proname, (
            select string_agg(case
                when element.oid is not null then format('%I.%I[]', element_namespace.nspname, element.typname)
                else format('%I.%I', type_namespace.nspname, type.typname)
            end, ', ' order by position)
            from unnest(proargtypes) with ordinality as argument (type_id, position)
            join pg_catalog.pg_type as type on type.oid = argument.type_id
            join pg_catalog.pg_namespace as type_namespace on type_namespace.oid = type.typnamespace
            left join pg_catalog.pg_type as element on element.typarray = type.oid
            left join pg_catalog.pg_namespace as element_namespace on element_namespace.oid = element.typnamespace
        )), null, 'pg_catalog.pg_proc'::regclass, proc.oid, 0, proowner, proacl
    from pg_catalog.pg_proc as proc join pg_catalog.pg_namespace as namespace on namespace.oid = pronamespace
    where namespace.nspname = any ($1)
    union all
    -- Arrays, multiranges and rows of tables have no grants of their own.
    select 'T', format('type %I.%I', namespace.nspname, typname), null, 'pg_catalog.pg_type'::regclass, type.oid, 0, typowner, typacl
    from pg_catalog.pg_type as type join pg_catalog.pg_namespace as namespace on namespace.oid = typnamespace
    where namespace.nspname = any ($1) and typtype in ('b', 'c', 'd', 'e', 'r')
      and not exists (select from pg_catalog.pg_type as element where element.typarray = type.oid)
      and (typrelid = 0 or exists (select from pg_catalog.pg_class where oid = typrelid and relkind = 'c'))
),
known as (
    select object, column_name, owner, coalesce(acl, acldefault(acl_type, owner)) as acl, acldefault(acl_type, owner) as standard,
        case
            when not exists (
                select from pg_catalog.pg_depend as dependency
                where dependency.classid = class_id and dependency.objid = object_id and dependency.deptype = 'e'
            ) then 'own'
            when not pg_catalog.pg_has_role(owner, 'usage') then 'fixed'
            when acl is not distinct from (
                select initprivs from pg_catalog.pg_init_privs as initial
                where initial.classoid = class_id and initial.objoid = object_id and initial.objsubid = column_number
            ) then 'initial'
            else 'changed'
        end as membership
    from objects
)
select 'grant' as verb, item.privilege_type || coalesce(' (' || quote_ident(column_name) || ')', '') as privilege, object,
    case item.grantee when 0 then 'public' else quote_ident(role.rolname) end as grantee, bool_or(item.is_grantable) as grantable, membership,
    -- Grants are made again in this order.
    min(item.position) as position
from known
cross join lateral aclexplode(acl) with ordinality as item (grantor, grantee, privilege_type, is_grantable, position)
left join pg_catalog.pg_roles as role on role.oid = item.grantee
where item.grantee <> owner and (item.grantee = 0 or role.oid is not null)
group by 2, 3, 4, 6
union all
select 'revoke', item.privilege_type, object, 'current_role', false, membership, 0
from known cross join lateral aclexplode(standard) as item
where item.grantee = owner and column_name is null and owner <> (select oid from pg_catalog.pg_roles where rolname = 'pg_database_owner')
  and not exists (select from aclexplode(acl) as kept where kept.grantee = owner and kept.privilege_type = item.privilege_type)
union all
select 'object', '', object, '', false, membership, 0 from known where column_name is null
