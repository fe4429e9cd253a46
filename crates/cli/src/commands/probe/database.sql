-- What `ferry probe` asks a database: nothing is changed. Settings of applications and what looks like a secret are
-- named without their values.
with platform_roles as (
    select * from pg_roles
    where rolname in ('anon', 'authenticated', 'service_role', 'authenticator', 'postgres', 'dashboard_user', 'pgbouncer')
        or rolname like 'supabase\_%'
), role_settings as (
    select coalesce(role.rolname, 'every role') as role_name, setting
    from pg_db_role_setting
    left join platform_roles as role on role.oid = setrole
    cross join unnest(setconfig) as setting
    where (setrole = 0 or role.oid is not null)
        and setdatabase in (0, (select oid from pg_database where datname = current_database()))
), default_privileges as (
    select pg_get_userbyid(defaclrole) as owner_name, case defaclnamespace when 0 then 'every schema' else defaclnamespace::regnamespace::text end as schema_name,
        case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'T' then 'types' else 'schemas' end as kind,
        coalesce(grantee.rolname, 'public') as grantee_name, string_agg(acl.privilege_type, ', ' order by acl.privilege_type) as privileges
    from pg_default_acl
    cross join aclexplode(defaclacl) as acl
    left join pg_roles as grantee on grantee.oid = acl.grantee
    where defaclnamespace = 0 or defaclnamespace = 'public'::regnamespace
    group by 1, 2, 3, 4
)
select jsonb_build_object(
    'version', current_setting('server_version'),
    'settings', (
        select jsonb_object_agg(name, setting) from pg_settings where name in (
            'TimeZone', 'idle_in_transaction_session_timeout', 'lock_timeout', 'password_encryption', 'row_security',
            'session_preload_libraries', 'shared_preload_libraries', 'statement_timeout', 'wal_level'
        )
    ),
    'roles', (
        select jsonb_object_agg(rolname, concat_ws(
            ' ', case when rolsuper then 'superuser' end, case when rolinherit then 'inherit' end,
            case when rolcreaterole then 'createrole' end, case when rolcreatedb then 'createdb' end,
            case when rolcanlogin then 'login' end, case when rolreplication then 'replication' end,
            case when rolbypassrls then 'bypassrls' end
        )) from platform_roles
    ),
    'memberships', (
        select jsonb_object_agg(member_name, groups) from (
            select member.rolname as member_name, string_agg(granted.rolname, ', ' order by granted.rolname) as groups
            from pg_auth_members
            join platform_roles as member on member.oid = pg_auth_members.member
            join pg_roles as granted on granted.oid = pg_auth_members.roleid
            group by member.rolname
        ) as of_member
    ),
    'role settings', (
        select jsonb_object_agg(role_name || ': ' || split_part(setting, '=', 1), case
            when split_part(setting, '=', 1) ~* '\.|secret|key|password|token' then 'set'
            else substring(setting from '=(.*)$')
        end) from role_settings
    ),
    'default privileges', (
        select jsonb_object_agg(format('%s of %s in %s: %s', kind, owner_name, schema_name, grantee_name), privileges)
        from default_privileges
    )
)
