-- Tenants: companies and who belongs to them.

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
    'Settings by key. collectEveryMinutes: minutes between collections, 5 unless set. machineTypes: array of text.';
comment on column public.companies.created_at is 'When the row was made.';
comment on column public.companies.updated_at is 'When the row was last changed.';

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

create trigger companies_touch before update on public.companies
    for each row execute function private.touch_updated_at();
create trigger company_members_touch before update on public.company_members
    for each row execute function private.touch_updated_at();

-- Sets, not functions of the row: a policy evaluates them once a statement.
create function private.my_companies() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select company_id from public.company_members where user_id = (select auth.uid());
$$;
comment on function private.my_companies() is 'The companies of the user who calls.';

create function private.my_managed_companies() returns setof uuid
language sql stable security definer set search_path = '' as $$
    select company_id from public.company_members
    where user_id = (select auth.uid()) and role in ('owner', 'admin');
$$;
comment on function private.my_managed_companies() is 'The companies that the user who calls may change.';

create function private.is_member(p_company_id uuid) returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (
        select from public.company_members
        where company_id = p_company_id and user_id = (select auth.uid())
    );
$$;
comment on function private.is_member(uuid) is
    'Whether the user who calls belongs to the company. For functions; a policy asks my_companies() once instead.';

create function public.my_company_id() returns uuid
language sql stable security definer set search_path = '' as $$
    select company_id from public.company_members
    where user_id = (select auth.uid())
    order by created_at, company_id
    limit 1;
$$;
comment on function public.my_company_id() is 'The company of the user who calls, the first joined; null when there is none.';

revoke execute on function
    private.my_companies(), private.my_managed_companies(), private.is_member(uuid), public.my_company_id()
from public, anon, authenticated, service_role;
grant execute on function
    private.my_companies(), private.my_managed_companies(), private.is_member(uuid), public.my_company_id()
to authenticated;

alter table public.companies enable row level security;
alter table public.company_members enable row level security;
revoke all on public.companies, public.company_members from anon, authenticated, service_role;
grant select on public.companies, public.company_members to authenticated;
grant update (company_name, settings) on public.companies to authenticated;
grant select, insert, update, delete on public.companies, public.company_members to service_role;

create policy "members read their company" on public.companies
    for select to authenticated using (id in (select private.my_companies()));
create policy "admins change their company" on public.companies
    for update to authenticated
    using (id in (select private.my_managed_companies()))
    with check (id in (select private.my_managed_companies()));
create policy "members see who belongs to their company" on public.company_members
    for select to authenticated using (company_id in (select private.my_companies()));
