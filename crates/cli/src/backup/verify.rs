//! Restores a backup for a test: into a server made for it, with the platform's tables as the project has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio_postgres::Client;

use super::restore::{Folder, How, PathList, list, quoted, restore_folder};
use super::{Manifest, PLATFORM, Progress, Store, server_version};
use crate::database::Database;
use crate::database::programs::Programs;
use crate::stack::scratch::Scratch;

/// A backup that was restored for a test.
#[derive(Debug, Default)]
pub struct Verified {
    /// Tables whose rows were counted and found.
    pub tables: usize,
    /// Rows in them.
    pub rows: i64,
    /// What this machine cannot verify, in words.
    pub unverified: Vec<String>,
}

/// Restores a backup into a server made for it, which is gone afterwards, and compares rows and grants. A backup that
/// fails is marked as failed in its store.
///
/// # Errors
/// When the backup cannot be restored, a table has other rows than the manifest says, or the grants differ; and,
/// without a mark, when the test itself is impossible on this machine.
pub async fn verify(store: &Store, name: &str, progress: &Progress) -> Result<Verified> {
    let scratch = Folder::new("ferry-verify")?;
    let folder = store.fetch(name, &scratch.0, progress).await?;
    let manifest = Manifest::read(&folder)?;
    let verdict = judge(&folder, manifest, progress).await?;
    if let Err(error) = &verdict {
        store.mark_failed(name, &format!("{error:#}\n")).await?;
    }
    verdict
}

/// Tests the backup in this folder. The outer error says that the test is impossible here, and the inner one that the
/// backup failed it.
async fn judge(folder: &Path, manifest: Manifest, progress: &Progress) -> Result<Result<Verified>> {
    if let Err(error) = manifest.check_files(folder).await {
        return Ok(Err(error));
    }
    let server = Scratch::start().await.context(
        "starting a PostgreSQL server to restore the backup into; --no-verify makes a backup without this test",
    )?;
    let verdict = match suitable_admin(&server, &manifest).await {
        Ok(admin) => Ok(verify_on(&server, &admin, folder, manifest, progress).await),
        Err(error) => Err(error),
    };
    server.stop().await;
    verdict
}

/// Connects as the superuser of the server, provided that the server can hold what the backup was made of.
async fn suitable_admin(server: &Scratch, manifest: &Manifest) -> Result<Client> {
    let admin = Database::at(&server.admin_url())?.connect_session().await?;
    let (major, _) = server_version(&admin).await?;
    let made_on = manifest.server_major();
    ensure!(
        major >= made_on,
        "the test runs on PostgreSQL {major}, and the backup is of PostgreSQL {made_on}: install postgresql-{made_on} \
         and postgresql-{made_on}-cron and set IRONFERRY_PG_VERSION={made_on}, or say --no-verify"
    );
    Ok(admin)
}

async fn verify_on(
    server: &Scratch,
    admin: &Client,
    folder: &Path,
    manifest: Manifest,
    progress: &Progress,
) -> Result<Verified> {
    let (major, _) = server_version(admin).await?;
    let programs = Programs::for_server(major).await?;
    let database = Database::at(&server.url())?;
    let mut unverified = Vec::new();
    let how = How { without: missing_extensions(admin, &manifest).await?, ..How::default() };
    for extension in &how.without {
        unverified.push(describe(extension, &manifest));
    }
    let complaints = if manifest.files.contains_key(PLATFORM) {
        make_platform(&folder.join(PLATFORM), admin, &database, &programs).await?
    } else {
        unverified.push(
            "the platform's tables: the backup has no definitions of them, so it met stand-ins".to_owned(),
        );
        Vec::new()
    };
    let restored = restore_folder(folder, manifest, &database, &how, progress).await;
    let restored = match complaints.as_slice() {
        [] => restored?,
        some => restored.with_context(|| {
            format!(
                "some of the platform's own definitions could not be made for the test: {}",
                some.join("; ")
            )
        })?,
    };
    let left_out = how.missing_tables(&restored.manifest);
    let counted = restored.manifest.rows.iter().filter(|(table, _)| !left_out.contains(*table));
    let rows: Vec<i64> = counted.map(|(_, rows)| *rows).collect();
    let roles = restored.missing_roles.iter();
    unverified.extend(roles.map(|role| format!("grants to the role {role}: only the platform has it")));
    Ok(Verified { tables: rows.len(), rows: rows.iter().sum(), unverified })
}

fn describe(extension: &str, manifest: &Manifest) -> String {
    match manifest.needs.get(extension) {
        None => {
            format!("extension {extension}: not installed on this machine; nothing in the backup needs it")
        }
        Some(needed) if needed.tables.is_empty() => {
            format!(
                "extension {extension} and {} objects that need it: not installed on this machine",
                needed.objects.len()
            )
        }
        Some(needed) => format!(
            "extension {extension} and what needs it, with the tables {}: not installed on this machine",
            needed.tables.join(", ")
        ),
    }
}

/// Makes the extensions that only a superuser can make, from this machine's own files. Returns those that are missing.
async fn missing_extensions(admin: &Client, manifest: &Manifest) -> Result<BTreeSet<String>> {
    let names: Vec<&str> = manifest.extensions.keys().map(String::as_str).collect();
    let offered = admin.query(include_str!("sql/extensions.sql"), &[&names]).await?;
    let offered: BTreeMap<String, bool> =
        offered.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_>>()?;
    let mut missing = BTreeSet::new();
    for (name, schema) in &manifest.extensions {
        let Some(needs_superuser) = offered.get(name) else {
            missing.insert(name.clone());
            continue;
        };
        if schema != "pg_catalog" {
            admin
                .batch_execute(&format!(
                    "create schema if not exists {} authorization postgres",
                    quoted(schema)
                ))
                .await?;
        }
        if *needs_superuser {
            let make =
                format!("create extension if not exists {} with schema {}", quoted(name), quoted(schema));
            if admin.batch_execute(&make).await.is_err() {
                missing.insert(name.clone());
            }
        }
    }
    Ok(missing)
}

/// Makes the platform's tables, types and functions as the project has them, in place of our stand-ins. `postgres` makes
/// them: nothing of a backup runs as a superuser, so what needs one fails. Returns the failures, which matter only
/// when the backup refers to what is missing.
async fn make_platform(
    dump: &Path,
    admin: &Client,
    database: &Database,
    programs: &Programs,
) -> Result<Vec<String>> {
    const LEFT_OUT: [&str; 5] = [" SCHEMA - ", " TRIGGER ", " POLICY ", " COMMENT ", " PUBLICATION "];
    let list = list(dump, programs).await?;
    admin.batch_execute(include_str!("sql/verify_platform.sql")).await?;
    for line in list.lines() {
        // `7; 2615 16500 SCHEMA - auth supabase_admin`
        let Some(schema) = line.split_once(" SCHEMA - ").and_then(|(_, rest)| rest.split(' ').next()) else {
            continue;
        };
        let schema = quoted(schema);
        let make =
            format!("drop schema if exists {schema} cascade; create schema {schema} authorization postgres");
        admin.batch_execute(&make).await.with_context(|| format!("making the schema {schema}"))?;
    }
    let kept =
        list.lines().filter(|line| line.starts_with(';') || !LEFT_OUT.iter().any(|kind| line.contains(kind)));
    let kept = PathList::new(kept)?;
    let mut command = programs.on("pg_restore", database);
    command.args([
        "--dbname=postgres",
        "--no-owner",
        "--no-privileges",
        "--no-comments",
        "--no-password",
        "--use-list",
    ]);
    let output = command.arg(&kept.path).arg(dump).output().await.context("starting pg_restore")?;
    let told = String::from_utf8_lossy(&output.stderr);
    Ok(told.lines().filter_map(|line| Some(line.split_once("ERROR:")?.1.trim().to_owned())).take(5).collect())
}
