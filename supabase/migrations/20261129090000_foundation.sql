-- What every system stands on: the private schema, calls of functions by schedule, the registry of sealed columns.
--
-- New functions are executable by everybody, and tables were open to the API's roles before 2026-10-30.
-- Each chapter therefore revokes first and then grants. The defaults themselves stay as they are: they
-- would change for everything else in the project too. supabase/tests/10-inventory.sql finds what was forgotten.

create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;

-- PostgREST exposes `public` only. Policies and views call helpers in here as the user who asks.
create schema if not exists private;
comment on schema private is 'Helpers that no client may call by name. Not exposed by the API.';
revoke all on schema private from public, anon, authenticated, service_role;
grant usage on schema private to authenticated, service_role;

create function private.touch_updated_at() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end;
$$;
comment on function private.touch_updated_at() is 'Trigger: keeps updated_at true.';
revoke execute on function private.touch_updated_at() from public, anon, authenticated, service_role;

-- Calls of functions

create function private.vault_secret(p_name text) returns text
language plpgsql security definer set search_path = '' as $$
declare
    v_value text;
begin
    -- A pasted secret often ends in a line break, and no header takes that.
    select btrim(decrypted_secret, E' \t\r\n') into v_value from vault.decrypted_secrets where name = p_name;
    -- pg_net drops a header without a value in silence, and pg_cron would call that a success.
    if coalesce(v_value, '') = '' then
        raise exception 'the Vault secret "%" is missing or empty', p_name
            using hint = format('select vault.create_secret(''…'', %L);', p_name);
    end if;
    return v_value;
end;
$$;
comment on function private.vault_secret(text) is 'A secret from Vault; raises when it is missing or empty.';
revoke execute on function private.vault_secret(text) from public, anon, authenticated, service_role;

-- The outcome of the calls that jobs make. pg_cron only knows that the SQL ran, and pg_net forgets an answer after
-- six hours. This ledger links the two, and lets the next tick repeat a failed call once.
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
-- Only the functions below use it; they act as their owner.
alter table private.function_calls enable row level security;
revoke all on private.function_calls from public, anon, authenticated, service_role;
revoke all on sequence private.function_calls_id_seq from public, anon, authenticated, service_role;

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
                substring(answer.content from '"(?:error|message|msg)"\s*:\s*"((?:[^"\\]|\\.){1,250})')), 320)
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
revoke execute on function private.function_calls_settle() from public, anon, authenticated, service_role;

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
revoke execute on function private.function_calls_send(text, jsonb, bigint)
    from public, anon, authenticated, service_role;

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
revoke execute on function private.function_calls_retry(text) from public, anon, authenticated, service_role;

create function private.call_function(function_name text, body jsonb default '{}') returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    perform private.function_calls_settle();
    perform private.function_calls_retry(function_name);
    return private.function_calls_send(function_name, body);
end;
$$;
comment on function private.call_function(text, jsonb) is
    'Calls an edge function as a service, by the Vault secrets project_url and service_api_key, after calling again what failed before. The id of pg_net''s request.';
revoke execute on function private.call_function(text, jsonb) from public, anon, authenticated, service_role;

create function private.function_calls_keep() returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform private.function_calls_settle();
    delete from private.function_calls where called_at < now() - interval '14 days';
end;
$$;
comment on function private.function_calls_keep() is 'Settles calls before pg_net forgets their answers, and forgets calls after 14 days.';
revoke execute on function private.function_calls_keep() from public, anon, authenticated, service_role;

-- Sealed texts: which are still under an old key, and a new text in place of the old unless it changed meanwhile

-- The registry of sealed texts, by which the keys of a ring are replaced. Each chapter adds its own columns.
create table private.sealed_columns (
    relation     text not null,
    column_name  text not null,
    ring         text not null,
    holder       text not null,
    reseal       text not null,
    place        text not null,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    primary key (relation, column_name),
    constraint sealed_columns_ring check (ring ~ '^[A-Z][A-Z0-9_]*_KEYS$'),
    constraint sealed_columns_reseal check (reseal ~ '^[a-z][a-z0-9-]*[/?]\S+$')
);
comment on table private.sealed_columns is
    'One row per column with sealed texts. A function of your own that seals adds its columns here, by a migration.';
comment on column private.sealed_columns.relation is 'The table, with its schema.';
comment on column private.sealed_columns.column_name is 'The column: v1.<key id>.<base64url of nonce and ciphertext>, or null.';
comment on column private.sealed_columns.ring is 'The secret that holds the ring of keys.';
comment on column private.sealed_columns.holder is 'The function that seals and opens them.';
comment on column private.sealed_columns.reseal is 'What to POST for sealing again what is not under the first key: function, path and query.';
comment on column private.sealed_columns.place is
    'The place that a text is sealed for, as an SQL expression over the columns of the table. Unique within the holder.';
comment on column private.sealed_columns.created_at is 'When the row was made.';
comment on column private.sealed_columns.updated_at is 'When the row was last changed.';
create trigger sealed_columns_touch before update on private.sealed_columns
    for each row execute function private.touch_updated_at();
-- What is in `place` is run by the functions below: only migrations write it.
alter table private.sealed_columns enable row level security;
revoke all on private.sealed_columns from public, anon, authenticated, service_role;

create function private.sealed_counts(p_ring text) returns table (reseal text, key_id text, texts bigint)
language plpgsql stable security definer set search_path = '' as $$
declare
    v_column record;
begin
    for v_column in select * from private.sealed_columns as known where known.ring = p_ring loop
        return query execute format(
            'select $1, split_part(%1$I, ''.'', 2), count(*) from %2$s where %1$I is not null group by 2',
            v_column.column_name, v_column.relation::regclass
        ) using v_column.reseal;
        -- A column that is empty is known all the same.
        return query select v_column.reseal, null::text, 0::bigint;
    end loop;
end;
$$;
comment on function private.sealed_counts(text) is
    'How many texts of a ring are sealed under which key, and what to call to seal them again. No row: nothing is known of such a ring.';
revoke execute on function private.sealed_counts(text) from public, anon, authenticated, service_role;

create function public.sealed_batch(p_holder text, p_key_id text, p_after text default '', p_limit integer default 200) returns json
language plpgsql stable security definer set search_path = '' as $$
declare
    v_all   text;
    v_batch json;
begin
    select string_agg(format(
        'select (%s)::text collate "C" as place, %I as old_text from %s', known.place, known.column_name, known.relation::regclass
    ), ' union all ') into v_all
    from private.sealed_columns as known where known.holder = p_holder;
    if v_all is null then
        return '[]'::json;
    end if;
    execute format(
        'select json_agg(batch order by batch.place) from (
             select text.place, text.old_text from (%s) as text
             where split_part(text.old_text, ''.'', 2) <> $1 and text.place > $2 order by text.place limit $3
         ) as batch', v_all
    ) into v_batch using p_key_id, p_after, p_limit;
    return coalesce(v_batch, '[]'::json);
end;
$$;
comment on function public.sealed_batch(text, text, text, integer) is
    'Texts of a function that are sealed under another key than p_key_id, with their places, the first ones after p_after.';
revoke execute on function public.sealed_batch(text, text, text, integer)
    from public, anon, authenticated, service_role;
grant execute on function public.sealed_batch(text, text, text, integer) to service_role;

create function public.sealed_store(p_holder text, p_texts json) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_column record;
    v_stored integer;
    v_all    integer := 0;
begin
    perform set_config('ironferry.resealing', 'on', true);
    for v_column in select * from private.sealed_columns as known where known.holder = p_holder loop
        execute format(
            'update %1$s set %2$I = given.new_text
             from json_to_recordset($1) as given (place text, old_text text, new_text text)
             -- What was replaced meanwhile is under the new key already.
             where %3$s = given.place and %2$I = given.old_text',
            v_column.relation::regclass, v_column.column_name, v_column.place
        ) using p_texts;
        get diagnostics v_stored = row_count;
        v_all := v_all + v_stored;
    end loop;
    perform set_config('ironferry.resealing', '', true);
    return v_all;
end;
$$;
comment on function public.sealed_store(text, json) is
    'Puts texts in place that were sealed again, where nobody changed them meanwhile; gives their number. Each: place, old_text, new_text.';
revoke execute on function public.sealed_store(text, json) from public, anon, authenticated, service_role;
grant execute on function public.sealed_store(text, json) to service_role;

-- History, and what runs by itself

-- A chapter with a history of its own adds a function private.purge_<name>().
create function private.purge_history() returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_purge regprocedure;
begin
    -- By the number, because a call that never began has no times.
    delete from cron.job_run_details
    where runid <= (select max(runid) from cron.job_run_details where start_time < now() - interval '7 days');
    for v_purge in
        select oid from pg_catalog.pg_proc
        where pronamespace = 'private'::regnamespace and proname like 'purge\_%' and proname <> 'purge_history'
          and pronargs = 0
        order by proname
    loop
        execute format('select %s', v_purge);
    end loop;
end;
$$;
comment on function private.purge_history() is
    'Forgets cron''s calls after 7 days, then runs each private.purge_<name>() that a chapter has defined.';
revoke execute on function private.purge_history() from public, anon, authenticated, service_role;

-- By name: scheduling again replaces.
select cron.schedule('function-calls', '*/10 * * * *', 'select private.function_calls_keep()');
select cron.schedule('purge-cron-history', '17 3 * * *', 'select private.purge_history()');
