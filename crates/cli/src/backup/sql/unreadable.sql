-- Tables of these schemas ($1) that this role may not read, and pg_dump may not lock.
select format('%I.%I', namespace.nspname, relname)
from pg_catalog.pg_class as class join pg_catalog.pg_namespace as namespace on namespace.oid = relnamespace
where namespace.nspname = any ($1) and relkind in ('r', 'p') and not pg_catalog.has_table_privilege(class.oid, 'select')
order by 1
