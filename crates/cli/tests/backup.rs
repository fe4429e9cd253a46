//! `ferry backup`: what is in it, and how it is verified; and Ctrl-C in the middle of it and of `ferry db import`:
//! nothing is left half done.

mod ferry;
mod project;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ::ferry::stack::{Options, Stack};
use anyhow::Result;

use ferry::{Folder, Ran, ferry_with};
use project::connect;

const PATIENCE: Duration = Duration::from_mins(1);

/// The names in a folder; none where there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn no_schema_of_ours_is_left_out_and_what_is_not_in_it_is_told() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = Folder(options.project.clone());
    let stack = Stack::start(Options { functions: false, ..options }).await?;
    let client = connect(&stack.db_url()).await?;
    client
        .batch_execute(
            "create schema _internal; create table _internal.notes (id integer); insert into _internal.notes values (1);
             create schema pgmq_mirror; create table pgmq_mirror.notes (id integer); select lo_create(0);",
        )
        .await?;
    let (url, store) = (stack.db_url(), folder.0.join("backups").display().to_string());
    let run = move |more: &'static [&'static str]| {
        let arguments = [&["backup", "--to", &store], more].concat();
        ferry_with(&arguments, b"", &[("DATABASE_URL", &url)])
    };
    let (told, as_json) = tokio::task::spawn_blocking(move || {
        let told = run(&[]);
        // A backup's name has the second in it.
        std::thread::sleep(Duration::from_millis(1_100));
        (told, run(&["--json"]))
    })
    .await?;
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.out.contains("not in it: 1 large object"), "{told:?}");
    let rows = &as_json.json()["manifest"]["rows"];
    assert_eq!((&rows["_internal.notes"], &rows["pgmq_mirror.notes"]), (&1.into(), &0.into()), "{rows:#}");
    stack.stop().await;
    Ok(())
}

/// An account with all that Auth keeps of it, and tables of the project that refer to Auth's own.
const ACCOUNTS: &str = "
    insert into auth.schema_migrations values ('20260302000000');
    insert into auth.users (id, email) select gen_random_uuid(), 'user' || n || '@shop.test' from generate_series(1, 3) n;
    insert into auth.identities (user_id, provider, provider_id, identity_data)
        select id, 'email', id::text, jsonb_build_object('email', email) from auth.users;
    insert into auth.sessions (id, user_id, aal, ip) select gen_random_uuid(), id, 'aal2', '192.0.2.1' from auth.users;
    insert into auth.refresh_tokens (token, session_id) select 'token ' || id, id from auth.sessions;
    insert into auth.mfa_factors (id, user_id, factor_type, status) select gen_random_uuid(), id, 'totp', 'verified' from auth.users;
    create table public.logins (
        session_id uuid primary key references auth.sessions on delete cascade, level auth.aal_level not null, email text default auth.email()
    );
    insert into public.logins (session_id, level) select id, aal from auth.sessions;
    create function public.note_session() returns trigger language plpgsql security definer set search_path = '' as
        $$ begin insert into public.logins (session_id, level) values (new.id, 'aal1'); return new; end $$;
    create trigger note_session after insert on auth.sessions for each row execute function public.note_session();
    create role supabase_guest nologin;
    grant select on public.logins to supabase_guest;
";

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_the_tables_of_auth_is_verified_and_a_failure_deletes_no_backup() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = Folder(options.project.clone());
    let stack = Stack::start(Options { functions: false, ..options }).await?;
    let admin = connect(&stack.admin_db_url()).await?;
    admin.batch_execute(include_str!("project/auth_tables.sql")).await?;
    admin.batch_execute(ACCOUNTS).await?;
    let (url, store) = (stack.db_url(), folder.0.join("backups").display().to_string());
    let run = async |more: &'static [&'static str]| {
        let (url, store) = (url.clone(), store.clone());
        tokio::task::spawn_blocking(move || {
            // A backup's name has the second in it.
            std::thread::sleep(Duration::from_millis(1_100));
            ferry_with(&[&["backup", "--to", &store], more].concat(), b"", &[("DATABASE_URL", &url)])
        })
        .await
        .expect("it ran")
    };
    let name_of = |ran: &Ran| ran.json()["manifest"]["name"].as_str().map(str::to_owned).expect("a name");
    let kept = || names(&folder.0.join("backups"));

    let first = run(&["--verify", "--json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    let (manifest, verified) = (&first.json()["manifest"], &first.json()["verified"]);
    let tables = manifest["rows"].as_object().expect("tables").len();
    assert!(manifest["rows"]["auth.identities"] == 3 && tables > 23, "{manifest:#}");
    assert_eq!(verified["tables"].as_u64(), u64::try_from(tables).ok(), "{verified:#}");
    let unverified = verified["unverified"].to_string();
    assert!(unverified.contains("supabase_guest"), "{unverified}");

    // Verified by default, and only then is the older one deleted.
    let second = run(&["--keep", "1d", "--json"]).await;
    assert_eq!(second.json()["deleted"], serde_json::json!([name_of(&first)]), "{second:?}");
    let second = name_of(&second);
    assert_eq!(kept(), [&*second]);

    // A row that only this server takes.
    let check = "create table public.homesick (port integer check (port = current_setting('port')::integer));
        insert into public.homesick values (current_setting('port')::integer)";
    admin.batch_execute(check).await?;
    let failing = run(&["--keep", "1d"]).await;
    assert_eq!((failing.code, failing.err.contains("homesick")), (1, true), "{failing:?}");
    assert!(failing.err.contains("no earlier backup was deleted"), "{failing:?}");
    assert!(kept().contains(&second) && kept().len() == 2, "{:?}", kept());
    let listed = run(&["--list", "--json"]).await.json();
    assert_eq!(
        (&listed["backups"][0]["name"], &listed["backups"][1]),
        (&(*second).into(), &serde_json::Value::Null)
    );
    let failed = listed["failed"][0]["name"].as_str().expect("a name").to_owned();
    assert_ne!(failed, second);

    // A backup that failed stands in for no other, and none that passed goes for its sake.
    admin.batch_execute("drop table public.homesick").await?;
    let unverified = run(&["--no-verify"]).await;
    assert_eq!(
        (unverified.code, unverified.out.contains("not restored for a test")),
        (0, true),
        "{unverified:?}"
    );
    let last = run(&["--keep", "1d", "--json"]).await;
    let deleted = last.json()["deleted"].to_string();
    assert!(deleted.contains(&second) && !deleted.contains(&failed), "{deleted}");
    assert!(kept().contains(&failed) && kept().contains(&name_of(&last)), "{:?}", kept());
    stack.stop().await;
    Ok(())
}

/// Starts the command in a project and ends it by a signal, once it is where it shall be.
fn ended(
    project: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
    signal: &str,
    is_there: impl Fn() -> bool,
) -> Ran {
    let child = Command::new(env!("CARGO_BIN_EXE_ferry"))
        .args(arguments)
        .current_dir(project)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let started = Instant::now();
    while !is_there() {
        assert!(started.elapsed() < PATIENCE, "it did not come that far");
        std::thread::sleep(Duration::from_millis(20));
    }
    let told = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
    assert!(told.success());
    Ran::of(child.wait_with_output().expect("it ends"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ended_half_way_leaves_nothing_behind() -> Result<()> {
    let Some(options) = project::options()? else { return Ok(()) };
    let folder = Folder(options.project.clone());
    let stack = Stack::start(Options { functions: false, ..options }).await?;
    let (url, client) = (stack.db_url(), connect(&stack.db_url()).await?);
    let temporary = folder.0.join("tmp");
    std::fs::create_dir_all(&temporary)?;
    let temporary_path = temporary.display().to_string();

    // pg_dump waits for the table, its draft half written.
    client.batch_execute("begin; lock table public.things in access exclusive mode").await?;
    let store = folder.0.join("backups");
    let environment = [("DATABASE_URL", &*url), ("TMPDIR", &temporary_path)];
    for signal in ["-INT", "-TERM"] {
        let is_there = || names(&store).iter().any(|name| !names(&store.join(name)).is_empty());
        let ran = ended(&folder.0, &["backup", "--to", "backups"], &environment, signal, is_there);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains("nothing is left half done"), "{ran:?}");
        assert_eq!((names(&store).len(), names(&temporary).len()), (0, 0), "{:?}", names(&store));
    }
    client.batch_execute("rollback").await?;
    client.batch_execute("create database old").await?;

    // The import waits at its last statement, the migration written.
    let old_url = format!("{}/old", url.strip_suffix("/postgres").expect("a URL"));
    let old = connect(&old_url).await?;
    old.batch_execute("create table public.cars (id integer); insert into public.cars values (1)").await?;
    client
        .batch_execute("begin; lock table supabase_migrations.schema_migrations in access exclusive mode")
        .await?;
    let migrations = folder.0.join("supabase/migrations");
    let before = names(&migrations);
    let environment = [("DATABASE_URL", &*url), ("OLD_URL", &*old_url), ("TMPDIR", &*temporary_path)];
    let is_there = || names(&migrations) != before;
    let arguments = ["db", "import", "env:OLD_URL", "--yes"];
    let ran = ended(&folder.0, &arguments, &environment, "-INT", is_there);
    assert_eq!((ran.code, names(&migrations)), (1, before), "{ran:?}");
    client.batch_execute("rollback").await?;
    let cars = client.query_one("select to_regclass('public.cars') is null", &[]).await?;
    assert!(cars.try_get::<_, bool>(0)?, "the target is as it was");
    stack.stop().await;
    Ok(())
}
