-- Postgres keeps a plan for as long as a session lasts. One that was made for a table which was analyzed while it was
-- empty or small reads all of it at each call, until autovacuum has counted its rows again: a collection of many
-- companies slowed down with each capture that it stored. And where the planner held a plan for each call for the
-- better one, it planned anew each time. All that a run looks up has an index, whatever the arguments: one plan, by
-- index, is right always. What these functions call, and the checks of foreign keys, are planned under their settings.

alter function public.collect_dex_claim(uuid, text, integer, integer)
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;
alter function public.collect_dex_claim_one(uuid, text, uuid, integer)
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;
alter function public.collect_dex_unseen(uuid, bigint[])
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;
alter function public.collect_dex_around(uuid, json)
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;
alter function public.collect_dex_store(uuid, json)
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;
alter function public.collect_dex_finish(uuid, uuid, boolean, integer, text, timestamptz, text)
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;
alter function public.collect_dex_release(uuid, uuid[])
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;
alter function public.collect_dex_end(uuid, text, jsonb, text)
    set enable_seqscan = off set plan_cache_mode = force_generic_plan;

create or replace function private.dex_refresh_state(p_machine_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
    v_newest public.dex_captures;
    v_before public.dex_captures;
    v_known  public.machine_states;
begin
    select * into v_known from public.machine_states where machine_id = p_machine_id;
    select * into v_newest from public.dex_captures
    where machine_id = p_machine_id and counters is not null
    order by captured_at desc, dex_id desc limit 1;
    if v_newest.dex_id is not distinct from v_known.dex_id then
        return;
    end if;
    select * into v_before from public.dex_captures
    where machine_id = p_machine_id and counters is not null
    order by captured_at desc, dex_id desc offset 1 limit 1;

    insert into public.machine_states (
        machine_id, company_id, dex_id, captured_at, temperature_celsius, coin_tubes, coin_tubes_minor, cash_level_minor,
        sold_out, errors, currency, decimals
    ) values (
        p_machine_id, v_newest.company_id, v_newest.dex_id, v_newest.captured_at,
        private.dex_celsius(v_newest.parsed_data),
        coalesce(v_newest.parsed_data -> 'coin_tubes', '[]'),
        private.dex_tubes_worth(v_newest.parsed_data),
        private.dex_count(v_newest.parsed_data #> '{totals,cash_in,since_reset,cash_box}')
            + coalesce(private.dex_count(v_newest.parsed_data #> '{totals,cash_in,since_reset,bills}'), 0),
        private.dex_sold_out(v_newest.parsed_data, v_before.parsed_data, v_known.sold_out),
        array(select jsonb_array_elements_text(v_newest.parsed_data -> 'errors')),
        private.dex_currency(v_newest.company_id, v_newest.parsed_data),
        coalesce((v_newest.parsed_data #>> '{currency,decimals}')::smallint, 2)
    )
    on conflict (machine_id) do update
    set (
            dex_id, captured_at, temperature_celsius, coin_tubes, coin_tubes_minor, cash_level_minor,
            sold_out, errors, currency, decimals
        ) = (
            excluded.dex_id, excluded.captured_at, excluded.temperature_celsius, excluded.coin_tubes, excluded.coin_tubes_minor,
            excluded.cash_level_minor, excluded.sold_out, excluded.errors, excluded.currency, excluded.decimals
        );

    -- The rows themselves and not a list of them joined to the table: a join may read all of it.
    with active as materialized (
        select seen.code, seen.selection from private.dex_events_of(v_newest.parsed_data) as seen where seen.is_active
    )
    update public.dex_events as event
    set is_active = not event.is_active,
        acknowledged_at = case when not event.is_active and event.acknowledged_at < v_newest.captured_at then null else event.acknowledged_at end,
        acknowledged_by = case when not event.is_active and event.acknowledged_at < v_newest.captured_at then null else event.acknowledged_by end
    where event.machine_id = p_machine_id
      and event.is_active <> exists (
          select from active where active.code = event.code and active.selection is not distinct from event.selection
      );
end;
$$;
