//! `ferry db import`: a Postgres that knows nothing of Supabase becomes a project's.

mod ferry;
mod project;

use std::path::Path;

use ::ferry::stack::{Options, Stack};
use anyhow::Result;
use tokio_postgres::Client;

use ferry::{Folder, Ran, ferry_with};
use project::connect;

const FOREIGN: &str = r#"
create extension "uuid-ossp" with schema public;
create extension citext with schema public;
create type public.state as enum ('new', 'sold');
create domain public.percent as numeric(5, 2) check (value between 0 and 100);
create table public.owners (id uuid primary key default public.uuid_generate_v4(), email public.citext unique, favourite integer);
create table public.cars (id integer primary key generated always as identity, owner_id uuid references public.owners, state public.state default 'new',
    discount public.percent, notes text, made_at timestamptz default now());
alter table public.owners add constraint favourite foreign key (favourite) references public.cars;
create table public.touched (car_id integer);
create function public.touch() returns trigger language plpgsql as $$
begin
-- SET search_path = nowhere; is only a note
    insert into public.touched values (new.id);
    return new;
end $$;
create trigger touch after insert on public.cars for each row execute function public.touch();
create schema sales;
create table sales."Odd Name" (at date not null, amount numeric) partition by range (at);
create table sales.year_2025 partition of sales."Odd Name" for values from ('2025-01-01') to ('2026-01-01');
create materialized view sales.totals as select sum(amount) from sales."Odd Name";
create view public.sold as select * from public.cars where state = 'sold';
create function public.count_cars(email public.citext, shades public.state[]) returns bigint language sql security definer
    as $$ select count(*) from public.cars $$;
create function public.owner_of(car public.cars) returns uuid language sql as $$ select car.owner_id $$;
create role shop_clerk nologin;
alter table public.cars enable row level security;
create policy "clerks see cars" on public.cars for select to shop_clerk using (true);
create schema auth;
create table auth.sessions (id integer);
insert into public.owners (email) select 'Owner' || n || '@old.test' from generate_series(1, 300) n;
insert into public.cars (owner_id, notes, discount) select id, E'line\nbreak \\ ''quote'' Ñ', 12.5 from public.owners;
update public.owners set favourite = (select min(id) from public.cars);
insert into sales."Odd Name" select '2025-06-01', n from generate_series(1, 100) n;
refresh materialized view sales.totals;
"#;

/// Default privileges beyond those of the dashboard's "default privileges for new entities".
const PERMISSIVE: &str = "
    alter default privileges grant usage on schemas to anon;
    alter default privileges grant usage on types to anon;
";

/// Each privilege that one of the API's roles, or everybody, was given on what was imported: `anon SELECT cars`.
async fn grants(client: &Client) -> Result<Vec<String>> {
    let query = "with objects as (
            select relname as name, relacl as acl from pg_class
            where relnamespace in ('public'::regnamespace, 'sales'::regnamespace) and relkind in ('r', 'p', 'v', 'm', 'S')
            union all select proname, coalesce(proacl, acldefault('f', proowner)) from pg_proc
            where pronamespace in ('public'::regnamespace, 'sales'::regnamespace)
            union all select typname, typacl from pg_type where typname in ('state', 'percent')
            union all select nspname, nspacl from pg_namespace where nspname = 'sales'
        )
        select concat_ws(' ', coalesce(nullif(grantee, 0)::regrole::text, 'public'), privilege_type, name) as line
        from objects cross join lateral aclexplode(acl)
        where grantee in (0, 'anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole) and name <> 'things'
          and not (grantee = 0 and name in ('state', 'percent'))
        order by 1";
    client.query(query, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The rows of the tables, by their content.
async fn sums(client: &Client) -> Result<Vec<String>> {
    let mut sums = Vec::new();
    for table in ["public.owners", "public.cars", "public.touched", "sales.\"Odd Name\"", "sales.totals"] {
        let query = format!(
            "select md5(string_agg(row::text, '|' order by row::text)) || count(*) from {table} as row"
        );
        sums.push(client.query_one(&query, &[]).await?.try_get(0)?);
    }
    Ok(sums)
}

async fn import(project: &Path, environment: &[(&str, &str)], more: &[&str]) -> Ran {
    let project = project.display().to_string();
    let arguments = [&["--project", &project, "db", "import", "env:OLD_URL"], more].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let environment: Vec<(String, String)> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        ferry_with(&arguments, b"", &environment)
    };
    tokio::task::spawn_blocking(run).await.expect("it ran")
}

fn migrations(project: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(project.join("supabase/migrations")).expect("a folder").flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_database_arrives_with_its_rows_and_its_migration_can_be_applied_elsewhere() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = Folder(options.project.clone());
    let options = Options { functions: false, permissive_default_privileges: true, ..options };
    let stack = Stack::start(options.clone()).await?;
    let target = connect(&stack.db_url()).await?;
    target.batch_execute("create database old").await?;
    let server = stack.db_url();
    let old_url = format!("{}/old", server.strip_suffix("/postgres").expect("a URL"));
    let old = connect(&old_url).await?;
    old.batch_execute(FOREIGN).await?;
    let url = stack.db_url();
    let environment = [("OLD_URL", &*old_url), ("DATABASE_URL", &*url)];

    let unasked = import(&folder.0, &environment, &[]).await;
    assert_eq!((unasked.code, unasked.err.contains("--yes")), (2, true), "{unasked:?}");
    assert!(unasked.line("public.cars").ends_with("300"), "the plan is shown first");
    assert_eq!(migrations(&folder.0).len(), 1, "and nothing is done");

    target.batch_execute(PERMISSIVE).await?;
    let ran = import(&folder.0, &environment, &["--yes", "--json", "--name", "old_shop"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = ran.json();
    assert_eq!(
        (told["rows"].as_i64(), told["tables"]["sales.year_2025"].as_i64()),
        (Some(1_000), Some(100)),
        "{told:#}"
    );
    assert_eq!(grants(&target).await?, [""; 0], "the default privileges open nothing");
    assert_eq!(told["access"], "Grants nothing to anon, authenticated, service_role.");
    let migration = std::fs::read_to_string(told["migration"].as_str().expect("a path"))?;
    assert!(
        migration
            .lines()
            .take(3)
            .any(|line| line == "-- Grants nothing to anon, authenticated, service_role.")
    );
    let left_out = told["left_out"].to_string();
    for thing in ["schema auth", "grants", "roles", "role shop_clerk"] {
        assert!(left_out.contains(thing), "{left_out}");
    }
    assert_eq!(sums(&old).await?, sums(&target).await?);
    let closed = "select count(*) from pg_class where relnamespace in ('public'::regnamespace, 'sales'::regnamespace) and relkind = 'r' and not relrowsecurity";
    assert_eq!(target.query_one(closed, &[]).await?.get::<_, i64>(0), 0);
    let next = "insert into public.cars (notes) values ('next') returning id";
    assert_eq!(target.query_one(next, &[]).await?.get::<_, i32>(0), 301, "numbers go on where they were");
    target.execute("delete from public.cars where id = 301", &[]).await?;
    target.execute("delete from public.touched where car_id = 301", &[]).await?;

    let again = import(&folder.0, &environment, &["--yes"]).await;
    assert_eq!((again.code, again.err.contains("already has public.cars")), (1, true), "{again:?}");
    assert_eq!(migrations(&folder.0).len(), 2);
    stack.stop().await;

    // The Supabase CLI takes the migration for applied here, and applies it to a new database.
    let stack = Stack::start(options.clone()).await?;
    assert_eq!(sums(&connect(&stack.db_url()).await?).await?.len(), 5);
    stack.stop().await;
    let elsewhere = Options { state: Some(folder.0.join("elsewhere")), ..options };
    let stack = Stack::start(elsewhere).await?;
    let fresh = connect(&stack.db_url()).await?;
    assert_eq!(fresh.query_one("select count(*) from public.sold", &[]).await?.get::<_, i64>(0), 0);
    fresh.batch_execute("insert into public.owners (email) values ('a@b.test')").await?;
    assert_eq!(grants(&fresh).await?, [""; 0], "nor does the migration elsewhere");
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_grants_what_was_asked_for_and_to_nobody_else() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = Folder(options.project.clone());
    let options = Options { functions: false, permissive_default_privileges: true, ..options };
    let stack = Stack::start(options).await?;
    let target = connect(&stack.db_url()).await?;
    target.batch_execute(PERMISSIVE).await?;
    target.batch_execute("create database old").await?;
    let url = stack.db_url();
    let old_url = format!("{}/old", url.strip_suffix("/postgres").expect("a URL"));
    let old = connect(&old_url).await?;
    old.batch_execute(
        "create schema sales; create table sales.cars (id serial); create function sales.rate() returns integer language sql as 'select 1'",
    )
    .await?;
    let environment = [("OLD_URL", &*old_url), ("DATABASE_URL", &*url)];
    let ran = import(&folder.0, &environment, &["--yes", "--grant-to", "authenticated,nobody"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let ran = import(&folder.0, &environment, &["--yes", "--grant-to", "authenticated"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("to authenticated, and nothing to anon, service_role."), "{ran:?}");
    let wanted = [
        "DELETE cars",
        "EXECUTE rate",
        "INSERT cars",
        "SELECT cars",
        "UPDATE cars",
        "USAGE cars_id_seq",
        "USAGE sales",
    ];
    assert_eq!(grants(&target).await?, wanted.map(|privilege| format!("authenticated {privilege}")));
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_fails_in_its_middle_changes_nothing() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = Folder(options.project.clone());
    let stack = Stack::start(Options { functions: false, ..options }).await?;
    let target = connect(&stack.db_url()).await?;
    target.batch_execute("create database old").await?;
    let server = stack.db_url();
    let server = server.strip_suffix("/postgres").expect("a URL").to_owned();
    let old_url = format!("{server}/old");
    let old = connect(&old_url).await?;
    // Its index calls what is not there in the target: known only when all rows are in.
    old.batch_execute(
        "create schema extensions; create function extensions.plus(integer) returns integer immutable language sql as 'select $1 + 1';
         create table public.late (id integer); insert into public.late select generate_series(1, 1000);
         create index on public.late (extensions.plus(id))",
    )
    .await?;
    let url = stack.db_url();
    let ran = import(&folder.0, &[("OLD_URL", &old_url), ("DATABASE_URL", &url)], &["--yes"]).await;
    assert_eq!((ran.code, ran.err.contains("extensions.plus")), (1, true), "{ran:?}");
    assert_eq!(migrations(&folder.0).len(), 1, "the migration is taken back");
    assert!(target.query_one("select to_regclass('public.late') is null", &[]).await?.get::<_, bool>(0));

    // The first of many rows is refused: what reads the others must not wait for ever.
    old.batch_execute(
        "drop table public.late;
         create table public.homesick (id integer, body text, check (current_database() = 'old'));
         insert into public.homesick select n, repeat('x', 200) from generate_series(1, 50000) n",
    )
    .await?;
    let environment = [("OLD_URL", &*old_url), ("DATABASE_URL", &*url)];
    let import = import(&folder.0, &environment, &["--yes"]);
    let ran = tokio::time::timeout(std::time::Duration::from_mins(5), import).await?;
    assert_eq!((ran.code, ran.err.contains("homesick")), (1, true), "{ran:?}");
    assert!(target.query_one("select to_regclass('public.homesick') is null", &[]).await?.get::<_, bool>(0));
    stack.stop().await;
    Ok(())
}
