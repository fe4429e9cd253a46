-- A damaged file may say any number of 64 bits. As the largest bigint it was stored, and then no sum of a report
-- and no addition to it fitted into a bigint. 10^15 is still more than any machine sells, and 9,000 of them fit.

create or replace function private.dex_count(p_value jsonb) returns bigint
language plpgsql immutable set search_path = '' as $$
begin
    -- least() passes nulls over.
    return case when p_value <> 'null' then least((p_value #>> '{}')::numeric, 1000000000000000)::bigint end;
end;
$$;
comment on function private.dex_count(jsonb) is 'A counter as bigint, 10^15 when it is larger; null for none.';

create or replace function private.dex_sold_out(p_now jsonb, p_before jsonb, p_sold_out text[]) returns text[]
language plpgsql immutable set search_path = '' as $$
begin
    return (
        select coalesce(array_agg(distinct now.selection order by now.selection), '{}')
        from (
            select listed.product ->> 'selection' as selection, listed.product
            from jsonb_array_elements(p_now -> 'products') as listed (product)
        ) as now
        left join lateral (
            select listed.product from jsonb_array_elements(p_before -> 'products') as listed (product)
            where listed.product ->> 'selection' = now.selection limit 1
        ) as before on true
        where now.product -> 'level' = '0'
           or (
               before.product #> '{vends,since_init,count}' = now.product #> '{vends,since_init,count}'
               and (
                   now.selection = any (p_sold_out)
                   or private.dex_count(now.product #> '{sold_out,presses}') > private.dex_count(before.product #> '{sold_out,presses}')
                   or now.product #> '{sold_out,at}' <> before.product #> '{sold_out,at}'
               )
           )
    );
end;
$$;

-- What was stored with the largest bigint.
do $$
declare
    v_column record;
begin
    for v_column in
        select attrelid::regclass as name, attname from pg_attribute
        where attrelid in ('public.dex_intervals'::regclass, 'public.dex_sales'::regclass)
          and (attname like '%vends' or attname like '%_minor')
    loop
        execute format('update %1$s set %2$I = 1000000000000000 where %2$I > 1000000000000000', v_column.name, v_column.attname);
    end loop;
    update public.cash_collections set expected_minor = 1000000000000000 where expected_minor > 1000000000000000;
end;
$$;
