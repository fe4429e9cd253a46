select
    used.schemaname || '.' || used.relname as table_name,
    greatest(class.reltuples, used.n_live_tup)::bigint as rows_estimate,
    pg_catalog.pg_table_size(used.relid) as table_bytes,
    pg_catalog.pg_indexes_size(used.relid) as index_bytes,
    pg_catalog.pg_total_relation_size(used.relid) as total_bytes,
    used.n_dead_tup as dead_rows,
    used.seq_scan as sequential_scans,
    coalesce(used.idx_scan, 0) as index_scans,
    greatest(used.last_vacuum, used.last_autovacuum) as vacuumed_at,
    greatest(used.last_analyze, used.last_autoanalyze) as analyzed_at
from pg_catalog.pg_stat_user_tables as used
join pg_catalog.pg_class as class on class.oid = used.relid
order by total_bytes desc, table_name
