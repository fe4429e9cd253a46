-- What machines sold between two captures, what is wrong with them, and how they stand.
--
-- An interval is the time from one sound capture of a machine to the next. dex_intervals has the
-- machine as a whole, dex_sales its selections: two tables, so that no sum counts a sale twice.

alter table public.dex_captures
    add column flaw text,
    add column counters jsonb,
    add constraint dex_captures_flaw check (flaw in ('mismatch', 'truncated', 'no_counters')),
    add constraint dex_captures_sound check (flaw is null or counters is null);
comment on column public.dex_captures.flaw is
    'Why sales pass it over: mismatch, truncated, no_counters; null when they do not. It is kept all the same.';
comment on column public.dex_captures.counters is
    'Its counters since initialisation, from which sales are computed: {serial, initialised_at, lines: [[selection, counter, count, value]]}.';
create index dex_captures_sound on public.dex_captures (machine_id, captured_at, dex_id) where counters is not null;

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
create index dex_intervals_machine on public.dex_intervals (machine_id, ended_at);

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
comment on column public.cash_collections.expected_minor is 'What the machine says went into cash box and bill stacker since the time before.';
comment on column public.cash_collections.counted_minor is 'What was counted, if it was.';
comment on column public.cash_collections.created_at is 'When the row was made.';
comment on column public.cash_collections.updated_at is 'When the row was last changed.';
create index cash_collections_machine on public.cash_collections (machine_id, collected_at desc);
create index cash_collections_company on public.cash_collections (company_id, collected_at desc);
create index cash_collections_collected_by on public.cash_collections (collected_by) where collected_by is not null;

create trigger dex_intervals_touch before update on public.dex_intervals
    for each row execute function private.touch_updated_at();
create trigger dex_sales_touch before update on public.dex_sales
    for each row execute function private.touch_updated_at();
create trigger dex_events_touch before update on public.dex_events
    for each row execute function private.touch_updated_at();
create trigger machine_states_touch before update on public.machine_states
    for each row execute function private.touch_updated_at();
create trigger cash_collections_touch before update on public.cash_collections
    for each row execute function private.touch_updated_at();

alter table public.dex_intervals enable row level security;
alter table public.dex_sales enable row level security;
alter table public.dex_events enable row level security;
alter table public.machine_states enable row level security;
alter table public.cash_collections enable row level security;
revoke all on
    public.dex_intervals, public.dex_sales, public.dex_events, public.machine_states, public.cash_collections
from anon, authenticated, service_role;
-- Only functions write: sales follow from captures, and a changed one would be wrong.
grant select on
    public.dex_intervals, public.dex_sales, public.dex_events, public.machine_states, public.cash_collections
to authenticated, service_role;

create policy "members read their intervals" on public.dex_intervals
    for select to authenticated using (company_id in (select private.my_companies()));
create policy "members read their sales" on public.dex_sales
    for select to authenticated using (company_id in (select private.my_companies()));
create policy "members read their events" on public.dex_events
    for select to authenticated using (company_id in (select private.my_companies()));
create policy "members read their machine states" on public.machine_states
    for select to authenticated using (company_id in (select private.my_companies()));
create policy "members read their cash collections" on public.cash_collections
    for select to authenticated using (company_id in (select private.my_companies()));
