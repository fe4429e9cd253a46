-- What an operator asks. All of it shows the caller what the caller may see: a member the own
-- company, a service every company or the one it names.

create function private.company_timezone(p_settings jsonb) returns text
language plpgsql stable set search_path = '' as $$
begin
    perform now() at time zone (p_settings ->> 'timezone');
    return coalesce(p_settings ->> 'timezone', 'UTC');
exception when invalid_parameter_value then
    return 'UTC';
end;
$$;
comment on function private.company_timezone(jsonb) is 'settings.timezone, such as Australia/Sydney; UTC unless it is set to one that exists.';
revoke execute on function private.company_timezone(jsonb) from public, anon, authenticated, service_role;
grant execute on function private.company_timezone(jsonb) to authenticated, service_role;
grant usage on schema private to authenticated, service_role;

comment on column public.companies.settings is
    'Settings by key. collectEveryMinutes: minutes between collections, 5 unless set. machineTypes: array of text. timezone: for reports by day, UTC unless set. currency: ISO 4217, when machines do not know theirs. keepParsedDays, keepCapturesDays: see private.dex_retention().';

create view public.machine_overview with (security_invoker = true) as
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
left join lateral (
    select max(collection.collected_at) as collected_at from public.cash_collections as collection
    where collection.machine_id = machine.id
) as taken on true
cross join lateral (
    select coalesce(sum(coalesce(part.cash_box_minor, 0) + coalesce(part.bills_minor, 0)), 0)::bigint as minor
    from public.dex_intervals as part
    where part.machine_id = machine.id and part.ended_at > coalesce(taken.collected_at, '-infinity')
) as cash
cross join lateral (
    select count(*)::integer as open from public.dex_events as event
    where event.machine_id = machine.id and event.is_active and event.acknowledged_at is null
) as faults;
comment on view public.machine_overview is
    'How each machine stands, in a row: ?standing=in.(silent_4h,silent_24h,never_heard), ?is_faulty=is.true, ?cash_to_collect_minor=gte.20000.';
comment on column public.machine_overview.machine_id is 'The machine.';
comment on column public.machine_overview.company_id is 'The company.';
comment on column public.machine_overview.case_serial is 'Its serial.';
comment on column public.machine_overview.location is 'Where it stands.';
comment on column public.machine_overview.machine_model is 'Its model.';
comment on column public.machine_overview.status is 'active, inactive, maintenance or retired, as the operator says.';
comment on column public.machine_overview.standing is
    'The most urgent of: never_heard, silent_24h, silent_4h, faulty, sold_out, ok.';
comment on column public.machine_overview.last_capture_at is 'When its newest capture was made.';
comment on column public.machine_overview.silent_hours is 'Hours since then.';
comment on column public.machine_overview.is_faulty is 'Whether that capture reports a fault or is damaged.';
comment on column public.machine_overview.errors is 'Codes of active faults, by the newest sound capture.';
comment on column public.machine_overview.unacknowledged is 'Active events that nobody took note of.';
comment on column public.machine_overview.sold_out is 'Selections that are sold out.';
comment on column public.machine_overview.temperature_celsius is 'Temperature inside.';
comment on column public.machine_overview.coin_tubes_minor is 'What is in the coin tubes, for change.';
comment on column public.machine_overview.cash_level_minor is
    'Coins in the box and bills by the machine''s own count, which anybody who reads it may reset.';
comment on column public.machine_overview.cash_collected_at is 'When its cash was last taken out.';
comment on column public.machine_overview.cash_to_collect_minor is
    'Coins and bills that went into cash box and stacker since then, or since the first capture.';
comment on column public.machine_overview.currency is 'ISO 4217, where the machine knows it.';
comment on column public.machine_overview.decimals is 'Digits behind the point.';
revoke all on public.machine_overview from anon, authenticated, service_role;
grant select on public.machine_overview to authenticated, service_role;

create function public.dex_sales_by_day(
    p_from date, p_to date, p_company_id uuid default null, p_machine_id uuid default null
) returns table (
    day date, company_id uuid, currency text, decimals smallint, vends bigint, value_minor bigint,
    cash_minor bigint, cashless_minor bigint, machines integer
)
language sql stable set search_path = '' as $$
    select
        (part.ended_at at time zone zone.name)::date, part.company_id, part.currency, part.decimals,
        coalesce(sum(part.vends), 0)::bigint, coalesce(sum(part.value_minor), 0)::bigint,
        sum(part.cash_minor)::bigint, sum(part.cashless_minor)::bigint, count(distinct part.machine_id)::integer
    from public.companies as company
    cross join lateral (select private.company_timezone(company.settings) as name) as zone
    join public.dex_intervals as part
        on part.company_id = company.id
       and part.ended_at >= (p_from::timestamp at time zone zone.name)
       and part.ended_at < ((p_to + 1)::timestamp at time zone zone.name)
    where (p_company_id is null or company.id = p_company_id)
      and (p_machine_id is null or part.machine_id = p_machine_id)
    group by 1, part.company_id, part.currency, part.decimals
    order by 1, part.company_id;
$$;
comment on function public.dex_sales_by_day(date, date, uuid, uuid) is
    'Sales by day of the company''s time zone, both days included. An interval counts to the day it ended.';

create function public.dex_sales_by_machine(
    p_from date, p_to date, p_company_id uuid default null
) returns table (
    machine_id uuid, company_id uuid, case_serial text, location text, currency text, decimals smallint,
    vends bigint, value_minor bigint, cash_minor bigint, cashless_minor bigint, last_sale_at timestamptz
)
language sql stable set search_path = '' as $$
    select
        machine.id, machine.company_id, machine.case_serial, machine.location, part.currency, part.decimals,
        coalesce(sum(part.vends), 0)::bigint, coalesce(sum(part.value_minor), 0)::bigint,
        sum(part.cash_minor)::bigint, sum(part.cashless_minor)::bigint,
        max(part.ended_at) filter (where part.vends > 0)
    from public.companies as company
    cross join lateral (select private.company_timezone(company.settings) as name) as zone
    join public.dex_intervals as part
        on part.company_id = company.id
       and part.ended_at >= (p_from::timestamp at time zone zone.name)
       and part.ended_at < ((p_to + 1)::timestamp at time zone zone.name)
    join public.machines as machine on machine.id = part.machine_id
    where p_company_id is null or company.id = p_company_id
    group by machine.id, part.currency, part.decimals
    order by 8 desc, machine.case_serial;
$$;
comment on function public.dex_sales_by_machine(date, date, uuid) is
    'Sales by machine, the best first, between two days of the company''s time zone, both included.';

create function public.dex_sales_by_product(
    p_from date, p_to date, p_company_id uuid default null, p_machine_id uuid default null
) returns table (
    company_id uuid, machine_id uuid, case_serial text, selection text, product_name text, currency text, decimals smallint,
    vends bigint, value_minor bigint, cash_minor bigint, cashless_minor bigint
)
language sql stable set search_path = '' as $$
    select
        part.company_id, part.machine_id, machine.case_serial, part.selection,
        (array_agg(part.product_name order by part.ended_at desc) filter (where part.product_name is not null))[1],
        part.currency, part.decimals,
        coalesce(sum(part.vends), 0)::bigint, coalesce(sum(part.value_minor), 0)::bigint,
        sum(part.cash_minor)::bigint, sum(part.cashless_minor)::bigint
    from public.companies as company
    cross join lateral (select private.company_timezone(company.settings) as name) as zone
    join public.dex_sales as part
        on part.company_id = company.id
       and part.ended_at >= (p_from::timestamp at time zone zone.name)
       and part.ended_at < ((p_to + 1)::timestamp at time zone zone.name)
    join public.machines as machine on machine.id = part.machine_id
    where (p_company_id is null or company.id = p_company_id)
      and (p_machine_id is null or part.machine_id = p_machine_id)
    group by part.company_id, part.machine_id, machine.case_serial, part.selection, part.currency, part.decimals
    order by 9 desc, machine.case_serial, part.selection;
$$;
comment on function public.dex_sales_by_product(date, date, uuid, uuid) is
    'Sales by selection of each machine, the best first, between two days of the company''s time zone, both included.';

create function public.dex_events_acknowledge(p_event_ids bigint[]) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    v_noted integer;
begin
    update public.dex_events as event
    set acknowledged_at = clock_timestamp(), acknowledged_by = (select auth.uid())
    where event.id = any (p_event_ids) and event.acknowledged_at is null
      and (event.company_id in (select private.my_companies()) or (select auth.role()) = 'service_role');
    get diagnostics v_noted = row_count;
    return v_noted;
end;
$$;
comment on function public.dex_events_acknowledge(bigint[]) is
    'Takes note of events of the caller''s companies, and gives how many. One that comes back asks again.';

create function public.machine_cash_collected(
    p_machine_id uuid, p_counted_minor bigint default null, p_collected_at timestamptz default null
) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
    v_company_id uuid;
    v_at constant timestamptz := coalesce(p_collected_at, now());
    v_before timestamptz;
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
    select max(collected_at) into v_before from public.cash_collections where machine_id = p_machine_id;
    if v_at <= v_before then
        raise exception 'cash was collected after that, at %', v_before using errcode = '22023';
    end if;
    select coalesce(sum(coalesce(cash_box_minor, 0) + coalesce(bills_minor, 0)), 0) into v_expected
    from public.dex_intervals
    where machine_id = p_machine_id and ended_at > coalesce(v_before, '-infinity') and ended_at <= v_at;
    insert into public.cash_collections (company_id, machine_id, collected_at, collected_by, expected_minor, counted_minor)
    values (v_company_id, p_machine_id, v_at, (select auth.uid()), v_expected, p_counted_minor);
    return v_expected;
end;
$$;
comment on function public.machine_cash_collected(uuid, bigint, timestamptz) is
    'Notes that the cash was taken out, and gives what the machine says it was. Times must go forward.';

revoke execute on function
    public.dex_sales_by_day(date, date, uuid, uuid),
    public.dex_sales_by_machine(date, date, uuid),
    public.dex_sales_by_product(date, date, uuid, uuid),
    public.dex_events_acknowledge(bigint[]),
    public.machine_cash_collected(uuid, bigint, timestamptz)
from public, anon, authenticated, service_role;
grant execute on function
    public.dex_sales_by_day(date, date, uuid, uuid),
    public.dex_sales_by_machine(date, date, uuid),
    public.dex_sales_by_product(date, date, uuid, uuid),
    public.dex_events_acknowledge(bigint[]),
    public.machine_cash_collected(uuid, bigint, timestamptz)
to authenticated, service_role;
