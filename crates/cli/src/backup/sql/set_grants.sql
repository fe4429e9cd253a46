-- Makes the grants those of the backup, in the transaction of the restore: whatever the default privileges of this
-- database added is taken away before anybody can see it. Fails when a difference remains.
do $do$
declare
    statement text;
    differences text;
begin
    -- Members of extensions that this role cannot change.
    delete from pg_temp.wanted_grants
    where object in (select object from pg_temp.all_grants where membership = 'fixed');
    -- What belongs to the owner here, and roles that are not here.
    delete from pg_temp.wanted_grants
    where verb = 'grant' and grantee <> 'public'
      and (to_regrole(grantee) is null or grantee = quote_ident(current_user) and object <> 'schema public');
    for statement in
        select format(case verb when 'grant' then 'revoke %s on %s from %s' else 'grant %s on %s to %s' end,
            string_agg(privilege, ', '), object, grantee)
        from (select * from pg_temp.found_grants except select verb, privilege, object, grantee, grantable from pg_temp.wanted_grants) as extra
        where verb <> 'object' group by verb, object, grantee
    loop
        execute statement;
    end loop;
    for statement in
        select format(case verb when 'grant' then 'grant %s on %s to %s' else 'revoke %s on %s from %s' end,
            string_agg(privilege, ', '), object, grantee) || case when grantable then ' with grant option' else '' end
        from (select verb, privilege, object, grantee, grantable from pg_temp.wanted_grants except select * from pg_temp.found_grants) as missing
        join pg_temp.wanted_grants as wanted using (verb, privilege, object, grantee, grantable)
        where verb <> 'object' group by verb, object, grantee, grantable order by object, min(wanted.position)
    loop
        execute statement;
    end loop;
    select string_agg(difference, '; ') into differences from (
        (select 'missing: ' || case verb when 'object' then object else format('%s %s on %s for %s', verb, privilege, object, grantee) end as difference
        from (select verb, privilege, object, grantee, grantable from pg_temp.wanted_grants except select * from pg_temp.found_grants) as missing limit 5)
        union all
        (select 'not in the backup: ' || format('%s %s on %s for %s', verb, privilege, object, grantee)
        from (select * from pg_temp.found_grants except select verb, privilege, object, grantee, grantable from pg_temp.wanted_grants) as extra
        where verb <> 'object' limit 5)
    ) as all_differences;
    if differences is not null then
        raise exception 'the grants are not those of the backup: %', differences;
    end if;
end
$do$;
drop view pg_temp.all_grants cascade;
drop table pg_temp.wanted_grants;
