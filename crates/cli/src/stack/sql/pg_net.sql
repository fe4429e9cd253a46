-- Stand-in for pg_net: the same tables, types and functions. The worker that sends the requests is
-- not in the server but in `ferry up`, which listens to the channel that a queued request notifies.

create schema net;

create domain net.http_method as text
    check (value ilike 'get' or value ilike 'post' or value ilike 'delete');

-- Unlogged like the real ones: a crash of the server empties them.
create unlogged table net.http_request_queue (
    id bigserial primary key,
    method net.http_method not null,
    url text not null,
    headers jsonb,
    body bytea,
    timeout_milliseconds int not null
);
create unlogged table net._http_response (
    id bigint,
    status_code integer,
    content_type text,
    headers jsonb,
    content text,
    timed_out bool,
    error_msg text,
    created timestamptz not null default now()
);
create index on net._http_response (created);
create index on net._http_response (id);

-- Tells the worker. A notification leaves with the commit, and so does the request.
create function net.wake() returns void
    language sql
    as $$ select pg_catalog.pg_notify('pg_net', '') $$;

create function net._urlencode_string(string varchar) returns text
    language sql immutable strict set search_path = ''
as $$
    select coalesce(string_agg(
        case when letter ~ '^[A-Za-z0-9_.~-]$' then letter
             else upper(regexp_replace(encode(convert_to(letter, 'utf8'), 'hex'), '(..)', '%\1', 'g'))
        end, '' order by place), '')
    from regexp_split_to_table(string, '') with ordinality as letters (letter, place)
$$;

create function net._url_with_params(url text, params jsonb) returns text
    language sql immutable set search_path = ''
as $$
    select url || coalesce(
        case when url like '%?%' then '&' else '?' end
        || string_agg(net._urlencode_string(key) || '=' || net._urlencode_string(coalesce(value, '')), '&'), '')
    from jsonb_each_text(coalesce(params, '{}'))
$$;

create function net._enqueue(method text, url text, headers jsonb, body bytea, timeout_milliseconds int)
    returns bigint
    language plpgsql security definer set search_path = ''
as $$
declare
    request_id bigint;
begin
    insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
    values (_enqueue.method, _enqueue.url, _enqueue.headers, _enqueue.body, _enqueue.timeout_milliseconds)
    returning id into request_id;
    perform net.wake();
    return request_id;
end
$$;

create function net.http_get(
    url text,
    params jsonb default '{}',
    headers jsonb default '{}',
    timeout_milliseconds int default 5000
) returns bigint
    language sql volatile strict set search_path = ''
as $$
    select net._enqueue('GET', net._url_with_params(url, params), headers, null, timeout_milliseconds)
$$;

create function net.http_delete(
    url text,
    params jsonb default '{}',
    headers jsonb default '{}',
    timeout_milliseconds int default 5000,
    body jsonb default null
) returns bigint
    language sql volatile set search_path = ''
as $$
    select net._enqueue('DELETE', net._url_with_params(url, params), headers,
                        convert_to(body::text, 'utf8'), timeout_milliseconds)
$$;

create function net.http_post(
    url text,
    body jsonb default '{}',
    params jsonb default '{}',
    headers jsonb default '{"Content-Type": "application/json"}',
    timeout_milliseconds int default 5000
) returns bigint
    language plpgsql volatile set search_path = ''
as $$
declare
    sent_headers jsonb := headers;
    content_type text;
begin
    select header.value into content_type
    from jsonb_each_text(coalesce(headers, '{}')) as header
    where lower(header.key) = 'content-type'
    limit 1;
    if content_type is null then
        sent_headers := headers || '{"Content-Type": "application/json"}';
    elsif content_type <> 'application/json' then
        raise exception 'Content-Type header must be "application/json"';
    end if;
    return net._enqueue('POST', net._url_with_params(url, params), sent_headers,
                        convert_to(body::text, 'utf8'), timeout_milliseconds);
end
$$;

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code integer, headers jsonb, body text);
create type net.http_response_result as (status net.request_status, message text, response net.http_response);

create function net._http_collect_response(request_id bigint, async bool default true)
    returns net.http_response_result
    language plpgsql volatile set search_path = ''
as $$
declare
    reply net._http_response;
    waits int := 0;
begin
    loop
        select r.* into reply from net._http_response as r where r.id = request_id;
        exit when found;
        if not exists (select from net.http_request_queue as q where q.id = request_id) and waits > 0 then
            return ('ERROR', 'request matching request_id not found', null)::net.http_response_result;
        end if;
        if async then
            return ('PENDING', 'request is pending processing', null)::net.http_response_result;
        end if;
        perform pg_catalog.pg_sleep(0.05);
        waits := waits + 1;
    end loop;
    if reply.error_msg is not null then
        return ('ERROR', reply.error_msg, null)::net.http_response_result;
    end if;
    return ('SUCCESS', 'ok', (reply.status_code, reply.headers, reply.content)::net.http_response)::net.http_response_result;
end
$$;

create function net.http_collect_response(request_id bigint, async bool default true)
    returns net.http_response_result
    language sql volatile set search_path = ''
    as $$ select net._http_collect_response(request_id, async) $$;

-- The worker names its connection.
create function net.check_worker_is_up() returns void
    language plpgsql security definer set search_path = ''
as $$
begin
    if not exists (select from pg_catalog.pg_stat_activity where application_name = 'pg_net stand-in') then
        raise exception using
            message = 'the pg_net background worker is not up',
            detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
            hint = 'make sure that `ferry up` is running';
    end if;
end
$$;

create function net.worker_restart() returns bool
    language sql security definer set search_path = ''
as $$
    select coalesce(bool_and(pg_catalog.pg_terminate_backend(pid)), false)
    from pg_catalog.pg_stat_activity where application_name = 'pg_net stand-in'
$$;

grant usage on schema net to public;
grant all on all tables in schema net to public;
grant all on all sequences in schema net to public;
