-- Event triggers that a hosted database has. They belong to supabase_admin and run as it: what they
-- grant belongs to the superuser that runs the scripts of trusted extensions.

-- pg_cron: jobs are made with cron.schedule() and never by writing to cron.job. The extension acts
-- as its owner, which on the hosted platform is a superuser that also lets `postgres` drop it. Here
-- the owner is a role of which `postgres` is a member: it may drop the extension, and a trigger
-- keeps it from writing to cron.job directly.
create role cron_owner nologin bypassrls;
grant cron_owner to postgres;

create function extensions.refuse_direct_cron_writes() returns trigger
    language plpgsql set search_path = ''
as $$
begin
    if current_user not in ('cron_owner', 'supabase_admin') then
        raise insufficient_privilege using message = 'permission denied for table job';
    end if;
    return null;
end
$$;

create function extensions.grant_pg_cron_access() returns event_trigger
    language plpgsql security definer set search_path = ''
as $$
declare
    extension_id oid;
begin
    select extension.oid into extension_id
    from pg_event_trigger_ddl_commands() as command
    join pg_catalog.pg_extension as extension on command.objid = extension.oid
    where extension.extname = 'pg_cron';
    if extension_id is null then
        return;
    end if;
    update pg_catalog.pg_extension set extowner = 'cron_owner'::regrole where oid = extension_id;
    update pg_catalog.pg_shdepend set refobjid = 'cron_owner'::regrole
    where classid = 'pg_catalog.pg_extension'::regclass and objid = extension_id and deptype = 'o'
      and dbid = (select oid from pg_catalog.pg_database where datname = current_database());
    grant usage on schema cron to cron_owner;
    grant all on all tables in schema cron to cron_owner;
    grant all on all sequences in schema cron to cron_owner;
    create trigger refuse_direct_writes before insert or update or delete or truncate on cron.job
        for each statement execute function extensions.refuse_direct_cron_writes();

    grant usage on schema cron to postgres with grant option;
    grant all on all tables in schema cron to postgres with grant option;
    grant all on all sequences in schema cron to postgres with grant option;
    grant all on all functions in schema cron to postgres with grant option;
    revoke all on table cron.job from postgres;
    grant select on table cron.job to postgres with grant option;
end
$$;
create event trigger issue_pg_cron_access on ddl_command_end
    when tag in ('CREATE EXTENSION')
    execute function extensions.grant_pg_cron_access();

-- The REST server reads the schema again after DDL.
create function extensions.pgrst_ddl_watch() returns event_trigger
    language plpgsql security definer set search_path = ''
as $$
begin
    if exists (
        select from pg_event_trigger_ddl_commands() as command
        where command.schema_name is distinct from 'pg_temp'
          and command.command_tag !~ '^(CREATE INDEX|CREATE EXTENSION)$'
    ) then
        notify pgrst, 'reload schema';
    end if;
end
$$;
create event trigger pgrst_ddl_watch on ddl_command_end
    execute function extensions.pgrst_ddl_watch();

create function extensions.pgrst_drop_watch() returns event_trigger
    language plpgsql security definer set search_path = ''
as $$
begin
    if exists (select from pg_event_trigger_dropped_objects() as object where not object.is_temporary) then
        notify pgrst, 'reload schema';
    end if;
end
$$;
create event trigger pgrst_drop_watch on sql_drop
    execute function extensions.pgrst_drop_watch();
