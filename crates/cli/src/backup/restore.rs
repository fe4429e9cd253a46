//! Restores a backup, into a database that is empty, in one transaction: all of it or nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio_postgres::Client;

use super::{
    ACCOUNTS, DATABASE, EXTRAS, JOBS, Manifest, Progress, ROLES, Store, count_rows, run, schemas,
    server_version, succeeded, texts,
};
use crate::database::Database;
use crate::database::programs::Programs;
use crate::stack::scratch::Scratch;

/// What was brought back.
#[derive(Debug)]
pub struct Restored {
    /// Of the backup.
    pub manifest: Manifest,
    /// Secrets that the Vault of the backup had and this one does not.
    pub missing_secrets: Vec<String>,
    /// Whether the jobs of pg_cron were set going.
    pub jobs_run: bool,
}

/// A backup that was restored for a test.
#[derive(Debug)]
pub struct Verified {
    /// Tables whose rows were counted and found.
    pub tables: usize,
    /// Rows in them.
    pub rows: i64,
}

/// Restores the backup of this name into an empty database. Its jobs are made and switched off,
/// unless `with_jobs`: a copy that acts as the original is a surprise.
///
/// # Errors
/// When the database is not empty, a file of the backup was changed, or something cannot be
/// restored. Then the database is as it was.
pub async fn restore(
    store: &Store,
    name: &str,
    database: &Database,
    with_jobs: bool,
    progress: &Progress,
) -> Result<Restored> {
    let scratch = Folder::new("ferry-restore")?;
    let folder = store.fetch(name, &scratch.0, progress).await?;
    restore_folder(&folder, database, with_jobs, progress).await
}

/// Restores a backup into a server made for it, which is gone afterwards, and counts the rows.
///
/// # Errors
/// When it cannot be restored, or a table has other rows than the manifest says.
pub async fn verify(store: &Store, name: &str, progress: &Progress) -> Result<Verified> {
    let scratch = Folder::new("ferry-verify")?;
    let folder = store.fetch(name, &scratch.0, progress).await?;
    let server = Scratch::start().await.context("starting a server to restore the backup into")?;
    let database = Database::at(&server.url())?;
    let restored = restore_folder(&folder, &database, false, progress).await;
    server.stop().await;
    let manifest = restored?.manifest;
    Ok(Verified { tables: manifest.rows.len(), rows: manifest.row_count() })
}

async fn restore_folder(
    folder: &Path,
    database: &Database,
    with_jobs: bool,
    progress: &Progress,
) -> Result<Restored> {
    let manifest = Manifest::read(folder)?;
    manifest.check_files(folder).await?;
    let client = database.connect_session().await?;
    client.batch_execute("set statement_timeout = 0").await?;
    refuse_unless_empty(&client, database).await?;
    let (major, _) = server_version(&client).await?;
    let made_on: u32 = manifest.server.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < made_on {
        bail!(
            "{database} is PostgreSQL {major}, and the backup is of PostgreSQL {made_on}: restore into {made_on} or newer"
        );
    }
    let programs = Programs::for_server(major.max(made_on)).await?;
    load(folder, &manifest, &client, database, &programs, with_jobs, progress).await?;

    client.batch_execute("analyze").await?;
    let tables: Vec<String> = manifest.rows.keys().cloned().collect();
    let found = count_rows(&client, &tables, progress).await?;
    compare(&manifest.rows, &found)?;
    let has_vault = client.query_one("select to_regclass('vault.secrets') is not null", &[]).await?;
    let known = if has_vault.try_get(0)? {
        texts(&client, "select name from vault.secrets where name is not null", &[]).await?
    } else {
        Vec::new()
    };
    let missing_secrets =
        manifest.vault_secrets.iter().filter(|name| !known.contains(name)).cloned().collect();
    Ok(Restored { manifest, missing_secrets, jobs_run: with_jobs })
}

async fn refuse_unless_empty(client: &Client, database: &Database) -> Result<()> {
    let mut found = texts(client, include_str!("sql/contents.sql"), &[&schemas(client).await?]).await?;
    for (table, what) in [("auth.users", "accounts in auth.users"), ("cron.job", "jobs of pg_cron")] {
        let there = client.query_one("select to_regclass($1) is not null", &[&table]).await?;
        if there.try_get(0)? {
            let count: i64 =
                client.query_one(&format!("select count(*) from {table}"), &[]).await?.try_get(0)?;
            found.extend((count > 0).then(|| format!("{count} {what}")));
        }
    }
    ensure!(
        found.is_empty(),
        "{database} is not empty: it has {}{}. Restore into a new project or database; nothing was changed",
        found[..found.len().min(4)].join(", "),
        if found.len() > 4 { format!(" and {} more", found.len() - 4) } else { String::new() }
    );
    Ok(())
}

fn compare(wanted: &BTreeMap<String, i64>, found: &BTreeMap<String, i64>) -> Result<()> {
    let differ: Vec<String> = wanted
        .iter()
        .filter(|(table, rows)| found.get(*table) != Some(rows))
        .map(|(table, rows)| {
            format!("{table} has {} rows instead of {rows}", found.get(table).copied().unwrap_or(0))
        })
        .collect();
    ensure!(differ.is_empty(), "the restored database is not the one of the backup: {}", differ.join(", "));
    Ok(())
}

/// One psql gets everything, in the order in which it depends on each other.
async fn load(
    folder: &Path,
    manifest: &Manifest,
    client: &Client,
    database: &Database,
    programs: &Programs,
    with_jobs: bool,
    progress: &Progress,
) -> Result<()> {
    let list = contents(folder, client, programs).await?;
    let mut psql = Psql::start(programs, database).await?;
    let steps = async {
        psql.say("set statement_timeout = 0; set client_min_messages = warning;\n").await?;
        psql.say(&std::fs::read_to_string(folder.join(ROLES))?).await?;
        for (name, schema) in &manifest.extensions {
            let (name, schema) = (quoted(name), quoted(schema));
            psql.say(&format!("create extension if not exists {name} with schema {schema};\n")).await?;
        }
        let database_dump = folder.join(DATABASE);
        progress.show(1, 5, "tables and functions");
        psql.pour(programs, &database_dump, &["--section=pre-data"], Some(&list)).await?;
        progress.show(2, 5, "accounts");
        psql.pour(programs, &folder.join(ACCOUNTS), &["--data-only"], None).await?;
        progress.show(3, 5, "rows");
        psql.pour(programs, &database_dump, &["--section=data"], Some(&list)).await?;
        progress.show(4, 5, "indexes, keys and policies");
        psql.pour(programs, &database_dump, &["--section=post-data"], Some(&list)).await?;
        psql.say("reset search_path;\n").await?;
        psql.say(&std::fs::read_to_string(folder.join(EXTRAS))?).await?;
        psql.say(&std::fs::read_to_string(folder.join(JOBS))?).await?;
        if manifest.jobs > 0 && !with_jobs {
            psql.say("select cron.alter_job(jobid, active := false) from cron.job;\n").await?;
        }
        anyhow::Ok(())
    };
    let poured = steps.await;
    progress.clear();
    psql.end(poured).await
}

/// The dump's list of contents, without what a new database has or its role may not make.
async fn contents(folder: &Path, client: &Client, programs: &Programs) -> Result<PathList> {
    let role: String = client.query_one("select current_user::text", &[]).await?.try_get(0)?;
    let mut command = programs.plain("pg_restore");
    command.arg("--list").arg(folder.join(DATABASE));
    let list = run(command, "pg_restore --list").await?;
    let list = String::from_utf8(list).context("the list of the dump")?;
    let others_defaults = |line: &str| line.contains(" DEFAULT ACL ") && !line.ends_with(&format!(" {role}"));
    let kept = list.lines().filter(|line| {
        !line.contains(" SCHEMA - public ")
            && !line.contains(" COMMENT - SCHEMA public ")
            && !others_defaults(line)
    });
    let scratch = Folder::new("ferry-list")?;
    let path = scratch.0.join("list");
    std::fs::write(&path, kept.collect::<Vec<_>>().join("\n") + "\n")?;
    Ok(PathList { path, _scratch: scratch })
}

struct PathList {
    path: PathBuf,
    _scratch: Folder,
}

/// A folder that is gone when this is.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self> {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self::at(std::env::temp_dir().join(format!("{name}-{}-{number}", std::process::id())))
    }

    /// A new one at this place, for the eyes of its owner only.
    pub(crate) fn at(path: PathBuf) -> Result<Self> {
        let making = || format!("making the folder {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(making)?;
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&path)
            .with_context(making)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A psql that runs all it is told in one transaction, and stops at the first error. The transaction is told too:
/// with `--single-transaction` the end of the input commits, and so would the death of who talks to it.
pub(crate) struct Psql {
    child: Child,
    input: Option<ChildStdin>,
    complaint: tokio::task::JoinHandle<String>,
}

impl Psql {
    pub(crate) async fn start(programs: &Programs, database: &Database) -> Result<Self> {
        let mut command = programs.on("psql", database);
        command.args(["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting psql")?;
        let mut errors = child.stderr.take().context("psql has an output")?;
        let complaint = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut psql = Self { input: child.stdin.take(), child, complaint };
        psql.say("begin;\n").await?;
        Ok(psql)
    }

    pub(crate) async fn say(&mut self, statements: &str) -> Result<()> {
        let input = self.input.as_mut().context("psql listens")?;
        Ok(input.write_all(statements.as_bytes()).await?)
    }

    /// What pg_restore makes of a dump, without a copy on the disk.
    async fn pour(
        &mut self,
        programs: &Programs,
        dump: &Path,
        arguments: &[&str],
        list: Option<&PathList>,
    ) -> Result<()> {
        let mut command = programs.plain("pg_restore");
        command.args(["--file=-", "--no-owner"]).args(arguments);
        if let Some(list) = list {
            command.arg("--use-list").arg(&list.path);
        }
        command.arg(dump);
        self.pipe(command, "pg_restore").await
    }

    /// What a program prints.
    pub(crate) async fn pipe(&mut self, mut command: tokio::process::Command, what: &str) -> Result<()> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {what}"))?;
        let mut output = child.stdout.take().context("it has an output")?;
        let mut errors = child.stderr.take().context("it has an output")?;
        let input = self.input.as_mut().context("psql listens")?;
        let mut complaint = String::new();
        let copying = async move {
            let copied = tokio::io::copy(&mut output, input).await;
            // Where psql is gone, the program shall not wait until somebody reads on.
            drop(output);
            copied
        };
        let (copied, read) = tokio::join!(copying, errors.read_to_string(&mut complaint));
        copied?;
        read?;
        succeeded(what, child.wait().await?, &complaint)
    }

    /// Commits when all was said; else goes back to where it began, and tells why.
    pub(crate) async fn end(mut self, said: Result<()>) -> Result<()> {
        let said = match said {
            Ok(()) => self.say("commit;\n").await,
            failed => failed,
        };
        let own = match said {
            // A broken pipe only says that psql ended early; psql says why.
            Err(error) if !is_broken_pipe(&error) => Some(error),
            _ => None,
        };
        drop(self.input.take());
        let status = self.child.wait().await?;
        let complaint = self.complaint.await.unwrap_or_default();
        own.map_or_else(|| succeeded("psql", status, &complaint), Err)
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_pipe = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_pipe))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
