-- One of everything that rows are made of. tests/rows/mod.rs is what `ferry gen types` makes of it.
create type public.mood as enum ('good', 'so-so', 'in progress');
create type public.option as (label text, weight numeric);
create domain public.word as text check (value !~ ' ');
create table public.orders (
    order_id   bigint generated always as identity primary key,
    reference  uuid not null default gen_random_uuid(),
    "type"     text not null,
    "Total %"  numeric(12, 2) not null default 0,
    mood       public.mood not null default 'good',
    moods      public.mood[] not null default '{}',
    tags       text[],
    choice     public.option,
    details    jsonb not null default '{}',
    slug       public.word,
    placed_at  timestamptz not null default '2026-11-21T14:30:00Z',
    seen_at    timestamptz[],
    shipped_on date,
    doubled    integer generated always as (2 * 21) stored
);
comment on table public.orders is 'What was ordered.';
comment on column public.orders.reference is 'Told to the customer.';
-- The name of a crate that the file names.
create table public.time (id integer primary key);
create view public.open_orders with (security_invoker = true) as
    select order_id, mood from public.orders where shipped_on is null;
create function public.orders_of(p_mood public.mood, p_limit integer default 10) returns setof public.orders
language sql set search_path = '' as 'select * from public.orders where mood = p_mood order by order_id limit p_limit';
create function public.orders_count(out orders bigint, out newest timestamptz)
language sql set search_path = '' as 'select count(*), max(placed_at) from public.orders';
create function public.orders_by_mood() returns table (mood public.mood, orders bigint)
language sql set search_path = '' as 'select mood, count(*) from public.orders group by mood order by mood';
create function public.nothing() returns void language sql set search_path = '' as '';
grant select, insert, update, delete on public.orders, public.time to service_role;
grant select on public.open_orders to service_role;
