-- The outbox: one message when a condition begins and one when it ends, each delivered once or given up, and read by
-- the people that it concerns.
begin;
\ir support/accounts.psql
\ir support/plans.psql
select plan(32);

-- On a stack in use there are others; they come back with the rollback.
delete from public.notifications where sender = 'test';
select tests.create_company('north', 'anna') is not null as made \gset
select tests.create_user('boris') is not null as made \gset

-- Messages

select isnt(
    private.notify('test', 'success', 'https://x.example', 'bought', '{"data": 1}', 'slack', tests.user_id('anna')), null,
    'a message waits in the outbox'
);
select is(private.notify('test', 'success', null, 'bought'), null, 'without a URL there is no message');
select is(private.notify('test', 'success', '', 'bought'), null, 'nor with an empty one');
select lives_ok(
    $$ select private.notify('test', 'failure', 'https://y.example', repeat('x', 5000), jsonb_build_object('x', repeat('x', 70000)),
        'carrier pigeon', tests.user_id('boris')) $$,
    'one that is too long is cut: it must not fail what it is about'
);
select results_eq(
    $$ select length(message), body, format from public.notifications where sender = 'test' and user_id = tests.user_id('boris') $$,
    $$ values (1900, '{}'::jsonb, null::text) $$, 'and a format that is unknown is guessed later'
);
select ok(private.notifications_due('test'), 'the tick of the sender learns that something is due');
select ok(not private.notifications_due('other'), 'and no other');

-- Delivery

select tests.as_service();
select is(public.notifications_claim('other'), '[]'::jsonb, 'a function delivers only in its own name');
select public.notifications_claim('test', 100, 60, tests.user_id('anna')) as claimed \gset
select is(
    :'claimed'::jsonb #- '{0,id}',
    '[{"event": "success", "url": "https://x.example", "format": "slack", "message": "bought", "body": {"data": 1}}]'::jsonb,
    'one user''s messages can be claimed alone'
);
select is(public.notifications_claim('test', 100, 60, tests.user_id('anna')), '[]'::jsonb, 'once');
select jsonb_array_length(public.notifications_claim('test')) as rest \gset
select is(:'rest'::integer, 1, 'the others are claimed by whoever claims for all');
select tests.clear();
select id as anna from public.notifications where sender = 'test' and user_id = tests.user_id('anna') \gset
select id as boris from public.notifications where sender = 'test' and user_id = tests.user_id('boris') \gset
select tests.as_service();
select lives_ok(format('select public.notifications_finish(%s)', :'anna'), 'a message that got through is sent');
select lives_ok(format($$ select public.notifications_finish(%s, 'late news') $$, :'anna'), 'and stays so');
select lives_ok(format($$ select public.notifications_finish(%s, 'answered 503') $$, :'boris'), 'one that did not');
select tests.clear();
select results_eq(
    format($$ select status, last_error, next_attempt_at between now() + interval '15 seconds' and clock_timestamp() + interval '25 seconds'
              from public.notifications where id in (%s, %s) order by id $$, :'anna', :'boris'),
    $$ values ('sent', null::text, true), ('pending', 'answered 503', true) $$, 'is tried again after 20 seconds'
);
update public.notifications set attempts = 6 where id = :'boris';
select public.notifications_finish(:'boris', 'answered 503');
select results_eq(
    format('select status from public.notifications where id = %s', :'boris'), array['failed'], 'and given up after 6 attempts'
);
select private.notify('test', 'failure', 'https://z.example', 'no') as refused \gset
select public.notifications_finish(:'refused', 'the URL is not accepted', true);
select results_eq(
    format('select status from public.notifications where id = %s', :'refused'), array['failed'], 'a listener that refuses is not asked again'
);

-- Conditions

create function tests.condition(subject text, holds boolean) returns boolean
language sql as $$
    select private.notify_condition('test', 'login_refused', subject, holds, 'https://x.example', subject || ' ' || holds);
$$;
select ok(tests.condition('north', true), 'a condition that begins is told');
select ok(not tests.condition('north', true), 'while it lasts nothing is');
select ok(tests.condition('south', true), 'each subject has its own');
select ok(not tests.condition('east', false), 'what never began does not end');
update private.conditions set began_at = clock_timestamp() - interval '10 minutes' where sender = 'test' and subject = 'north';
select ok(tests.condition('north', false), 'its end is told');
select ok(not tests.condition('north', false), 'once');
select ok(tests.condition('north', true), 'and it can begin again');
select results_eq(
    $$ select message, body ->> 'state', (body ->> 'lasted_seconds')::integer between 600 and 660
       from public.notifications where sender = 'test' and event = 'login_refused' and body ->> 'subject' = 'north' order by id $$,
    $$ values ('north true', 'began', null::boolean), ('north false', 'ended', true), ('north true', 'began', null) $$,
    'the messages say which, and how long it lasted'
);

-- Who reads

select private.notify('test', 'late', 'https://x.example', 'to north', p_company_id => tests.company_id('north')) as company \gset
insert into auth.users (id, email) select gen_random_uuid(), 'crowd ' || number from generate_series(1, 500) as number;
insert into public.notifications (sender, event, url, message, user_id)
select 'test', 'crowd', 'https://x.example', 'x', id from auth.users cross join generate_series(1, 20) where email like 'crowd %';
analyze public.notifications;
select tests.authenticate_as('anna');
select results_eq(
    $$ select message from public.notifications where sender = 'test' order by id $$, array['bought', 'to north'],
    'people read what they and their companies were told'
);
select tests.pages_by_index('notifications', 'created_at', 20, columns => 'id, message');
select throws_ok('select url from public.notifications', '42501', null, 'but no URL, which may hold a secret');
select throws_ok('select public.notifications_claim(''test'')', '42501', null, 'and claim nothing');
select tests.clear();
select tests.create_user('stranger') is not null as made \gset
select tests.authenticate_as('stranger');
select is_empty('select id from public.notifications', 'a stranger reads none');

-- Retention

select tests.clear();
update public.notifications set created_at = now() - interval '91 days' where id = :'anna';
select private.purge_history();
select is_empty(format('select 1 from public.notifications where id = %s', :'anna'), 'after 90 days a message is forgotten');
select isnt_empty(format('select 1 from public.notifications where id = %s', :'boris'), 'and not before');

select * from finish();
rollback;
