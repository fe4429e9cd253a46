-- Two companies and a stranger: each sees its own, and changes what it may.
begin;
\ir support/accounts.psql
select plan(38);

select tests.create_company('north', 'anna');
select tests.create_company('south', 'boris');
select tests.create_user('stranger');
select tests.create_user('mia');
insert into public.company_members (company_id, user_id) values (tests.company_id('north'), tests.user_id('mia'));
select tests.make_collectable('north');
select tests.make_collectable('south');
select tests.as_service();
select public.collect_dex_store(tests.company_id('north'), json_build_array(tests.capture(1, 'CSA-north', now()::text)));
select public.collect_dex_store(tests.company_id('south'), json_build_array(tests.capture(1, 'CSA-south', now()::text)));

-- The stranger

select tests.authenticate_as('stranger');
select is_empty('select 1 from public.companies', 'a stranger sees no companies');
select is_empty('select 1 from public.company_members', 'nor who belongs to them');
select is_empty('select 1 from public.machines', 'nor machines');
select is_empty('select 1 from public.dex_captures', 'nor captures');
select is_empty('select site_url from public.user_credentials', 'nor logins');
select is_empty('select 1 from public.collection_state', 'nor how the collection stands');
select is_empty('select 1 from public.collection_overview', 'not even in the overview');
select throws_ok('select 1 from public.collection_runs', '42501', null, 'runs are no user''s business');
select is(public.my_company_id(), null, 'a stranger has no company');
select ok(not private.is_member(tests.company_id('north')), 'and is no member');
select throws_ok(
    $$ insert into public.company_members (company_id, user_id) values (tests.company_id('north'), tests.user_id('stranger')) $$,
    '42501', null, 'a stranger cannot join a company'
);

-- Owners

select tests.authenticate_as('anna');
select results_eq('select company_name from public.companies', array['north'], 'anna sees her company');
select results_eq('select case_serial from public.machines', array['CSA-north'], 'and its machines');
select results_eq('select case_serial from public.dex_captures', array['CSA-north'], 'and its captures');
select results_eq('select company_id from public.user_credentials', array[tests.company_id('north')], 'and that it has a login');
select results_eq('select company_name from public.collection_overview', array['north'], 'and how the collection stands');
select results_eq('select count(*)::integer from public.company_members', array[2], 'and who belongs to it');
select is(public.my_company_id(), tests.company_id('north'), 'it is her company');
select is(public.my_managed_company_id(), tests.company_id('north'), 'which she manages');
select ok(private.is_member(tests.company_id('north')) and not private.is_member(tests.company_id('south')), 'and the other is not');
select results_eq('select machine.dex_last_4hrs from public.machines as machine', array[1], 'her machine sent one capture in 4 h');
select lives_ok($$ update public.machines set location = 'Lobby' $$, 'she changes where her machines stand');
select lives_ok($$ update public.companies set settings = '{"collectEveryMinutes": 15}' $$, 'and her settings');
select throws_ok($$ update public.machines set case_serial = 'x' $$, '42501', null, 'but not what the devices say');
select throws_ok($$ update public.machines set company_id = tests.company_id('south') $$, '42501', null, 'and gives no machine away');
select throws_ok('delete from public.dex_captures', '42501', null, 'nor does she lose captures');
select throws_ok(
    $$ update public.collection_state set next_due_at = now() $$, '42501', null, 'nor does she jump the queue'
);

select tests.authenticate_as('boris');
select results_eq('select location from public.machines', array[null::text], 'boris'' machine stands where it stood');
select results_eq('select settings from public.companies', array['{}'::jsonb], 'and his settings are his');

-- A member who does not manage

select tests.authenticate_as('mia');
select results_eq('select case_serial from public.machines', array['CSA-north'], 'a member sees the machines');
update public.machines set location = 'Basement';
select results_eq('select location from public.machines', array['Lobby'], 'and cannot change them');
select is_empty('select site_url from public.user_credentials', 'nor see the login');
select is(public.my_company_id(), tests.company_id('north'), 'it is her company too');
select is(public.my_managed_company_id(), null, 'but not hers to manage');
select tests.clear();
insert into public.company_members (company_id, user_id, role, created_at)
values (tests.company_id('south'), tests.user_id('mia'), 'owner', now() + interval '1 hour');
select tests.authenticate_as('mia');
select is(public.my_managed_company_id(), null, 'also when she manages another: it is the same company that she may collect or change');

-- Nobody

select tests.as_anon();
select throws_ok('select 1 from public.companies', '42501', null, 'without a login there is nothing to see');
select throws_ok('select public.my_company_id()', '42501', null, 'nor to call');
select throws_ok('select public.my_managed_company_id()', '42501', null, 'nor this');

select tests.clear();
select * from finish();
rollback;
