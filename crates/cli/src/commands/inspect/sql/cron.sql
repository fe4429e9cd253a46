select
    job.jobid as id,
    coalesce(job.jobname, job.command) as name,
    job.schedule,
    job.active,
    last.start_time as last_run_at,
    last.status as last_status,
    case when last.status = 'failed' then last.return_message end as last_error,
    day.runs,
    day.failures,
    day.average_ms
from cron.job as job
left join lateral (
    select * from cron.job_run_details as run where run.jobid = job.jobid order by run.runid desc limit 1
) as last on true
cross join lateral (
    select count(*)::integer as runs, (count(*) filter (where status = 'failed'))::integer as failures,
           (avg(extract(epoch from end_time - start_time)) * 1000)::float8 as average_ms
    from cron.job_run_details as run
    where run.jobid = job.jobid and run.start_time > now() - interval '1 day'
) as day
order by job.jobname, job.jobid
