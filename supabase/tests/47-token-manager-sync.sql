-- A sync: all at once for who reads, the same when it is repeated, and true in its counts.
begin;
\ir support/accounts.psql
\ir support/tokens.psql
select plan(33);
select tests.no_tokens();

select results_eq(
    $$ select tests.sync(
           tests.seen('token:APEX_1', 'a', now() + interval '1 hour'), tests.seen('token:PAAPEX1', 'a', now() + interval '1 hour'),
           tests.seen('auth:APEX_1', 'b', now() + interval '9 hours'), tests.seen('auth:APEX_2', 'c', null)
       ) - 'accounts' $$,
    array['{"tokens_synced": 3, "created": 3, "updated": 0, "reactivated": 0, "unchanged": 0, "kept": 0, "deactivated": 0,
            "key_mappings": 4, "key_mappings_created": 4, "key_mappings_removed": 0}'::jsonb],
    'a first sync creates tokens and mappings'
);
select results_eq(
    $$ select account_name, token_type, fingerprint, metadata ->> 'redis_key' from public.tradovate_tokens order by 1 $$,
    $$ values ('APEX_1', 'bearer', repeat('a', 43), 'token:APEX_1'), ('APEX_2', 'auth', repeat('c', 43), 'auth:APEX_2'),
              ('PAAPEX1', 'bearer', repeat('a', 43), 'token:PAAPEX1') $$,
    'a token: key goes before an auth: key of the same account'
);
select results_eq(
    $$ select redis_key, key_type from public.token_key_mappings order by 1 $$,
    $$ values ('auth:APEX_1', 'auth'), ('auth:APEX_2', 'auth'), ('token:APEX_1', 'main'), ('token:PAAPEX1', 'sub_account') $$,
    'every key has its mapping'
);
create temporary table before as select id, version, updated_at, xmin::text as written from public.tradovate_tokens;
select results_eq(
    $$ select tests.sync(
           tests.seen('token:APEX_1', 'a', now() + interval '1 hour 2 seconds'), tests.seen('token:PAAPEX1', 'a', now() + interval '59 minutes 58 seconds'),
           tests.seen('auth:APEX_1', 'b', now() + interval '9 hours'), tests.seen('auth:APEX_2', 'c', null)
       ) - 'accounts' $$,
    array['{"tokens_synced": 3, "created": 0, "updated": 0, "reactivated": 0, "unchanged": 3, "kept": 0, "deactivated": 0,
            "key_mappings": 4, "key_mappings_created": 0, "key_mappings_removed": 0}'::jsonb],
    'a second one finds nothing to do: seconds of a key''s life do not count'
);
select results_eq(
    'select id, version, updated_at, xmin::text from public.tradovate_tokens order by id', 'select * from before order by id', 'and writes nothing'
);
select is((select count(*) from public.token_events), 3::bigint, 'nor into the audit trail');

-- Changes

select results_eq(
    $$ select counts ->> 'updated', counts ->> 'deactivated', counts ->> 'key_mappings_removed', counts -> 'accounts' from tests.sync(
           tests.seen('token:APEX_1', 'd', now() + interval '1 hour'), tests.seen('auth:APEX_1', 'b', now() + interval '9 hours')
       ) as counts $$,
    $$ values ('1', '2', '2', '["APEX_1"]'::jsonb) $$, 'a new token is taken over, and what is gone from Redis is deactivated'
);
select results_eq(
    'select account_name, version from public.tradovate_tokens where is_active', $$ values ('APEX_1', 2) $$, 'so that one is left'
);
select results_eq(
    $$ select counts ->> 'reactivated' from tests.sync(
           tests.seen('token:APEX_1', 'd', now() + interval '1 hour'), tests.seen('token:PAAPEX1', 'a', now() + interval '1 hour')
       ) as counts $$,
    array['1'], 'one that comes back is activated again'
);
select is(
    (select string_agg(event, ' ' order by id) from public.token_events where account_name = 'PAAPEX1'), 'created deactivated reactivated',
    'and all of that is in the audit trail'
);
select results_eq(
    $$ select counts ->> 'updated' from tests.sync(
           tests.seen('token:APEX_1', 'd', now() + interval '20 minutes'), tests.seen('token:PAAPEX1', 'a', now() + interval '1 hour')
       ) as counts $$,
    array['1'], 'the same token with another end is brought up to date'
);
select results_eq(
    $$ select version, expires_at from public.tradovate_tokens where account_name = 'APEX_1' $$,
    $$ values (2, now() + interval '20 minutes') $$, 'and is no new version'
);

-- Expired in Redis

update public.tradovate_tokens set is_active = false, expires_at = now() where account_name = 'PAAPEX1';
select results_eq(
    $$ select counts ->> 'unchanged' from tests.sync(
           tests.seen('token:APEX_1', 'd', now() + interval '20 minutes'), tests.seen('token:PAAPEX1', 'a', now())
       ) as counts $$,
    array['2'], 'one that was cleaned up and has expired in Redis too stays as it is'
);
select is((select is_active from public.tradovate_tokens where account_name = 'PAAPEX1'), false, 'inactive');

-- Beside other sources

select tests.as_service();
select public.token_store(json_build_array(
    tests.token('APEX_1', 'e', now() + interval '2 hours'), tests.token('APEX_9', 'f', now() + interval '2 hours')), 'pgtap', 'r');
select tests.clear();
select results_eq(
    $$ select counts ->> 'kept', counts ->> 'deactivated' from tests.sync(tests.seen('token:APEX_1', 'd', now() + interval '20 minutes')) as counts $$,
    $$ values ('1', '0') $$, 'a stored token that lasts longer stays, and one that Redis never had too'
);
select results_eq(
    $$ select counts ->> 'updated' from tests.sync(tests.seen('token:APEX_1', 'g', now() + interval '3 hours')) as counts $$,
    array['1'], 'until Redis has a better one'
);
select results_eq(
    $$ select source, fingerprint from public.tradovate_tokens where account_name = 'APEX_1' $$,
    $$ values ('redis', repeat('g', 43)) $$, 'which then is Redis'' again'
);

-- Another key of the ring

select results_eq(
    $$ select counts ->> 'updated' from tests.sync(tests.seen('token:APEX_1', 'h', now() + interval '3 hours', 'k2')) as counts $$,
    array['1'], 'a token that was sealed under another key meanwhile is taken over'
);
select results_eq(
    $$ select version, key_id from public.tradovate_tokens where account_name = 'APEX_1' $$, $$ values (4, 'k2') $$, 'as the same version'
);

-- Two at once

select tests.as_service();
create temporary table syncs as select 'older' as name, public.token_sync_begin('a', 'a') as id;
insert into syncs select 'newer', public.token_sync_begin('b', 'b');
select is(
    public.token_sync_stage((select id from syncs where name = 'older'), json_build_array(tests.seen('token:APEX_1', 'i', now() + interval '4 hours', 'k2'))),
    '{}', 'the older sync has read'
);
select public.token_sync_stage((select id from syncs where name = 'newer'), json_build_array(tests.seen('token:APEX_1', 'j', now() + interval '4 hours', 'k2')));
select lives_ok(
    $$ select public.token_sync_stage((select id from syncs where name = 'newer'), json_build_array(tests.seen('token:APEX_1', 'j', now() + interval '4 hours', 'k2'))) $$,
    'a key that SCAN gives twice counts once'
);
select is(
    (select fingerprint from public.tradovate_tokens where account_name = 'APEX_1'), repeat('h', 43), 'nobody sees what is staged'
);
select is(public.token_sync_finish((select id from syncs where name = 'newer')) ->> 'updated', '1', 'the newer one ends first');
select is(public.token_sync_finish((select id from syncs where name = 'older')) ->> 'superseded', 'true', 'the older one then changes nothing');
select is(
    (select fingerprint from public.tradovate_tokens where account_name = 'APEX_1'), repeat('j', 43), 'so that what was seen last counts'
);
select throws_ok(
    $$ select public.token_sync_finish((select id from syncs where name = 'newer')) $$, 'P0002', null, 'a sync ends once'
);

-- Without the tokens that are known

insert into syncs select 'lean', public.token_sync_begin('d', 'd');
create temporary table lean as select array[
    tests.seen('token:APEX_1', 'j', now() + interval '4 hours') - 'access_token',
    tests.seen('token:APEX_1', 'j', now() + interval '4 hours') - 'access_token',
    tests.seen('token:PAAPEX1', 'z', now() + interval '4 hours') - 'access_token',
    tests.seen('token:APEX_7', 'y', null) - 'access_token'
] as rows;
select is(
    public.token_sync_stage((select id from syncs where name = 'lean'), (select array_to_json(rows) from lean)),
    array[2, 3], 'a token is asked for when it is not the one that the account has'
);
select public.token_sync_seal((select id from syncs where name = 'lean'), json_build_array(tests.seen('token:PAAPEX1', 'z', now() + interval '4 hours', 'k2')));
select results_eq(
    $$ select (counts - 'accounts') ->> 'unchanged', counts ->> 'reactivated', counts ->> 'kept', counts ->> 'created'
       from public.token_sync_finish((select id from syncs where name = 'lean')) as counts $$,
    $$ values ('1', '1', '1', '0') $$, 'one that was asked for and did not come is left for the next sync'
);
select results_eq(
    $$ select account_name, access_token from public.tradovate_tokens where is_active and source = 'redis' order by 1 $$,
    $$ values ('APEX_1', 'v1.k2.' || repeat('j', 54)), ('PAAPEX1', 'v1.k2.' || repeat('z', 54)) $$, 'and the others have theirs'
);

-- Failures

insert into syncs select 'failing', public.token_sync_begin('c', 'c');
select public.token_sync_stage((select id from syncs where name = 'failing'), json_build_array(tests.seen('token:APEX_5', 'i', null)));
select public.token_sync_fail((select id from syncs where name = 'failing'), 'REDIS_UNAVAILABLE');
select tests.clear();
select is_empty('select from private.token_sync_rows', 'a sync that fails leaves nothing behind');
select is(
    (select count(*) from public.tradovate_tokens where account_name = 'APEX_5'), 0::bigint, 'and changes nothing'
);

-- A database that was restarted: the unlogged table is empty, the sync goes on

select tests.as_service();
insert into syncs select 'crashed', public.token_sync_begin('e', 'e');
select public.token_sync_stage((select id from syncs where name = 'crashed'), json_build_array(tests.seen('token:APEX_1', 'j', now() + interval '4 hours', 'k2')));
select tests.clear();
delete from private.token_sync_rows;
select tests.as_service();
select public.token_sync_stage((select id from syncs where name = 'crashed'), json_build_array(tests.seen('token:APEX_8', 'k', now() + interval '4 hours', 'k2')));
select throws_like(
    $$ select public.token_sync_finish((select id from syncs where name = 'crashed')) $$, '% read 2 keys and has 1 left%',
    'what was lost on the way is not taken for gone'
);
select tests.clear();
select is(
    (select is_active from public.tradovate_tokens where account_name = 'APEX_1'), true, 'and the accounts keep their tokens'
);

select * from finish();
rollback;
