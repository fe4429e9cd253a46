-- The last $1 ticks of each job, and the calls that each made. A tick and its calls share the process and the time.
with past as (
    select jobid, min(start_time) as since from cron.job_run_details group by jobid
)
select jsonb_build_object(
    'now', extract(epoch from now()),
    'scheduler_gone', pg_has_role('pg_read_all_stats', 'usage')
        and not exists (select from pg_stat_activity where backend_type like 'pg_cron%'),
    'ledger_since', {since},
    'jobs', (select coalesce(jsonb_agg(jsonb_build_object(
        'job_id', job.jobid, 'name', coalesce(job.jobname, job.command), 'schedule', job.schedule,
        'command', job.command, 'active', job.active,
        -- Ids grow: a job is older than the ticks of those that were made after it.
        'known_since', (select extract(epoch from min(since)) from past where past.jobid >= job.jobid),
        'ticks', (select coalesce(jsonb_agg(jsonb_build_object(
            'status', tick.status, 'message', tick.return_message, 'at', extract(epoch from tick.start_time),
            'calls', {calls}
        ) order by tick.runid desc), '[]') from (
            select * from cron.job_run_details as details
            where details.jobid = job.jobid order by details.runid desc limit $1
        ) as tick)
    ) order by job.jobname, job.jobid), '[]') from cron.job as job)
)
