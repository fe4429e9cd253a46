-- What data belongs to. The platform's own tables refer to these rows too.

create table public.projects (
    id            uuid primary key default gen_random_uuid(),
    project_name  text not null,
    description   text not null default '',
    owner         uuid references auth.users on delete set null,
    is_active     boolean not null default true,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint projects_once unique (project_name),
    constraint projects_name check (project_name <> '' and length(project_name) <= 100),
    constraint projects_description check (length(description) <= 2000)
);
comment on table public.projects is 'Projects, by whose names the cache is addressed.';
comment on column public.projects.id is 'Key.';
comment on column public.projects.project_name is 'Its name in URLs. The cache accepts letters, digits, _ and -.';
comment on column public.projects.description is 'What it is about, for people.';
comment on column public.projects.owner is 'Whose it is; none when a service made it, or when the user is gone.';
comment on column public.projects.is_active is 'One that is not active is not served and not refreshed.';
comment on column public.projects.created_at is 'When the row was made.';
comment on column public.projects.updated_at is 'When the row was last changed.';
create index projects_owner on public.projects (owner) where owner is not null;

create trigger projects_touch before update on public.projects
    for each row execute function private.touch_updated_at();

alter table public.projects enable row level security;
revoke all on public.projects from anon, authenticated, service_role;
grant select on public.projects to authenticated;
grant select, insert, update, delete on public.projects to service_role;
create policy "owners read their projects" on public.projects
    for select to authenticated using (owner = (select auth.uid()));
