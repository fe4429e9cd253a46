-- Who may do what to the platform's tables: every table, every role, every verb, from one matrix.
begin;
\ir support/accounts.psql

select tests.create_user(name) from unnest(array['olga', 'adam', 'mia', 'wanda', 'stranger', 'guest']) as name;
insert into public.workspaces (workspace_name) values ('north');
insert into public.workspace_members (workspace_id, user_id, role)
select workspace.id, tests.user_id(name), role
from public.workspaces as workspace, (values ('olga', 'owner'), ('adam', 'admin'), ('mia', 'member')) as member (name, role)
where workspace_name = 'north';
insert into public.projects (project_name, owner) values ('maps', tests.user_id('olga'));
insert into public.project_members (project_id, user_id, role)
select project.id, tests.user_id(name), role
from public.projects as project, (values ('adam', 'admin'), ('mia', 'member')) as member (name, role)
where project_name = 'maps';

-- What a caller with this role is called here.
create function tests.become_a(caller text) returns void
language plpgsql as $$
begin
    case caller
        when 'anon' then perform tests.as_anon();
        when 'service' then perform tests.as_service();
        when 'owner' then perform tests.authenticate_as('olga');
        when 'admin' then perform tests.authenticate_as('adam');
        when 'member' then perform tests.authenticate_as('mia');
        else perform tests.authenticate_as(caller);
    end case;
end;
$$;

create table tests.verbs (table_name text, verb text, statement text);
insert into tests.verbs values
    ('users', 'select', $$ select from public.users where id in (tests.user_id('olga'), tests.user_id('adam'), tests.user_id('mia')) $$),
    ('users', 'insert', $$ insert into public.users (id) values (gen_random_uuid()) $$),
    ('users', 'update', $$ update public.users set display_name = 'x' where email like '%@tests.example' $$),
    ('users', 'update its email', $$ update public.users set email = 'x@tests.example' where email = 'guest@tests.example' $$),
    ('users', 'update its Clerk id', $$ update public.users set clerk_id = 'x' where email = 'guest@tests.example' $$),
    ('users', 'delete', $$ delete from public.users where email = 'guest@tests.example' $$),
    ('workspaces', 'select', $$ select from public.workspaces where workspace_name = 'north' $$),
    ('workspaces', 'insert', $$ insert into public.workspaces (workspace_name) values ('other') $$),
    ('workspaces', 'update', $$ update public.workspaces set workspace_name = 'renamed' where workspace_name = 'north' $$),
    ('workspaces', 'delete', $$ delete from public.workspaces where workspace_name = 'north' $$),
    ('workspace_members', 'select', $$ select from public.workspace_members where user_id = tests.user_id('mia') $$),
    ('workspace_members', 'insert',
        $$ insert into public.workspace_members (workspace_id, user_id) select id, tests.user_id('guest') from public.workspaces where workspace_name = 'north' $$),
    ('workspace_members', 'update', $$ update public.workspace_members set role = 'owner' where user_id = tests.user_id('mia') $$),
    ('workspace_members', 'delete', $$ delete from public.workspace_members where user_id = tests.user_id('mia') $$),
    ('projects', 'select', $$ select from public.projects where project_name = 'maps' $$),
    ('projects', 'insert', $$ insert into public.projects (project_name) values ('other') $$),
    ('projects', 'update', $$ update public.projects set description = 'x', is_active = false where project_name = 'maps' $$),
    ('projects', 'update its owner', $$ update public.projects set owner = null where project_name = 'maps' $$),
    ('projects', 'delete', $$ delete from public.projects where project_name = 'maps' $$),
    ('project_members', 'select', $$ select from public.project_members where user_id = tests.user_id('mia') $$),
    ('project_members', 'insert',
        $$ insert into public.project_members (project_id, user_id) select id, tests.user_id('guest') from public.projects where project_name = 'maps' $$),
    ('project_members', 'update', $$ update public.project_members set role = 'admin' where user_id = tests.user_id('mia') $$),
    ('project_members', 'delete', $$ delete from public.project_members where user_id = tests.user_id('mia') $$);

-- How many rows each caller reaches; `-` is refused (42501). Nobody but a service inserts or deletes.
create table tests.matrix (
    table_name text, verb text, anon text, stranger text, member text, admin text, owner text, service text
);
insert into tests.matrix values
    --                                            anon stranger member admin owner service
    ('users',             'select',               '-', '0',     '1',   '1',  '1',  '3'),
    ('users',             'insert',               '-', '-',     '-',   '-',  '-',  'x'),
    ('users',             'update',               '-', '1',     '1',   '1',  '1',  '6'),
    ('users',             'update its email',     '-', '-',     '-',   '-',  '-',  '1'),
    ('users',             'update its Clerk id',  '-', '-',     '-',   '-',  '-',  '1'),
    ('users',             'delete',               '-', '-',     '-',   '-',  '-',  '1'),
    ('workspaces',        'select',               '-', '0',     '1',   '1',  '1',  '1'),
    ('workspaces',        'insert',               '-', '-',     '-',   '-',  '-',  '1'),
    ('workspaces',        'update',               '-', '0',     '0',   '1',  '1',  '1'),
    ('workspaces',        'delete',               '-', '-',     '-',   '-',  '-',  '1'),
    ('workspace_members', 'select',               '-', '0',     '1',   '1',  '1',  '1'),
    ('workspace_members', 'insert',               '-', '-',     '-',   '-',  '-',  '1'),
    ('workspace_members', 'update',               '-', '-',     '-',   '-',  '-',  '1'),
    ('workspace_members', 'delete',               '-', '-',     '-',   '-',  '-',  '1'),
    ('projects',          'select',               '-', '0',     '1',   '1',  '1',  '1'),
    ('projects',          'insert',               '-', '-',     '-',   '-',  '-',  '1'),
    ('projects',          'update',               '-', '0',     '0',   '1',  '1',  '1'),
    ('projects',          'update its owner',     '-', '-',     '-',   '-',  '-',  '1'),
    ('projects',          'delete',               '-', '-',     '-',   '-',  '-',  '1'),
    ('project_members',   'select',               '-', '0',     '1',   '1',  '1',  '1'),
    ('project_members',   'insert',               '-', '-',     '-',   '-',  '-',  '1'),
    ('project_members',   'update',               '-', '-',     '-',   '-',  '-',  '1'),
    ('project_members',   'delete',               '-', '-',     '-',   '-',  '-',  '1');

-- Runs a statement as somebody and takes it back: the rows it reached, `-` when refused, `x` when
-- the foreign key to auth.users stops what was permitted.
create function tests.reach(caller text, statement text) returns text
language plpgsql as $$
declare
    v_rows bigint;
begin
    begin
        perform tests.become_a(caller);
        execute statement;
        get diagnostics v_rows = row_count;
        raise exception using errcode = 'TEST0', message = v_rows::text;
    exception
        when sqlstate 'TEST0' then return sqlerrm;
        when insufficient_privilege then return '-';
        when foreign_key_violation then return 'x';
    end;
end;
$$;

create temporary table attempts as
select row_number() over () as nth, expected.table_name, expected.verb, caller.name as caller, caller.reaches, statement
from tests.matrix as expected
join tests.verbs using (table_name, verb)
cross join lateral (values
    ('anon', anon), ('stranger', stranger), ('member', member), ('admin', admin), ('owner', owner), ('service', service)
) as caller (name, reaches);

select plan(count(*)::integer + 5) from attempts;

select results_eq(
    'select count(*)::integer from attempts', array[23 * 6], 'every line of the matrix has its statement'
);
select is(
    tests.reach(caller, statement), reaches, format('%s: %s %s reaches %s', table_name, caller, verb, reaches)
) from attempts order by nth;

-- Every other table there is, whatever it is called.

create function tests.reach_of_all(caller text) returns table (reached text)
language plpgsql as $$
declare
    v_table  text;
    v_column text;
    v_verb   text;
    v_rows   text;
begin
    for v_table, v_column in
        select class.oid::regclass::text, (
            -- One that users may change, if there is any.
            select attname from pg_attribute
            where attrelid = class.oid and attnum > 0 and attgenerated = '' and attidentity = ''
            order by has_column_privilege('authenticated', class.oid, attnum, 'update') desc, attnum
            limit 1
        )
        from pg_class as class
        where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and relkind in ('r', 'p')
    loop
        foreach v_verb in array array[
            'select from %1$s', 'insert into %1$s default values', 'update %1$s set %2$I = %2$I', 'delete from %1$s'
        ] loop
            begin
                v_rows := tests.reach(caller, format(v_verb, v_table, v_column));
            exception when others then
                v_rows := sqlstate; -- permitted, and wrong for another reason
            end;
            if v_rows not in ('-', '0') then
                reached := format(v_verb, v_table, v_column) || ': ' || v_rows;
                return next;
            end if;
        end loop;
    end loop;
end;
$$;
-- So that there is something to see in the tables of others. A table that is empty here proves its grants only.
select tests.create_company('south', 'boris') is not null as made \gset
select tests.make_collectable('south');
select count(*) as stored from public.collect_dex_store(
    tests.company_id('south'), json_build_array(tests.capture(1, 'CSA-south', now()::text))
) \gset
select is_empty($$ select * from tests.reach_of_all('anon') $$, 'without a login no verb reaches any table');
delete from public.users where id = tests.user_id('guest');
-- Some tables let users make rows of their own: there, only the rows of others count.
select is_empty(
    $$ select reached from tests.reach_of_all('guest')
       where not exists (
           select from pg_policies
           where cmd in ('INSERT', 'ALL') and reached like format('insert into %I %%', tablename)
       ) $$,
    'a stranger reaches no row of any table, by any verb'
);
select isnt_empty($$ select * from tests.reach_of_all('service') $$, 'a service does, so the attempts are real');
select is_empty(
    $$ select table_name from information_schema.tables
       where table_schema = 'public' and table_name in ('users', 'workspaces', 'workspace_members', 'projects', 'project_members')
       except select table_name from tests.matrix $$,
    'no table of the platform is missing in the matrix'
);

select tests.clear();
select * from finish();
rollback;
