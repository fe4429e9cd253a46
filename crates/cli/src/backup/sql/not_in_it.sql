-- What a database has and a backup of its schemas ($1) has not, in words.
select what from (
    select 1 as rank, format('foreign server %s: make it, and its user mappings, before a restore; foreign tables need it', srvname) as what
    from pg_catalog.pg_foreign_server
    union all
    select 2, format('%s large object%s', count(*), case when count(*) > 1 then 's' end)
    from pg_catalog.pg_largeobject_metadata having count(*) > 0
    union all
    select 3, format('event trigger %s', evtname) from pg_catalog.pg_event_trigger as trigger
    join pg_catalog.pg_proc as proc on proc.oid = trigger.evtfoid
    join pg_catalog.pg_namespace as namespace on namespace.oid = proc.pronamespace
    where namespace.nspname = any ($1)
    union all
    select 4, format('publication %s', pubname) from pg_catalog.pg_publication where pubname !~ '^supabase_'
    union all
    select 5, 'messages of queues, schema pgmq' from pg_catalog.pg_class where oid = to_regclass('pgmq.meta')
) as things order by rank, what
