-- Who is connected, and doing what.
select
    coalesce(usename, '-') as role,
    coalesce(nullif(application_name, ''), '-') as application,
    coalesce(state, 'none') as state,
    count(*)::integer as connections,
    coalesce(max(extract(epoch from now() - state_change)), 0)::float8 as longest_seconds
from pg_catalog.pg_stat_activity
where backend_type = 'client backend'
group by 1, 2, 3
order by connections desc, role, application, state
