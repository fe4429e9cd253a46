-- The outbox: messages to people, written in the transaction that they are about and delivered afterwards, by whichever
-- function sends in its sender's name (ironferry::outbox). A message is delivered at least once, or given up.

create table public.notifications (
    id               bigint generated always as identity primary key,
    sender           text not null,
    event            text not null,
    user_id          uuid references auth.users on delete cascade,
    company_id       uuid references public.companies on delete cascade,
    url              text not null,
    format           text,
    message          text not null,
    body             jsonb not null default '{}',
    status           text not null default 'pending',
    attempts         integer not null default 0,
    next_attempt_at  timestamptz not null default clock_timestamp(),
    last_error       text,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    constraint notifications_format check (format in ('json', 'slack', 'discord')),
    constraint notifications_status check (status in ('pending', 'sent', 'failed'))
);
comment on table public.notifications is 'One row per message to a person: whom to tell, of what, in whose name, and whether the person was told.';
comment on column public.notifications.id is 'In the order of the messages.';
comment on column public.notifications.sender is 'The function that delivers the message.';
comment on column public.notifications.event is 'What happened, in one word: success, failure, …';
comment on column public.notifications.user_id is 'The user in whose name the message is sent; none for a company''s or the project''s own.';
comment on column public.notifications.company_id is 'The company in whose name the message is sent, if any.';
comment on column public.notifications.url is 'Where the message goes. A listener''s URL often holds a secret, so only services read it.';
comment on column public.notifications.format is 'json, slack or discord; none: guessed from the URL.';
comment on column public.notifications.message is 'A sentence for people.';
comment on column public.notifications.body is 'What a listener of JSON gets besides the event and the message.';
comment on column public.notifications.status is 'pending, sent, or failed: refused for good, or given up after 6 attempts.';
comment on column public.notifications.attempts is 'How often delivery was attempted.';
comment on column public.notifications.next_attempt_at is 'Earliest time of the next attempt; during an attempt, the end of its lease.';
comment on column public.notifications.last_error is 'Why the last attempt failed.';
comment on column public.notifications.created_at is 'When the row was made.';
comment on column public.notifications.updated_at is 'When the row was last changed.';
create index notifications_due on public.notifications (sender, next_attempt_at) where status = 'pending';
create index notifications_user on public.notifications (user_id, created_at desc) where user_id is not null;
create index notifications_company on public.notifications (company_id, created_at desc) where company_id is not null;
create index notifications_age on public.notifications (created_at);
create trigger notifications_touch before update on public.notifications
    for each row execute function private.touch_updated_at();
alter table public.notifications enable row level security;
revoke all on public.notifications from public, anon, authenticated, service_role;
revoke all on sequence public.notifications_id_seq from public, anon, authenticated, service_role;
grant select (id, sender, event, user_id, company_id, message, body, status, attempts, next_attempt_at, created_at, updated_at)
    on public.notifications to authenticated;
grant select on public.notifications to service_role;
create policy "people read what they and their companies were told" on public.notifications
    for select to authenticated
    using (user_id = (select auth.uid()) or company_id = any (array(select private.my_companies())));

create function private.notify(
    p_sender text, p_event text, p_url text, p_message text, p_body jsonb default '{}', p_format text default null,
    p_user_id uuid default null, p_company_id uuid default null
) returns bigint
language sql security definer set search_path = '' as $$
    -- The caller's transaction matters more than the message: what is too long is cut, and no URL means no message.
    insert into public.notifications (sender, event, url, format, message, body, user_id, company_id)
    select
        p_sender, p_event, p_url, case when p_format in ('json', 'slack', 'discord') then p_format end,
        left(p_message, 1900), case when length(p_body::text) <= 65536 then p_body else '{}' end, p_user_id, p_company_id
    where length(p_url) between 1 and 2048
    returning id;
$$;
comment on function private.notify(text, text, text, text, jsonb, text, uuid, uuid) is
    'Puts a message into the outbox and returns its id; null when there is no URL to send it to.';
revoke execute on function private.notify(text, text, text, text, jsonb, text, uuid, uuid)
    from public, anon, authenticated, service_role;

-- A condition lasts. People are told when it begins and when it ends, and not in between.
create table private.conditions (
    sender      text not null,
    event       text not null,
    subject     text not null,
    began_at    timestamptz not null default clock_timestamp(),
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (sender, event, subject)
);
comment on table private.conditions is 'Conditions that last at the moment. A row is removed when its condition ends.';
comment on column private.conditions.sender is 'The function that tells of the condition.';
comment on column private.conditions.event is 'What is the matter, in one word.';
comment on column private.conditions.subject is 'With what or whom: an address, a company, a source.';
comment on column private.conditions.began_at is 'When the condition began.';
comment on column private.conditions.created_at is 'When the row was made.';
comment on column private.conditions.updated_at is 'When the row was last changed.';
create trigger conditions_touch before update on private.conditions
    for each row execute function private.touch_updated_at();
alter table private.conditions enable row level security;
revoke all on private.conditions from public, anon, authenticated, service_role;

create function private.notify_condition(
    p_sender text, p_event text, p_subject text, p_holds boolean, p_url text, p_message text, p_body jsonb default '{}',
    p_format text default null, p_user_id uuid default null, p_company_id uuid default null
) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    v_began_at  timestamptz;
    v_state     jsonb;
begin
    if p_holds then
        -- Of two that notice at once, the second waits here and finds the row of the first.
        insert into private.conditions (sender, event, subject) values (p_sender, p_event, p_subject)
        on conflict do nothing
        returning began_at into v_began_at;
        v_state := '{"state": "began"}';
    else
        delete from private.conditions
        where sender = p_sender and event = p_event and subject = p_subject
        returning began_at into v_began_at;
        v_state := jsonb_build_object(
            'state', 'ended', 'lasted_seconds', floor(extract(epoch from clock_timestamp() - v_began_at))::bigint
        );
    end if;
    if v_began_at is null then
        return false;
    end if;
    perform private.notify(
        p_sender, p_event, p_url, p_message, p_body || jsonb_build_object('subject', p_subject) || v_state, p_format,
        p_user_id, p_company_id
    );
    return true;
end;
$$;
comment on function private.notify_condition(text, text, text, boolean, text, text, jsonb, text, uuid, uuid) is
    'Notes whether a condition holds. When it begins or ends, puts one message into the outbox and returns true.';
revoke execute on function private.notify_condition(text, text, text, boolean, text, text, jsonb, text, uuid, uuid)
    from public, anon, authenticated, service_role;

create function private.notifications_due(p_sender text) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.notifications where sender = p_sender and status = 'pending' and next_attempt_at <= statement_timestamp()
    );
$$;
comment on function private.notifications_due(text) is 'Whether a sender has something to deliver, for the tick that calls its function.';
revoke execute on function private.notifications_due(text) from public, anon, authenticated, service_role;

create function public.notifications_claim(
    p_sender text, p_limit integer default 20, p_lease_seconds integer default 60, p_user_id uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_due jsonb;
begin
    with due as (
        select id from public.notifications
        where sender = p_sender and status = 'pending' and next_attempt_at <= statement_timestamp()
          and (p_user_id is null or user_id = p_user_id)
        order by next_attempt_at limit least(greatest(p_limit, 0), 100)
        for update skip locked
    ), taken as (
        update public.notifications as one
        set attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => greatest(p_lease_seconds, 1))
        from due where one.id = due.id
        returning one.*
    )
    select jsonb_agg(jsonb_build_object(
        'id', id, 'event', event, 'url', url, 'format', format, 'message', message, 'body', body
    ) order by id) into v_due from taken;
    return coalesce(v_due, '[]');
end;
$$;
comment on function public.notifications_claim(text, integer, integer, uuid) is
    'Messages of a sender that are due, leased; with a user, only that user''s. Two calls at once never get the same one.';
revoke execute on function public.notifications_claim(text, integer, integer, uuid)
    from public, anon, authenticated, service_role;
grant execute on function public.notifications_claim(text, integer, integer, uuid) to service_role;

create function public.notifications_finish(p_id bigint, p_error text default null, p_final boolean default false) returns void
language sql security definer set search_path = '' as $$
    update public.notifications
    set status = case when p_error is null then 'sent' when p_final or attempts >= 6 then 'failed' else 'pending' end,
        last_error = left(p_error, 500),
        next_attempt_at = clock_timestamp() + make_interval(secs => 5 * power(4, least(attempts, 6)))
    where id = p_id and status = 'pending';
$$;
comment on function public.notifications_finish(bigint, text, boolean) is
    'Notes that a message was delivered, or why not: tried again after 20 s, 80 s … and given up after 6 attempts.';
revoke execute on function public.notifications_finish(bigint, text, boolean)
    from public, anon, authenticated, service_role;
grant execute on function public.notifications_finish(bigint, text, boolean) to service_role;

create function private.purge_notifications() returns void
language sql security definer set search_path = '' as $$
    delete from public.notifications where created_at < now() - interval '90 days';
$$;
comment on function private.purge_notifications() is 'Called by private.purge_history(): forgets messages after 90 days.';
revoke execute on function private.purge_notifications() from public, anon, authenticated, service_role;
