(select coalesce(jsonb_agg(jsonb_build_object(
    'function', call.function_name, 'request_id', call.request_id, 'at', extract(epoch from call.called_at),
    'status', coalesce(call.status_code, fresh.status_code),
    'error', case when call.answered_at is null and fresh.id is not null and fresh.status_code is null
                  then coalesce(fresh.error_msg, 'no answer in time') else call.error end,
    'answered', call.answered_at is not null or fresh.id is not null,
    'took', extract(epoch from coalesce(call.answered_at, fresh.created) - call.called_at),
    'run_id', coalesce(call.run_id, substring(fresh.content from '"run_id"\s*:\s*"([^"]{1,64})"')),
    'queued', exists (select from net.http_request_queue as queued where queued.id = call.request_id),
    'is_retry', call.retry_of is not null,
    'retry', (
        select jsonb_build_object('at', extract(epoch from again.called_at), 'status', coalesce(again.status_code, answer.status_code),
                                  'answered', again.answered_at is not null or answer.id is not null, 'error', again.error)
        from private.function_calls as again
        left join net._http_response as answer on answer.id = again.request_id and answer.created > again.called_at - interval '1 minute'
        where again.retry_of = call.id
    )
) order by call.id), '[]')
from private.function_calls as call
left join net._http_response as fresh
       on call.answered_at is null and fresh.id = call.request_id and fresh.created > call.called_at - interval '1 minute'
where call.backend_pid = tick.job_pid
  and call.called_at between tick.start_time - interval '5 seconds' and coalesce(tick.end_time, now()) + interval '5 seconds')
