-- Logins: sealed or refused, and read by the collector only.
begin;
\ir support/accounts.psql
select plan(24);

select tests.create_company('north', 'anna');
select tests.create_company('south', 'boris');
select tests.create_user('stranger');
insert into public.company_members (company_id, user_id, role)
values (tests.company_id('south'), tests.user_id('anna'), 'admin');
update public.collection_state set next_due_at = now() + interval '6 hours', consecutive_failures = 7
where company_id in (tests.company_id('north'), tests.company_id('south'));

select tests.as_service();
select isnt(
    public.collect_credentials_save(
        tests.company_id('north'), tests.sealed(), tests.sealed(), 'https://dex.example', 'valid', tests.user_id('anna')),
    null, 'a sealed login is saved'
);
select results_eq(
    $$ select validation_status, last_validated = now(), is_active from public.user_credentials where company_id = tests.company_id('north') $$,
    $$ values ('valid', true, true) $$, 'with what the site said of it'
);
select results_eq(
    $$ select next_due_at = now(), consecutive_failures from public.collection_state where company_id = tests.company_id('north') $$,
    $$ values (true, 0) $$, 'and makes the company due at once, whatever its backoff was'
);
select results_eq(
    $$ select next_due_at > now() from public.collection_state where company_id = tests.company_id('south') $$,
    array[true], 'and no other company'
);
select is(
    (select id from public.user_credentials where company_id = tests.company_id('north')),
    public.collect_credentials_save(
        tests.company_id('north'), tests.sealed('B'), tests.sealed('B'), 'https://dex.example', 'unchecked'),
    'a second login takes the place of the first'
);
select results_eq(
    $$ select username_encrypted, user_id, last_validated from public.user_credentials where company_id = tests.company_id('north') $$,
    $$ values (tests.sealed('B'), null::uuid, null::timestamptz) $$, 'with nothing left of it'
);
select lives_ok(
    $$ select public.collect_credentials_save(
           tests.company_id(name), tests.sealed(), tests.sealed(), 'https://dex.example', 'valid', tests.user_id('anna'))
       from unnest(array['north', 'south']) as name $$,
    'one user may save the logins of two companies'
);
select tests.clear();
insert into public.machines (company_id, case_serial) values (tests.company_id('north'), 'CSA1');
create function tests.collect(success boolean, problem text, used text) returns text
language plpgsql as $$
begin
    perform public.collect_dex_claim_one(tests.run_id(1), 'cron', tests.company_id('north'), 150);
    perform public.collect_dex_finish(tests.run_id(1), tests.company_id('north'), success, 0, problem, null, used);
    return (select validation_status from public.user_credentials where company_id = tests.company_id('north'));
end;
$$;
grant execute on function tests.collect to public;
select tests.as_service();
select is(
    tests.collect(false, 'LOGIN_REFUSED: the DEX site refuses the login', tests.sealed('B')), 'valid',
    'a login that was saved while the one before was refused is not marked'
);
select is(
    tests.collect(false, 'SITE_TIMEOUT: the DEX site does not answer', tests.sealed()), 'valid', 'nor one that the site has not seen'
);
select is(
    tests.collect(false, 'LOGIN_REFUSED: the DEX site refuses the login', tests.sealed()), 'invalid', 'but the one that it refuses'
);
select cmp_ok(
    (select next_due_at from public.collection_state where company_id = tests.company_id('north')), '>', now() + interval '10 minutes',
    'which is no reason to try again at once'
);
select is(tests.collect(true, null, tests.sealed('B')), 'invalid', 'another one''s success is not its own');
select is(tests.collect(true, null, tests.sealed()), 'valid', 'one that the site takes again is valid again');
select tests.collect(false, 'LOGIN_REFUSED: the DEX site refuses the login', tests.sealed());

-- Refused

select throws_ok(
    $$ update public.user_credentials set password_encrypted = 'hunter2' $$,
    '23514', null, 'a password in the clear is refused'
);
select throws_ok(
    $$ update public.user_credentials set username_encrypted = 'operator@example.com' $$,
    '23514', null, 'and so is a user name'
);
select throws_ok(
    $$ update public.user_credentials set password_encrypted = 'v1.k1.c2hvcnQ' $$,
    '23514', null, 'and what is too short to have been sealed'
);
select throws_ok(
    $$ update public.user_credentials set site_url = 'javascript:alert(1)' $$,
    '23514', null, 'a site has a web address'
);

select tests.clear();
create function tests.refusal() returns text
language plpgsql as $$
declare
    v_told text;
begin
    perform public.collect_credentials_save(tests.company_id('north'), 'anna', 'hunter2', 'https://dex.example', 'valid');
    return 'saved';
exception when check_violation then
    get stacked diagnostics v_told = pg_exception_detail;
    return sqlerrm || v_told;
end;
$$;
grant execute on function tests.refusal to public;
select tests.as_service();
select is(tests.refusal(), 'the login is refused: user_credentials_password_sealed', 'and the refusal does not repeat it');

-- Who sees what

select tests.authenticate_as('anna');
select results_eq(
    'select site_url, validation_status from public.user_credentials order by validation_status',
    $$ values ('https://dex.example', 'invalid'), ('https://dex.example', 'valid') $$,
    'who manages a company sees that it has a login, and whether it works'
);
select throws_ok('select username_encrypted from public.user_credentials', '42501', null, 'but not the name, even sealed');
select throws_ok('select password_encrypted from public.user_credentials', '42501', null, 'nor the password');
select throws_ok(
    $$ update public.user_credentials set site_url = 'https://thief.example' $$,
    '42501', null, 'and cannot send it elsewhere'
);
select tests.authenticate_as('stranger');
select is_empty('select id from public.user_credentials', 'a stranger does not see that there is one');
select throws_ok(
    $$ select public.collect_credentials_save(tests.company_id('north'), tests.sealed(), tests.sealed(), 'https://thief.example', 'valid') $$,
    '42501', null, 'and cannot save one'
);

select tests.clear();
select * from finish();
rollback;
