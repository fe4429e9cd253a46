-- Cash to collect is all that went in, less all that was expected so far. Counted from the time of the last
-- collection, it lacked what a capture tells that was made before it and stored after it.
--
-- Intervals and collections are kept as long as their machine (private.dex_retention deletes captures only), so
-- that both sums stay whole.

create or replace view public.machine_overview with (security_invoker = true) as
select
    machine.id as machine_id,
    machine.company_id,
    machine.case_serial,
    machine.location,
    machine.machine_model,
    machine.status,
    case
        when machine.dex_last_capture is null then 'never_heard'
        when machine.dex_last_capture < now() - interval '24 hours' then 'silent_24h'
        when machine.dex_last_capture < now() - interval '4 hours' then 'silent_4h'
        when machine.dex_has_errors then 'faulty'
        when cardinality(state.sold_out) > 0 then 'sold_out'
        else 'ok'
    end as standing,
    machine.dex_last_capture as last_capture_at,
    round(extract(epoch from now() - machine.dex_last_capture) / 3600, 1) as silent_hours,
    machine.dex_has_errors as is_faulty,
    coalesce(state.errors, '{}') as errors,
    faults.open as unacknowledged,
    coalesce(state.sold_out, '{}') as sold_out,
    state.temperature_celsius,
    state.coin_tubes_minor,
    state.cash_level_minor,
    taken.collected_at as cash_collected_at,
    cash.minor as cash_to_collect_minor,
    state.currency,
    coalesce(state.decimals, 2::smallint) as decimals
from public.machines as machine
left join public.machine_states as state on state.machine_id = machine.id
cross join lateral (
    select max(collection.collected_at) as collected_at, coalesce(sum(collection.expected_minor), 0) as minor
    from public.cash_collections as collection
    where collection.machine_id = machine.id
) as taken
cross join lateral (
    select greatest(coalesce(sum(coalesce(part.cash_box_minor, 0) + coalesce(part.bills_minor, 0)), 0) - taken.minor, 0)::bigint as minor
    from public.dex_intervals as part
    where part.machine_id = machine.id
) as cash
cross join lateral (
    select count(*)::integer as open from public.dex_events as event
    where event.machine_id = machine.id and event.is_active and event.acknowledged_at is null
) as faults;
comment on column public.machine_overview.cash_to_collect_minor is
    'Coins and bills that went into cash box and stacker since the first capture, less what was expected of all collections.';

create or replace function public.machine_cash_collected(
    p_machine_id uuid, p_counted_minor bigint default null, p_collected_at timestamptz default null
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    v_company_id uuid;
    v_at constant timestamptz := coalesce(p_collected_at, now());
    v_before timestamptz;
    v_taken numeric;
    v_expected bigint;
begin
    select company_id into v_company_id from public.machines
    where id = p_machine_id
      and (company_id in (select private.my_companies()) or (select auth.role()) = 'service_role')
    -- Two at once take turns: the second finds the box empty.
    for no key update;
    if not found then
        raise exception 'there is no machine %', p_machine_id using errcode = 'P0002';
    end if;
    if v_at > now() + interval '5 minutes' then
        raise exception 'cash cannot be collected in the future' using errcode = '22023';
    end if;
    select max(collected_at), coalesce(sum(expected_minor), 0) into v_before, v_taken
    from public.cash_collections where machine_id = p_machine_id;
    if v_at <= v_before then
        raise exception 'cash was collected after that, at %', v_before using errcode = '22023';
    end if;
    select greatest(coalesce(sum(coalesce(cash_box_minor, 0) + coalesce(bills_minor, 0)), 0) - v_taken, 0) into v_expected
    from public.dex_intervals
    where machine_id = p_machine_id and ended_at <= v_at;
    insert into public.cash_collections (company_id, machine_id, collected_at, collected_by, expected_minor, counted_minor)
    values (v_company_id, p_machine_id, v_at, (select auth.uid()), v_expected, p_counted_minor);
    return v_expected;
end;
$$;
comment on column public.cash_collections.expected_minor is
    'What the machine says went into cash box and bill stacker until then, less what was expected before. Captures that are stored later count for the next time.';

-- The sums read all intervals of a machine: from the index alone.
create index dex_intervals_cash on public.dex_intervals (machine_id, ended_at) include (cash_box_minor, bills_minor);
drop index public.dex_intervals_machine;
