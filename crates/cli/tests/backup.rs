//! `ferry backup`: what is in it; and Ctrl-C in the middle of it and of `ferry db import`: nothing is left half done.

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
