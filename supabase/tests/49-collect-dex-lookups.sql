-- What a run looks up, it finds by an index of that, also where the plans are made while the tables are empty or small.
begin;
\ir support/accounts.psql
select plan(6);

select tests.only_ours_are_due();
select tests.create_company('north', 'anna');
select tests.create_company('south', 'boris');
select tests.make_collectable('south');
select tests.make_collectable('north');
update public.collection_state set next_due_at = 'infinity' where company_id = tests.company_id('south');
create function tests.report(company text, first integer, last integer) returns void
language sql as $$
    insert into public.dex_events (company_id, machine_id, code, first_seen_at, last_seen_at)
    select machine.company_id, machine.id, 'E' || number, now(), now()
    from public.machines as machine cross join generate_series(first, last) as number
    where machine.case_serial = 'CSA-' || company;
$$;
select tests.report('south', 1, 8);

-- The planner believes that they stay as they are: without a row, or with so few that it would read all of them.
analyze public.companies, public.machines, public.user_credentials, public.collection_state, public.collection_runs,
    public.dex_captures, public.dex_intervals, public.dex_sales, public.dex_events, public.machine_states;
select tests.report('south', 9, 200);

create function tests.sound(dex_id bigint, captured_at text, around bigint[], intervals text) returns jsonb
language sql as $$
    select tests.capture(dex_id, 'CSA-north', captured_at, jsonb_build_object(
        'parsed_data', '{"products": [], "events": [], "errors": ["EJB"], "temperatures": [], "coin_tubes": []}'::jsonb,
        'sales', jsonb_build_object(
            'around', around, 'intervals', intervals::jsonb,
            'counters', jsonb_build_object('serial', 'SN1', 'lines', '[[null, "vends", 5, 500]]'::jsonb)
        )
    ));
$$;

-- One run from its first call to its last: how often it read each table from end to end, and how many rows by index.
create function tests.run_once() returns table (relname name, scans bigint, rows_fetched bigint)
language plpgsql as $$
declare
    v_run_id     constant uuid := tests.run_id(1);
    v_company_id constant uuid := tests.company_id('north');
    v_before     constant jsonb := (
        select jsonb_object_agg(stat.relname, jsonb_build_array(stat.seq_scan, coalesce(stat.idx_tup_fetch, 0)))
        from pg_stat_xact_user_tables as stat where stat.schemaname = 'public'
    );
    v_captures   constant json := json_build_array(
        tests.sound(10, '2026-11-20T08:00:00Z', '{}', '[]'),
        tests.sound(20, '2026-11-20T18:00:00Z', '{10}', '[{"from": 10, "to": 20, "continuity": "continuous",
            "sales": [[null, "vends", 9, 1350], ["10", "vends", 9, 1350]]}]')
    );
begin
    perform public.collect_dex_claim(v_run_id, 'cron', 1, 150);
    perform public.collect_dex_release(v_run_id, array[v_company_id]);
    perform public.collect_dex_claim_one(v_run_id, 'manual', v_company_id, 150);
    perform public.collect_dex_unseen(v_company_id, '{10, 20}');
    perform public.collect_dex_around(v_company_id, v_captures);
    perform public.collect_dex_store(v_company_id, v_captures);
    perform public.collect_dex_finish(v_run_id, v_company_id, true, 2);
    perform public.collect_dex_end(v_run_id, 'succeeded', '{"companiesProcessed": 1}');
    return query
    select
        stat.relname,
        stat.seq_scan - (v_before -> stat.relname ->> 0)::bigint,
        stat.idx_tup_fetch - (v_before -> stat.relname ->> 1)::bigint
    from pg_stat_xact_user_tables as stat where stat.schemaname = 'public';
end;
$$;

create temporary table seen as select * from tests.run_once();
select is_empty($$ select relname, scans from seen where scans > 0 $$, 'a run reads no table from end to end');
select is_empty($$ select relname, rows_fetched from seen where rows_fetched >= 200 $$, 'nor by an index');
-- `create or replace` would forget them.
select is_empty(
    $$ select proname from pg_proc where pronamespace = 'public'::regnamespace and proname like 'collect\_dex\_%'
       and not coalesce(proconfig @> '{enable_seqscan=off, plan_cache_mode=force_generic_plan}', false) $$,
    'all that a run calls is planned once and by index'
);
select is(
    (select count(*) from public.dex_captures where company_id = tests.company_id('north')), 2::bigint, 'it stored its captures'
);
select is(
    (select count(*) from public.dex_sales where company_id = tests.company_id('north')), 1::bigint, 'and what they sold'
);
select is(
    (select last_records from public.collection_state where company_id = tests.company_id('north')), 2, 'and was done'
);

select * from finish();
rollback;
