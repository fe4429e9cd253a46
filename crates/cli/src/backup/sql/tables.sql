-- Tables with rows of their own in these schemas ($1), and the accounts of Auth.
select format('%I.%I', namespace.nspname, class.relname) as name
from pg_catalog.pg_class as class
join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
where class.relkind = 'r' and (namespace.nspname = any ($1) or namespace.nspname = 'auth' and class.relname <> 'schema_migrations')
  and not exists (select from pg_catalog.pg_depend where classid = 'pg_catalog.pg_class'::regclass and objid = class.oid and deptype = 'e')
order by name
