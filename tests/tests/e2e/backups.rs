//! A backup brings everything back: on another stack, from a folder or from a bucket.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use ferry::backup::{Keep, Progress, Store, make, prune, restore, verify};
use ferry::database::Database;
use ferry::remote::Place;
use ferry::stack::{Options, Stack};
use ironferry_tests::lab::{Db, Lab, ferry, project};
use ironferry_tests::s3::{KEY_ID, S3};
use tokio_postgres::NoTls;

/// A stack with no table of ours, as a new project is.
async fn empty(story: &str) -> Result<(Stack, Db, Folder)> {
    empty_with(story, false).await
}

/// The same, whose default privileges open each new object to the API's roles, or not.
async fn empty_with(story: &str, permissive_default_privileges: bool) -> Result<(Stack, Db, Folder)> {
    let folder = Folder::new(story)?;
    let options = Options {
        functions: false,
        migrate: false,
        permissive_default_privileges,
        ..Options::for_tests(project(), &folder.0)
    };
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

    let made = make(&Database::at(&lab.stack.db_url())?, &store, &progress).await?;
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
    let made = make(&Database::at(&lab.stack.db_url())?, &store, &progress).await?;
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
    let made = make(&Database::at(&stack.db_url())?, &folder.store(), &Progress::silent()).await?;
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

    let made = make(&database, &store, &progress).await?;
    let stats = s3.stats();
    ensure!(stats.parts >= 2, "the large dump goes up in parts: {stats:?}");
    ensure!(stats.failures >= 7 && stats.unsigned == 0, "each PUT failed once: {stats:?}");
    let prefix = format!("shop/nightly/{}", made.manifest.name);
    ensure!(s3.keys().contains(&format!("{prefix}/manifest.json")), "{:?}", s3.keys());

    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let second = make(&database, &store, &progress).await?;
    let deleted = prune(&store, "3m".parse::<Keep>().map_err(anyhow::Error::msg)?).await?;
    assert_eq!(deleted, std::slice::from_ref(&made.manifest.name), "of one month the newest stays");
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
    ensure!(store.list().await?.is_empty(), "a backup that failed is none to restore or to count with");
    assert_eq!(store.list_failed().await?, std::slice::from_ref(&second.manifest.name));
    Ok(())
}

/// Default privileges beyond those of the dashboard.
const PERMISSIVE: &str = "
    alter default privileges for role postgres grant usage on schemas to anon;
    alter default privileges for role postgres grant usage on types to anon with grant option;
";

/// Grants of each kind, and some that are easily lost.
const GRANTS: &str = "
    create role auditor nologin;
    create extension citext with schema public;
    grant select (id, company_name) on public.companies to auditor with grant option;
    grant update (company_name) on public.companies to authenticated;
    create sequence public.invoice_numbers;
    revoke all on public.invoice_numbers from public, anon, authenticated, service_role;
    grant usage on public.invoice_numbers to auditor;
    create table public.sealed (id integer);
    revoke all on public.sealed from anon, authenticated, service_role, postgres;
    create type public.colour as enum ('red'); revoke usage on type public.colour from public;
    create type public.pair as (a integer, b public.colour[]);
    create function public.paint(variadic shades public.colour[]) returns \"char\" language sql as $$ select 'x'::\"char\" $$;
    create procedure \"Odd Schema\".\"Odd (call)\"(x \"char\", y bit varying, out z numeric) language sql as $$ select 1 $$;
    revoke execute on function public.paint from public;
    create aggregate public.total(integer) (sfunc = int4pl, stype = integer);
    revoke execute on function public.total(integer) from public;
    grant usage on schema \"Odd Schema\" to auditor;
    create materialized view public.names as select company_name from public.companies;
    grant select on public.names to auditor;
";

/// The ACL of all that is the project's own in its schemas, one line for each privilege of each role. What an extension
/// made belongs to the superuser, and gets the grants that the platform gives it.
async fn acls(db: &Db) -> Result<Vec<String>> {
    let query = "with schemas as (select oid from pg_namespace where nspname in ('public', 'private', 'Odd Schema', 'supabase_migrations')),
        members as (select objid from pg_depend where deptype = 'e'),
        objects as (
            select 'schema ' || nspname as name, coalesce(nspacl, acldefault('n', nspowner)) as acl
            from pg_namespace where oid in (select oid from schemas)
            union all select 'relation ' || oid::regclass, coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::\"char\", relowner))
            from pg_class where relnamespace in (select oid from schemas) and relkind in ('r', 'p', 'v', 'm', 'S')
            union all select 'column ' || attrelid::regclass || '.' || attname, attacl
            from pg_attribute join pg_class on pg_class.oid = attrelid where relnamespace in (select oid from schemas) and attacl is not null
            union all select 'function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner))
            from pg_proc where pronamespace in (select oid from schemas) and oid not in (select objid from members)
            union all select 'type ' || oid::regtype, coalesce(typacl, acldefault('T', typowner))
            from pg_type where typnamespace in (select oid from schemas) and typcategory <> 'A' and oid not in (select objid from members)
              and not exists (select from pg_class where pg_class.oid = typrelid and relkind <> 'c')
        )
        select name || ': ' || privilege_type || ' for ' || coalesce(nullif(grantee, 0)::regrole::text, 'public') || is_grantable as line
        from objects cross join lateral aclexplode(acl) order by 1";
    db.rows(query, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_opens_nothing_where_the_default_privileges_are_permissive() -> Result<()> {
    let lab = Lab::start("backup-grants", &[]).await?;
    let db = lab.db().await?;
    db.run(SHOP).await?;
    db.run(GRANTS).await?;
    let before = acls(&db).await?;
    let folder = Folder::new("grants")?;
    let (store, progress) = (folder.store(), Progress::silent());
    let made = make(&Database::at(&lab.stack.db_url())?, &store, &progress).await?;
    drop(db);
    lab.stop().await?;

    let (stack, db, _state) = empty_with("permissive", true).await?;
    db.run(PERMISSIVE).await?;
    let defaults = "select coalesce(string_agg(concat_ws(' ', defaclrole, defaclnamespace, defaclobjtype, defaclacl), ' ' order by oid), '') from pg_default_acl";
    let defaults_before = db.text(defaults, &[]).await?;
    let restored =
        restore(&store, &made.manifest.name, &Database::at(&stack.db_url())?, false, &progress).await?;
    compare(&before, &acls(&db).await?)?;
    assert_eq!(db.text(defaults, &[]).await?, defaults_before, "the project's setting is its own");
    ensure!(restored.missing_roles.is_empty(), "{:?}", restored.missing_roles);
    let told = restored.differences.join("\n");
    ensure!(told.contains("only this database has `alter default privileges"), "{told}");

    let api = ironferry_tests::http::Client::new(stack.api_url());
    let (secret, publishable) = (&stack.keys().secret, &stack.keys().publishable);
    let ask = async |path: String, key: &str, method: &str| {
        let headers = [("apikey", key), ("content-type", "application/json")];
        let body = if method == "GET" { "" } else { "{}" };
        api.send(method, &format!("/rest/v1/{path}"), &headers, body).await
    };
    // The REST server reads the new schema in the background.
    let started = std::time::Instant::now();
    let companies = loop {
        let reply = ask("companies?select=id".to_owned(), secret, "GET").await?;
        if reply.status != 404 || started.elapsed().as_secs() > 60 {
            break reply;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!((companies.status, companies.json()?.as_array().map(Vec::len)), (200, Some(200)));
    let tables = "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')";
    for row in db.rows(tables, &[]).await? {
        let table: String = row.try_get(0)?;
        for method in ["GET", "POST"] {
            let reply = ask(table.clone(), publishable, method).await?;
            ensure!(reply.status >= 400, "a stranger's {method} of {table} got {}", reply.status);
        }
    }
    let functions = "select distinct proname::text from pg_proc where pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype";
    for row in db.rows(functions, &[]).await? {
        let function: String = row.try_get(0)?;
        let reply = ask(format!("rpc/{function}"), publishable, "POST").await?;
        ensure!(reply.status >= 400, "a stranger's call of {function} got {}", reply.status);
    }
    stack.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_an_extension_that_the_test_cannot_have_is_named_and_the_rest_is_verified() -> Result<()> {
    let (stack, db, _state) = empty("extension-source").await?;
    db.run(
        "create extension citext with schema extensions;
         create table public.readers (id serial primary key, email extensions.citext unique default 'none');
         comment on table public.readers is 'read by nobody';
         create view public.addresses as select email from public.readers;
         create table public.loans (id integer primary key, reader_id integer references public.readers);
         create table public.books (id serial primary key, title text);
         create index on public.books ((title::extensions.citext));
         create function public.find(email extensions.citext) returns bigint language sql as $$ select count(*) from public.books $$;
         grant select on public.readers, public.books to authenticated;
         insert into public.readers (email) values ('A@b.test');
         insert into public.loans values (1, 1); insert into public.books (title) values ('One'), ('Two');",
    )
    .await?;
    let folder = Folder::new("extension")?;
    let (store, progress) = (folder.store(), Progress::silent());
    let made = make(&Database::at(&stack.db_url())?, &store, &progress).await?;
    drop(db);
    stack.stop().await;
    let whole = verify(&store, &made.manifest.name, &progress).await?;
    assert_eq!(
        (whole.tables, whole.rows, whole.unverified.len()),
        (4, 4 + whole_accounts(&made.manifest), 0),
        "{whole:?}"
    );

    // As if the extension were one that this machine does not have.
    let path = Path::new(&made.address).join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    for part in ["extensions", "needs"] {
        let found = manifest[part].as_object_mut().and_then(|map| map.remove("citext")).context(part)?;
        manifest[part]["citext_of_elsewhere"] = found;
    }
    std::fs::write(&path, manifest.to_string())?;
    let parts = verify(&store, &made.manifest.name, &progress).await?;
    assert_eq!((parts.tables, parts.rows), (whole.tables - 1, whole.rows - 1), "{parts:?}");
    let told = parts.unverified.join("\n");
    ensure!(told.contains("citext_of_elsewhere") && told.contains("public.readers"), "{told}");
    Ok(())
}

/// Rows of Auth's tables.
fn whole_accounts(manifest: &ferry::backup::Manifest) -> i64 {
    manifest.rows.iter().filter(|(table, _)| table.starts_with("auth.")).map(|(_, rows)| rows).sum()
}
