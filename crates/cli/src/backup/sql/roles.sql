-- Roles that are the project's own, without passwords. What only a superuser may give is left out.
with own as (
    select role.* from pg_catalog.pg_roles as role
    where rolname !~ '^(pg_|supabase_|cli_login_|pgsodium_|pgtle_)'
      and rolname not in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'dashboard_user', 'pgbouncer', 'cron_owner')
      and not rolsuper
)
select statement from (
    select 1 as step, format(
        'do $do$ begin if to_regrole(%L) is null then create role %I %s %s %s %s connection limit %s; end if; end $do$;',
        quote_ident(rolname), rolname,
        case when rolcanlogin then 'login' else 'nologin' end, case when rolinherit then 'inherit' else 'noinherit' end,
        case when rolcreatedb then 'createdb' else 'nocreatedb' end, case when rolcreaterole then 'createrole' else 'nocreaterole' end,
        rolconnlimit) as statement
    from own
    union all
    select 2, format('grant %I to %I%s;', granted.rolname, member.rolname, case when membership.admin_option then ' with admin option' else '' end)
    from pg_catalog.pg_auth_members as membership
    join pg_catalog.pg_roles as granted on granted.oid = membership.roleid
    join pg_catalog.pg_roles as member on member.oid = membership.member
    where (membership.roleid in (select oid from own) and member.rolname = 'authenticator') or membership.member in (select oid from own)
    union all
    select 3, format('alter role %I set %s = %s;', own.rolname, parts.name, case
        -- Lists of names, which one literal would make one name.
        when parts.name in ('search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries') then (
            select string_agg(quote_literal(coalesce(replace(found[1], '""', '"'), found[2])), ', ')
            from regexp_matches(parts.value, '"((?:[^"]|"")*)"|([^,"[:space:]]+)', 'g') as found
        )
        else quote_literal(parts.value)
    end)
    from pg_catalog.pg_db_role_setting as settings
    join own on own.oid = settings.setrole
    cross join lateral unnest(settings.setconfig) as setting
    cross join lateral (select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)) as parts (name, value)
    where settings.setdatabase = 0
) as statements
order by step, statement
