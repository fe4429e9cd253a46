-- Who refreshes what, and when: one at a time, late when it fails, never with an old token.
begin;
\ir support/accounts.psql
select plan(49);

create function tests.source(type text) returns uuid
language sql as $$
    select public.cache_source_save('tracker', type, 'json', 'https://origin.example/' || type, '{}', '{}', true, 900);
$$;
create function tests.claimed(answer jsonb) returns setof text
language sql as $$ select claimed ->> 'type' from jsonb_array_elements(answer -> 'claimed') as claimed order by 1; $$;
create function tests.lease(type text) returns uuid
language sql security definer as $$ select lease_id from public.cache_sources where cache_type = type and is_active; $$;

select tests.clear();
-- On a stack in use, other sources shall not be due.
update public.cache_sources set is_active = false;
select tests.as_service();

select isnt(tests.source('one'), null, 'a source is made, and its project with it');
select tests.source('two');
select set_eq($$ select tests.claimed(public.cache_claim(60, 10)) $$, array['one', 'two'], 'new sources are due');
select is_empty($$ select tests.claimed(public.cache_claim(60, 10)) $$, 'and are leased to one caller');
select is_empty($$ select tests.claimed(public.cache_claim(60, 1, 'tracker', 'one')) $$, 'nor does a caller who names one get it');
select ok((public.cache_claim(60, 1, 'tracker', 'one') ->> 'busy_ms')::int between 50000 and 60000, 'but learns how long to wait');
select is(public.cache_claim(60, 1, 'tracker', 'none') ->> 'busy_ms', null, 'for a source that does not exist nobody waits');

-- Success

select lives_ok(
    $$ select public.cache_save('tracker', 'one', '{"n": 1}', 'e', now(), now(), p_lease_id => tests.lease('one'), p_every_seconds => 900) $$,
    'the data ends the lease'
);
select results_eq(
    $$ select leased_until is null, next_due_at - now() between interval '12 minutes' and interval '15 minutes', last_succeeded_at is not null
       from public.cache_sources where cache_type = 'one' $$,
    $$ values (true, true, true) $$, 'and the source is due again after its interval, or a little sooner'
);
select results_eq($$ select tests.claimed(public.cache_claim(60, 1, 'tracker', 'one')) $$, array['one'], 'who names it may have it before');
select lives_ok(
    $$ select public.cache_save('tracker', 'one', '{"n": 2}', 'e', now(), now(), p_lease_id => gen_random_uuid(), p_every_seconds => 900) $$,
    'who lost the lease may still bring data'
);
select ok((select leased_until is not null from public.cache_sources where cache_type = 'one'), 'and does not end the lease of another');

-- Failure

select public.cache_fail(tests.lease('two'), 'TIMEOUT: no answer');
select results_eq(
    $$ select consecutive_failures, last_error, next_due_at - clock_timestamp() between interval '30 seconds' and interval '70 seconds'
       from public.cache_sources where cache_type = 'two' $$,
    $$ values (1, 'TIMEOUT: no answer', true) $$, 'after a failure it waits a minute'
);
select public.cache_claim(60, 1, 'tracker', 'two');
select public.cache_fail(tests.lease('two'), 'RATE_LIMITED', 800);
select ok(
    (select next_due_at - clock_timestamp() > interval '700 seconds' from public.cache_sources where cache_type = 'two'),
    'and as long as the source asks for'
);
select public.cache_claim(60, 1, 'tracker', 'two');
select public.cache_fail(tests.lease('two'), 'TIMEOUT: no answer');
select ok(
    (select next_due_at - clock_timestamp() between interval '150 seconds' and interval '280 seconds' from public.cache_sources where cache_type = 'two'),
    'the third time 4 minutes'
);

-- A crash

select tests.clear();
update public.cache_sources set leased_until = now() - interval '1 second', next_due_at = now() - interval '100 seconds' where cache_type = 'one';
select tests.as_service();
select results_eq($$ select tests.claimed(public.cache_claim(60, 10)) $$, array['one'], 'a lease that nobody ended, ends');
select ok((select last_lag_seconds >= 100 from public.cache_sources where cache_type = 'one'), 'how late it was is on record');

-- Tokens

select ok(public.cache_credentials('tracker', 'two', tests.sealed('B'), now()), 'a new token is kept');
select ok(not public.cache_credentials('tracker', 'two', tests.sealed('C'), now() - interval '1 minute'), 'an older one does not replace it');
select ok(
    public.cache_credentials('tracker', 'two', tests.sealed('D'), now() - interval '1 hour', now() - interval '1 hour'),
    'by its age, whatever the caller''s clock shows'
);
select ok(
    (select credentials_at between now() and clock_timestamp() from public.cache_sources where cache_type = 'two'),
    'which the database''s clock turns into a time'
);
select ok(
    not public.cache_credentials('tracker', 'two', tests.sealed('C'), now() + interval '1 hour', now() + interval '61 minutes'),
    'an old one is old by a clock that is ahead, too'
);
select ok(
    public.cache_credentials('tracker', 'two', tests.sealed('D'), now() - interval '1 minute', now()),
    'and one that is there already was kept, by a call whose answer was lost'
);
select throws_ok(
    $$ select public.cache_credentials('tracker', 'two', 'a-token', now()) $$, '23514', null, 'and one that is not sealed is refused'
);
select throws_ok($$ select credentials from public.cache_sources $$, '42501', null, 'nobody reads them from the table');

-- Renewals: one worker at a time, for as long as it may hold a token that is not here yet

select tests.clear();
update public.cache_sources set leased_until = null where cache_type = 'two';
select tests.as_service();
select is(public.cache_rotation_begin(gen_random_uuid()), null, 'nobody renews a token without the lease');
select public.cache_claim(60, 1, 'tracker', 'two');
select is(public.cache_rotation_begin(tests.lease('two')), tests.sealed('D'), 'who has it gets the newest token');
select is(public.cache_rotation_begin(tests.lease('two')), tests.sealed('D'), 'and once more, where the answer was lost');
select tests.clear();
update public.cache_sources set leased_until = null, last_started_at = now() - interval '2 minutes' where cache_type = 'two';
select tests.as_service();
select public.cache_claim(60, 1, 'tracker', 'two');
select is(public.cache_rotation_begin(tests.lease('two')), null, 'the next worker does not renew while the new token is on its way');
select public.cache_credentials('tracker', 'two', tests.sealed('E'), now(), now());
select is(public.cache_rotation_begin(tests.lease('two')), tests.sealed('E'), 'but does when it has arrived');
select public.cache_rotation_fail(tests.lease('two'));
select is((select rotating_until from public.cache_sources where cache_type = 'two'), null, 'a renewal that failed ends');
select tests.clear();
update public.cache_sources set rotating_until = now() - interval '1 second', last_started_at = now() - interval '8 minutes' where cache_type = 'two';
select tests.as_service();
select is(public.cache_rotation_begin(tests.lease('two')), tests.sealed('E'), 'and so does one whose worker must have ended');
select tests.clear();
update public.cache_sources set leased_until = now() - interval '1 second' where cache_type = 'two';
select tests.as_service();
select is(public.cache_rotation_begin(tests.lease('two')), null, 'a lease that has ended allows nothing');

-- A lost token

select tests.clear();
select vault.create_secret('https://alerts.example/hook', 'cache_alert_url') is not null as made \gset
select tests.as_service();
select ok(not public.cache_needs_login('tracker', 'two', 'refused', tests.sealed('D')), 'a refusal of an older token says nothing');
select ok(public.cache_needs_login('tracker', 'two', 'refused', tests.sealed('E')), 'one of the newest marks the source');
select ok(not public.cache_needs_login('tracker', 'two', 'refused', tests.sealed('E')), 'once');
select results_eq(
    $$ select kind, subject, occurrences from public.cache_alerts where kind = 'needs_login' $$,
    $$ values ('needs_login', 'tracker/two', 1) $$, 'and raises one alert'
);
select results_eq(
    $$ select event, message, body ->> 'subject', body ->> 'state' from public.notifications where sender = 'cache' $$,
    $$ values ('needs_login', 'Cache: the source tracker/two needs a login. Save it with a new refresh token.', 'tracker/two', 'began') $$,
    'and puts one message into the outbox'
);
select is_empty($$ select tests.claimed(public.cache_claim(60, 1, 'tracker', 'two')) $$, 'it is not refreshed');
select is((public.cache_claim(60, 1, 'tracker', 'two') -> 'needs_login')::text, 'true', 'and whoever asks for it is told why');
select ok(public.cache_credentials('tracker', 'two', tests.sealed('F'), now(), now()), 'a token that arrives late');
select is((select needs_login_at from public.cache_sources where cache_type = 'two'), null, 'ends it');
select is(
    (select message from public.notifications where sender = 'cache' and body ->> 'state' = 'ended'),
    'Cache: the source tracker/two no longer needs a login.', 'which people are told too'
);
select public.cache_needs_login('tracker', 'two', 'lost');
select public.cache_source_save('tracker', 'two', 'json', 'https://origin.example/two', '{}', '{}', true);
select isnt((select needs_login_at from public.cache_sources where cache_type = 'two'), null, 'other changes of the source do not');
select public.cache_source_save('tracker', 'two', 'json', 'https://origin.example/two', '{}', '{}', true, p_credentials => tests.sealed('G'));
select is((select needs_login_at from public.cache_sources where cache_type = 'two'), null, 'new credentials do');
select is(
    (select string_agg(body ->> 'state', ' ' order by id) from public.notifications where sender = 'cache'),
    'began ended began ended', 'each with its message'
);

-- Switched off

select tests.clear();
update public.cache_sources set leased_until = null, next_due_at = now();
update public.projects set is_active = false where project_name = 'tracker';
select tests.as_service();
select is_empty($$ select tests.claimed(public.cache_claim(60, 10)) $$, 'a project that is not active is not refreshed');
select throws_ok($$ select public.cache_load('tracker', 'one') $$, 'P0002', null, 'nor served');
select tests.clear();
update public.cache_sources set needs_login_at = now() where cache_type = 'two';
select private.cache_watch();
delete from public.cache_sources where cache_type = 'two';
select private.cache_watch();
select is(
    (select string_agg(body ->> 'state', ' ' order by id) from public.notifications where sender = 'cache'),
    'began ended began ended began ended', 'a source that is deleted needs no login'
);
select is(
    (select string_agg(format('%s %s', jobname, schedule), ', ' order by jobname) from cron.job where jobname like 'cache%'),
    'cache */5 * * * *, cache-purge 41 3 * * *', 'cron asks every 5 minutes for what is due'
);

select * from finish();
rollback;
