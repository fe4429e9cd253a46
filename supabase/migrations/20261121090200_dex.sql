-- Vending machines, what they reported, and the logins to the sites that have it.

create table public.machines (
    id                uuid primary key default gen_random_uuid(),
    company_id        uuid not null references public.companies on delete cascade,
    case_serial       text not null,
    location          text,
    machine_model     text,
    machine_type      text not null default 'unknown',
    firmware_version  text,
    status            text not null default 'active',
    cash_enabled      boolean not null default true,
    latest_dex_data   text,
    latest_dex_parsed jsonb,
    latest_errors     jsonb not null default '[]',
    dex_history       jsonb not null default '[]',
    dex_last_4hrs     integer not null default 0,
    dex_has_errors    boolean not null default false,
    dex_last_capture  timestamptz,
    latest_dex_id     bigint,
    display_order     integer,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    constraint machines_once unique (company_id, case_serial),
    constraint machines_type check (machine_type in ('unknown', 'beverage', 'food')),
    constraint machines_status check (status in ('active', 'inactive', 'maintenance', 'retired'))
);
comment on table public.machines is 'One row per vending machine. A serial that is seen for the first time makes one.';
comment on column public.machines.id is 'Named by other tables as machine_id.';
comment on column public.machines.company_id is 'The company that operates it.';
comment on column public.machines.case_serial is 'Serial of the telemetry device, as text: zeros in front count.';
comment on column public.machines.location is 'Where it stands.';
comment on column public.machines.machine_model is 'Model, from ID102 when the operator set none.';
comment on column public.machines.machine_type is 'unknown, beverage or food.';
comment on column public.machines.firmware_version is 'Firmware of the telemetry device.';
comment on column public.machines.status is 'active, inactive, maintenance or retired. A company is collected while one is active.';
comment on column public.machines.cash_enabled is 'Whether it takes cash.';
comment on column public.machines.latest_dex_data is 'Raw text of the newest capture.';
comment on column public.machines.latest_dex_parsed is 'What the parser read from it.';
comment on column public.machines.latest_errors is 'Active faults of the newest capture.';
comment on column public.machines.dex_history is 'The newest 100 captures, newest first: {dexId, created}.';
comment on column public.machines.dex_last_4hrs is 'Captures of the 4 h before the newest one.';
comment on column public.machines.dex_has_errors is 'Whether the newest capture reports a fault or is damaged.';
comment on column public.machines.dex_last_capture is 'When the newest capture was made.';
comment on column public.machines.latest_dex_id is 'dex_id of the newest capture.';
comment on column public.machines.display_order is 'Place in lists; none: by serial.';
comment on column public.machines.created_at is 'When the row was made.';
comment on column public.machines.updated_at is 'When the row was last changed.';
create index machines_active on public.machines (company_id) where status = 'active';

create table public.dex_captures (
    id            bigint generated always as identity primary key,
    company_id    uuid not null references public.companies on delete cascade,
    machine_id    uuid not null references public.machines on delete cascade,
    dex_id        bigint not null,
    case_serial   text not null,
    captured_at   timestamptz not null,
    raw_content   text not null,
    raw_encoding  text not null default 'utf-8',
    parsed_data   jsonb,
    crc_status    text not null,
    has_errors    boolean not null default false,
    record_count  integer not null default 0,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint dex_captures_once unique (company_id, dex_id),
    constraint dex_captures_encoding check (raw_encoding in ('utf-8', 'base64')),
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
comment on column public.dex_captures.captured_at is 'When the device made it, by the site''s clock (UTC).';
comment on column public.dex_captures.raw_content is 'What was downloaded.';
comment on column public.dex_captures.raw_encoding is 'utf-8, or base64 for bytes that are no text.';
comment on column public.dex_captures.parsed_data is 'What the parser read; docs/dex.md has the shape.';
comment on column public.dex_captures.crc_status is 'Verdict on the G85 checksum.';
comment on column public.dex_captures.has_errors is 'Whether the machine reports a fault or the capture is damaged.';
comment on column public.dex_captures.record_count is 'Segments read.';
comment on column public.dex_captures.created_at is 'When it was stored.';
comment on column public.dex_captures.updated_at is 'When the row was last changed.';
create index dex_captures_machine on public.dex_captures (machine_id, captured_at desc, dex_id desc);
create index dex_captures_company on public.dex_captures (company_id, captured_at desc);

create table public.user_credentials (
    id                  uuid primary key default gen_random_uuid(),
    user_id             uuid unique references auth.users on delete set null,
    company_id          uuid not null unique references public.companies on delete cascade,
    username_encrypted  text not null,
    password_encrypted  text not null,
    site_url            text not null default 'https://dashboard.cantaloupe.online',
    is_active           boolean not null default true,
    last_validated      timestamptz,
    validation_status   text not null default 'unchecked',
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    constraint user_credentials_status check (validation_status in ('unchecked', 'valid', 'invalid')),
    constraint user_credentials_username_sealed check (username_encrypted ~ '^v1\.[0-9A-Za-z]+\.[0-9A-Za-z_-]{54,}$'),
    constraint user_credentials_password_sealed check (password_encrypted ~ '^v1\.[0-9A-Za-z]+\.[0-9A-Za-z_-]{54,}$')
);
comment on table public.user_credentials is 'The login of a company to its DEX site, sealed by the function. Plaintext is refused.';
comment on column public.user_credentials.id is 'Key.';
comment on column public.user_credentials.user_id is 'The user who saved it; none when a service did.';
comment on column public.user_credentials.company_id is 'The company; one login each.';
comment on column public.user_credentials.username_encrypted is 'v1.<key id>.<base64url of nonce and ciphertext>, XChaCha20-Poly1305.';
comment on column public.user_credentials.password_encrypted is 'The same for the password.';
comment on column public.user_credentials.site_url is 'Where to log in.';
comment on column public.user_credentials.is_active is 'Whether the collector uses it.';
comment on column public.user_credentials.last_validated is 'When the site last took or refused it.';
comment on column public.user_credentials.validation_status is 'unchecked, valid or invalid.';
comment on column public.user_credentials.created_at is 'When the row was made.';
comment on column public.user_credentials.updated_at is 'When the row was last changed.';

create trigger machines_touch before update on public.machines
    for each row execute function private.touch_updated_at();
create trigger dex_captures_touch before update on public.dex_captures
    for each row execute function private.touch_updated_at();
create trigger user_credentials_touch before update on public.user_credentials
    for each row execute function private.touch_updated_at();

alter table public.machines enable row level security;
alter table public.dex_captures enable row level security;
alter table public.user_credentials enable row level security;

grant select on public.machines, public.dex_captures to authenticated;
grant update (location, machine_model, machine_type, status, cash_enabled, display_order)
    on public.machines to authenticated;
-- The sealed columns are not among them.
grant select (id, user_id, company_id, site_url, is_active, last_validated, validation_status, created_at, updated_at)
    on public.user_credentials to authenticated;
grant select, insert, update, delete on public.machines, public.dex_captures, public.user_credentials to service_role;

create policy "members read their machines" on public.machines
    for select to authenticated using (company_id in (select private.my_companies()));
create policy "admins change their machines" on public.machines
    for update to authenticated
    using (company_id in (select private.my_managed_companies()))
    with check (company_id in (select private.my_managed_companies()));
create policy "members read their captures" on public.dex_captures
    for select to authenticated using (company_id in (select private.my_companies()));
create policy "admins see that there is a login" on public.user_credentials
    for select to authenticated using (company_id in (select private.my_managed_companies()));
