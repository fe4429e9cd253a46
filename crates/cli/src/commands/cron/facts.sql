-- The last $1 ticks of each job, and the calls that each made. A tick and its calls share the process and the time.
select jsonb_build_object(
    'now', extract(epoch from now()),
    'history_since', (select extract(epoch from min(start_time)) from cron.job_run_details),
    'ledger_since', {since},
    'jobs', (select coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job.jobid, 'name', coalesce(job.jobname, job.command), 'schedule', job.schedule,
        'command', job.command, 'active', job.active,
        'ticks', (select coalesce(jsonb_agg(jsonb_build_object(
            'status', tick.status, 'message', tick.return_message, 'at', extract(epoch from tick.start_time),
            'calls', {calls}
        ) order by tick.runid desc), '[]') from (
            select * from cron.job_run_details as details
            where details.jobid = job.jobid order by details.runid desc limit $1
        ) as tick)
    ) order by job.jobname, job.jobid), '[]') from cron.job as job)
)
