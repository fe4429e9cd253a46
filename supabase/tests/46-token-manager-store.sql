-- Tokens: sealed or refused, seen by nobody, and each step of their life in the audit trail.
begin;
\ir support/accounts.psql
\ir support/tokens.psql
select plan(30);
select tests.no_tokens();

-- Stored

select tests.as_service();
select results_eq(
    $$ select public.token_store(json_build_array(
           tests.token('APEX_136189', 'a', now() + interval '1 hour'),
           tests.token('PAAPEX1361890000001', 'a', now() + interval '5 minutes', 'APEX_136189'),
           tests.token('APEX_272045', 'b', null)
       ), 'pgtap', 'request-1')::text $$,
    array['{"tokens_stored" : 3, "created" : 3, "updated" : 0}'], 'tokens are stored'
);
select results_eq(
    $$ select (public.token_store(json_build_array(tests.token('APEX_136189', 'c', now() + interval '2 hours')), 'pgtap', 'request-2') ->> 'updated') $$,
    array['1'], 'and replaced'
);
select tests.clear();
select results_eq(
    $$ select version, source, key_id, is_active from public.tradovate_tokens where account_name = 'APEX_136189' $$,
    $$ values (2, 'store', 'k1', true) $$, 'which counts the version up'
);
select tests.as_service();
select public.token_store(json_build_array(tests.token('APEX_136189', 'c', now() + interval '2 hours')), 'pgtap', 'request-3');
select tests.clear();
select results_eq(
    $$ select version from public.tradovate_tokens where account_name = 'APEX_136189' $$, array[2], 'unless it is the same token'
);
select tests.as_service();
select throws_ok(
    $$ select public.token_store('[{"account_name": "A", "main_account": "A", "access_token": "eyJhbGciOiJFZERTQSJ9.e30.c2ln", "fingerprint": "0123456789012345678901234567890123456789012", "token_length": 30}]', 'pgtap', 'r') $$,
    '23514', 'a token is refused: tradovate_tokens_sealed', 'a token in the clear is refused, in words that do not repeat it'
);
select throws_ok(
    $$ select public.token_store(json_build_array(tests.token('TWO WORDS', 'a', null)), 'pgtap', 'r') $$,
    '23514', 'a token is refused: tradovate_tokens_account_form', 'and so is a name with blanks'
);

-- The queries that people know

select tests.clear();
select set_eq(
    $$ SELECT account_name, main_account, expires_at, token_length
       FROM tradovate_tokens
       WHERE is_active = true
       ORDER BY updated_at DESC $$,
    $$ values ('APEX_136189', 'APEX_136189', now() + interval '2 hours', 215),
              ('PAAPEX1361890000001', 'APEX_136189', now() + interval '5 minutes', 215),
              ('APEX_272045', 'APEX_272045', null::timestamptz, 215) $$,
    'all active tokens'
);
select is(
    (SELECT count(*) FROM tradovate_tokens
     WHERE main_account = 'APEX_136189'
     AND is_active = true), 2::bigint, 'tokens by main account'
);
select results_eq(
    $$ SELECT account_name
       FROM tradovate_tokens
       WHERE expires_at < NOW() + INTERVAL '10 minutes'
       AND is_active = true $$,
    array['PAAPEX1361890000001'], 'tokens that expire within 10 minutes'
);

-- Read: the boundary is the moment itself

select tests.as_service();
select is(public.token_get('APEX_999999', 'pgtap', 'r')::text, null, 'a token that is not there is null');
select results_eq(
    $$ select public.token_get('APEX_136189', 'bot 7', 'request-4') ->> 'is_expired' $$, array['false'], 'a token is read'
);
select tests.clear();
update public.tradovate_tokens set expires_at = now() where account_name = 'APEX_136189';
select tests.as_service();
select results_eq(
    $$ select public.token_get('APEX_136189', 'bot 7', 'request-5') ->> 'is_expired' $$, array['true'], 'at its last moment it has expired'
);
select tests.clear();
update public.tradovate_tokens set expires_at = now() + interval '1 microsecond' where account_name = 'APEX_136189';
select tests.as_service();
select results_eq(
    $$ select public.token_get('APEX_136189', 'bot 7', 'request-6') ->> 'is_expired' $$, array['false'], 'just before it has not'
);
select results_eq(
    $$ select event, actor, request_id from public.token_events where account_name = 'APEX_136189' order by id $$,
    $$ values ('created', 'pgtap', 'request-1'), ('updated', 'pgtap', 'request-2'), ('updated', 'pgtap', 'request-3'),
              ('read', 'bot 7', 'request-4'), ('refused', 'bot 7', 'request-5'), ('read', 'bot 7', 'request-6') $$,
    'who did what is in the audit trail'
);
select is_empty(
    $$ select from public.token_events as event, public.tradovate_tokens as token
       where event::text like '%' || token.access_token || '%' or event::text like '%' || token.fingerprint || '%' $$,
    'which holds no token, not even sealed'
);

-- Listed

select results_eq(
    $$ select entry ->> 'account_name' from json_array_elements(public.token_list(p_main_account => 'APEX_136189')) as entry $$,
    array['APEX_136189', 'PAAPEX1361890000001'], 'the tokens of a main account are listed'
);
select results_eq(
    $$ select entry ->> 'account_name' from json_array_elements(public.token_list(p_expiring_within_seconds => 600)) as entry $$,
    array['APEX_136189', 'PAAPEX1361890000001'], 'or those that end soon'
);
select results_eq(
    $$ select entry ->> 'account_name' from json_array_elements(public.token_list(p_after => 'APEX_136189', p_limit => 1)) as entry $$,
    array['APEX_272045'], 'page after page'
);
select ok(public.token_list()::text !~ 'v1\.k1\.', 'without the tokens');

-- Cleaned up

select tests.clear();
update public.tradovate_tokens set expires_at = now() where account_name <> 'APEX_272045';
select tests.as_service();
select is(public.token_cleanup('cron', 'r'), 2, 'a cleanup tells how many had expired');
select is(public.token_cleanup('cron', 'r'), 0, 'and then none has');
select results_eq(
    $$ select account_name from public.tradovate_tokens where is_active $$, array['APEX_272045'], 'a token without an end does not expire'
);
select results_eq(
    $$ select (public.token_status() ->> 'supabase_tokens')::integer, (public.token_status() ->> 'inactive_tokens')::integer $$,
    $$ values (1, 2) $$, 'the status counts them'
);
select public.token_store(json_build_array(tests.token('APEX_136189', 'd', now() + interval '1 hour')), 'pgtap', 'r');
select results_eq(
    $$ select event from public.token_events where account_name = 'APEX_136189' order by id desc limit 2 $$,
    array['reactivated', 'expired'], 'a new token makes the account active again'
);

-- Nobody else

select tests.clear();
select tests.create_user('stranger');
select tests.authenticate_as('stranger');
select throws_ok('select from public.tradovate_tokens', '42501', null, 'a user reads no tokens');
select throws_ok('select from public.token_key_mappings', '42501', null, 'nor where they are');
select throws_ok('select from public.token_events', '42501', null, 'nor what became of them');
select throws_ok($$ select public.token_get('APEX_136189', 'x', 'x') $$, '42501', null, 'and gets none');
select tests.as_anon();
select throws_ok('select from public.tradovate_tokens', '42501', null, 'nor does somebody without a login');
select tests.as_service();
select throws_ok(
    $$ update public.tradovate_tokens set is_active = true $$, '42501', null, 'the functions themselves write through the RPCs only'
);

select tests.clear();
select * from finish();
rollback;
