-- Foreign tables in these schemas ($1), named as the list of grants names them.
select format('table %I.%I', namespace.nspname, relname)
from pg_catalog.pg_class join pg_catalog.pg_namespace as namespace on namespace.oid = relnamespace
where namespace.nspname = any ($1) and relkind = 'f'
