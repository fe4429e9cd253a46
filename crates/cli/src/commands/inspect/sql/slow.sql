-- {schema} is where the extension was installed.
select
    statement.calls,
    statement.total_exec_time as total_ms,
    statement.mean_exec_time as mean_ms,
    statement.max_exec_time as max_ms,
    statement.rows,
    coalesce(role.rolname, '-') as role,
    regexp_replace(statement.query, '\s+', ' ', 'g') as query
from {schema}.pg_stat_statements as statement
left join pg_catalog.pg_roles as role on role.oid = statement.userid
where statement.dbid = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
order by statement.total_exec_time desc
limit $1
