-- People and what they own: companies, users, workspaces and projects, with the helpers that policies ask.

create table public.companies (
    id            uuid primary key default gen_random_uuid(),
    company_name  text not null,
    settings      jsonb not null default '{}',
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint companies_name_length check (company_name ~ '\S' and length(company_name) <= 255),
    constraint companies_settings_object check (jsonb_typeof(settings) = 'object'),
    -- Owners and admins write these.
    constraint companies_settings_size check (length(settings::text) <= 65536)
);
comment on table public.companies is 'One row per tenant: an operator of vending machines.';
comment on column public.companies.id is 'Named by every other table as company_id.';
comment on column public.companies.company_name is 'For people.';
comment on column public.companies.settings is
    'Settings by key. collectEveryMinutes: minutes between collections, 5 unless set. machineTypes: array of text. timezone: for reports by day, UTC unless set. currency: ISO 4217, when machines do not know theirs. keepParsedDays, keepCapturesDays: see private.dex_retention().';
comment on column public.companies.created_at is 'When the row was made.';
comment on column public.companies.updated_at is 'When the row was last changed.';
create trigger companies_touch before update on public.companies
    for each row execute function private.touch_updated_at();
alter table public.companies enable row level security;
revoke all on public.companies from public, anon, authenticated, service_role;
grant select on public.companies to authenticated;
grant update (company_name, settings) on public.companies to authenticated;
grant select, insert, update, delete on public.companies to service_role;

create table public.company_members (
    company_id  uuid not null references public.companies on delete cascade,
    user_id     uuid not null references auth.users on delete cascade,
    role        text not null default 'member',
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (company_id, user_id),
    constraint company_members_role check (role in ('owner', 'admin', 'member'))
);
comment on table public.company_members is 'Who belongs to which company.';
comment on column public.company_members.company_id is 'The company.';
comment on column public.company_members.user_id is 'The user.';
comment on column public.company_members.role is 'owner, admin or member. Members read; owners and admins change.';
comment on column public.company_members.created_at is 'When the user joined.';
comment on column public.company_members.updated_at is 'When the row was last changed.';
create index company_members_user on public.company_members (user_id, created_at);
create trigger company_members_touch before update on public.company_members
    for each row execute function private.touch_updated_at();
alter table public.company_members enable row level security;
revoke all on public.company_members from public, anon, authenticated, service_role;
grant select on public.company_members to authenticated;
grant select, insert, update, delete on public.company_members to service_role;

-- Sets, not functions of the row: a policy evaluates them once a statement.
create function private.my_companies() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select company_id from public.company_members where user_id = (select auth.uid());
$$;
comment on function private.my_companies() is 'The companies of the user who calls.';
revoke execute on function private.my_companies() from public, anon, authenticated, service_role;
grant execute on function private.my_companies() to authenticated;

create function private.my_managed_companies() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select company_id from public.company_members
    where user_id = (select auth.uid()) and role in ('owner', 'admin');
$$;
comment on function private.my_managed_companies() is 'The companies that the user who calls may change.';
revoke execute on function private.my_managed_companies() from public, anon, authenticated, service_role;
grant execute on function private.my_managed_companies() to authenticated;

create function private.is_member(p_company_id uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.company_members
        where company_id = p_company_id and user_id = (select auth.uid())
    );
$$;
comment on function private.is_member(uuid) is
    'Whether the user who calls belongs to the company. For functions; a policy asks my_companies() once instead.';
revoke execute on function private.is_member(uuid) from public, anon, authenticated, service_role;
grant execute on function private.is_member(uuid) to authenticated;

create function public.my_company_id() returns uuid
language sql stable security definer set search_path = '' as $$
    select company_id from public.company_members
    where user_id = (select auth.uid())
    order by created_at, company_id
    limit 1;
$$;
comment on function public.my_company_id() is 'The company of the user who calls, the first joined; null when there is none.';
revoke execute on function public.my_company_id() from public, anon, authenticated, service_role;
grant execute on function public.my_company_id() to authenticated;

-- Members read, owners and admins change: the company whose login a user may save.
create function public.my_managed_company_id() returns uuid
language sql stable security definer set search_path = '' as $$
    select case when role in ('owner', 'admin') then company_id end from public.company_members
    where user_id = (select auth.uid())
    order by created_at, company_id
    limit 1;
$$;
comment on function public.my_managed_company_id() is
    'The same company as my_company_id(), when the user who calls may change it; else null.';
revoke execute on function public.my_managed_company_id() from public, anon, authenticated, service_role;
grant execute on function public.my_managed_company_id() to authenticated;

create policy "members read their company" on public.companies
    for select to authenticated using (id = any (array(select private.my_companies())));
create policy "admins change their company" on public.companies
    for update to authenticated
    using (id = any (array(select private.my_managed_companies())))
    with check (id = any (array(select private.my_managed_companies())));
create policy "members see who belongs to their company" on public.company_members
    for select to authenticated using (company_id = any (array(select private.my_companies())));

-- Profiles: what the API may show of a user. Auth keeps the account itself.

create table public.users (
    id            uuid primary key references auth.users on delete cascade,
    email         text,
    clerk_id      text,
    display_name  text not null default '',
    avatar_url    text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint users_clerk_id unique (clerk_id),
    constraint users_clerk_id_form check (clerk_id ~ '^\S{1,255}$'),
    constraint users_display_name check (length(display_name) <= 100),
    constraint users_avatar_url check (avatar_url ~ '^https://\S+$' and length(avatar_url) <= 2048)
);
comment on table public.users is 'One row per account of Auth, kept by a trigger there.';
comment on column public.users.id is 'The account, auth.users.id.';
comment on column public.users.email is 'Its e-mail address, as Auth has it; none for an account by phone. Not unique: two providers may share one.';
comment on column public.users.clerk_id is 'Its id at Clerk, from app_metadata.clerk_id, which only the back end writes.';
comment on column public.users.display_name is 'What others call the user. At first full_name or name of the user''s metadata.';
comment on column public.users.avatar_url is 'A picture, https.';
comment on column public.users.created_at is 'When the row was made.';
comment on column public.users.updated_at is 'When the row was last changed.';
create index users_email on public.users (email);
create trigger users_touch before update on public.users
    for each row execute function private.touch_updated_at();
alter table public.users enable row level security;
revoke all on public.users from public, anon, authenticated, service_role;
grant select on public.users to authenticated;
-- E-mail and Clerk id come from Auth, so that nobody takes another's.
grant update (display_name, avatar_url) on public.users to authenticated;
grant select, insert, update, delete on public.users to service_role;
create policy "users see themselves" on public.users
    for select to authenticated using (id = (select auth.uid()));
create policy "users change themselves" on public.users
    for update to authenticated using (id = (select auth.uid())) with check (id = (select auth.uid()));

create function private.users_follow_auth() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    -- Anybody may sign up with any metadata: it is cut to size, as an error here would refuse the account.
    v_name constant text := left(
        coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name', ''), 100
    );
begin
    -- Auth keeps the row of an account that it deletes softly.
    if new.deleted_at is not null then
        delete from public.users where id = new.id;
        return null;
    end if;
    insert into public.users as profile (id, email, clerk_id, display_name)
    values (new.id, new.email, nullif(new.raw_app_meta_data ->> 'clerk_id', ''), v_name)
    on conflict (id) do update
    set email = excluded.email, clerk_id = excluded.clerk_id
    where (profile.email, profile.clerk_id) is distinct from (excluded.email, excluded.clerk_id);
    return null;
end;
$$;
comment on function private.users_follow_auth() is
    'Trigger on auth.users: makes the profile, keeps its e-mail address and Clerk id, and removes it on a soft deletion.';
revoke execute on function private.users_follow_auth() from public, anon, authenticated, service_role;
-- A hard deletion takes the profile with it by the foreign key.
create trigger users_follow_auth
    after insert or update of email, raw_app_meta_data, deleted_at on auth.users
    for each row execute function private.users_follow_auth();

-- Accounts that were there before this migration.
insert into public.users (id, email, clerk_id, display_name)
select
    account.id,
    account.email,
    nullif(account.raw_app_meta_data ->> 'clerk_id', ''),
    left(coalesce(account.raw_user_meta_data ->> 'full_name', account.raw_user_meta_data ->> 'name', ''), 100)
from auth.users as account
where account.deleted_at is null;

-- Workspaces: people who share projects.

create table public.workspaces (
    id              uuid primary key default gen_random_uuid(),
    workspace_name  text not null,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    constraint workspaces_name check (workspace_name ~ '\S' and length(workspace_name) <= 100)
);
comment on table public.workspaces is 'People who share projects.';
comment on column public.workspaces.id is 'Key.';
comment on column public.workspaces.workspace_name is 'For people.';
comment on column public.workspaces.created_at is 'When the row was made.';
comment on column public.workspaces.updated_at is 'When the row was last changed.';
create trigger workspaces_touch before update on public.workspaces
    for each row execute function private.touch_updated_at();
alter table public.workspaces enable row level security;
revoke all on public.workspaces from public, anon, authenticated, service_role;
grant select on public.workspaces to authenticated;
grant update (workspace_name) on public.workspaces to authenticated;
grant select, insert, update, delete on public.workspaces to service_role;

create table public.workspace_members (
    workspace_id  uuid not null references public.workspaces on delete cascade,
    user_id       uuid not null references public.users on delete cascade,
    role          text not null default 'member',
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    primary key (workspace_id, user_id),
    constraint workspace_members_role check (role in ('owner', 'admin', 'member'))
);
comment on table public.workspace_members is 'Who belongs to which workspace.';
comment on column public.workspace_members.workspace_id is 'The workspace.';
comment on column public.workspace_members.user_id is 'The user.';
comment on column public.workspace_members.role is
    'owner, admin or member. All see the workspace; owners and admins change it, its members and its projects.';
comment on column public.workspace_members.created_at is 'When the user joined.';
comment on column public.workspace_members.updated_at is 'When the row was last changed.';
-- With role and workspace, the helpers below are answered from the index alone.
create index workspace_members_user on public.workspace_members (user_id, role, workspace_id);
create trigger workspace_members_touch before update on public.workspace_members
    for each row execute function private.touch_updated_at();
alter table public.workspace_members enable row level security;
revoke all on public.workspace_members from public, anon, authenticated, service_role;
grant select on public.workspace_members to authenticated;
grant select, insert, update, delete on public.workspace_members to service_role;

-- Sets, not functions of the row: a policy evaluates them once a statement, and as an array, so that the
-- keys are looked up by index whatever the size of the table. They read the tables as
-- their owner, whom no policy binds, so that a policy on a table may ask about the table itself.
create function private.my_workspaces() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select workspace_id from public.workspace_members where user_id = (select auth.uid());
$$;
comment on function private.my_workspaces() is 'The workspaces of the user who calls.';
revoke execute on function private.my_workspaces() from public, anon, authenticated, service_role;
grant execute on function private.my_workspaces() to authenticated;

create function private.my_managed_workspaces() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select workspace_id from public.workspace_members
    where user_id = (select auth.uid()) and role in ('owner', 'admin');
$$;
comment on function private.my_managed_workspaces() is 'The workspaces that the user who calls may change.';
revoke execute on function private.my_managed_workspaces() from public, anon, authenticated, service_role;
grant execute on function private.my_managed_workspaces() to authenticated;

create policy "members see their workspaces" on public.workspaces
    for select to authenticated using (id = any (array(select private.my_workspaces())));
create policy "admins change their workspaces" on public.workspaces
    for update to authenticated
    using (id = any (array(select private.my_managed_workspaces())))
    with check (id = any (array(select private.my_managed_workspaces())));
create policy "members see who belongs to their workspaces" on public.workspace_members
    for select to authenticated using (workspace_id = any (array(select private.my_workspaces())));

-- Projects: what data, keys and people belong to. The cache is addressed by their names.

create table public.projects (
    id            uuid primary key default gen_random_uuid(),
    project_name  text not null,
    description   text not null default '',
    owner         uuid references auth.users on delete set null,
    -- What hangs on a project outlives the workspace.
    workspace_id  uuid references public.workspaces on delete set null,
    is_active     boolean not null default true,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint projects_once unique (project_name),
    constraint projects_name check (project_name <> '' and length(project_name) <= 100),
    constraint projects_description check (length(description) <= 2000)
);
comment on table public.projects is 'Projects: what data, keys and people belong to.';
comment on column public.projects.id is 'Key.';
comment on column public.projects.project_name is 'Its name in URLs. The cache accepts letters, digits, _ and -.';
comment on column public.projects.description is 'What it is about, for people.';
comment on column public.projects.owner is 'Whose it is; none when a service made it, or when the user is gone.';
comment on column public.projects.workspace_id is 'The workspace it belongs to, if any: its owners and admins manage the project too.';
comment on column public.projects.is_active is 'One that is not active is not served and not refreshed.';
comment on column public.projects.created_at is 'When the row was made.';
comment on column public.projects.updated_at is 'When the row was last changed.';
create index projects_owner on public.projects (owner) where owner is not null;
create index projects_workspace on public.projects (workspace_id) where workspace_id is not null;
create index projects_created on public.projects (created_at desc);
create trigger projects_touch before update on public.projects
    for each row execute function private.touch_updated_at();
alter table public.projects enable row level security;
revoke all on public.projects from public, anon, authenticated, service_role;
grant select on public.projects to authenticated;
grant select, insert, update, delete on public.projects to service_role;
-- Names are addresses of the cache, and the workspace says who manages: neither is changed by a user.
grant update (description, is_active) on public.projects to authenticated;

create table public.project_members (
    project_id  uuid not null references public.projects on delete cascade,
    user_id     uuid not null references public.users on delete cascade,
    role        text not null default 'member',
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    primary key (project_id, user_id),
    constraint project_members_role check (role in ('admin', 'member'))
);
comment on table public.project_members is 'Who works on which project besides its owner.';
comment on column public.project_members.project_id is 'The project.';
comment on column public.project_members.user_id is 'The user.';
comment on column public.project_members.role is 'admin or member. Members see the project, admins change it. The owner is projects.owner.';
comment on column public.project_members.created_at is 'When the user joined.';
comment on column public.project_members.updated_at is 'When the row was last changed.';
create index project_members_user on public.project_members (user_id, role, project_id);
create trigger project_members_touch before update on public.project_members
    for each row execute function private.touch_updated_at();
alter table public.project_members enable row level security;
revoke all on public.project_members from public, anon, authenticated, service_role;
grant select on public.project_members to authenticated;
grant select, insert, update, delete on public.project_members to service_role;

create function private.my_managed_projects() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select id from public.projects where owner = (select auth.uid())
    union
    select project_id from public.project_members where user_id = (select auth.uid()) and role = 'admin'
    union
    select id from public.projects where workspace_id = any (array(select private.my_managed_workspaces()));
$$;
comment on function private.my_managed_projects() is
    'The projects that the user who calls may change: as owner, as admin, or as owner or admin of their workspace.';
revoke execute on function private.my_managed_projects() from public, anon, authenticated, service_role;
grant execute on function private.my_managed_projects() to authenticated;

create function private.my_projects() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select private.my_managed_projects()
    union
    select project_id from public.project_members where user_id = (select auth.uid());
$$;
comment on function private.my_projects() is 'The projects that the user who calls may see.';
revoke execute on function private.my_projects() from public, anon, authenticated, service_role;
grant execute on function private.my_projects() to authenticated;

create policy "owners and members see their projects" on public.projects
    for select to authenticated using (id = any (array(select private.my_projects())));
create policy "owners and admins change their projects" on public.projects
    for update to authenticated
    using (id = any (array(select private.my_managed_projects())))
    with check (id = any (array(select private.my_managed_projects())));
create policy "who sees a project sees who belongs to it" on public.project_members
    for select to authenticated using (project_id = any (array(select private.my_projects())));
