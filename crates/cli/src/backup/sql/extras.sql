-- What the project hung on the platform's tables, which the dump leaves out: triggers, policies, publications.
with own_functions as (
    select proc.oid from pg_catalog.pg_proc as proc
    join pg_catalog.pg_namespace as namespace on namespace.oid = proc.pronamespace
    where namespace.nspname = any ($1)
)
select statement from (
    select 1 as step, pg_catalog.pg_get_triggerdef(trigger.oid) || ';' as statement
    from pg_catalog.pg_trigger as trigger
    join pg_catalog.pg_class as class on class.oid = trigger.tgrelid
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where not trigger.tgisinternal and namespace.nspname in ('auth', 'storage', 'realtime') and trigger.tgfoid in (select oid from own_functions)
    union all
    select 2, format('create policy %I on %I.%I as %s for %s to %s%s%s;', policyname, schemaname, tablename, permissive, cmd,
        (select string_agg(case role when 'public' then 'public' else quote_ident(role) end, ', ') from unnest(roles) as role),
        ' using (' || qual || ')', ' with check (' || with_check || ')')
    from pg_catalog.pg_policies where schemaname in ('storage', 'realtime')
    union all
    select 3, format('do $do$ begin if exists (select from pg_catalog.pg_publication where pubname = %L) then alter publication %I add table %I.%I; end if; end $do$;',
        published.pubname, published.pubname, published.schemaname, published.tablename)
    from pg_catalog.pg_publication_tables as published
    join pg_catalog.pg_publication as publication on publication.pubname = published.pubname and not publication.puballtables
    where published.schemaname = any ($1)
) as statements
where statement is not null
order by step, statement
