-- The jobs of pg_cron that this role sees, as calls that make them again.
select format('select cron.%s;', case
    when jobname is null then format('schedule(%L, %L)', schedule, command)
    else format('schedule(%L, %L, %L)', jobname, schedule, command)
end) || case when active then '' else E'\nselect cron.alter_job(max(jobid), active := false) from cron.job;' end
from cron.job where database = current_database() order by jobid
