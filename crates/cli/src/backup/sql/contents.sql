-- What keeps a database from being empty. $1: the project's own schemas.
with own as (
    select 'pg_catalog.pg_class'::regclass as class_id, class.oid, format('%I.%I', namespace.nspname, class.relname) as name
    from pg_catalog.pg_class as class join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where namespace.nspname = any ($1) and class.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'pg_catalog.pg_proc'::regclass, proc.oid, proc.oid::regprocedure::text
    from pg_catalog.pg_proc as proc join pg_catalog.pg_namespace as namespace on namespace.oid = proc.pronamespace
    where namespace.nspname = any ($1)
    union all
    select 'pg_catalog.pg_type'::regclass, type.oid, format('%I.%I', namespace.nspname, type.typname)
    from pg_catalog.pg_type as type join pg_catalog.pg_namespace as namespace on namespace.oid = type.typnamespace
    where namespace.nspname = any ($1) and type.typtype in ('e', 'd')
    union all
    select 'pg_catalog.pg_namespace'::regclass, oid, 'schema ' || nspname
    from pg_catalog.pg_namespace where nspname = any ($1) and nspname <> 'public'
)
select name from own
where not exists (select from pg_catalog.pg_depend as dependency where dependency.classid = own.class_id and dependency.objid = own.oid and dependency.deptype = 'e')
order by name
