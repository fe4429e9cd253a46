-- What became of the calls that jobs make. pg_cron knows that the SQL ran, pg_net for six hours what was
-- answered; this ledger links the two, and lets the next tick call again, once, what failed.

create table private.function_calls (
    id             bigint generated always as identity primary key,
    function_name  text not null,
    body           jsonb not null,
    request_id     bigint not null,
    backend_pid    integer not null default pg_catalog.pg_backend_pid(),
    called_at      timestamptz not null default now(),
    answered_at    timestamptz,
    status_code    integer,
    error          text,
    run_id         text,
    retry_of       bigint unique references private.function_calls on delete set null,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);
comment on table private.function_calls is 'One row per call of an edge function by private.call_function. Kept for 14 days.';
comment on column private.function_calls.id is 'In the order of the calls.';
comment on column private.function_calls.function_name is 'The function, with its path and query.';
comment on column private.function_calls.body is 'What was sent.';
comment on column private.function_calls.request_id is 'pg_net''s id of the request. Used again after the database''s extension was made anew, so look at called_at too.';
comment on column private.function_calls.backend_pid is
    'The process that called: with called_at it finds the tick in cron.job_run_details (job_pid, start_time, end_time).';
comment on column private.function_calls.called_at is 'When it was queued.';
comment on column private.function_calls.answered_at is 'When the answer came, or when it was given up. Empty: not settled yet.';
comment on column private.function_calls.status_code is 'The HTTP status; none when there was no answer.';
comment on column private.function_calls.error is 'Why there was no answer, or the code and message of a refusal.';
comment on column private.function_calls.run_id is 'The run that the function says it began: the id in collection_runs, say.';
comment on column private.function_calls.retry_of is 'The failed call that this one repeats. A call is repeated once, and a repetition never.';
comment on column private.function_calls.created_at is 'When the row was made.';
comment on column private.function_calls.updated_at is 'When the row was last changed.';
create index function_calls_latest on private.function_calls (function_name, called_at desc);
create index function_calls_tick on private.function_calls (backend_pid, called_at);
create index function_calls_open on private.function_calls (called_at) where answered_at is null;
create index function_calls_age on private.function_calls (called_at);
create trigger function_calls_touch before update on private.function_calls
    for each row execute function private.touch_updated_at();
-- Nobody but the functions below, which act as their owner.
alter table private.function_calls enable row level security;
revoke all on private.function_calls from public, anon, authenticated, service_role;

create function private.function_calls_settle() returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_answered integer;
    v_lost     integer;
begin
    update private.function_calls as call
    set answered_at = answer.created,
        status_code = answer.status_code,
        -- The body may be anything, so it is searched and not parsed.
        error = case
            when answer.status_code is null then coalesce(answer.error_msg, 'no answer in time')
            when answer.status_code >= 400 then left(concat_ws(': ',
                substring(answer.content from '"code"\s*:\s*"([^"]{1,64})"'),
                substring(answer.content from '"(?:error|message|msg)"\s*:\s*"([^"]{1,250})')), 320)
        end,
        run_id = substring(answer.content from '"run_id"\s*:\s*"([^"]{1,64})"')
    from net._http_response as answer
    where call.answered_at is null and answer.id = call.request_id
      -- The worker's transaction may have begun just before the caller's.
      and answer.created > call.called_at - interval '1 minute';
    get diagnostics v_answered = row_count;

    -- Queue and answers are unlogged: a crash of the database loses both.
    update private.function_calls as call
    set answered_at = now(), error = 'the request was lost: neither queued nor answered'
    where call.answered_at is null and call.called_at < now() - interval '3 minutes'
      and not exists (select from net.http_request_queue as queued where queued.id = call.request_id);
    get diagnostics v_lost = row_count;
    return v_answered + v_lost;
end;
$$;
comment on function private.function_calls_settle() is
    'Writes down what was answered to calls, and gives up those that were lost. The number of calls settled.';

create function private.function_calls_send(p_function text, p_body jsonb, p_retry_of bigint default null) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    v_request_id bigint;
begin
    v_request_id := net.http_post(
        url => rtrim(private.vault_secret('project_url'), '/') || '/functions/v1/' || p_function,
        body => p_body,
        headers => jsonb_build_object(
            'Content-Type', 'application/json',
            'X-Service-Key', private.vault_secret('service_api_key')
        ),
        -- One worker waits for the slowest of a batch: functions answer 202 at once.
        timeout_milliseconds => 10000
    );
    insert into private.function_calls (function_name, body, request_id, retry_of)
    values (p_function, p_body, v_request_id, p_retry_of);
    return v_request_id;
end;
$$;
comment on function private.function_calls_send(text, jsonb, bigint) is 'Queues a call and writes it down. The id of pg_net''s request.';

create function private.function_calls_retry(p_function text) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    -- As many as the largest tick makes; after an outage a tick shall not repeat the outage's calls at once.
    v_most  constant integer := 8;
    v_call  record;
    v_count integer := 0;
begin
    for v_call in
        select call.id, call.function_name, call.body
        from private.function_calls as call
        where call.function_name = p_function and call.called_at > now() - interval '2 days'
          and call.answered_at is not null and (call.status_code is null or call.status_code >= 500)
          and call.retry_of is null
          and not exists (select from private.function_calls as again where again.retry_of = call.id)
        order by call.called_at desc, call.id
        limit v_most
        for update of call skip locked
    loop
        perform private.function_calls_send(v_call.function_name, v_call.body, v_call.id);
        v_count := v_count + 1;
    end loop;
    return v_count;
end;
$$;
comment on function private.function_calls_retry(text) is
    'Calls again, once, what got no answer or one of 500 and above in the last two days, 8 calls at the most. The number of calls.';

create or replace function private.call_function(function_name text, body jsonb default '{}') returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    perform private.function_calls_settle();
    perform private.function_calls_retry(function_name);
    return private.function_calls_send(function_name, body);
end;
$$;
comment on function private.call_function(text, jsonb) is
    'Calls an edge function as a service, by the Vault secrets project_url and service_api_key, after calling again what failed before. The id of pg_net''s request.';

create function private.function_calls_keep() returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform private.function_calls_settle();
    delete from private.function_calls where called_at < now() - interval '14 days';
end;
$$;
comment on function private.function_calls_keep() is 'Settles calls before pg_net forgets their answers, and forgets calls after 14 days.';

revoke execute on function
    private.function_calls_settle(), private.function_calls_send(text, jsonb, bigint), private.function_calls_retry(text),
    private.function_calls_keep()
from public, anon, authenticated, service_role;

select cron.schedule('function-calls', '*/10 * * * *', 'select private.function_calls_keep()');
