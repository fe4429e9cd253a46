-- Members read, owners and admins change: whose company's login a user may save.

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
