-- Everything sealed: found under its old key, put in place under the new one, and never over somebody else's change.
begin;
\ir support/accounts.psql
select plan(17);

-- What a stack in use has besides.
delete from public.cache_sources;
delete from public.webhook_configs;
delete from public.user_credentials;
delete from public.tradovate_tokens;
select tests.create_company('north', 'anna');
select tests.create_company('south', 'boris');
select tests.make_collectable('north');
select tests.make_collectable('south');
insert into public.projects (project_name) values ('tests-sealed');
insert into public.cache_sources (project_id, cache_type, kind, url, credentials)
select id, 'strava', 'strava', 'https://strava.example', tests.sealed() from public.projects where project_name = 'tests-sealed';
insert into public.webhook_configs (user_id, name, security_token, hmac_secret_sealed, alpaca_api_key_sealed, alpaca_api_secret_sealed)
values (tests.user_id('anna'), 'relay', 'a-passphrase', tests.sealed(), tests.sealed(), tests.sealed());

create function tests.texts(holder text, key_id text) returns integer
language sql as $$ select json_array_length(public.sealed_batch(holder, key_id)); $$;

select results_eq(
    $$ select reseal, sum(texts)::integer from private.sealed_counts('CREDENTIALS_ENCRYPTION_KEYS') where key_id = 'k1' group by 1 order by 1 $$,
    $$ values ('cache/rotate-key', 1), ('collect-bulk/rotate-key', 4), ('receive-webhook/rotate-key', 3) $$,
    'what is sealed is counted by key, with what to call to seal it again'
);
select results_eq(
    $$ select reseal, key_id, texts from private.sealed_counts('TOKEN_ENCRYPTION_KEYS') $$,
    $$ values ('token-manager?action=rotate-key', null::text, 0::bigint) $$, 'a ring that seals nothing yet is known'
);
select is_empty($$ select * from private.sealed_counts('OTHER_KEYS') $$, 'and another one is not');
select is_empty(
    $$ select relation, column_name from private.sealed_columns as known
       where not exists (
           select from pg_attribute where attrelid = to_regclass(known.relation) and attname = known.column_name
       ) $$, 'every column that is named is there'
);
select is_empty(
    $$ select attrelid::regclass, attname from pg_attribute
       where attrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r')
         and (attname ~ '_(sealed|encrypted)$' or attname in ('credentials', 'access_token'))
         and (attrelid, attname) not in (select relation::regclass, column_name from private.sealed_columns) $$,
    'and every column that is sealed is named'
);

select tests.as_service();
select is(tests.texts('collect-bulk', 'k2'), 4, 'a function is given the texts that are not under the new key');
select is(tests.texts('collect-bulk', 'k1'), 0, 'and none that are');
select is(tests.texts('nobody', 'k2'), 0, 'nobody else has any');
select is(
    public.sealed_batch('cache', 'k2') -> 0 ->> 'place', 'cache_sources/tests-sealed/strava/credentials',
    'each with the place that it is sealed for'
);
select is(
    json_array_length(public.sealed_batch('collect-bulk', 'k2', public.sealed_batch('collect-bulk', 'k2', '', 3) -> 2 ->> 'place')),
    1, 'a batch goes on after the last place of the one before'
);
select tests.clear();
update public.user_credentials set password_encrypted = tests.sealed('Z') where company_id = tests.company_id('south');
update public.collection_state set next_due_at = 'infinity', consecutive_failures = 3;
select tests.as_service();
select is(
    public.sealed_store('collect-bulk', (
        select json_agg(json_build_object(
            'place', format('user_credentials/%s/%s', tests.company_id(company), part),
            'old_text', tests.sealed(), 'new_text', 'v1.k2.' || repeat('N', 54)))
        from unnest(array['north', 'south']) as company, unnest(array['username', 'password']) as part
    )), 3, 'new texts are put in place, but where somebody changed one meanwhile'
);
select tests.clear();
select results_eq(
    $$ select split_part(username_encrypted, '.', 2), split_part(password_encrypted, '.', 2), password_encrypted = tests.sealed('Z')
       from public.user_credentials order by company_id = tests.company_id('south') $$,
    $$ values ('k2', 'k2', false), ('k2', 'k1', true) $$, 'and his stays'
);
select is_empty(
    $$ select from public.collection_state where next_due_at <> 'infinity' or consecutive_failures <> 3 $$,
    'the same login under another key makes no company due'
);
update public.user_credentials set username_encrypted = tests.sealed('Y') where company_id = tests.company_id('north');
select results_eq(
    $$ select consecutive_failures from public.collection_state where company_id = tests.company_id('north') $$, array[0],
    'another login does, in the same transaction'
);

select tests.authenticate_as('anna');
select throws_ok($$ select public.sealed_batch('collect-bulk', 'k2') $$, '42501', null, 'users are given no sealed texts');
select throws_ok($$ select public.sealed_store('collect-bulk', '[]') $$, '42501', null, 'nor may they put any in place');
select throws_ok($$ select * from private.sealed_columns $$, '42501', null, 'nor see where they are');
select * from finish();
rollback;
