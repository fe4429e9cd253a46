-- Vending machines and what they reported.

create table public.machines (
    id                 uuid primary key default gen_random_uuid(),
    company_id         uuid not null references public.companies on delete cascade,
    case_serial        text not null,
    location           text,
    machine_model      text,
    machine_type       text not null default 'unknown',
    firmware_version   text,
    status             text not null default 'active',
    cash_enabled       boolean not null default true,
    latest_dex_id      bigint,
    latest_dex_data    text,
    latest_dex_parsed  jsonb,
    latest_errors      jsonb not null default '[]',
    dex_history        jsonb not null default '[]',
    dex_has_errors     boolean not null default false,
    dex_last_capture   timestamptz,
    display_order      integer,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now(),
    constraint machines_once unique (company_id, case_serial),
    -- For dex_captures_of_machine.
    constraint machines_of_company unique (id, company_id),
    constraint machines_serial_length check (case_serial ~ '\S' and length(case_serial) <= 64),
    constraint machines_type check (machine_type in ('unknown', 'beverage', 'food')),
    constraint machines_status check (status in ('active', 'inactive', 'maintenance', 'retired'))
);
comment on table public.machines is 'One row per vending machine. A serial that is seen for the first time makes one.';
comment on column public.machines.id is 'Named by other tables as machine_id.';
comment on column public.machines.company_id is 'The company that operates it.';
comment on column public.machines.case_serial is 'Serial of the telemetry device, as text: zeros in front count.';
comment on column public.machines.location is 'Where it stands.';
comment on column public.machines.machine_model is 'Model, from ID102 unless the operator set one.';
comment on column public.machines.machine_type is 'unknown, beverage or food.';
comment on column public.machines.firmware_version is 'Firmware of the telemetry device.';
comment on column public.machines.status is 'active, inactive, maintenance or retired. A company is collected while one is active.';
comment on column public.machines.cash_enabled is 'Whether it takes cash.';
comment on column public.machines.latest_dex_id is 'dex_id of the newest capture.';
comment on column public.machines.latest_dex_data is 'Content of the newest capture, encoded as that one says.';
comment on column public.machines.latest_dex_parsed is 'What the parser read from it.';
comment on column public.machines.latest_errors is 'Codes of the faults that it reports as active.';
comment on column public.machines.dex_history is 'The newest 100 captures, newest first: {dexId, created}.';
comment on column public.machines.dex_has_errors is 'Whether the newest capture reports a fault or is damaged.';
comment on column public.machines.dex_last_capture is 'When the newest capture was made.';
comment on column public.machines.display_order is 'Place in lists; none: by serial.';
comment on column public.machines.created_at is 'When the row was made.';
comment on column public.machines.updated_at is 'When the row was last changed.';
create index machines_active on public.machines (company_id) where status = 'active';

create table public.dex_captures (
    id                bigint generated always as identity primary key,
    company_id        uuid not null references public.companies on delete cascade,
    machine_id        uuid not null,
    dex_id            bigint not null,
    case_serial       text not null,
    captured_at       timestamptz not null,
    firmware_version  text,
    raw_content       text not null,
    raw_encoding      text not null default 'utf-8',
    parsed_data       jsonb,
    crc_status        text not null,
    has_errors        boolean not null default false,
    record_count      integer not null default 0,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    constraint dex_captures_once unique (company_id, dex_id),
    -- A capture cannot belong to one company and its machine to another.
    constraint dex_captures_of_machine foreign key (machine_id, company_id)
        references public.machines (id, company_id) on delete cascade,
    constraint dex_captures_time check (isfinite(captured_at)),
    constraint dex_captures_encoding check (raw_encoding in ('utf-8', 'base64')),
    -- Files have 2 to 4 kB; a site's reply of 4 MB as base64 still fits.
    constraint dex_captures_size check (octet_length(raw_content) <= 6000000),
    constraint dex_captures_count check (record_count >= 0),
    constraint dex_captures_crc check (
        crc_status in ('valid', 'valid_swapped', 'valid_no_final_crlf', 'placeholder', 'mismatch', 'absent')
    )
);
comment on table public.dex_captures is 'One row per audit file. Kept whole, whatever is wrong with it.';
comment on column public.dex_captures.id is 'In the order of arrival.';
comment on column public.dex_captures.company_id is 'The company.';
comment on column public.dex_captures.machine_id is 'The machine.';
comment on column public.dex_captures.dex_id is 'The site''s number of the capture.';
comment on column public.dex_captures.case_serial is 'The machine''s serial as the site lists it.';
comment on column public.dex_captures.captured_at is 'When it was made, by the site''s clock (UTC).';
comment on column public.dex_captures.firmware_version is 'Firmware of the telemetry device then.';
comment on column public.dex_captures.raw_content is 'What was downloaded.';
comment on column public.dex_captures.raw_encoding is 'utf-8, or base64 for bytes that Postgres does not take as text.';
comment on column public.dex_captures.parsed_data is 'What the parser read; docs/dex.md has the shape.';
comment on column public.dex_captures.crc_status is 'Verdict on the G85 checksum.';
comment on column public.dex_captures.has_errors is 'Whether the machine reports a fault or the capture is damaged.';
comment on column public.dex_captures.record_count is 'Segments read.';
comment on column public.dex_captures.created_at is 'When it was stored.';
comment on column public.dex_captures.updated_at is 'When the row was last changed.';
create index dex_captures_machine on public.dex_captures (machine_id, captured_at desc, dex_id desc);
create index dex_captures_company on public.dex_captures (company_id, captured_at desc);

create trigger machines_touch before update on public.machines
    for each row execute function private.touch_updated_at();
create trigger dex_captures_touch before update on public.dex_captures
    for each row execute function private.touch_updated_at();

alter table public.machines enable row level security;
alter table public.dex_captures enable row level security;
revoke all on public.machines, public.dex_captures from anon, authenticated, service_role;
grant select on public.machines, public.dex_captures to authenticated;
grant update (location, machine_model, machine_type, status, cash_enabled, display_order)
    on public.machines to authenticated;
grant select, insert, update, delete on public.machines, public.dex_captures to service_role;

create policy "members read their machines" on public.machines
    for select to authenticated using (company_id in (select private.my_companies()));
create policy "admins change their machines" on public.machines
    for update to authenticated
    using (company_id in (select private.my_managed_companies()))
    with check (company_id in (select private.my_managed_companies()));
create policy "members read their captures" on public.dex_captures
    for select to authenticated using (company_id in (select private.my_companies()));

-- A computed column, `?select=*,dex_last_4hrs`: stored, it would be wrong for just those machines that
-- fell silent. Not security definer: the caller counts what the caller may see.
create function public.dex_last_4hrs(machine public.machines) returns integer
language sql stable set search_path = '' as $$
    select count(*)::integer from public.dex_captures
    where machine_id = machine.id and captured_at > now() - interval '4 hours';
$$;
comment on function public.dex_last_4hrs(public.machines) is 'Captures of the machine that were made in the last 4 h.';
revoke execute on function public.dex_last_4hrs(public.machines) from public, anon, authenticated, service_role;
grant execute on function public.dex_last_4hrs(public.machines) to authenticated, service_role;
