-- What Rust rows are made of, as one JSON object. $1: the schema. Ordered, so that the same schema gives
-- the same text. What belongs to an extension is left out.
with schema as (
    select oid from pg_namespace where nspname = $1
), foreigners as (
    select classid, objid from pg_depend where deptype = 'e'
), relations as (
    select c.oid, c.relname, c.relkind from pg_class as c
    where c.relnamespace = (select oid from schema) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
        and not exists (select from foreigners as f where f.classid = 'pg_class'::regclass and f.objid = c.oid)
), functions as (
    select p.* from pg_proc as p
    where p.pronamespace = (select oid from schema) and p.prokind = 'f'
        and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
        and not exists (select from foreigners as f where f.classid = 'pg_proc'::regclass and f.objid = p.oid)
)
select jsonb_build_object(
    'schema', (select count(*) from schema) = 1,
    'types', (
        select jsonb_agg(jsonb_build_object(
            'oid', t.oid::bigint, 'schema', n.nspname, 'name', t.typname, 'kind', t.typtype,
            'element', case when t.typcategory = 'A' then t.typelem::bigint end,
            'base', nullif(t.typbasetype::bigint, 0), 'relation', nullif(t.typrelid::bigint, 0),
            'comment', obj_description(t.oid, 'pg_type'),
            'labels', (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid)
        ) order by n.nspname, t.typname)
        from pg_type as t join pg_namespace as n on n.oid = t.typnamespace
        where n.nspname not in ('pg_toast', 'information_schema')
    ),
    'relations', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'oid', r.oid::bigint, 'name', r.relname, 'kind', r.relkind,
            'comment', obj_description(r.oid, 'pg_class'),
            'columns', (
                select coalesce(jsonb_agg(jsonb_build_object(
                    'name', a.attname, 'type', a.atttypid::bigint, 'required', a.attnotnull,
                    'has_default', a.atthasdef or a.attidentity <> '',
                    'read_only', a.attgenerated <> '' or a.attidentity = 'a',
                    'comment', col_description(r.oid, a.attnum)
                ) order by a.attnum), '[]')
                from pg_attribute as a where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
            )
        ) order by r.relname), '[]') from relations as r
    ),
    'functions', (
        select coalesce(jsonb_agg(jsonb_build_object(
            'name', p.proname, 'comment', obj_description(p.oid, 'pg_proc'),
            'returns', p.prorettype::bigint, 'is_set', p.proretset,
            'arguments', (
                select coalesce(jsonb_agg(jsonb_build_object(
                    'name', coalesce(p.proargnames[a.at], ''), 'type', a.type::bigint,
                    'mode', coalesce(p.proargmodes[a.at], 'i')
                ) order by a.at), '[]')
                from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as a (type, at)
            ),
            'defaults', p.pronargdefaults
        ) order by p.proname, pg_get_function_identity_arguments(p.oid)), '[]') from functions as p
    )
)
