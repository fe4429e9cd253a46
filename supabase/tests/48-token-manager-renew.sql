-- Renewals within the rate limit, keys that are replaced, and what runs by itself.
begin;
\ir support/accounts.psql
\ir support/tokens.psql
select plan(23);
select tests.no_tokens();

select tests.sync(
    tests.seen('token:APEX_1', 'a', now() + interval '14 minutes'), tests.seen('token:PAAPEX1', 'a', now() + interval '14 minutes'),
    tests.seen('token:APEX_2', 'b', now() + interval '15 minutes'), tests.seen('token:APEX_3', 'c', now() + interval '15 minutes 1 second'),
    tests.seen('token:APEX_4', 'd', now())
) is not null as synced \gset
select tests.as_service();
create temporary table claimed as select public.token_renew_claim(900, 10) as claim;
select results_eq(
    $$ select token ->> 'account_name', token ->> 'accounts', token ->> 'redis_keys' from claimed, json_array_elements(claim -> 'tokens') as token $$,
    $$ values ('APEX_1', '["APEX_1","PAAPEX1"]', '["token:APEX_1", "token:PAAPEX1"]'), ('APEX_2', '["APEX_2"]', '["token:APEX_2"]') $$,
    'what ends within 15 minutes and has not ended is claimed, each token once with all who share it'
);
select is(public.token_renew_claim(900, 10) ->> 'tokens', '[]', 'nobody else gets it');
select is(
    public.token_renew_store(repeat('a', 43), json_build_array(
        tests.token('APEX_1', 'e', now() + interval '80 minutes'), tests.token('PAAPEX1', 'e', now() + interval '80 minutes')), 'cron', 'r'),
    2, 'a renewed token is stored for all of them'
);
select results_eq(
    $$ select account_name, source, version from public.tradovate_tokens where fingerprint = repeat('e', 43) order by 1 $$,
    $$ values ('APEX_1', 'renew', 2), ('PAAPEX1', 'renew', 2) $$, 'as a new version'
);
select is(
    public.token_renew_store(repeat('a', 43), json_build_array(tests.token('APEX_1', 'f', now() + interval '80 minutes')), 'cron', 'r'),
    0, 'but not in place of one that came meanwhile'
);
select public.token_renew_written(array['token:APEX_1'], repeat('e', 43));
select results_eq(
    $$ select account_name, source from public.tradovate_tokens where fingerprint = repeat('e', 43) order by 1 $$,
    $$ values ('APEX_1', 'redis'), ('PAAPEX1', 'renew') $$, 'where Redis has it too, Redis counts again'
);
select public.token_renew_fail(repeat('b', 43), 'the session has ended', 'cron', 'r');
select is(public.token_renew_claim(900, 10) ->> 'tokens', '[]', 'after a failure the next try waits');
select tests.clear();
select results_eq(
    $$ select renew_failures, renew_claimed_until - now() from public.tradovate_tokens where account_name = 'APEX_2' $$,
    $$ values (1, interval '1 minute') $$, 'a minute at first'
);
select results_eq(
    $$ select event, account_name from public.token_events where event like 'renew%' order by id $$,
    $$ values ('renewed', 'APEX_1'), ('renewed', 'PAAPEX1'), ('renewal_failed', 'APEX_2') $$, 'both are in the audit trail'
);

-- The rate limit

update public.tradovate_tokens set renew_claimed_until = null, renew_failures = 0, expires_at = now() + interval '5 minutes', is_active = true;
update private.token_renewals set calls = array_fill(now() - interval '59 seconds', array[8]) || array[now() - interval '60 seconds'];
select tests.as_service();
select results_eq(
    $$ select json_array_length(claim -> 'tokens'), claim ->> 'waiting' from public.token_renew_claim(900, 10) as claim $$,
    $$ values (2, '2') $$, '10 calls a minute, those of the last minute included; the others wait'
);
select isnt(public.token_renew_pause(3600, 'Tradovate asks to wait', array[]::text[]), null, 'Tradovate may want none at all for a while');
select results_eq(
    $$ select claim ->> 'tokens', claim ->> 'reason' from public.token_renew_claim(900, 100) as claim $$,
    $$ values ('[]', 'Tradovate asks to wait') $$, 'then nobody gets any'
);
select tests.clear();
update private.token_renewals set paused_until = now(), calls = '{}';
select tests.as_service();
select is(json_array_length(public.token_renew_claim(900, 100) -> 'tokens'), 2, 'until the time is over');

-- Keys

select is(
    (select count(*) from json_array_elements(public.token_rotate_batch('k2')))::integer, 5, 'all tokens are under another key than the new one'
);
select is(
    public.token_rotate_store(json_build_array(
        tests.token('APEX_3', 'x', null, null, 'k2') || jsonb_build_object('old_token', 'v1.k1.' || repeat('c', 54), 'old_fingerprint', repeat('c', 43)),
        tests.token('APEX_4', 'y', null, null, 'k2') || jsonb_build_object('old_token', 'v1.k1.' || repeat('z', 54), 'old_fingerprint', repeat('z', 43))
    ), 'pgtap', 'r'),
    1, 'a token that was changed meanwhile is left alone'
);
select results_eq(
    $$ select entry ->> 'account_name' from json_array_elements(public.token_rotate_batch('k2', 'APEX_2')) as entry $$,
    array['APEX_4', 'PAAPEX1'], 'what is done is not given again, and a batch begins where the last one ended'
);
select is(
    (select fingerprint from public.token_key_mappings where redis_key = 'token:APEX_3'), repeat('x', 43), 'the mapping follows'
);
select is(
    (select version from public.tradovate_tokens where account_name = 'APEX_3'), 1, 'and it is no new version'
);

-- Schedules

select tests.clear();
select results_eq(
    $$ select concat_ws(' | ', jobname, schedule, btrim(command)) collate "default" from cron.job where jobname like 'token-manager-%' order by jobname $$,
    array[
        'token-manager-cleanup | 0 2 * * * | select private.call_function(''token-manager?action=cleanup'')',
        'token-manager-purge | 47 3 * * * | select private.token_purge()',
        'token-manager-renew | * * * * * | select private.token_renew_tick()',
        'token-manager-sync | */30 * * * * | select private.call_function(''token-manager?action=sync&wait=false'')'
    ],
    'the jobs'
);
select vault.create_secret('http://127.0.0.1:54321', 'project_url') where not exists (select from vault.secrets where name = 'project_url');
select vault.create_secret('a-key', 'service_api_key') where not exists (select from vault.secrets where name = 'service_api_key');
update public.tradovate_tokens set renew_claimed_until = null, expires_at = now() + interval '15 minutes 1 second';
select is(private.token_renew_tick(), null, 'nothing is called while nothing ends within 15 minutes');
update public.tradovate_tokens set expires_at = now() + interval '15 minutes' where account_name = 'APEX_2';
select isnt(private.token_renew_tick(), null, 'then the function is');
update public.tradovate_tokens set renew_claimed_until = now() + interval '1 minute';
select is(private.token_renew_tick(), null, 'but not while somebody is at it');
insert into public.token_events (event, account_name, created_at)
values ('read', 'OLD', now() - interval '91 days'), ('read', 'RECENT', now() - interval '89 days');
select private.token_purge();
select results_eq(
    $$ select account_name from public.token_events where account_name in ('OLD', 'RECENT') $$, array['RECENT'], 'events are kept for 90 days'
);

select * from finish();
rollback;
