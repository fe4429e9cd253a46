//! Restores a backup, into a database that is empty, in one transaction: all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio_postgres::Client;

use super::{
    ACCOUNTS, DATABASE, DefaultPrivilege, EXTRAS, GRANTS, JOBS, Manifest, Progress, ROLES, Store, count_rows,
    grants, run, schemas, server_version, succeeded, texts,
};
use crate::database::Database;
use crate::database::programs::Programs;

/// What was brought back.
#[derive(Debug)]
pub struct Restored {
    /// Of the backup.
    pub manifest: Manifest,
    /// Secrets that the Vault of the backup had and this one does not.
    pub missing_secrets: Vec<String>,
    /// Whether the jobs of pg_cron were set going.
    pub jobs_run: bool,
    /// Roles that grants of the backup name and this database lacks.
    pub missing_roles: Vec<String>,
    /// Default privileges that differ from those of the backup, in words.
    pub differences: Vec<String>,
}

/// How a backup is restored.
#[derive(Debug, Default)]
pub(super) struct How {
    /// Whether to set the jobs of pg_cron going.
    pub(super) with_jobs: bool,
    /// Extensions that this server cannot have. They and all that needs them are left out.
    pub(super) without: BTreeSet<String>,
}

impl How {
    /// Tables that are left out.
    pub(super) fn missing_tables(&self, manifest: &Manifest) -> BTreeSet<String> {
        let needs = self.without.iter().filter_map(|extension| manifest.needs.get(extension));
        needs.flat_map(|needed| needed.tables.iter().cloned()).collect()
    }
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
    let manifest = Manifest::read(&folder)?;
    manifest.check_files(&folder).await?;
    refuse_unless_empty(&database.connect_session().await?, database).await?;
    restore_folder(&folder, manifest, database, &How { with_jobs, ..How::default() }, progress).await
}

/// Restores a backup whose files were checked into a database that is known to be empty.
pub(super) async fn restore_folder(
    folder: &Path,
    manifest: Manifest,
    database: &Database,
    how: &How,
    progress: &Progress,
) -> Result<Restored> {
    let client = database.connect_session().await?;
    client.batch_execute("set statement_timeout = 0").await?;
    let (major, _) = server_version(&client).await?;
    let made_on = manifest.server_major();
    if major < made_on {
        bail!(
            "{database} is PostgreSQL {major}, and the backup is of PostgreSQL {made_on}: restore into {made_on} or newer"
        );
    }
    let programs = Programs::for_server(major.max(made_on)).await?;
    let defaults_before = grants::default_privileges(&client).await?;
    load(folder, &manifest, &client, database, &programs, how, progress).await?;

    client.batch_execute("analyze").await?;
    let left_out = how.missing_tables(&manifest);
    let tables: Vec<String> =
        manifest.rows.keys().filter(|table| !left_out.contains(*table)).cloned().collect();
    let found = count_rows(&client, &tables, progress).await?;
    compare(&manifest.rows, &found, &left_out)?;
    let role = current_role(&client).await?;
    let differences = compare_defaults(&client, &manifest, &role, &defaults_before).await?;
    let missing_roles = grants::missing_roles(&client, &grants::of_backup(&folder.join(GRANTS))?).await?;
    let has_vault = client.query_one("select to_regclass('vault.secrets') is not null", &[]).await?;
    let known = if has_vault.try_get(0)? {
        texts(&client, "select name from vault.secrets where name is not null", &[]).await?
    } else {
        Vec::new()
    };
    let missing_secrets =
        manifest.vault_secrets.iter().filter(|name| !known.contains(name)).cloned().collect();
    Ok(Restored { manifest, missing_secrets, jobs_run: how.with_jobs, missing_roles, differences })
}

async fn current_role(client: &Client) -> Result<String> {
    Ok(client.query_one("select current_user::text", &[]).await?.try_get(0)?)
}

/// The default privileges that come with a backup: those of a schema that it brings, for the role that restores. What
/// holds for the whole database, or for schema `public`, is a setting of the project and stays as it is.
fn own_defaults<'a>(manifest: &'a Manifest, role: &'a str) -> impl Iterator<Item = &'a DefaultPrivilege> {
    manifest.default_privileges.iter().filter(move |default| {
        default.role == role
            && default
                .schema
                .as_ref()
                .is_some_and(|schema| schema != "public" && manifest.schemas.contains(schema))
    })
}

/// Fails when the default privileges are other ones than before the restore and those of the schemas that came.
/// Returns in words where they are not those of the backup.
async fn compare_defaults(
    client: &Client,
    manifest: &Manifest,
    role: &str,
    before: &[DefaultPrivilege],
) -> Result<Vec<String>> {
    let statements = |defaults: &mut dyn Iterator<Item = &DefaultPrivilege>| -> BTreeSet<String> {
        defaults.map(|default| default.statement.clone()).collect()
    };
    let now = statements(&mut grants::default_privileges(client).await?.iter());
    let wanted = statements(&mut before.iter().chain(own_defaults(manifest, role)));
    let changed: Vec<&str> = now.symmetric_difference(&wanted).map(String::as_str).collect();
    ensure!(changed.is_empty(), "the restore changed the default privileges: {}", changed.join("; "));
    let backup = statements(&mut manifest.default_privileges.iter());
    let lacks = backup.difference(&now).map(|statement| format!("the backup's project had `{statement}`"));
    let adds = now.difference(&backup).map(|statement| format!("only this database has `{statement}`"));
    Ok(lacks.chain(adds).collect())
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

fn compare(
    wanted: &BTreeMap<String, i64>,
    found: &BTreeMap<String, i64>,
    left_out: &BTreeSet<String>,
) -> Result<()> {
    let differ: Vec<String> = wanted
        .iter()
        .filter(|(table, rows)| !left_out.contains(*table) && found.get(*table) != Some(rows))
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
    how: &How,
    progress: &Progress,
) -> Result<()> {
    let role = current_role(client).await?;
    let list = contents(folder, manifest, how, programs).await?;
    let grants = grants::of_backup(&folder.join(GRANTS))?;
    let is_whole = how.without.is_empty();
    let mut psql = Psql::start(programs, database).await?;
    let steps = async {
        psql.say("set statement_timeout = 0; set client_min_messages = warning;\n").await?;
        psql.say(&std::fs::read_to_string(folder.join(ROLES))?).await?;
        for (name, schema) in manifest.extensions.iter().filter(|(name, _)| !how.without.contains(*name)) {
            if manifest.schemas.contains(schema) {
                psql.say(&format!("create schema if not exists {};\n", quoted(schema))).await?;
            }
            let (name, schema) = (quoted(name), quoted(schema));
            psql.say(&format!("create extension if not exists {name} with schema {schema};\n")).await?;
        }
        let database_dump = folder.join(DATABASE);
        // A comment on something that was left out fails, and its line in the list does not say what it belongs to.
        let options = |section| {
            let mut options = vec![section, "--no-privileges"];
            options.extend((!is_whole).then_some("--no-comments"));
            options
        };
        progress.show(1, 5, "tables and functions");
        psql.pour(programs, &database_dump, &options("--section=pre-data"), Some(&list)).await?;
        progress.show(2, 5, "accounts");
        psql.pour(programs, &folder.join(ACCOUNTS), &["--data-only"], None).await?;
        progress.show(3, 5, "rows");
        psql.pour(programs, &database_dump, &options("--section=data"), Some(&list)).await?;
        progress.show(4, 5, "indexes, keys and policies");
        psql.pour(programs, &database_dump, &options("--section=post-data"), Some(&list)).await?;
        psql.say("reset search_path;\n").await?;
        psql.say(&std::fs::read_to_string(folder.join(EXTRAS))?).await?;
        psql.say(&grants::statements(&manifest.schemas, &grants, !is_whole)?).await?;
        for default in own_defaults(manifest, &role) {
            psql.say(&format!("{};\n", default.statement)).await?;
        }
        psql.say(&std::fs::read_to_string(folder.join(JOBS))?).await?;
        if manifest.jobs > 0 && !how.with_jobs {
            psql.say("select cron.alter_job(jobid, active := false) from cron.job;\n").await?;
        }
        anyhow::Ok(())
    };
    let poured = steps.await;
    progress.clear();
    psql.end(poured).await
}

/// The dump's list of contents, without what a new database has and what needs an extension that is left out.
async fn contents(folder: &Path, manifest: &Manifest, how: &How, programs: &Programs) -> Result<PathList> {
    let made_before = |line: &str| {
        let is_made = |schema: &String| {
            line.contains(&format!(" SCHEMA - {schema} ")) && manifest.schemas.contains(schema)
        };
        line.contains(" SCHEMA - public ")
            || line.contains(" COMMENT - SCHEMA public ")
            || manifest.extensions.values().any(is_made)
    };
    let needs = how.without.iter().filter_map(|extension| manifest.needs.get(extension));
    let left_out: BTreeSet<(u32, u32)> = needs.flat_map(|needed| needed.objects.iter().copied()).collect();
    let list = list(&folder.join(DATABASE), programs).await?;
    PathList::new(without(&list, &left_out).into_iter().filter(|line| !made_before(line)))
}

/// What `pg_restore --list` prints.
pub(super) async fn list(dump: &Path, programs: &Programs) -> Result<String> {
    let mut command = programs.plain("pg_restore");
    command.arg("--list").arg(dump);
    String::from_utf8(run(command, "pg_restore --list").await?).context("the list of the dump")
}

/// What a list of contents names without a number: the owner of a sequence, its value and the place of a partition.
const BY_NAME: [&str; 4] = ["SEQUENCE OWNED BY ", "SEQUENCE SET ", "TABLE ATTACH ", "INDEX ATTACH "];

/// The number of `pg_class` in a list of contents.
const RELATIONS: u32 = 1259;

/// Catalog, object and description in a line of a list: `215; 1259 16389 TABLE public cars owner`.
fn object(line: &str) -> Option<(u32, u32, &str)> {
    let mut words = line.split_once("; ")?.1.splitn(3, ' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?))
}

/// The lines of a list that do not belong to one of these objects.
fn without<'a>(list: &'a str, left_out: &BTreeSet<(u32, u32)>) -> Vec<&'a str> {
    // Rows and row level security of a table have its number and no catalog.
    let is_left_out = |class: u32, number: u32| {
        left_out.contains(&(class, number)) || class == 0 && left_out.contains(&(RELATIONS, number))
    };
    let mut names = BTreeSet::new();
    for line in list.lines() {
        let Some((class, number, what)) = object(line) else { continue };
        if is_left_out(class, number) {
            let name = ["TABLE ", "SEQUENCE ", "INDEX "].iter().find_map(|kind| what.strip_prefix(kind));
            names.extend(name);
        }
    }
    let stays = |line: &&str| {
        object(line).is_none_or(|(class, number, what)| {
            let name = BY_NAME.iter().find_map(|kind| what.strip_prefix(kind));
            !is_left_out(class, number) && name.is_none_or(|name| !names.contains(name))
        })
    };
    list.lines().filter(stays).collect()
}

/// A list of contents for `pg_restore --use-list`.
pub(super) struct PathList {
    pub(super) path: PathBuf,
    _scratch: Folder,
}

impl PathList {
    pub(super) fn new<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self> {
        let scratch = Folder::new("ferry-list")?;
        let path = scratch.0.join("list");
        std::fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n")?;
        Ok(Self { path, _scratch: scratch })
    }
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

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_extension_is_missing_for_is_left_out_with_all_that_belongs_to_it() {
        let list = "; Archive created\n\
            5; 1259 100 TABLE public cars postgres\n\
            6; 1259 101 SEQUENCE public cars_id_seq postgres\n\
            7; 0 0 SEQUENCE OWNED BY public cars_id_seq postgres\n\
            8; 1259 200 TABLE public bikes postgres\n\
            9; 0 100 TABLE DATA public cars postgres\n\
            10; 0 0 SEQUENCE SET public cars_id_seq postgres\n\
            11; 0 100 ROW SECURITY public cars postgres\n\
            12; 0 200 TABLE DATA public bikes postgres";
        let left_out = BTreeSet::from([(RELATIONS, 100), (RELATIONS, 101)]);
        let wanted = [
            "; Archive created",
            "8; 1259 200 TABLE public bikes postgres",
            "12; 0 200 TABLE DATA public bikes postgres",
        ];
        assert_eq!(without(list, &left_out), wanted);
        assert_eq!(without(list, &BTreeSet::new()).len(), 9);
    }
}
