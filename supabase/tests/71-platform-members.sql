-- Profiles follow Auth; workspaces and projects are made, shared and left.
begin;
\ir support/accounts.psql
select plan(46);

-- Profiles

select tests.create_user('olga') as olga, tests.create_user('adam') as adam, tests.create_user('mia') as mia,
    tests.create_user('stranger') as stranger \gset
select is((select email from public.users where id = :'olga'), 'olga@tests.example', 'who signs up has a profile');
update auth.users set email = 'olga@new.example', raw_app_meta_data = '{"clerk_id": "user_1"}' where id = :'olga';
select results_eq(
    format('select email, clerk_id from public.users where id = %L', :'olga'),
    $$ values ('olga@new.example', 'user_1') $$, 'it follows the account'
);
update auth.users set email = 'olga@tests.example' where id = :'olga';
update auth.users set raw_user_meta_data = '{"clerk_id": "user_2"}' where id = :'adam';
select is((select clerk_id from public.users where id = :'adam'), null, 'what users write about themselves is no Clerk id');
select throws_ok(
    format($$ update auth.users set raw_app_meta_data = '{"clerk_id": "user_1"}' where id = %L $$, :'adam'),
    '23505', null, 'two accounts have not the same Clerk id'
);
select lives_ok(
    $$ insert into auth.users (id, email, raw_user_meta_data)
       values (gen_random_uuid(), 'long@tests.example', jsonb_build_object('full_name', repeat('x', 1000))) $$,
    'nobody is refused for a long name'
);
select is(
    (select length(display_name) from public.users where email = 'long@tests.example'), 100, 'it is cut'
);
select lives_ok(
    $$ insert into auth.users (id, phone) values (gen_random_uuid(), '4930') $$, 'an account by phone has no address'
);
update public.users set display_name = 'Olga' where id = :'olga';
update auth.users set raw_app_meta_data = '{"clerk_id": "user_1", "plan": "pro"}' where id = :'olga';
select is((select display_name from public.users where id = :'olga'), 'Olga', 'a name that the user chose stays');
update auth.users set deleted_at = now() where email = 'long@tests.example';
select is_empty(
    $$ select 1 from public.users where email = 'long@tests.example' $$, 'an account deleted softly loses its profile'
);

-- A workspace

select tests.authenticate_as('olga');
select public.workspace_create('North') as north \gset
select results_eq(
    'select user_id, role from public.workspace_members',
    format('values (%L::uuid, ''owner'')', :'olga'), 'who makes a workspace owns it'
);
select throws_ok($$ select public.workspace_create('  ') $$, '23514', null, 'it has a name');
select lives_ok(format('select public.workspace_member_set(%L, %L, ''admin'')', :'north', :'adam'), 'an owner takes in an admin');
select throws_ok(
    format('select public.workspace_member_set(%L, %L, ''boss'')', :'north', :'mia'), '23514', null, 'there are three roles'
);
select throws_ok(
    format('select public.workspace_member_set(%L, %L, ''admin'')', :'north', :'olga'), '23514', 'a workspace keeps an owner',
    'the last owner stays owner'
);
select throws_ok(
    format('select public.workspace_member_remove(%L, %L)', :'north', :'olga'), '23514', 'a workspace keeps an owner', 'and stays at all'
);

select tests.authenticate_as('adam');
select lives_ok(format('select public.workspace_member_set(%L, %L)', :'north', :'mia'), 'an admin takes in a member');
select throws_ok(
    format('select public.workspace_member_set(%L, %L, ''owner'')', :'north', :'adam'), '42501', null, 'but makes no owner, least of all of himself'
);
select throws_ok(
    format('select public.workspace_member_set(%L, %L, ''member'')', :'north', :'olga'), '42501', null, 'nor touches one'
);
select throws_ok(
    format('select public.workspace_member_remove(%L, %L)', :'north', :'olga'), '42501', null, 'nor throws one out'
);

select tests.authenticate_as('mia');
select throws_ok(
    format('select public.workspace_member_set(%L, %L, ''admin'')', :'north', :'mia'), '42501', null, 'a member does not promote herself'
);
select throws_ok(
    format('select public.workspace_member_remove(%L, %L)', :'north', :'adam'), '42501', null, 'nor removes others'
);
select is((select count(*) from public.workspace_members), 3::bigint, 'she sees who belongs to it');

select tests.authenticate_as('stranger');
select throws_ok(
    format('select public.workspace_member_set(%L, %L)', :'north', :'stranger'), '42501', null, 'a stranger does not let himself in'
);
select throws_ok(
    format('select public.workspace_member_remove(%L, %L)', :'north', :'mia'), '42501', null, 'nor others out'
);
select throws_ok(
    format('select public.workspace_member_remove(%L, %L)', :'north', :'stranger'), '42501', null, 'nor leaves where he is not'
);

-- A project of one's own

select public.project_create('solo') as solo \gset
select results_eq('select project_name from public.projects', array['solo'], 'anybody makes a project of their own');
select throws_ok(
    format('select public.project_create(''trojan'', p_workspace_id => %L)', :'north'), '42501', null, 'but not in a workspace of others'
);
select lives_ok(format('select public.project_member_set(%L, %L)', :'solo', :'mia'), 'and shares it');
select tests.authenticate_as('mia');
select results_eq('select project_name from public.projects', array['solo'], 'who then sees it');
select throws_ok(
    format('select public.project_member_set(%L, %L, ''admin'')', :'solo', :'mia'), '42501', null, 'but does not run it'
);
select is((select count(*) from public.project_members), 1::bigint, 'and sees who belongs to it');
select throws_ok(
    format('select public.project_member_remove(%L, %L)', :'solo', :'adam'), '42501', null, 'and removes nobody'
);
select lives_ok(format('select public.project_member_remove(%L, %L)', :'solo', :'mia'), 'but may leave');
select is_empty('select 1 from public.projects', 'and sees it no more');

-- A project of a workspace

select tests.authenticate_as('adam');
select public.project_create('maps', 'Where we are', :'north') as maps \gset
select tests.authenticate_as('mia');
select is_empty('select 1 from public.projects', 'a member of the workspace does not see its projects by that alone');
select throws_ok(
    format('select public.project_create(''more'', p_workspace_id => %L)', :'north'), '42501', null, 'nor makes some'
);
select tests.authenticate_as('olga');
update public.projects set description = 'Everywhere';
select results_eq('select description from public.projects', array['Everywhere'], 'owners of the workspace see and change them');
select throws_ok($$ update public.projects set project_name = 'x' $$, '42501', null, 'but not their names');
select throws_ok('update public.projects set workspace_id = null', '42501', null, 'nor where they belong');
select throws_ok(
    $$ select public.project_create('maps') $$, '23505', null, 'a name is taken once'
);

-- Who claims to be nobody, and who claims to be more

select tests.become('authenticated', '{"role": "authenticated"}');
select throws_ok($$ select public.project_create('ownerless') $$, '42501', null, 'a token without a user makes no project');
select throws_ok(
    format('select public.project_member_remove(%L, %L)', :'maps', :'mia'), '42501', null, 'nor removes a member'
);
select tests.become('authenticated', jsonb_build_object(
    'sub', :'stranger', 'role', 'authenticated', 'user_metadata', jsonb_build_object('role', 'owner', 'workspace_id', :'north')
));
select is_empty('select 1 from public.workspaces', 'what a user writes into their own metadata opens nothing');

-- The end

select tests.clear();
delete from auth.users where id = :'adam';
select results_eq(
    $$ select owner from public.projects where project_name = 'maps' $$, array[null::uuid], 'a project outlives its owner'
);
delete from public.workspaces where id = :'north';
select results_eq(
    $$ select workspace_id from public.projects where project_name = 'maps' $$, array[null::uuid], 'and its workspace'
);
select is_empty(format('select 1 from public.users where id = %L', :'adam'), 'the profile is gone with the account');

select * from finish();
rollback;
