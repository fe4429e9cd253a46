-- A policy calls a helper once per statement and never once per row: `= any (array(select helper()))`.
begin;
\ir support/accounts.psql
select plan(4);

-- What is left of an expression when everything that is evaluated once is taken away.
create function tests.per_row(expression text) returns text
language sql immutable as $$
    select regexp_replace(
        regexp_replace(expression, 'ARRAY\( SELECT [a-z_.]+\(\) AS [a-z_]+\)', '', 'g'),
        '\( SELECT auth\.[a-z]+\(\) AS [a-z]+\)', '', 'g'
    );
$$;
create view tests.slow_policies as
select tablename::text, policyname::text
from pg_policies
cross join lateral (values (tests.per_row(qual)), (tests.per_row(with_check))) as part (expression)
where schemaname in ('public', 'private')
  -- A function, or a set that is looked up for each row.
  and (expression ~ '[a-z0-9_]\(' or expression ~ '\mSELECT\M');
grant select on tests.slow_policies to public;

select is_empty('select * from tests.slow_policies', 'all policies do');

create policy "with a set" on public.companies for select to authenticated using (id in (select private.my_companies()));
create policy "with a call" on public.companies for select to authenticated using (private.is_member(id));
create policy "with the user" on public.users for select to authenticated using (id = auth.uid());
select set_eq(
    'select policyname from tests.slow_policies', array['with a set', 'with a call', 'with the user'], 'others are found'
);
select ok(count(*) > 10, 'there are policies') from pg_policies where schemaname = 'public';
-- A row is found by what the policy compares.
select is_empty(
    $$ select compared.tablename, compared.column_name
       from (
           select distinct tablename, found[1] as column_name
           from pg_policies cross join regexp_matches(qual, '([a-z_]+) = ANY \(ARRAY', 'g') as found
           where schemaname = 'public'
       ) as compared
       where not exists (
           select from pg_index as index
           join pg_attribute as attribute on attribute.attrelid = index.indrelid and attribute.attnum = index.indkey[0]
           where index.indrelid = format('public.%I', compared.tablename)::regclass
             and attribute.attname = compared.column_name
             -- What is compared is not null.
             and coalesce(pg_get_expr(index.indpred, index.indrelid), '') in ('', format('(%s IS NOT NULL)', compared.column_name))
       ) $$,
    'and each of them has an index on the column'
);
select * from finish();
rollback;
