-- What the cache keeps: limits, newest wins, damage found, retention, and for the service alone.
begin;
\ir support/accounts.psql
select plan(31);

-- The same call each time but for what a test is about.
create function tests.save(data jsonb, fetched interval, type text default 'strava', sent interval default '0') returns text
language sql as $$
    select public.cache_save('tracker', type, data, 'e-' || md5(data::text), clock_timestamp() - fetched + sent, clock_timestamp() + sent,
        p_make_project => true) ->> 'outcome';
$$;

select tests.create_user('stranger');
select tests.as_service();

select is(tests.save('{"n": 1}', '10 minutes'), 'new', 'a first save is new, and makes the project');
select is(tests.save('{"n": 2}', '5 minutes'), 'replaced', 'newer data replaces it');
select is(tests.save('{"n": 1}', '7 minutes'), 'older', 'older data does not: the newest wins by last_fetch');
select is((select data ->> 'n' from public.cache_storage where cache_type = 'strava'), '2', 'whatever the order of arrival');
select is(tests.save('{"n": 3}', '1 minute', sent => '3 days'), 'replaced', 'a caller whose clock is wrong is put right');
select ok(
    (select last_fetch between clock_timestamp() - interval '70 seconds' and clock_timestamp() from public.cache_storage where cache_type = 'strava'),
    'by what it says is now, so that nothing comes from the future'
);
select is(tests.save('{"n": 4}', '30 seconds', sent => '-3 days'), 'replaced', 'and one whose clock is late does not lose for it');
select is(tests.save('{"n": 2}', '10 seconds', 'slow'), 'new', 'a save that was fetched before another');
-- Fetched 42 s ago, and 40 s of them on the way.
select is(tests.save('{"n": 1}', '2 seconds', 'slow', '-40 seconds'), 'older', 'is not newer for the time that it took to arrive');
select is(tests.save('{"n": 3}', '0', 'slow', '40 seconds'), 'replaced', 'a clock that is ahead by less');
select ok(
    (select last_fetch between clock_timestamp() - interval '30 seconds' and clock_timestamp() - interval '1 microsecond'
     from public.cache_storage where cache_type = 'slow'),
    'is put right too: no call arrives before it was sent'
);
select public.cache_delete('tracker', 'slow');
select is(
    (select octet_length(data::text) - data_size from public.cache_storage where cache_type = 'strava'), 0, 'the size is computed'
);

-- Limits

select throws_ok($$ select tests.save('[1]', '0') $$, '23514', null, 'data is an object');
select throws_ok($$ select tests.save('{}', '0', 'Strava') $$, '23514', null, 'a type is in small letters');
select throws_ok($$ select tests.save('{}', '0', repeat('a', 51)) $$, '23514', null, 'of 50 characters at the most');
-- {"a": "…"} has 9 bytes beside the text.
select lives_ok(
    $$ select tests.save(jsonb_build_object('a', repeat('x', 10485759 - 9)), '0', 'big') $$, '10 MB less one byte are kept'
);
select is((select data_size from public.cache_storage where cache_type = 'big'), 10485759, 'to the byte');
select throws_ok(
    $$ select tests.save(jsonb_build_object('a', repeat('x', 10485760 - 9)), '0', 'big') $$, '23514', null, '10 MB are not'
);
select throws_ok(
    $$ select public.cache_load('nobody', 'strava') $$, 'P0002', 'there is no active project nobody', 'there is no such project'
);

-- Reading

select is(public.cache_load('tracker', 'none') ->> 'standing', 'absent', 'what is not there is absent');
select is(public.cache_load('tracker', 'strava') -> 'data' ->> 'n', '4', 'what is there is given');
select ok((public.cache_load('tracker', 'strava') ->> 'age_ms')::int between 30000 and 40000, 'with its age by the database''s clock');

-- Damage

select tests.clear();
alter table public.cache_storage disable trigger cache_storage_measure;
update public.cache_storage set data = '{"n": 5}' where cache_type = 'strava';
alter table public.cache_storage enable trigger cache_storage_measure;
select tests.as_service();
select results_eq(
    $$ select loaded ->> 'standing', loaded ->> 'data' from public.cache_load('tracker', 'strava') as loaded $$,
    $$ values ('corrupt', null::text) $$, 'data that does not fit its checksum is corrupt, and not given'
);
select is(tests.save('{"n": 4}', '1 hour'), 'replaced', 'a corrupt row is repaired even by older data');
update public.cache_storage set data = '{"n": 6}' where cache_type = 'strava';
select is(public.cache_load('tracker', 'strava') ->> 'standing', 'sound', 'an operator who changes data by hand does not corrupt it');
select isnt(public.cache_load('tracker', 'strava') ->> 'etag', 'e-' || md5('{"n": 4}'), 'and makes another version of it');

-- Retention

select tests.clear();
alter table public.cache_storage disable trigger cache_storage_touch;
update public.cache_storage set updated_at = now() - interval '31 days' where cache_type = 'strava';
alter table public.cache_storage enable trigger cache_storage_touch;
select private.cache_purge();
select is((select string_agg(cache_type, ',') from public.cache_storage
    where project_id = private.cache_project('tracker')), 'big', 'what was not saved for its retention goes');
select tests.as_service();
select ok(public.cache_delete('tracker', 'big'), 'what is deleted');
select ok(not public.cache_delete('tracker', 'big'), 'is gone');

-- Others

select tests.authenticate_as('stranger');
select throws_ok('select 1 from public.cache_storage', '42501', null, 'a user reads nothing of it');
select is_empty('select 1 from public.projects', 'and sees no project of others');

select tests.clear();
select * from finish();
rollback;
