//! Takes an existing Postgres into a project: its schema as a migration, its rows with it, all in
//! one transaction.
//!
//! [`Import::plan`] looks and changes nothing; [`Import::write`] writes the migration;
//! [`Import::load`] applies it with the rows in between, where no key or trigger hinders them.

mod access;
mod rewrite;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tokio_postgres::Client;

use crate::backup::{Progress, Psql, count_rows, run, schemas, server_version, texts};
use crate::database::Database;
use crate::database::programs::Programs;
use access::Access;
pub use access::ApiRole;
use rewrite::Member;

/// An import that is prepared. The source shows one moment as long as this lives.
pub struct Import {
    source: Database,
    client: Client,
    snapshot: String,
    programs: Programs,
    /// The schemas that are taken.
    pub schemas: Vec<String>,
    /// Rows by table.
    pub rows: BTreeMap<String, i64>,
    /// Extensions that are made in the project.
    pub extensions: Vec<String>,
    /// What stays behind, in words.
    pub left_out: Vec<String>,
    access: Access,
    before_rows: String,
    after_rows: String,
}

impl Import {
    /// Looks at a source, and whether the target can take it. Of the API's roles, only those in `granted` get any
    /// privilege.
    ///
    /// # Errors
    /// When one of them cannot be read, the target has a table of the same name, or lacks an extension.
    pub async fn plan(
        source: &Database,
        target: &Database,
        granted: &[ApiRole],
        progress: &Progress,
    ) -> Result<Self> {
        let client = source.connect_session().await?;
        client
            .batch_execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; begin isolation level repeatable read read only")
            .await?;
        let receiver = target.connect_session().await?;
        let (source_major, _) = server_version(&client).await?;
        let (target_major, _) = server_version(&receiver).await?;
        let programs = Programs::for_server(source_major.max(target_major)).await?;
        let own = schemas(&client).await?;
        let schemas: Vec<String> = own.into_iter().filter(|schema| schema != "supabase_migrations").collect();
        let tables = texts(&client, include_str!("../backup/sql/tables.sql"), &[&schemas]).await?;
        let tables: Vec<String> = tables.into_iter().filter(|table| !table.starts_with("auth.")).collect();
        let clashes = texts(&receiver, include_str!("sql/clashes.sql"), &[&tables]).await?;
        ensure!(clashes.is_empty(), "{target} already has {}; nothing was changed", clashes.join(", "));

        let extensions = extensions(&client, &receiver, target).await?;
        let snapshot: String =
            client.query_one("select pg_catalog.pg_export_snapshot()", &[]).await?.try_get(0)?;
        let left_out = texts(&client, include_str!("sql/left_out.sql"), &[]).await?;
        let rows = count_rows(&client, &tables, progress).await?;
        let mut import = Self {
            source: source.clone(),
            client,
            snapshot,
            programs,
            schemas,
            rows,
            extensions: extensions.keys().cloned().collect(),
            left_out,
            access: Access::new(granted),
            before_rows: String::new(),
            after_rows: String::new(),
        };
        import.read_schema(&extensions, &receiver).await?;
        Ok(import)
    }

    /// Rows of all tables.
    pub fn row_count(&self) -> i64 {
        self.rows.values().sum()
    }

    async fn read_schema(&mut self, extensions: &BTreeMap<String, String>, receiver: &Client) -> Result<()> {
        let found = self.client.query(include_str!("sql/extension_members.sql"), &[&self.schemas]).await?;
        let mut members = Vec::new();
        for row in found {
            let (name, extension, bare): (String, String, String) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if let Some(schema) = extensions.get(&extension) {
                members.push(Member { name, becomes: format!("{schema}.{}", quoted_where_needed(&bare)) });
            }
        }
        let mut before = "-- Without a search_path, and before the functions that functions call.\n\
            set check_function_bodies = off;\nselect pg_catalog.set_config('search_path', '', false);\n\n"
            .to_owned();
        for (name, schema) in extensions {
            let _ = writeln!(before, "create extension if not exists \"{name}\" with schema {schema};");
        }
        for role in texts(&self.client, include_str!("sql/policy_roles.sql"), &[&self.schemas]).await? {
            let name = role.replace('"', "\"\"");
            let _ = writeln!(
                before,
                "do $do$ begin create role \"{name}\" nologin; exception when duplicate_object then null; end $do$;"
            );
            self.left_out.push(format!(
                "role {role}: a policy names it, so one of that name is made where there is none; it cannot log in"
            ));
        }
        before += &rewrite::statements(&self.dump("pre-data").await?, &members);
        let mut after = rewrite::statements(&self.dump("post-data").await?, &members);
        after += "\n-- Closed until somebody says who may see what.\n";
        for table in self.rows.keys() {
            let _ = writeln!(after, "alter table {table} enable row level security;");
        }
        self.access.read(&self.client, receiver, &self.schemas, &members).await?;
        after += &self.access.statements();
        after += "reset search_path;\nreset check_function_bodies;\nnotify pgrst, 'reload schema';\n";
        (self.before_rows, self.after_rows) = (before, after);
        Ok(())
    }

    async fn dump(&self, section: &str) -> Result<String> {
        String::from_utf8(run(self.pg_dump(section), "pg_dump").await?).context("the schema is no UTF-8")
    }

    fn pg_dump(&self, section: &str) -> tokio::process::Command {
        let mut command = self.programs.on("pg_dump", &self.source);
        command.args([
            "--no-owner",
            "--no-privileges",
            "--no-publications",
            "--no-subscriptions",
            "--no-security-labels",
            "--no-tablespaces",
            "--no-password",
            "--encoding=UTF8",
        ]);
        command.arg(format!("--section={section}")).arg(format!("--snapshot={}", self.snapshot));
        command
            .args(self.schemas.iter().map(|schema| format!("--schema=\"{}\"", schema.replace('"', "\"\""))));
        for thing in &self.left_out {
            if let Some(table) = thing.strip_prefix("foreign table ") {
                command.arg(format!("--exclude-table={table}"));
            }
        }
        command
    }

    /// Writes the migration for a project, after all that it has.
    ///
    /// # Errors
    /// When the project's folder cannot be written.
    pub fn write(&self, project: &Path, name: &str, now: time::OffsetDateTime) -> Result<Migration> {
        let folder = project.join("supabase/migrations");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let entries =
            std::fs::read_dir(&folder)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let newest =
            entries.filter_map(|file| file.split('_').next()?.parse::<u64>().ok()).max().unwrap_or(0);
        let version = version(now).max(newest + 1);
        let file = format!("{version}_{name}");
        let migration = Migration {
            path: folder.join(format!("{file}.sql")),
            draft: folder.join(format!(".{file}.partial")),
            version,
            name: name.to_owned(),
        };
        let head = format!(
            "-- Taken from {} by `ferry db import`: {} tables of the schemas {}.\n-- {}\n\n",
            self.source,
            self.rows.len(),
            self.schemas.join(", "),
            self.access.summary()
        );
        std::fs::write(&migration.draft, format!("{head}{}\n{}", self.before_rows, self.after_rows))
            .with_context(|| format!("writing {}", migration.draft.display()))?;
        Ok(migration)
    }

    /// Applies the migration to the target, with the rows, and records it as the Supabase CLI does.
    ///
    /// # Errors
    /// When anything fails. Then the target is as it was.
    pub async fn load(&self, migration: &Migration, target: &Database, progress: &Progress) -> Result<()> {
        let mut psql = Psql::start(&self.programs, target).await?;
        let steps = async {
            psql.say("set statement_timeout = 0; set client_min_messages = warning;\n").await?;
            progress.show(1, 3, "tables and functions");
            psql.say(&self.before_rows).await?;
            progress.show(2, 3, "rows");
            psql.pipe(self.pg_dump("data"), "pg_dump").await?;
            progress.show(3, 3, "indexes, keys and policies");
            psql.say(&self.after_rows).await?;
            psql.say(&format!(
                "create schema if not exists supabase_migrations;\n\
                 create table if not exists supabase_migrations.schema_migrations (version text not null primary key, statements text[], name text);\n\
                 insert into supabase_migrations.schema_migrations (version, name) values ('{}', '{}');\n",
                migration.version,
                migration.name.replace('\'', "''")
            ))
            .await
        };
        let poured = steps.await;
        progress.clear();
        psql.end(poured).await
    }

    /// Tells in a sentence which of the API's roles get privileges.
    pub fn access_summary(&self) -> String {
        self.access.summary()
    }

    /// Counts what arrived, and compares what the API's roles may do with it.
    ///
    /// # Errors
    /// When the target cannot be asked, has other rows than the source, or grants what was not asked for.
    pub async fn check(&self, target: &Database, progress: &Progress) -> Result<()> {
        let receiver = target.connect_session().await?;
        receiver.batch_execute("set statement_timeout = 0; analyze").await?;
        let tables: Vec<String> = self.rows.keys().cloned().collect();
        let found = count_rows(&receiver, &tables, progress).await?;
        for (table, rows) in &self.rows {
            let arrived = found.get(table).copied().unwrap_or(0);
            ensure!(arrived == *rows, "{table} has {arrived} rows, and the source {rows}");
        }
        self.access.check(&receiver, &self.schemas).await
    }
}

/// A migration that is no file of the project's yet: applied without its rows, it would be half of an import.
/// It is gone when this is, unless kept.
pub struct Migration {
    path: PathBuf,
    draft: PathBuf,
    version: u64,
    name: String,
}

impl Migration {
    /// Makes it one of the project's. Gives its path.
    ///
    /// # Errors
    /// When the project's folder cannot be written.
    pub fn keep(self) -> Result<PathBuf> {
        std::fs::rename(&self.draft, &self.path)
            .with_context(|| format!("making {}", self.path.display()))?;
        Ok(self.path.clone())
    }
}

impl Drop for Migration {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.draft);
    }
}

/// The source's extensions, each with the schema that it gets: where it is already, else `extensions`.
async fn extensions(
    client: &Client,
    receiver: &Client,
    target: &Database,
) -> Result<BTreeMap<String, String>> {
    let wanted =
        texts(client, "select extname::text from pg_catalog.pg_extension where extname <> 'plpgsql'", &[])
            .await?;
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    for name in wanted {
        let row = receiver
            .query_opt(
                "select available.name::text, namespace.nspname::text from pg_catalog.pg_available_extensions as available
                 left join pg_catalog.pg_extension as installed on installed.extname = available.name
                 left join pg_catalog.pg_namespace as namespace on namespace.oid = installed.extnamespace
                 where available.name = $1",
                &[&name],
            )
            .await?;
        match row {
            None => missing.push(name),
            Some(row) => {
                let schema = row.try_get::<_, Option<String>>(1)?.unwrap_or_else(|| match name.as_str() {
                    "pg_cron" => "pg_catalog".to_owned(),
                    _ => "extensions".to_owned(),
                });
                found.insert(name, schema);
            }
        }
    }
    ensure!(
        missing.is_empty(),
        "{target} does not offer the extensions {}; nothing was changed",
        missing.join(", ")
    );
    Ok(found)
}

fn quoted_where_needed(name: &str) -> String {
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// `20261121143000`
fn version(now: time::OffsetDateTime) -> u64 {
    let parts = [u8::from(now.month()), now.day(), now.hour(), now.minute(), now.second()];
    parts
        .iter()
        .fold(u64::try_from(now.year()).unwrap_or(0), |version, part| version * 100 + u64::from(*part))
}
