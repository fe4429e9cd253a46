//! A server for a moment, with the roles and schemas of a hosted project and nothing else.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Signal, kill_process};
use tokio::process::Child;

use super::files::make_closed_folder;
use super::ports::Claim;
use super::postgres::{self, Postgres};
use super::process::pid;

/// On a machine with other work.
const STARTS_WITHIN: Duration = Duration::from_mins(1);
const STOPS_WITHIN: Duration = Duration::from_secs(20);

/// A private Postgres. Ends with [`Scratch::stop`], or when dropped.
pub(crate) struct Scratch {
    postgres: Postgres,
    child: Child,
    folders: Vec<PathBuf>,
    _claim: Claim,
}

impl Scratch {
    /// Makes the server and waits until it answers.
    ///
    /// # Errors
    /// When PostgreSQL with `pg_cron` is not installed, or does not start.
    pub(crate) async fn start() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ferry-scratch-{}-{number}", std::process::id()));
        make_closed_folder(&folder, 0o711)?;
        let root = postgres::root_for(&folder)?;
        let claim = Claim::any()?;
        let folders = vec![root.clone(), folder];
        let prepare = || Postgres::prepare(&root, claim.port(), false);
        let started = async {
            let postgres = prepare()?;
            postgres.initialise().await?;
            let mut command = postgres.server(true).command();
            let child =
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("starting postgres")?;
            anyhow::Ok((postgres, child))
        };
        let (postgres, child) = match started.await {
            Ok(started) => started,
            Err(error) => {
                forget(&folders);
                return Err(error);
            }
        };
        let mut scratch = Self { postgres, child, folders, _claim: claim };
        scratch.wait().await?;
        scratch.postgres.bootstrap().await?;
        Ok(scratch)
    }

    async fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let Err(error) = self.postgres.check().await else { return Ok(()) };
            if let Some(status) = self.child.try_wait()? {
                bail!("postgres ended at once: {status}");
            }
            if started.elapsed() > STARTS_WITHIN {
                return Err(error.context("postgres does not answer"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The database as role `postgres`.
    pub(crate) fn url(&self) -> String {
        self.postgres.url("postgres")
    }

    /// The database as its superuser.
    pub(crate) fn admin_url(&self) -> String {
        self.postgres.url("supabase_admin")
    }

    /// Ends the server and removes all of it.
    pub(crate) async fn stop(mut self) {
        self.interrupt();
        let _ = tokio::time::timeout(STOPS_WITHIN, self.child.wait()).await;
    }

    fn interrupt(&mut self) {
        if let Some(process) = self.child.id().and_then(pid) {
            let _ = kill_process(process, Signal::INT);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.interrupt();
        // It leaves the folder alone once it is gone; `stop` has waited for that.
        let patience = Instant::now() + STOPS_WITHIN;
        while Instant::now() < patience && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        forget(&self.folders);
    }
}

fn forget(folders: &[PathBuf]) {
    for folder in folders {
        let _ = std::fs::remove_dir_all(folder);
    }
}
