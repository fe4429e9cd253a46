-- Vending machines, the audits that they reported, the logins to their sites, and what was sold.
--
-- An interval is the time from one sound capture of a machine to the next. dex_intervals has the
-- machine as a whole, dex_sales its selections: two tables, so that no sum counts a sale twice.

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
create trigger machines_touch before update on public.machines
    for each row execute function private.touch_updated_at();
alter table public.machines enable row level security;
revoke all on public.machines from public, anon, authenticated, service_role;
grant select on public.machines to authenticated;
grant update (location, machine_model, machine_type, status, cash_enabled, display_order)
    on public.machines to authenticated;
grant select, insert, update, delete on public.machines to service_role;
create policy "members read their machines" on public.machines
    for select to authenticated using (company_id = any (array(select private.my_companies())));
create policy "admins change their machines" on public.machines
    for update to authenticated
    using (company_id = any (array(select private.my_managed_companies())))
    with check (company_id = any (array(select private.my_managed_companies())));

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
    flaw              text,
    counters          jsonb,
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
    constraint dex_captures_flaw check (flaw in ('mismatch', 'truncated', 'no_counters')),
    constraint dex_captures_sound check (flaw is null or counters is null),
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
comment on column public.dex_captures.flaw is
    'Why sales pass it over: mismatch, truncated, no_counters; null when they do not. It is kept all the same.';
comment on column public.dex_captures.counters is
    'Its counters since initialisation, from which sales are computed: {serial, initialised_at, lines: [[selection, counter, count, value]]}.';
comment on column public.dex_captures.crc_status is 'Verdict on the G85 checksum.';
comment on column public.dex_captures.has_errors is 'Whether the machine reports a fault or the capture is damaged.';
comment on column public.dex_captures.record_count is 'Segments read.';
comment on column public.dex_captures.created_at is 'When it was stored.';
comment on column public.dex_captures.updated_at is 'When the row was last changed.';
create index dex_captures_machine on public.dex_captures (machine_id, captured_at desc, dex_id desc);
create index dex_captures_company on public.dex_captures (company_id, captured_at desc);
create index dex_captures_sound on public.dex_captures (machine_id, captured_at, dex_id) where counters is not null;
create trigger dex_captures_touch before update on public.dex_captures
    for each row execute function private.touch_updated_at();
alter table public.dex_captures enable row level security;
revoke all on public.dex_captures from public, anon, authenticated, service_role;
revoke all on sequence public.dex_captures_id_seq from public, anon, authenticated, service_role;
grant select on public.dex_captures to authenticated;
grant select, insert, update, delete on public.dex_captures to service_role;
create policy "members read their captures" on public.dex_captures
    for select to authenticated using (company_id = any (array(select private.my_companies())));

create table public.user_credentials (
    id                  uuid primary key default gen_random_uuid(),
    user_id             uuid references auth.users on delete set null,
    company_id          uuid not null references public.companies on delete cascade,
    username_encrypted  text not null,
    password_encrypted  text not null,
    site_url            text not null default 'https://dashboard.cantaloupe.online',
    is_active           boolean not null default true,
    last_validated      timestamptz,
    validation_status   text not null default 'unchecked',
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    constraint user_credentials_once unique (company_id),
    -- 54 characters hold a nonce and the tag of an empty text: nothing shorter was sealed.
    constraint user_credentials_username_sealed check (username_encrypted ~ '^v1\.[0-9A-Za-z]+\.[0-9A-Za-z_-]{54,}$'),
    constraint user_credentials_password_sealed check (password_encrypted ~ '^v1\.[0-9A-Za-z]+\.[0-9A-Za-z_-]{54,}$'),
    constraint user_credentials_sealed_size check (length(username_encrypted) + length(password_encrypted) <= 8192),
    constraint user_credentials_site_url check (site_url ~ '^https?://\S+$' and length(site_url) <= 2048),
    constraint user_credentials_status check (validation_status in ('unchecked', 'valid', 'invalid'))
);
comment on table public.user_credentials is 'The login of a company to its DEX site, sealed by the function. Plaintext is refused.';
comment on column public.user_credentials.id is 'Key.';
comment on column public.user_credentials.user_id is 'The user who saved it; none when a service did, or when the user is gone.';
comment on column public.user_credentials.company_id is 'The company; one login each.';
comment on column public.user_credentials.username_encrypted is
    'v1.<key id>.<base64url of nonce and ciphertext>, XChaCha20-Poly1305. The text is bound to company and column.';
comment on column public.user_credentials.password_encrypted is 'The same for the password.';
comment on column public.user_credentials.site_url is 'Where to log in.';
comment on column public.user_credentials.is_active is 'Whether the collector uses it.';
comment on column public.user_credentials.last_validated is 'Since when validation_status is what it is; none when it is unchecked.';
comment on column public.user_credentials.validation_status is 'unchecked, valid or invalid.';
comment on column public.user_credentials.created_at is 'When the row was made.';
comment on column public.user_credentials.updated_at is 'When the row was last changed.';
create index user_credentials_user on public.user_credentials (user_id) where user_id is not null;
create trigger user_credentials_touch before update on public.user_credentials
    for each row execute function private.touch_updated_at();
alter table public.user_credentials enable row level security;
revoke all on public.user_credentials from public, anon, authenticated, service_role;
-- The sealed columns are not among them.
grant select (id, user_id, company_id, site_url, is_active, last_validated, validation_status, created_at, updated_at)
    on public.user_credentials to authenticated;
grant select, insert, update, delete on public.user_credentials to service_role;
create policy "admins see that there is a login" on public.user_credentials
    for select to authenticated using (company_id = any (array(select private.my_managed_companies())));

create table public.collection_runs (
    id                      uuid primary key,
    function                text not null,
    triggered_by            text not null,
    status                  text not null default 'running',
    started_at              timestamptz not null default now(),
    finished_at             timestamptz,
    companies_processed     integer not null default 0,
    successful_collections  integer not null default 0,
    total_records           integer not null default 0,
    results                 jsonb not null default '[]',
    error                   text,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    constraint collection_runs_trigger check (triggered_by in ('cron', 'manual')),
    constraint collection_runs_status check (status in ('running', 'succeeded', 'failed', 'killed'))
);
comment on table public.collection_runs is 'One row per run. pg_cron only knows that a call was queued; this knows what came of it.';
comment on column public.collection_runs.id is 'The run''s id, made by the function.';
comment on column public.collection_runs.function is 'The function that ran.';
comment on column public.collection_runs.triggered_by is 'cron or manual.';
comment on column public.collection_runs.status is 'running, succeeded, failed, or killed: the worker ended before the run reported.';
comment on column public.collection_runs.started_at is 'When it claimed for the first time.';
comment on column public.collection_runs.finished_at is 'When the run reported, or was found killed.';
comment on column public.collection_runs.companies_processed is 'Companies collected or tried.';
comment on column public.collection_runs.successful_collections is 'Of those, the ones that succeeded.';
comment on column public.collection_runs.total_records is 'New captures.';
comment on column public.collection_runs.results is 'One entry per company. Emptied after 7 days.';
comment on column public.collection_runs.error is
    'Why the run failed or was killed, or why a run that succeeded left companies due (CPU_BUDGET_SPENT).';
comment on column public.collection_runs.created_at is 'When the row was made.';
comment on column public.collection_runs.updated_at is 'When the row was last changed.';
create index collection_runs_latest on public.collection_runs (started_at desc);
create index collection_runs_running on public.collection_runs (started_at) where status = 'running';
create trigger collection_runs_touch before update on public.collection_runs
    for each row execute function private.touch_updated_at();
-- A run spans companies, so no user reads it. Only functions write: they keep the leases true.
alter table public.collection_runs enable row level security;
revoke all on public.collection_runs from public, anon, authenticated, service_role;
grant select on public.collection_runs to service_role;

create table public.collection_state (
    company_id            uuid primary key references public.companies on delete cascade,
    next_due_at           timestamptz not null default now(),
    collect_from          timestamptz,
    lease_run_id          uuid references public.collection_runs on delete set null,
    leased_until          timestamptz,
    consecutive_failures  integer not null default 0,
    last_error            text,
    skip_reason           text,
    last_started_at       timestamptz,
    last_succeeded_at     timestamptz,
    last_records          integer,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint collection_state_skip check (skip_reason in ('no credentials', 'no active machines'))
);
comment on table public.collection_state is 'Where each company stands: when it is due, which run has it, how it went.';
comment on column public.collection_state.company_id is 'The company.';
comment on column public.collection_state.next_due_at is 'Due from then on.';
comment on column public.collection_state.collect_from is
    'The next collection lists captures made from then on: two days before the last success, or the oldest capture that failed in it, if that is older; 30 days back at the most, and at first. What is older is stored or given up.';
comment on column public.collection_state.lease_run_id is 'The run that has it. Who finds another run here has lost the lease.';
comment on column public.collection_state.leased_until is 'When the lease ends by itself: what a crashed run held is taken by the next. Empty: no lease.';
comment on column public.collection_state.consecutive_failures is 'Failures and crashes since the last success; the backoff doubles with each.';
comment on column public.collection_state.last_error is 'Code and message of the last failure; none after a success.';
comment on column public.collection_state.skip_reason is 'Why it was passed over when it was last due; none when it was collected.';
comment on column public.collection_state.last_started_at is 'When it was last leased.';
comment on column public.collection_state.last_succeeded_at is 'When it last succeeded.';
comment on column public.collection_state.last_records is 'New captures of the last success.';
comment on column public.collection_state.created_at is 'When the row was made.';
comment on column public.collection_state.updated_at is 'When the row was last changed.';
-- Read from its old end by every claim, whatever the number of companies.
create index collection_state_due on public.collection_state (next_due_at, company_id);
create index collection_state_lease on public.collection_state (lease_run_id) where lease_run_id is not null;
create trigger collection_state_touch before update on public.collection_state
    for each row execute function private.touch_updated_at();
alter table public.collection_state enable row level security;
revoke all on public.collection_state from public, anon, authenticated, service_role;
-- Only functions write: they keep the leases true.
grant select on public.collection_state to authenticated, service_role;
create policy "members read their collection state" on public.collection_state
    for select to authenticated using (company_id = any (array(select private.my_companies())));

create table public.dex_intervals (
    machine_id       uuid not null,
    to_dex_id        bigint not null,
    from_dex_id      bigint not null,
    company_id       uuid not null references public.companies on delete cascade,
    started_at       timestamptz not null,
    ended_at         timestamptz not null,
    continuity       text not null,
    vends            bigint,
    value_minor      bigint,
    cash_vends       bigint,
    cash_minor       bigint,
    cashless_vends   bigint,
    cashless_minor   bigint,
    token_vends      bigint,
    token_minor      bigint,
    free_vends       bigint,
    test_vends       bigint,
    cash_box_minor   bigint,
    bills_minor      bigint,
    currency         text,
    decimals         smallint not null default 2,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    primary key (machine_id, to_dex_id),
    constraint dex_intervals_of_machine foreign key (machine_id, company_id)
        references public.machines (id, company_id) on delete cascade,
    constraint dex_intervals_order check (started_at <= ended_at and from_dex_id <> to_dex_id),
    constraint dex_intervals_continuity check (
        continuity in ('continuous', 'reinitialised', 'rolled_back', 'board_changed')
    )
);
comment on table public.dex_intervals is
    'What a machine sold from one sound capture to the next. A capture that arrives late splits its interval. Kept when captures are not.';
comment on column public.dex_intervals.machine_id is 'The machine.';
comment on column public.dex_intervals.to_dex_id is 'The newer capture.';
comment on column public.dex_intervals.from_dex_id is 'The older one.';
comment on column public.dex_intervals.company_id is 'The company.';
comment on column public.dex_intervals.started_at is 'When the older capture was made.';
comment on column public.dex_intervals.ended_at is 'When the newer one was made. Reports count an interval to the day it ended.';
comment on column public.dex_intervals.continuity is
    'continuous: counters ran on. reinitialised: they began at zero. rolled_back: an older memory was restored. board_changed: another serial.';
comment on column public.dex_intervals.vends is 'Paid vends (VA102). Null where files do not say, as with all that follow.';
comment on column public.dex_intervals.value_minor is 'What they were worth (VA101), in minor units.';
comment on column public.dex_intervals.cash_vends is 'Paid in cash (CA202).';
comment on column public.dex_intervals.cash_minor is 'Their worth (CA201).';
comment on column public.dex_intervals.cashless_vends is 'Paid by card (DA202, DB202).';
comment on column public.dex_intervals.cashless_minor is 'Their worth (DA201, DB201).';
comment on column public.dex_intervals.token_vends is 'Paid by token (TA2).';
comment on column public.dex_intervals.token_minor is 'Their worth.';
comment on column public.dex_intervals.free_vends is 'Free vends (VA302).';
comment on column public.dex_intervals.test_vends is 'Test vends (VA202).';
comment on column public.dex_intervals.cash_box_minor is 'Coins that went into the cash box (CA306).';
comment on column public.dex_intervals.bills_minor is 'Bills that were taken (CA308, CA310).';
comment on column public.dex_intervals.currency is 'ISO 4217: the company''s setting, or what the machine says.';
comment on column public.dex_intervals.decimals is 'Digits behind the point: 2 for cents.';
comment on column public.dex_intervals.created_at is 'When the row was made.';
comment on column public.dex_intervals.updated_at is 'When the row was last changed.';
create index dex_intervals_company on public.dex_intervals (company_id, ended_at);
-- The sums read all intervals of a machine: from the index alone.
create index dex_intervals_cash on public.dex_intervals (machine_id, ended_at) include (cash_box_minor, bills_minor);
create trigger dex_intervals_touch before update on public.dex_intervals
    for each row execute function private.touch_updated_at();
alter table public.dex_intervals enable row level security;
revoke all on public.dex_intervals from public, anon, authenticated, service_role;
-- Only functions write: sales follow from captures, and a changed one would be wrong.
grant select on public.dex_intervals to authenticated, service_role;
create policy "members read their intervals" on public.dex_intervals
    for select to authenticated using (company_id = any (array(select private.my_companies())));

create table public.dex_sales (
    machine_id       uuid not null,
    to_dex_id        bigint not null,
    selection        text not null,
    company_id       uuid not null references public.companies on delete cascade,
    product_name     text,
    started_at       timestamptz not null,
    ended_at         timestamptz not null,
    vends            bigint,
    value_minor      bigint,
    cash_vends       bigint,
    cash_minor       bigint,
    cashless_vends   bigint,
    cashless_minor   bigint,
    token_vends      bigint,
    token_minor      bigint,
    free_vends       bigint,
    test_vends       bigint,
    currency         text,
    decimals         smallint not null default 2,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    primary key (machine_id, to_dex_id, selection),
    constraint dex_sales_of_interval foreign key (machine_id, to_dex_id)
        references public.dex_intervals on delete cascade
);
comment on table public.dex_sales is
    'What a selection sold in an interval; selections that sold nothing have no row.';
comment on column public.dex_sales.machine_id is 'The machine.';
comment on column public.dex_sales.to_dex_id is 'The capture that ends the interval.';
comment on column public.dex_sales.selection is 'PA101, as text: 010 and 10 are two.';
comment on column public.dex_sales.company_id is 'The company.';
comment on column public.dex_sales.product_name is 'PA103 at the end of the interval, where the machine has it.';
comment on column public.dex_sales.started_at is 'When the interval began.';
comment on column public.dex_sales.ended_at is 'When it ended.';
comment on column public.dex_sales.vends is 'Paid vends (PA201, or the sum of PA7). Null where files do not say, as with all that follow.';
comment on column public.dex_sales.value_minor is 'What they were worth, in minor units.';
comment on column public.dex_sales.cash_vends is 'Paid in cash (PA7 of CA).';
comment on column public.dex_sales.cash_minor is 'Their worth.';
comment on column public.dex_sales.cashless_vends is 'Paid by card (PA7 of DA, DB).';
comment on column public.dex_sales.cashless_minor is 'Their worth.';
comment on column public.dex_sales.token_vends is 'Paid by token (PA7 of TA).';
comment on column public.dex_sales.token_minor is 'Their worth.';
comment on column public.dex_sales.free_vends is 'Free vends (PA4).';
comment on column public.dex_sales.test_vends is 'Test vends (PA3).';
comment on column public.dex_sales.currency is 'ISO 4217: the company''s setting, or what the machine says.';
comment on column public.dex_sales.decimals is 'Digits behind the point: 2 for cents.';
comment on column public.dex_sales.created_at is 'When the row was made.';
comment on column public.dex_sales.updated_at is 'When the row was last changed.';
create index dex_sales_company on public.dex_sales (company_id, ended_at);
create trigger dex_sales_touch before update on public.dex_sales
    for each row execute function private.touch_updated_at();
alter table public.dex_sales enable row level security;
revoke all on public.dex_sales from public, anon, authenticated, service_role;
grant select on public.dex_sales to authenticated, service_role;
create policy "members read their sales" on public.dex_sales
    for select to authenticated using (company_id = any (array(select private.my_companies())));

create table public.dex_events (
    id               bigint generated always as identity primary key,
    company_id       uuid not null references public.companies on delete cascade,
    machine_id       uuid not null,
    code             text not null,
    selection        text,
    first_seen_at    timestamptz not null,
    last_seen_at     timestamptz not null,
    occurrences      bigint,
    is_active        boolean not null default false,
    acknowledged_at  timestamptz,
    acknowledged_by  uuid references auth.users on delete set null,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    constraint dex_events_once unique nulls not distinct (machine_id, code, selection),
    constraint dex_events_of_machine foreign key (machine_id, company_id)
        references public.machines (id, company_id) on delete cascade,
    constraint dex_events_order check (first_seen_at <= last_seen_at)
);
comment on table public.dex_events is
    'What machines report to have happened to them: a row per machine, code and selection. Sound captures only.';
comment on column public.dex_events.id is 'For acknowledging it.';
comment on column public.dex_events.company_id is 'The company.';
comment on column public.dex_events.machine_id is 'The machine.';
comment on column public.dex_events.code is 'EA101, EA201 or a code of MA5*ERROR.';
comment on column public.dex_events.selection is 'The selection that it is about, where it is about one.';
comment on column public.dex_events.first_seen_at is 'The first capture that shows it.';
comment on column public.dex_events.last_seen_at is 'The last one.';
comment on column public.dex_events.occurrences is 'How often since initialisation (EA203), by the last capture that says.';
comment on column public.dex_events.is_active is 'Whether the machine''s newest sound capture shows it as active.';
comment on column public.dex_events.acknowledged_at is 'When a member took note of it. Empty again when it comes back.';
comment on column public.dex_events.acknowledged_by is 'Who did.';
comment on column public.dex_events.created_at is 'When the row was made.';
comment on column public.dex_events.updated_at is 'When the row was last changed.';
create index dex_events_company on public.dex_events (company_id, last_seen_at desc);
create index dex_events_active on public.dex_events (machine_id) where is_active;
create index dex_events_acknowledged_by on public.dex_events (acknowledged_by) where acknowledged_by is not null;
create trigger dex_events_touch before update on public.dex_events
    for each row execute function private.touch_updated_at();
alter table public.dex_events enable row level security;
revoke all on public.dex_events from public, anon, authenticated, service_role;
revoke all on sequence public.dex_events_id_seq from public, anon, authenticated, service_role;
grant select on public.dex_events to authenticated, service_role;
create policy "members read their events" on public.dex_events
    for select to authenticated using (company_id = any (array(select private.my_companies())));

create table public.machine_states (
    machine_id           uuid primary key,
    company_id           uuid not null references public.companies on delete cascade,
    dex_id               bigint not null,
    captured_at          timestamptz not null,
    temperature_celsius  numeric(5, 2),
    coin_tubes           jsonb not null default '[]',
    coin_tubes_minor     bigint,
    cash_level_minor     bigint,
    sold_out             text[] not null default '{}',
    errors               text[] not null default '{}',
    currency             text,
    decimals             smallint not null default 2,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    constraint machine_states_of_machine foreign key (machine_id, company_id)
        references public.machines (id, company_id) on delete cascade
);
comment on table public.machine_states is
    'How each machine stands by its newest sound capture. machines.latest_* show the newest capture, sound or not.';
comment on column public.machine_states.machine_id is 'The machine.';
comment on column public.machine_states.company_id is 'The company.';
comment on column public.machine_states.dex_id is 'The capture.';
comment on column public.machine_states.captured_at is 'When it was made.';
comment on column public.machine_states.temperature_celsius is 'What is measured inside (MA5); not what is wished for.';
comment on column public.machine_states.coin_tubes is 'Coin tubes (CA17): [{coin, value, coins, is_full}].';
comment on column public.machine_states.coin_tubes_minor is 'What is in the tubes, in minor units: CA1501, or the sum over CA17.';
comment on column public.machine_states.cash_level_minor is
    'Coins in the box and bills since somebody last reset the counters (CA302, CA304 or CA309), as the machine tells it. machine_overview counts from cash_collections.';
comment on column public.machine_states.sold_out is
    'Selections that are empty (PA108 is 0), or that were asked for in vain (PA503 rose, PA501 changed) and have not sold since.';
comment on column public.machine_states.errors is 'Codes of active faults.';
comment on column public.machine_states.currency is 'ISO 4217: the company''s setting, or what the machine says.';
comment on column public.machine_states.decimals is 'Digits behind the point: 2 for cents.';
comment on column public.machine_states.created_at is 'When the row was made.';
comment on column public.machine_states.updated_at is 'When the row was last changed.';
create index machine_states_company on public.machine_states (company_id);
create trigger machine_states_touch before update on public.machine_states
    for each row execute function private.touch_updated_at();
alter table public.machine_states enable row level security;
revoke all on public.machine_states from public, anon, authenticated, service_role;
grant select on public.machine_states to authenticated, service_role;
create policy "members read their machine states" on public.machine_states
    for select to authenticated using (company_id = any (array(select private.my_companies())));

create table public.cash_collections (
    id             bigint generated always as identity primary key,
    company_id     uuid not null references public.companies on delete cascade,
    machine_id     uuid not null,
    collected_at   timestamptz not null default now(),
    collected_by   uuid references auth.users on delete set null,
    expected_minor bigint not null,
    counted_minor  bigint,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    constraint cash_collections_of_machine foreign key (machine_id, company_id)
        references public.machines (id, company_id) on delete cascade,
    constraint cash_collections_counted check (counted_minor >= 0)
);
comment on table public.cash_collections is 'Each time that somebody took the cash out of a machine.';
comment on column public.cash_collections.id is 'In the order of noting.';
comment on column public.cash_collections.company_id is 'The company.';
comment on column public.cash_collections.machine_id is 'The machine.';
comment on column public.cash_collections.collected_at is 'When it was taken.';
comment on column public.cash_collections.collected_by is 'By whom; a service has no user.';
comment on column public.cash_collections.expected_minor is
    'What the machine says went into cash box and bill stacker until then, less what was expected before. Captures that are stored later count for the next time.';
comment on column public.cash_collections.counted_minor is 'What was counted, if it was.';
comment on column public.cash_collections.created_at is 'When the row was made.';
comment on column public.cash_collections.updated_at is 'When the row was last changed.';
create index cash_collections_machine on public.cash_collections (machine_id, collected_at desc);
create index cash_collections_company on public.cash_collections (company_id, collected_at desc);
create index cash_collections_collected_by on public.cash_collections (collected_by) where collected_by is not null;
create trigger cash_collections_touch before update on public.cash_collections
    for each row execute function private.touch_updated_at();
alter table public.cash_collections enable row level security;
revoke all on public.cash_collections from public, anon, authenticated, service_role;
revoke all on sequence public.cash_collections_id_seq from public, anon, authenticated, service_role;
grant select on public.cash_collections to authenticated, service_role;
create policy "members read their cash collections" on public.cash_collections
    for select to authenticated using (company_id = any (array(select private.my_companies())));
