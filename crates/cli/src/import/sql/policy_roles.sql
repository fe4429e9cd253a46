-- Roles that policies name and no Supabase project has.
select distinct role::text from pg_catalog.pg_policies cross join lateral unnest(roles) as role
where schemaname = any ($1) and role not in ('public', 'anon', 'authenticated', 'service_role', 'authenticator', 'postgres')
order by 1
