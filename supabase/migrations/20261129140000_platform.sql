-- How users manage workspaces and projects. A change touches several rows that belong together, and its rules
-- compare the role before and after: functions, not policies.

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
revoke execute on function public.workspace_create(text) from public, anon, authenticated, service_role;
grant execute on function public.workspace_create(text) to authenticated;

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
revoke execute on function private.workspace_member_guard(uuid, uuid, text)
    from public, anon, authenticated, service_role;

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
revoke execute on function public.workspace_member_set(uuid, uuid, text)
    from public, anon, authenticated, service_role;
grant execute on function public.workspace_member_set(uuid, uuid, text) to authenticated;

create function public.workspace_member_remove(p_workspace_id uuid, p_user_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
    perform private.workspace_member_guard(p_workspace_id, p_user_id, null);
    delete from public.workspace_members where workspace_id = p_workspace_id and user_id = p_user_id;
end;
$$;
comment on function public.workspace_member_remove(uuid, uuid) is
    'Takes a user out of a workspace. For its owners and admins, and for everybody about themselves; the last owner stays.';
revoke execute on function public.workspace_member_remove(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.workspace_member_remove(uuid, uuid) to authenticated;

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
revoke execute on function public.project_create(text, text, uuid) from public, anon, authenticated, service_role;
grant execute on function public.project_create(text, text, uuid) to authenticated;

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
revoke execute on function public.project_member_set(uuid, uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.project_member_set(uuid, uuid, text) to authenticated;

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
revoke execute on function public.project_member_remove(uuid, uuid) from public, anon, authenticated, service_role;
grant execute on function public.project_member_remove(uuid, uuid) to authenticated;
