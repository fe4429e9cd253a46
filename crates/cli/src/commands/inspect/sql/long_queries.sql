-- A session that is idle in a transaction counts from the transaction's begin: it holds its locks so long.
select
    pid,
    coalesce(usename, '-') as role,
    coalesce(nullif(application_name, ''), '-') as application,
    coalesce(state, 'none') as state,
    extract(epoch from now() - case when state like 'idle in%' then xact_start else query_start end)::float8 as seconds,
    case when wait_event_type = 'Lock' then wait_event end as waits_for,
    pg_catalog.pg_blocking_pids(pid) as blocked_by,
    regexp_replace(query, '\s+', ' ', 'g') as statement
from pg_catalog.pg_stat_activity
where backend_type = 'client backend' and pid <> pg_catalog.pg_backend_pid() and state <> 'idle'
  and case when state like 'idle in%' then xact_start else query_start end <= now() - make_interval(secs => $1)
order by seconds desc
