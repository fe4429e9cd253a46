-- Roles of the platform that definitions and policies may name, on a server made for a test.
do $do$
declare
    name text;
begin
    foreach name in array array[
        'dashboard_user', 'supabase_storage_admin', 'supabase_realtime_admin', 'supabase_functions_admin',
        'supabase_replication_admin', 'supabase_read_only_user', 'supabase_etl_admin', 'pgbouncer'
    ] loop
        if to_regrole(name) is null then
            execute format('create role %I nologin', name);
        end if;
    end loop;
end
$do$;
