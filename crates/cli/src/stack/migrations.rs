//! Migrations, by the real Supabase CLI, as role `postgres`.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio_postgres::Client;

use super::logs::Log;
use super::{postgres, tools};
use crate::database::{ask_all, ask_one};

/// Applies what is new; the seed comes once. Returns how many were new.
pub(crate) async fn apply(project: &Path, database: &str, unseeded: bool, log: &Log) -> Result<usize> {
    let seed = unseeded && project.join("supabase/seed.sql").exists();
    let new = pending(project, database).await?.len();
    if new == 0 && !seed {
        return Ok(0);
    }
    let mut command = Command::new(tools::supabase(project)?);
    command
        .args(["db", "push", "--yes", "--include-all", "--workdir"])
        .arg(project)
        .arg(format!("--remote={database}"));
    if seed {
        command.arg("--include-seed");
    }
    command.env("DO_NOT_TRACK", "1").env("SUPABASE_TELEMETRY_DISABLED", "1").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("starting the Supabase CLI")?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (said, complained) = tokio::join!(read(output, log), read(errors, log));
    if !child.wait().await?.success() {
        bail!("supabase db push failed:\n{said}{complained}");
    }
    Ok(new)
}

async fn pending(project: &Path, database: &str) -> Result<Vec<String>> {
    if versions(project).is_empty() {
        return Ok(Vec::new());
    }
    pending_in(&postgres::connect(database).await?, project).await
}

/// The versions of the migration files that the database has not seen, in their order.
pub(crate) async fn pending_in(client: &Client, project: &Path) -> Result<Vec<String>> {
    let mut versions = versions(project);
    let known =
        ask_one(client, "select to_regclass('supabase_migrations.schema_migrations') is not null", &[])
            .await?;
    if known.get(0) {
        let rows = ask_all(client, "select version from supabase_migrations.schema_migrations", &[]).await?;
        versions.retain(|version| !rows.iter().any(|row| row.get::<_, &str>(0) == version));
    }
    versions.sort();
    Ok(versions)
}

/// `20261201090000` of `20261201090000_receive_webhook.sql`, for each file of that form.
fn versions(project: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(project.join("supabase/migrations")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (version, _) = name.strip_suffix(".sql")?.split_once('_')?;
            version.bytes().all(|byte| byte.is_ascii_digit()).then(|| version.to_owned())
        })
        .collect()
}

async fn read(stream: Option<impl tokio::io::AsyncRead + Unpin>, log: &Log) -> String {
    let mut text = String::new();
    let Some(stream) = stream else { return text };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.line(&line);
        text.push_str(&line);
        text.push('\n');
    }
    text
}
