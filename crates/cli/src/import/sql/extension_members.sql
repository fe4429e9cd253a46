-- Functions, types and operator classes of the extensions in our schemas: name as the dump writes it, extension.
select format('%I.%I', namespace.nspname, member.name), extension.extname::text, member.name
from pg_catalog.pg_extension as extension
join pg_catalog.pg_depend as dependency
  on dependency.refclassid = 'pg_catalog.pg_extension'::regclass and dependency.refobjid = extension.oid and dependency.deptype = 'e'
join lateral (
    select proname::text as name, pronamespace as schema_id from pg_catalog.pg_proc
    where dependency.classid = 'pg_catalog.pg_proc'::regclass and oid = dependency.objid
    union all
    select typname::text, typnamespace from pg_catalog.pg_type
    where dependency.classid = 'pg_catalog.pg_type'::regclass and oid = dependency.objid and typname !~ '^_'
    union all
    select opcname::text, opcnamespace from pg_catalog.pg_opclass
    where dependency.classid = 'pg_catalog.pg_opclass'::regclass and oid = dependency.objid
) as member on true
join pg_catalog.pg_namespace as namespace on namespace.oid = member.schema_id
where namespace.nspname = any ($1)
group by 1, 2, 3
