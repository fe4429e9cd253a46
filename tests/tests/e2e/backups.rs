//! A backup brings everything back: on another stack, from a folder or from a bucket.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use ferry::backup::{Keep, Progress, Store, make, restore, verify};
use ferry::database::Database;
use ferry::remote::Place;
use ferry::stack::{Options, Stack};
use ironferry_tests::lab::{Db, Lab, ferry, project};
use ironferry_tests::s3::{KEY_ID, S3};
use tokio_postgres::NoTls;

/// A stack with no table of ours, as a new project is.
async fn empty(story: &str) -> Result<(Stack, Db, Folder)> {
    let folder = Folder::new(story)?;
    let options = Options { functions: false, migrate: false, ..Options::for_tests(project(), &folder.0) };
    let stack = Stack::start(options).await?;
    let (client, connection) = tokio_postgres::connect(&stack.db_url(), NoTls).await?;
    tokio::spawn(connection);
    Ok((stack, Db(client), folder))
}

/// A folder that is gone when this is.
struct Folder(PathBuf);

impl Folder {
    fn new(story: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ironferry-copies-{story}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn store(&self) -> Store {
        Store::Folder(self.0.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a shop has after a while, and what its project hung on the platform's tables.
const SHOP: &str = "
    insert into auth.users (id, email, phone) select gen_random_uuid(), 'user' || n || '@shop.test', n::text from generate_series(1, 50) n;
    insert into public.companies (company_name) select 'Company ' || n || E' \\t\\n''\"Ñ' from generate_series(1, 200) n;
    insert into public.company_members (company_id, user_id, role)
        select company.id, account.id, 'owner' from (select id from public.companies order by id limit 1) as company cross join auth.users as account;
    insert into public.machines (company_id, case_serial, latest_dex_parsed)
        select id, 'CS' || company_name, jsonb_build_object('a', array[1, 2]) from public.companies;
    create role reporter nologin;
    alter role reporter set search_path = \"Odd Schema\", public, '';
    alter role reporter set statement_timeout = '7s';
    grant select on public.companies to reporter;
    create schema \"Odd Schema\";
    create table \"Odd Schema\".\"Odd Table\" (id integer primary key generated always as identity, body bytea, made_at timestamptz default now());
    insert into \"Odd Schema\".\"Odd Table\" (body) select extensions.gen_random_bytes(1024) from generate_series(1, 11000);
    create function public.greet_account() returns trigger language plpgsql security definer set search_path = '' as
        $$ begin insert into \"Odd Schema\".\"Odd Table\" (body) values ('\\x00'); return new; end $$;
    create trigger greet after insert on auth.users for each row execute function public.greet_account();
    select vault.create_secret('nobody shall find this value', 'a_secret');
";

/// Rows by content, and all else that a restored database must have in common with its original.
async fn fingerprint(db: &Db) -> Result<Vec<String>> {
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables
        where schemaname in ('public', 'private', 'Odd Schema', 'supabase_migrations') or tablename = 'users' order by 1";
    let mut found = Vec::new();
    for row in db.rows(tables, &[]).await? {
        let table: String = row.try_get(0)?;
        let sum = format!(
            "select md5(coalesce(string_agg(row::text, '|' order by row::text), '')) || ' ' || count(*) from {table} as row"
        );
        found.push(format!("{table} {}", db.text(&sum, &[]).await?));
    }
    let things = "select thing from (
        select 'function ' || oid::regprocedure || ' ' || md5(prosrc) || coalesce(proacl, acldefault('f', proowner))::text || coalesce(proconfig::text, '') as thing
        from pg_proc where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
        union all select 'table ' || oid::regclass || ' ' || coalesce(relacl, acldefault(case relkind when 'S' then 's'::\"char\" else 'r'::\"char\" end, relowner))::text || relrowsecurity
        from pg_class where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and relkind in ('r', 'v', 'S', 'i')
        union all select 'policy ' || tablename || policyname || cmd || roles::text || coalesce(qual, '') || coalesce(with_check, '') from pg_policies
        -- Read again, `a and b and c` has fewer parentheses than `between` and one more.
        union all select 'constraint ' || conrelid::regclass || translate(pg_get_constraintdef(oid), '()', '') from pg_constraint where connamespace = 'public'::regnamespace
        union all select 'trigger ' || pg_get_triggerdef(oid) from pg_trigger where not tgisinternal and tgrelid <> 'cron.job'::regclass
        union all select 'comment ' || objoid::regclass || objsubid || md5(description) from pg_description
                  where classoid = 'pg_class'::regclass and objoid in (select oid from pg_class where relnamespace = 'public'::regnamespace)
        union all select 'job ' || jobname || schedule || command from cron.job
        union all select 'schema ' || nspname || coalesce(nspacl, acldefault('n', nspowner))::text from pg_namespace where nspname in ('private', 'Odd Schema')
    ) as things order by thing";
    for row in db.rows(things, &[]).await? {
        found.push(row.try_get(0)?);
    }
    Ok(found)
}

fn compare(before: &[String], after: &[String]) -> Result<()> {
    let lost: Vec<_> = before.iter().filter(|thing| !after.contains(thing)).take(5).collect();
    let new: Vec<_> = after.iter().filter(|thing| !before.contains(thing)).take(5).collect();
    ensure!(lost.is_empty() && new.is_empty(), "lost: {lost:#?}\nnew: {new:#?}");
    Ok(())
}

fn whole_text(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for file in std::fs::read_dir(folder)? {
        text.push_str(&String::from_utf8_lossy(&std::fs::read(file?.path())?));
    }
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_destroyed_comes_back_on_another_stack() -> Result<()> {
    let lab = Lab::start("backup", &[]).await?;
    let db = lab.db().await?;
    db.run(SHOP).await?;
    let before = fingerprint(&db).await?;
    let folder = Folder::new("folder")?;
    let (store, progress) = (folder.store(), Progress::silent());

    let made = make(&Database::at(&lab.stack.db_url())?, &store, None, &progress).await?;
    let manifest = &made.manifest;
    assert_eq!(manifest.rows["public.companies"], 200);
    assert_eq!(manifest.rows["auth.users"], 50);
    assert!(manifest.vault_secrets.contains(&"a_secret".to_owned()), "{:?}", manifest.vault_secrets);
    let text = whole_text(Path::new(&made.address))?;
    ensure!(!text.contains("nobody shall find this value"), "a secret's value is in the backup");
    let verified = verify(&store, &manifest.name, &progress).await?;
    assert_eq!((verified.tables, verified.rows), (manifest.rows.len(), manifest.row_count()));

    let refused =
        restore(&store, &manifest.name, &Database::at(&lab.stack.db_url())?, false, &progress).await;
    let refused = format!("{:#}", refused.err().context("a database in use is refused")?);
    ensure!(refused.contains("is not empty"), "{refused}");
    compare(&before, &fingerprint(&db).await?)?;
    drop(db);
    lab.stop().await?;

    let (stack, db, _state) = empty("restored").await?;
    let target = Database::at(&stack.db_url())?;
    let restored = restore(&store, &manifest.name, &target, false, &progress).await?;
    ensure!(restored.missing_secrets == ["a_secret"], "{:?}", restored.missing_secrets);
    compare(&before, &fingerprint(&db).await?)?;
    assert_eq!(db.count("select count(*) from cron.job where active", &[]).await?, 0, "jobs are at rest");
    let may = "select count(*) from pg_roles where rolname = 'reporter' and has_table_privilege(oid, 'public.companies', 'select')";
    assert_eq!(db.count(may, &[]).await?, 1, "roles and their grants are there");
    let set =
        "select array_to_string(setconfig, '; ') from pg_db_role_setting where setrole = 'reporter'::regrole";
    assert_eq!(db.text(set, &[]).await?, "search_path=\"Odd Schema\", public, \"\"; statement_timeout=7s");
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_changed_or_cannot_be_restored_changes_nothing() -> Result<()> {
    let lab = Lab::start("backup-damaged", &[]).await?;
    lab.db().await?.run("insert into public.companies (company_name) values ('A')").await?;
    let folder = Folder::new("damaged")?;
    let (store, progress) = (folder.store(), Progress::silent());
    let made = make(&Database::at(&lab.stack.db_url())?, &store, None, &progress).await?;
    lab.stop().await?;
    let name = &made.manifest.name;
    let (stack, db, _state) = empty("damaged-target").await?;
    let target = Database::at(&stack.db_url())?;
    let things = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";

    // A statement that fails comes last, after all rows.
    let jobs = Path::new(&made.address).join("jobs.sql");
    let good = std::fs::read_to_string(&jobs)?;
    let failing = good.clone() + "select no_such_function();\n";
    std::fs::write(&jobs, &failing)?;
    let told = restore(&store, name, &target, false, &progress).await.err().context("it is damaged")?;
    ensure!(format!("{told:#}").contains("jobs.sql is damaged"), "{told:#}");
    let manifest = Path::new(&made.address).join("manifest.json");
    let honest = std::fs::read_to_string(&manifest)?;
    let sum = |text: &str| -> Result<String> {
        let wanted = serde_json::from_str::<serde_json::Value>(&honest)?;
        let mut wanted = wanted;
        let sha = std::process::Command::new("sha256sum").arg(&jobs).output()?;
        let sha = String::from_utf8_lossy(&sha.stdout).split(' ').next().unwrap_or_default().to_owned();
        wanted["files"]["jobs.sql"] = serde_json::json!({ "bytes": text.len(), "sha256": sha });
        Ok(wanted.to_string())
    };
    std::fs::write(&manifest, sum(&failing)?)?;
    let told = restore(&store, name, &target, false, &progress).await.err().context("a statement fails")?;
    ensure!(format!("{told:#}").contains("no_such_function"), "{told:#}");
    assert_eq!(db.count(things, &[]).await?, 0, "all of it or nothing");

    std::fs::write(&jobs, &good)?;
    std::fs::write(&manifest, &honest)?;
    restore(&store, name, &target, true, &progress).await?;
    assert_eq!(
        db.count("select count(*) from cron.job where active", &[]).await?,
        0,
        "as they were in the lab"
    );
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_half_way_leaves_nothing() -> Result<()> {
    let (stack, db, _state) = empty("killed-source").await?;
    // Rows that take their time, and more of them than the pipes on the way hold.
    db.run(
        "create function public.slowly(n integer) returns boolean language plpgsql as
            $$ begin perform pg_sleep(0.05); return true; end $$;
        create table public.slow (n integer check (public.slowly(n)), body text);
        insert into public.slow select n, repeat(n::text, 50000) from generate_series(1, 20) n",
    )
    .await?;
    let folder = Folder::new("killed")?;
    let made = make(&Database::at(&stack.db_url())?, &folder.store(), None, &Progress::silent()).await?;
    stack.stop().await;

    let (stack, db, state) = empty("killed-target").await?;
    let mut restoring = std::process::Command::new(ferry())
        .arg("--state")
        .arg(&state.0)
        .args(["restore", "--local", &made.address])
        .current_dir(project())
        .spawn()?;
    let at_work =
        "select count(*) from pg_stat_activity where query ilike 'copy%' and application_name = 'ferry'";
    let start = std::time::Instant::now();
    while db.count(at_work, &[]).await? == 0 {
        ensure!(start.elapsed().as_secs() < 60, "the rows are never copied");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    restoring.kill()?;
    restoring.wait()?;
    while db.count("select count(*) from pg_stat_activity where application_name = 'ferry'", &[]).await? > 0 {
        ensure!(start.elapsed().as_secs() < 60, "psql stays");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let things = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(db.count(things, &[]).await?, 0, "all of it or nothing");
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_backups_through_failures_and_lets_old_ones_go() -> Result<()> {
    let lab = Lab::start("backup-s3", &[]).await?;
    let db = lab.db().await?;
    db.run(SHOP).await?;
    let s3 = S3::start(true).await?;
    let environment = [
        ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "hush".to_owned()),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ENDPOINT_URL", s3.url()),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let place = Place { environment, ..Place::default() };
    let store = Store::open("s3://backups/shop/nightly", None, &place)?;
    let (database, progress) = (Database::at(&lab.stack.db_url())?, Progress::silent());

    let made = make(&database, &store, None, &progress).await?;
    let stats = s3.stats();
    ensure!(stats.parts >= 2, "the large dump goes up in parts: {stats:?}");
    ensure!(stats.failures >= 7 && stats.unsigned == 0, "each PUT failed once: {stats:?}");
    let prefix = format!("shop/nightly/{}", made.manifest.name);
    ensure!(s3.keys().contains(&format!("{prefix}/manifest.json")), "{:?}", s3.keys());

    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let second =
        make(&database, &store, Some("3m".parse::<Keep>().map_err(anyhow::Error::msg)?), &progress).await?;
    assert_eq!(second.deleted, std::slice::from_ref(&made.manifest.name), "of one month the newest stays");
    assert_eq!(store.list().await?, std::slice::from_ref(&second.manifest.name));
    ensure!(s3.stats().pages >= 2, "the list was read page by page");
    ensure!(!s3.keys().iter().any(|key| key.starts_with(&prefix)), "{:?}", s3.keys());
    let before = fingerprint(&db).await?;
    drop(db);
    lab.stop().await?;

    let (stack, db, _state) = empty("from-s3").await?;
    let target = Database::at(&stack.db_url())?;
    restore(&store, &second.manifest.name, &target, false, &progress).await?;
    compare(&before, &fingerprint(&db).await?)?;
    stack.stop().await;

    s3.spoil(&format!("shop/nightly/{}/database.dump", second.manifest.name));
    let told = verify(&store, &second.manifest.name, &progress).await.err().context("a byte is wrong")?;
    ensure!(format!("{told:#}").contains("database.dump is damaged"), "{told:#}");
    Ok(())
}
