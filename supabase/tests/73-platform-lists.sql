-- What users page through of workspaces and projects is found by index, however many there are.
begin;
\ir support/accounts.psql
\ir support/plans.psql
select plan(7);

insert into auth.users (id, email)
select gen_random_uuid(), 'user ' || number || '@tests.example' from generate_series(1, 2000) as number;
insert into public.workspaces (workspace_name) select 'w' || number from generate_series(1, 2000) as number;
insert into public.workspace_members (workspace_id, user_id, role)
select id, tests.user_id('user ' || substr(workspace_name, 2)), 'owner' from public.workspaces where workspace_name ~ '^w\d+$';
insert into public.projects (project_name, owner, created_at)
select 'p-' || account.email || '-' || number, account.id, now() - make_interval(mins => number)
from auth.users as account cross join generate_series(1, 10) as number where account.email like 'user %';
insert into public.project_members (project_id, user_id)
select id, tests.user_id('user 1') from public.projects where project_name like 'p-%';
analyze auth.users, public.users, public.workspaces, public.workspace_members, public.projects, public.project_members;
select ok(count(*) >= 20000, 'there are 20,000 projects') from public.projects;

select tests.authenticate_as('user 1999');
select tests.pages_by_index('users', 'created_at', 1);
select tests.pages_by_index('workspaces', 'created_at', 1);
select tests.pages_by_index('workspace_members', 'created_at', 1);
select tests.pages_by_index('projects', 'created_at', 10);
select tests.pages_by_index('project_members', 'created_at', 10);
select is(count(*), 10::bigint, 'users see all of theirs') from public.projects;

select tests.clear();
select * from finish();
rollback;
