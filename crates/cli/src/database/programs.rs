//! The programs of PostgreSQL that work on a database.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::Database;
use crate::stack::tools;

/// A program that fits a server.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: std::path::PathBuf,
    /// `15.20`
    pub(crate) version: String,
}

impl Programs {
    /// Finds pg_dump and its siblings, new enough for a server of this major version.
    ///
    /// # Errors
    /// When there are none, or only older ones, which refuse to dump a newer server.
    pub(crate) async fn for_server(major: u32) -> Result<Self> {
        let mut newest: Option<(u32, Self)> = None;
        for folder in tools::postgres_clients() {
            let Ok(version) = version(&folder.join("pg_dump")).await else { continue };
            let found = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
            if found >= major {
                return Ok(Self { folder, version });
            }
            if newest.as_ref().is_none_or(|(newest, _)| found > *newest) {
                newest = Some((found, Self { folder, version }));
            }
        }
        match newest {
            None => bail!("pg_dump is not installed. Run scripts/setup, or: {}", how_to_install(major)),
            Some((_, Self { version, folder })) => bail!(
                "the server is PostgreSQL {major} and {} is {version}, which cannot read a newer server. Run: {}",
                folder.join("pg_dump").display(),
                how_to_install(major)
            ),
        }
    }

    /// A program with this database in its environment. It ends with us.
    pub(crate) fn on(&self, program: &str, database: &Database) -> Command {
        let mut command = self.plain(program);
        command.envs(database.address().environment());
        command
    }

    /// A program without any database.
    pub(crate) fn plain(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        // What the user set for psql shall not meddle with a dump.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn how_to_install(major: u32) -> String {
    tools::install_postgres(&format!("postgresql-client-{major}"))
}

async fn version(program: &std::path::Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "pg_dump (PostgreSQL) 15.20 (Debian …)"
    let version = text.split_whitespace().nth(2).map(str::to_owned);
    version.filter(|_| output.status.success()).context("it tells no version")
}
