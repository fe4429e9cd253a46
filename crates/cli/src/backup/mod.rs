//! Backups of a project's database: made, kept, and restored.
//!
//! `make` dumps, `restore` brings back, `verify` restores for a test, `grants` compares who may do what, `manifest` is
//! what a backup says of itself, `store` where backups are and `keep` how long. A backup is a folder:
//!
//! | file | what it holds |
//! |---|---|
//! | `database.dump` | the project's own schemas, pg_dump's custom format, compressed |
//! | `accounts.dump` | the rows of schema `auth`: the platform makes the tables |
//! | `platform.dump` | the definitions of the platform's tables, for a restore that is a test |
//! | `grants.json` | who may do what with the objects of `database.dump` |
//! | `roles.sql` | roles that the project made, without passwords |
//! | `jobs.sql` | the jobs of pg_cron |
//! | `extras.sql` | triggers, policies and publications on the platform's tables |
//! | `manifest.json` | checksums, versions, rows by table, names of the Vault's secrets |

pub(crate) mod grants;
mod keep;
mod make;
mod manifest;
mod progress;
mod restore;
mod store;
mod verify;

use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;
use tokio_postgres::Client;

pub use grants::DefaultPrivilege;
pub use keep::Keep;
pub use make::{Made, make, prune};
pub use manifest::{FileSum, Manifest, Needed};
pub use progress::Progress;
pub(crate) use restore::Psql;
pub use restore::{Restored, restore};
pub use store::Store;
pub use verify::{Verified, verify};

const DATABASE: &str = "database.dump";
const ACCOUNTS: &str = "accounts.dump";
const PLATFORM: &str = "platform.dump";
const GRANTS: &str = "grants.json";
const ROLES: &str = "roles.sql";
const JOBS: &str = "jobs.sql";
const EXTRAS: &str = "extras.sql";

/// The first column of all rows, as text.
pub(crate) async fn texts(
    client: &Client,
    query: &str,
    parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Vec<String>> {
    let rows = client
        .query(query, parameters)
        .await
        .with_context(|| format!("asking: {}", query.lines().next().unwrap_or_default()))?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Major version and whole version of a server: `(15, "15.20")`.
pub(crate) async fn server_version(client: &Client) -> Result<(u32, String)> {
    let row = client
        .query_one("select current_setting('server_version_num')::integer / 10000, split_part(current_setting('server_version'), ' ', 1)", &[])
        .await?;
    Ok((u32::try_from(row.try_get::<_, i32>(0)?)?, row.try_get(1)?))
}

/// The project's own schemas.
pub(crate) async fn schemas(client: &Client) -> Result<Vec<String>> {
    texts(client, include_str!("sql/schemas.sql"), &[]).await
}

/// Rows by table.
pub(crate) async fn count_rows(
    client: &Client,
    tables: &[String],
    progress: &Progress,
) -> Result<std::collections::BTreeMap<String, i64>> {
    let mut rows = std::collections::BTreeMap::new();
    for (done, table) in tables.iter().enumerate() {
        progress.show(done as u64, tables.len() as u64, &format!("counting {table}"));
        let row = client.query_one(&format!("select count(*) from {table}"), &[]).await;
        rows.insert(table.clone(), row.with_context(|| format!("counting the rows of {table}"))?.try_get(0)?);
    }
    progress.clear();
    Ok(rows)
}

/// Runs a program to its end; what it complained of is the error.
pub(crate) async fn run(mut command: Command, what: &str) -> Result<Vec<u8>> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().await.with_context(|| format!("starting {what}"))?;
    succeeded(what, output.status, &String::from_utf8_lossy(&output.stderr))?;
    Ok(output.stdout)
}

/// Makes an error of a program's failure, with the lines that tell why.
pub(crate) fn succeeded(what: &str, status: ExitStatus, complaint: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let telling: Vec<&str> = complaint
        .lines()
        .filter(|line| ["error", "ERROR", "FATAL", "DETAIL", "HINT"].iter().any(|word| line.contains(word)))
        .take(8)
        .collect();
    let all: Vec<&str> = complaint.lines().rev().take(8).collect();
    let told = if telling.is_empty() { all.into_iter().rev().collect::<Vec<_>>() } else { telling };
    bail!("{what} failed ({status}):\n{}", told.join("\n"))
}
