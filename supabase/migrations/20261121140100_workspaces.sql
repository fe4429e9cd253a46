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

create trigger workspaces_touch before update on public.workspaces
    for each row execute function private.touch_updated_at();
create trigger workspace_members_touch before update on public.workspace_members
    for each row execute function private.touch_updated_at();

-- Sets, not functions of the row: a policy evaluates them once a statement, and as an array, so that the
-- keys are looked up by index whatever the size of the table. They read the tables as
-- their owner, whom no policy binds, so that a policy on a table may ask about the table itself.
create function private.my_workspaces() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select workspace_id from public.workspace_members where user_id = (select auth.uid());
$$;
comment on function private.my_workspaces() is 'The workspaces of the user who calls.';

create function private.my_managed_workspaces() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select workspace_id from public.workspace_members
    where user_id = (select auth.uid()) and role in ('owner', 'admin');
$$;
comment on function private.my_managed_workspaces() is 'The workspaces that the user who calls may change.';

revoke execute on function private.my_workspaces(), private.my_managed_workspaces()
from public, anon, authenticated, service_role;
grant execute on function private.my_workspaces(), private.my_managed_workspaces() to authenticated;

alter table public.workspaces enable row level security;
alter table public.workspace_members enable row level security;
revoke all on public.workspaces, public.workspace_members from anon, authenticated, service_role;
grant select on public.workspaces, public.workspace_members to authenticated;
grant update (workspace_name) on public.workspaces to authenticated;
grant select, insert, update, delete on public.workspaces, public.workspace_members to service_role;
create policy "members see their workspaces" on public.workspaces
    for select to authenticated using (id = any (array(select private.my_workspaces())));
create policy "admins change their workspaces" on public.workspaces
    for update to authenticated
    using (id = any (array(select private.my_managed_workspaces())))
    with check (id = any (array(select private.my_managed_workspaces())));
create policy "members see who belongs to their workspaces" on public.workspace_members
    for select to authenticated using (workspace_id = any (array(select private.my_workspaces())));

-- Several rows that belong together, and rules that speak of the role before and after: functions, not policies.

create function public.workspace_create(p_workspace_name text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_id uuid;
begin
    insert into public.workspaces (workspace_name) values (p_workspace_name) returning id into v_id;
    insert into public.workspace_members (workspace_id, user_id, role) values (v_id, auth.uid(), 'owner');
    return v_id;
end;
$$;
comment on function public.workspace_create(text) is 'Makes a workspace, owned by the user who calls, and gives its id.';

create function private.workspace_member_guard(p_workspace_id uuid, p_user_id uuid, p_new_role text) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_mine   text;
    v_theirs text;
begin
    -- One change at a time, or two owners could leave at once and nobody be left.
    perform from public.workspaces where id = p_workspace_id for update;
    select role into v_mine from public.workspace_members
    where workspace_id = p_workspace_id and user_id = (select auth.uid());
    select role into v_theirs from public.workspace_members
    where workspace_id = p_workspace_id and user_id = p_user_id;

    if v_mine is null
        or (v_mine = 'member' and (p_user_id is distinct from (select auth.uid()) or p_new_role is not null))
        or (v_mine <> 'owner' and 'owner' in (v_theirs, p_new_role)) then
        raise exception 'you may not change this member' using errcode = '42501';
    end if;
    if v_theirs = 'owner' and p_new_role is distinct from 'owner' and not exists (
        select from public.workspace_members
        where workspace_id = p_workspace_id and role = 'owner' and user_id <> p_user_id
    ) then
        raise exception 'a workspace keeps an owner' using errcode = '23514';
    end if;
end;
$$;
comment on function private.workspace_member_guard(uuid, uuid, text) is
    'Raises unless the user who calls may give the other that role, or take it when none is given. Admins leave owners alone.';

create function public.workspace_member_set(p_workspace_id uuid, p_user_id uuid, p_role text default 'member') returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform private.workspace_member_guard(p_workspace_id, p_user_id, p_role);
    insert into public.workspace_members (workspace_id, user_id, role) values (p_workspace_id, p_user_id, p_role)
    on conflict (workspace_id, user_id) do update set role = excluded.role;
end;
$$;
comment on function public.workspace_member_set(uuid, uuid, text) is
    'Takes a user into a workspace, or changes the role. For its owners and admins; owners are made by owners.';

create function public.workspace_member_remove(p_workspace_id uuid, p_user_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform private.workspace_member_guard(p_workspace_id, p_user_id, null);
    delete from public.workspace_members where workspace_id = p_workspace_id and user_id = p_user_id;
end;
$$;
comment on function public.workspace_member_remove(uuid, uuid) is
    'Takes a user out of a workspace. For its owners and admins, and for everybody about themselves; the last owner stays.';

revoke execute on function
    public.workspace_create(text), private.workspace_member_guard(uuid, uuid, text),
    public.workspace_member_set(uuid, uuid, text), public.workspace_member_remove(uuid, uuid)
from public, anon, authenticated, service_role;
grant execute on function
    public.workspace_create(text), public.workspace_member_set(uuid, uuid, text), public.workspace_member_remove(uuid, uuid)
to authenticated;
