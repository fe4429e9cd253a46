-- A twin has the same columns, order, operators and condition on the same table.
with known as (
    select
        index.indexrelid, index.indrelid, index.indisunique, index.indisprimary, index.indisvalid,
        exists (select from pg_catalog.pg_constraint where conindid = index.indexrelid) as is_constraint,
        concat_ws(' ', index.indkey, index.indclass, index.indoption, index.indcollation,
                  pg_catalog.pg_get_expr(index.indexprs, index.indrelid), pg_catalog.pg_get_expr(index.indpred, index.indrelid),
                  (select relam from pg_catalog.pg_class where oid = index.indexrelid)) as form
    from pg_catalog.pg_index as index
)
select * from (
select
    used.schemaname || '.' || used.relname as table_name,
    used.indexrelname as name,
    pg_catalog.pg_relation_size(known.indexrelid) as bytes,
    used.idx_scan as scans,
    known.indisunique as is_unique,
    case
        when not known.indisvalid then 'invalid'
        when twin.name is not null and not known.is_constraint then 'same as ' || twin.name
        when used.idx_scan = 0 and not known.indisunique then 'never used'
    end as note
from known
join pg_catalog.pg_stat_user_indexes as used on used.indexrelid = known.indexrelid
left join lateral (
    select class.relname as name from known as other join pg_catalog.pg_class as class on class.oid = other.indexrelid
    where other.indrelid = known.indrelid and other.form = known.form and other.indexrelid <> known.indexrelid
      and (other.is_constraint or other.indexrelid < known.indexrelid)
    limit 1
) as twin on true
where used.schemaname not in ('cron', 'net', 'auth', 'storage', 'vault', 'realtime', 'extensions', 'supabase_migrations')
) as indexes
order by note is null, bytes desc, table_name, name
