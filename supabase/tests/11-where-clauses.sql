-- The hosted platform loads safeupdate for the REST layer's role: an UPDATE or DELETE without WHERE fails there,
-- also inside security definer functions.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = public, extensions;
select plan(1);

select is_empty($$
    select function.oid::regprocedure::text, statement[1]
    from pg_catalog.pg_proc as function
    join pg_catalog.pg_namespace as schema on schema.oid = function.pronamespace
    cross join lateral regexp_replace(function.prosrc, '--[^\n]*', '', 'g') as body (text)
    -- A statement ends at its semicolon, or where the CTE that holds it does.
    cross join lateral regexp_matches(
        body.text, '\m((?:update\s+(?:only\s+)?[a-z_."]+(?:\s+(?:as\s+)?[a-z_]+)?\s+set\M|delete\s+from\M)[^;]*)', 'gi'
    ) as statement
    where schema.nspname in ('public', 'private')
      and not exists (select from pg_catalog.pg_depend where objid = function.oid and deptype = 'e')
      and statement[1] !~* '\mwhere\M'
$$, 'every UPDATE and DELETE in a function has a WHERE');

select * from finish();
rollback;
