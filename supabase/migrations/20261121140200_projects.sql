-- Projects get a workspace and members. The table itself came with the cache, which is addressed by their names.

alter table public.projects
    -- What hangs on a project outlives the workspace.
    add column workspace_id uuid references public.workspaces on delete set null;
comment on table public.projects is 'Projects: what data, keys and people belong to.';
comment on column public.projects.workspace_id is 'The workspace it belongs to, if any: its owners and admins manage the project too.';
create index projects_workspace on public.projects (workspace_id) where workspace_id is not null;
create index projects_created on public.projects (created_at desc);

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

create function private.my_managed_projects() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select id from public.projects where owner = (select auth.uid())
    union
    select project_id from public.project_members where user_id = (select auth.uid()) and role = 'admin'
    union
    select id from public.projects where workspace_id in (select private.my_managed_workspaces());
$$;
comment on function private.my_managed_projects() is
    'The projects that the user who calls may change: as owner, as admin, or as owner or admin of their workspace.';

create function private.my_projects() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select private.my_managed_projects()
    union
    select project_id from public.project_members where user_id = (select auth.uid());
$$;
comment on function private.my_projects() is 'The projects that the user who calls may see.';

revoke execute on function private.my_managed_projects(), private.my_projects()
from public, anon, authenticated, service_role;
grant execute on function private.my_managed_projects(), private.my_projects() to authenticated;

-- Names are addresses of the cache, and the workspace says who manages: neither is changed by a user.
grant update (description, is_active) on public.projects to authenticated;
drop policy "owners read their projects" on public.projects;
create policy "owners and members see their projects" on public.projects
    for select to authenticated using (id = any (array(select private.my_projects())));
create policy "owners and admins change their projects" on public.projects
    for update to authenticated
    using (id = any (array(select private.my_managed_projects())))
    with check (id = any (array(select private.my_managed_projects())));

alter table public.project_members enable row level security;
revoke all on public.project_members from anon, authenticated, service_role;
grant select on public.project_members to authenticated;
grant select, insert, update, delete on public.project_members to service_role;
create policy "who sees a project sees who belongs to it" on public.project_members
    for select to authenticated using (project_id = any (array(select private.my_projects())));

create function public.project_create(p_project_name text, p_description text default '', p_workspace_id uuid default null)
returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_id uuid;
begin
    if auth.uid() is null then
        raise exception 'a project has an owner' using errcode = '42501';
    end if;
    if p_workspace_id is not null and p_workspace_id not in (select private.my_managed_workspaces()) then
        raise exception 'you may not make projects in this workspace' using errcode = '42501';
    end if;
    insert into public.projects (project_name, description, owner, workspace_id)
    values (p_project_name, p_description, auth.uid(), p_workspace_id)
    returning id into v_id;
    return v_id;
end;
$$;
comment on function public.project_create(text, text, uuid) is
    'Makes a project, owned by the user who calls, and gives its id. In a workspace only for its owners and admins.';

create function public.project_member_set(p_project_id uuid, p_user_id uuid, p_role text default 'member') returns void
language plpgsql security definer set search_path = '' as $$
begin
    if p_project_id not in (select private.my_managed_projects()) then
        raise exception 'you may not change this project' using errcode = '42501';
    end if;
    insert into public.project_members (project_id, user_id, role) values (p_project_id, p_user_id, p_role)
    on conflict (project_id, user_id) do update set role = excluded.role;
end;
$$;
comment on function public.project_member_set(uuid, uuid, text) is
    'Takes a user into a project, or changes the role. For its owner and its admins.';

create function public.project_member_remove(p_project_id uuid, p_user_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    if p_user_id is distinct from (select auth.uid()) and p_project_id not in (select private.my_managed_projects()) then
        raise exception 'you may not change this project' using errcode = '42501';
    end if;
    delete from public.project_members where project_id = p_project_id and user_id = p_user_id;
end;
$$;
comment on function public.project_member_remove(uuid, uuid) is
    'Takes a user out of a project. For its owner and its admins, and for everybody about themselves.';

revoke execute on function
    public.project_create(text, text, uuid), public.project_member_set(uuid, uuid, text),
    public.project_member_remove(uuid, uuid)
from public, anon, authenticated, service_role;
grant execute on function
    public.project_create(text, text, uuid), public.project_member_set(uuid, uuid, text),
    public.project_member_remove(uuid, uuid)
to authenticated;
