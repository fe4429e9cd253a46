//! Makes a backup: everything of it shows one moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_postgres::Client;

use super::manifest::FILE;
use super::restore::Folder;
use super::{
    ACCOUNTS, DATABASE, EXTRAS, FileSum, GRANTS, JOBS, Keep, Manifest, Needed, PLATFORM, Progress, ROLES,
    Store, count_rows, grants, keep, run, schemas, server_version, succeeded, texts,
};
use crate::database::Database;
use crate::database::programs::Programs;

/// A backup that was made.
#[derive(Debug)]
pub struct Made {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it is.
    pub address: String,
}

/// Makes a backup, reads it back, and puts it into the store.
///
/// # Errors
/// When the database cannot be read or the store not written. Then there is no new backup.
pub async fn make(database: &Database, store: &Store, progress: &Progress) -> Result<Made> {
    let client = database.connect_session().await?;
    client
        .batch_execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; begin isolation level repeatable read read only")
        .await?;
    let (major, server) = server_version(&client).await?;
    let programs = Programs::for_server(major).await?;
    let now = client.query_one("select extract(epoch from now())::bigint", &[]).await?;
    let now = time::OffsetDateTime::from_unix_timestamp(now.try_get(0)?)?;
    let name = keep::name(now);
    // Rows of everybody: for nobody else's eyes. An older draft of the same second is somebody's.
    let draft = Folder::at(store.draft(&name))?;
    let draft = draft.0.as_path();
    let made = async {
        let mut manifest = describe(&client, database, &programs, server, now).await?;
        dump(&client, database, &programs, &mut manifest, draft, progress).await?;
        let tables = texts(&client, include_str!("sql/tables.sql"), &[&manifest.schemas]).await?;
        manifest.rows = count_rows(&client, &tables, progress).await?;
        client.batch_execute("rollback").await?;
        finish(&programs, &mut manifest, draft).await?;
        store.put(&manifest, draft, progress).await?;
        anyhow::Ok(manifest)
    };
    let made = made.await;
    progress.clear();
    let manifest = made?;
    Ok(Made { address: store.address(&manifest.name), manifest })
}

/// Deletes the backups that the rule no longer keeps, and returns their names. To be called once the newest backup
/// has passed its verification.
///
/// # Errors
/// When the store cannot be listed, or a backup cannot be deleted.
pub async fn prune(store: &Store, rule: Keep) -> Result<Vec<String>> {
    let mut deleted = Vec::new();
    for name in rule.superfluous(&store.list().await?) {
        store.delete(&name).await.with_context(|| format!("the backup was made; deleting the old {name}"))?;
        deleted.push(name);
    }
    Ok(deleted)
}

async fn describe(
    client: &Client,
    database: &Database,
    programs: &Programs,
    server: String,
    now: time::OffsetDateTime,
) -> Result<Manifest> {
    let extensions = client
        .query(
            "select extension.extname::text, namespace.nspname::text from pg_catalog.pg_extension as extension
             join pg_catalog.pg_namespace as namespace on namespace.oid = extension.extnamespace where extension.extname <> 'plpgsql'",
            &[],
        )
        .await?;
    let there = client
        .query_one(
            "select to_regclass('vault.secrets') is not null, to_regclass('cron.job') is not null,
                    to_regclass('supabase_migrations.schema_migrations') is not null",
            &[],
        )
        .await?;
    let mut manifest = Manifest {
        format: Manifest::format(),
        name: keep::name(now),
        made_at: now.format(&time::format_description::well_known::Rfc3339)?,
        ferry: env!("CARGO_PKG_VERSION").to_owned(),
        server,
        pg_dump: programs.version.clone(),
        database: database.to_string(),
        schemas: schemas(client).await?,
        extensions: extensions
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_>>()?,
        rows: BTreeMap::new(),
        vault_secrets: Vec::new(),
        not_in_it: Vec::new(),
        default_privileges: grants::default_privileges(client).await?,
        needs: BTreeMap::new(),
        jobs: 0,
        migration: None,
        files: BTreeMap::new(),
    };
    manifest.not_in_it = texts(client, include_str!("sql/not_in_it.sql"), &[&manifest.schemas]).await?;
    for row in client.query(include_str!("sql/needs.sql"), &[&manifest.schemas]).await? {
        let needed: &mut Needed = manifest.needs.entry(row.try_get("extension")?).or_default();
        needed.objects.push((row.try_get("class_id")?, row.try_get("object_id")?));
        needed.tables.extend(row.try_get::<_, Option<String>>("table_name")?);
    }
    if there.try_get(0)? {
        let names = "select name from vault.secrets where name is not null order by name";
        manifest.vault_secrets = texts(client, names, &[]).await?;
    }
    if there.try_get(1)? {
        let count = "select count(*) from cron.job where database = current_database()";
        manifest.jobs = u64::try_from(client.query_one(count, &[]).await?.try_get::<_, i64>(0)?)?;
    }
    if there.try_get(2)? {
        let newest = "select max(version) from supabase_migrations.schema_migrations";
        manifest.migration = client.query_one(newest, &[]).await?.try_get(0)?;
    }
    Ok(manifest)
}

/// Both dumps see what our transaction sees.
async fn dump(
    client: &Client,
    database: &Database,
    programs: &Programs,
    manifest: &mut Manifest,
    draft: &Path,
    progress: &Progress,
) -> Result<()> {
    let snapshot: String =
        client.query_one("select pg_catalog.pg_export_snapshot()", &[]).await?.try_get(0)?;
    let tables = texts(client, include_str!("sql/tables.sql"), &[&manifest.schemas]).await?.len() as u64;
    let arguments = |file: &str| {
        let to = format!("--file={}", draft.join(file).display());
        vec![
            "--format=custom".to_owned(),
            "--compress=6".to_owned(),
            "--no-password".to_owned(),
            "--verbose".to_owned(),
            format!("--snapshot={snapshot}"),
            to,
        ]
    };
    let mut own = arguments(DATABASE);
    // A pattern, quoted: a schema's name may hold anything.
    own.extend(manifest.schemas.iter().map(|schema| format!("--schema=\"{}\"", schema.replace('"', "\"\""))));
    let mut done = pg_dump(programs, database, &own, 0, tables, progress).await?;
    let mut accounts = arguments(ACCOUNTS);
    accounts.extend(
        ["--data-only", "--schema=auth", "--exclude-table=auth.schema_migrations"].map(str::to_owned),
    );
    done += pg_dump(programs, database, &accounts, done, tables, progress).await?;
    progress.show(done, tables, "tables");
    let platform = platform_arguments(client, arguments(PLATFORM)).await?;
    if let Err(error) = pg_dump(programs, database, &platform, done, tables, progress).await {
        // The rows do not depend on it: only the test of the backup does.
        let _ = std::fs::remove_file(draft.join(PLATFORM));
        manifest.not_in_it.push(format!("definitions of the platform's tables: {error:#}"));
    }
    let found = grants::read(client, &manifest.schemas).await?;
    std::fs::write(draft.join(GRANTS), serde_json::to_vec(&found)?)?;

    let lines = |statements: Vec<String>| {
        statements.into_iter().map(|statement| statement + "\n").collect::<String>()
    };
    std::fs::write(draft.join(ROLES), lines(texts(client, include_str!("sql/roles.sql"), &[]).await?))?;
    std::fs::write(
        draft.join(EXTRAS),
        lines(texts(client, include_str!("sql/extras.sql"), &[&manifest.schemas]).await?),
    )?;
    let jobs =
        if manifest.jobs > 0 { texts(client, include_str!("sql/jobs.sql"), &[]).await? } else { Vec::new() };
    Ok(std::fs::write(draft.join(JOBS), lines(jobs))?)
}

/// Dumps the definitions of the platform's tables, so that a test can restore accounts and references to them.
async fn platform_arguments(client: &Client, mut arguments: Vec<String>) -> Result<Vec<String>> {
    let schemas = texts(client, include_str!("sql/platform_schemas.sql"), &[]).await?;
    let unreadable = texts(client, include_str!("sql/unreadable.sql"), &[&schemas]).await?;
    arguments.push("--schema-only".to_owned());
    arguments.extend(schemas.iter().map(|schema| format!("--schema={schema}")));
    arguments.extend(unreadable.iter().map(|table| format!("--exclude-table={table}")));
    Ok(arguments)
}

/// Runs pg_dump, and counts the tables as it tells of them.
async fn pg_dump(
    programs: &Programs,
    database: &Database,
    arguments: &[String],
    before: u64,
    tables: u64,
    progress: &Progress,
) -> Result<u64> {
    let mut command = programs.on("pg_dump", database);
    let mut child = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting pg_dump")?;
    let (mut done, mut complaint) = (0, String::new());
    let mut lines = BufReader::new(child.stderr.take().context("pg_dump has an output")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, table)) = line.split_once("dumping contents of table ") {
            done += 1;
            progress.show(before + done, tables, table);
        } else if line.contains("error:") || line.contains("warning:") || line.contains("detail:") {
            complaint.push_str(&line);
            complaint.push('\n');
        }
    }
    succeeded("pg_dump", child.wait().await?, &complaint)?;
    Ok(done)
}

/// Reads the dumps back, and writes the manifest.
async fn finish(programs: &Programs, manifest: &mut Manifest, draft: &Path) -> Result<()> {
    let mut tables = 0;
    for file in [DATABASE, ACCOUNTS] {
        let mut command = programs.plain("pg_restore");
        command.arg("--list").arg(draft.join(file));
        let list = run(command, "pg_restore --list").await?;
        tables += String::from_utf8_lossy(&list).lines().filter(|line| line.contains(" TABLE DATA ")).count();
    }
    ensure!(
        tables == manifest.rows.len(),
        "the dump has the rows of {tables} tables, and the database has {}",
        manifest.rows.len()
    );
    for file in [DATABASE, ACCOUNTS, PLATFORM, GRANTS, ROLES, JOBS, EXTRAS] {
        let path = draft.join(file);
        if file != PLATFORM || path.exists() {
            manifest.files.insert(file.to_owned(), FileSum::of(&path).await?);
        }
    }
    Ok(std::fs::write(draft.join(FILE), serde_json::to_vec_pretty(manifest)?)?)
}
