-- What in these schemas ($1) cannot be made without an extension: catalog and object as the dump's list numbers them,
-- and the name of each table among them.
with recursive needing as (
    select extension.extname, dependent.classid, dependent.objid
    from pg_catalog.pg_extension as extension
    join pg_catalog.pg_depend as member
      on member.refclassid = 'pg_catalog.pg_extension'::regclass and member.refobjid = extension.oid and member.deptype = 'e'
    join pg_catalog.pg_depend as dependent
      on dependent.refclassid = member.classid and dependent.refobjid = member.objid and dependent.deptype <> 'e'
    where extension.extname <> 'plpgsql'
    union
    select needing.extname, next.class_id, next.object_id
    from needing cross join lateral (
        select classid as class_id, objid as object_id from pg_catalog.pg_depend
        where refclassid = needing.classid and refobjid = needing.objid and deptype <> 'e'
        -- A default and a check are written into the table that they belong to.
        union all
        select 'pg_catalog.pg_class'::regclass, adrelid from pg_catalog.pg_attrdef
        where needing.classid = 'pg_catalog.pg_attrdef'::regclass and oid = needing.objid
        union all
        select 'pg_catalog.pg_class'::regclass, conrelid from pg_catalog.pg_constraint
        where needing.classid = 'pg_catalog.pg_constraint'::regclass and oid = needing.objid and contype = 'c' and conrelid <> 0
        union all
        -- A view is its rule.
        select 'pg_catalog.pg_class'::regclass, ev_class from pg_catalog.pg_rewrite
        where needing.classid = 'pg_catalog.pg_rewrite'::regclass and oid = needing.objid and rulename = '_RETURN'
    ) as next
)
select needing.extname::text as extension, needing.classid as class_id, needing.objid as object_id,
    case when class.relkind = 'r' and namespace.nspname = any ($1) then format('%I.%I', namespace.nspname, class.relname) end as table_name
from needing
left join pg_catalog.pg_class as class on needing.classid = 'pg_catalog.pg_class'::regclass and class.oid = needing.objid
left join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
where needing.classid not in ('pg_catalog.pg_amop'::regclass, 'pg_catalog.pg_amproc'::regclass) and not exists (
    select from pg_catalog.pg_depend as dependency
    where dependency.classid = needing.classid and dependency.objid = needing.objid and dependency.deptype = 'e'
)
order by 1, 2, 3
