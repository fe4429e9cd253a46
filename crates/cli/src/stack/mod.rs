//! A project on one machine: Postgres, REST, Redis, the functions, and the gateway before them.
//!
//! [`Stack`] starts and ends it, `parts` knows the parts and their order, and each part has its
//! file. What is real and what is a stand-in: `crates/cli/README.md`.

mod config;
mod files;
mod functions;
mod gateway;
pub mod keys;
mod limits;
pub mod logs;
pub(crate) mod migrations;
mod parts;
mod pg_net;
mod ports;
mod postgres;
mod process;
mod redis;
mod reload;
mod rest;
pub(crate) mod scratch;
mod secrets;
pub mod state;
pub(crate) mod tools;
pub(crate) mod vault;
mod worker;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use keys::Keys;
pub use limits::Limits;
use parts::Parts;
pub use ports::{Claim, Ports};
pub use process::Life;
use state::{Folder, State};

/// What to start, and how.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether something is done at all")]
pub struct Options {
    /// The folder that has `supabase/` in it.
    pub project: PathBuf,
    /// Where data, logs and keys are kept: `<project>/.ferry` unless given.
    pub state: Option<PathBuf>,
    /// Folders of functions besides those in `supabase/functions`, relative to the project. Where
    /// `config.toml` says nothing about one, its `verify_jwt` is false.
    pub extra_functions: Vec<PathBuf>,
    /// Environment of the functions, besides the platform's and `supabase/functions/.env`.
    pub function_env: Vec<(String, String)>,
    /// Which ports.
    pub ports: Ports,
    /// Whether to apply the migrations.
    pub migrate: bool,
    /// Whether to run functions.
    pub functions: bool,
    /// Whether `pg_cron` runs what is scheduled.
    pub jobs: bool,
    /// Grants all privileges on each new object in `public` to the API roles, as a hosted project does with
    /// "Default privileges for new entities" switched on. `[api] auto_expose_new_tables` of `config.toml`
    /// does the same. Takes effect when the database is made.
    pub permissive_default_privileges: bool,
    /// False: Postgres does not wait for the disk. Faster, and a power cut loses the database.
    pub durable: bool,
    /// Where databases are kept as they are after their migrations: the next one with the same begins as a copy,
    /// with its scheduled jobs switched off. None: each is made anew.
    pub templates: Option<PathBuf>,
    /// Whether a function is started again when a file of its folder or of `_shared` changes, and all take
    /// over what changes in `supabase/functions/.env`.
    pub reload: bool,
    /// How long workers of before still get every other request after secrets have changed.
    pub old_workers_serve: Duration,
    /// How many calls of functions of this stack a trace may cause in a minute; 5,000, as hosted.
    pub calls_per_minute: u32,
    /// What each worker of a function may use; the hosted platform's limits. None: whatever the machine has.
    pub limits: Option<Limits>,
    /// How long the gateway waits for a reply; 150 s, as hosted.
    pub idle_timeout: Duration,
    /// Told what is going on while the stack starts.
    pub progress: Option<Progress>,
    /// Gets each log line: part, text.
    pub listener: Option<logs::Listener>,
}

/// Gets a line of text about a step of the start.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

impl Options {
    /// A project with everything, on the usual ports.
    pub fn new(project: impl Into<PathBuf>) -> Self {
        Self {
            project: project.into(),
            state: None,
            extra_functions: Vec::new(),
            function_env: Vec::new(),
            ports: Ports::Usual,
            migrate: true,
            functions: true,
            jobs: true,
            permissive_default_privileges: false,
            durable: true,
            templates: None,
            reload: true,
            old_workers_serve: Duration::ZERO,
            calls_per_minute: functions::CALLS_PER_MINUTE,
            limits: Some(Limits::HOSTED),
            idle_timeout: gateway::IDLE,
            progress: None,
            listener: None,
        }
    }

    /// A project for tests: any free ports, state in a folder of its own, no waiting for the disk,
    /// a database that begins as a copy with its scheduled jobs at rest, no watching of files.
    pub fn for_tests(project: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        let project = project.into();
        Self {
            state: Some(state.into()),
            ports: Ports::Any,
            durable: false,
            templates: Some(project.join("supabase/.temp/databases")),
            reload: false,
            ..Self::new(project)
        }
    }

    /// A project for measurements: as for tests, and workers without limits, which are all the same from the first
    /// request to the last.
    pub fn for_load(project: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Self { limits: None, ..Self::for_tests(project, state) }
    }

    /// Where the state of this project is.
    ///
    /// # Errors
    /// When the project folder does not exist.
    pub fn state_folder(&self) -> Result<Folder> {
        let project = absolute(&self.project)?;
        Ok(self.state.as_ref().map_or_else(|| Folder::of_project(&project), Folder::at))
    }
}

fn absolute(project: &Path) -> Result<PathBuf> {
    project.canonicalize().with_context(|| format!("there is no folder {}", project.display()))
}

/// A running stack. Ends with [`Stack::stop`], or when dropped.
pub struct Stack {
    parts: Arc<Parts>,
    folder: Folder,
    // Its own, so that a stack shared by tests outlives the runtime of the test that started it,
    // and because the kernel ends children with the *thread* that started them.
    runtime: Option<Runtime>,
    _taken: File,
}

impl Stack {
    /// Starts all parts and waits until they answer. A function that does not start is no failure:
    /// its log says why, and the gateway answers 503 for it.
    ///
    /// # Errors
    /// When a part cannot run. Then nothing is left running.
    pub async fn start(options: Options) -> Result<Self> {
        let project = absolute(&options.project)?;
        let folder = options.state_folder()?;
        files::make_folder(folder.path())?;
        // The way to it is given to other programs, which run elsewhere.
        let folder = Folder::at(folder.path().canonicalize()?);
        let taken = folder.take()?;
        folder.repair();
        worker::remove_leftovers(folder.path())?;
        let parts = Arc::new(Parts::prepare(options, project, folder.clone())?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ferry-stack")
            .enable_all()
            .build()?;
        let stack = Self { parts: Arc::clone(&parts), folder, runtime: Some(runtime), _taken: taken };
        stack.run(|parts| async move { parts.start_all().await }).await?;
        Ok(stack)
    }

    /// Runs something on the stack's own threads; dropping the future ends it.
    async fn run<F, T>(&self, work: impl FnOnce(Arc<Parts>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let runtime = self.runtime.as_ref().context("the stack was stopped")?;
        let mut task = AbortOnDrop(runtime.spawn(work(Arc::clone(&self.parts))));
        (&mut task.0).await.context("a part of the stack failed")?
    }

    /// Ends all parts, in the reverse order of their start.
    pub async fn stop(mut self) {
        let stopping = self.run(|parts| async move {
            parts.stop_all().await;
            Ok(())
        });
        let _ = stopping.await;
        self.folder.forget();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Ends one part: `postgres`, `redis`, `rest`, `pg_net`, `gateway`, or a function by its name.
    ///
    /// # Errors
    /// When there is no such part.
    pub async fn stop_part(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.run(|parts| async move { parts.stop(&name).await }).await
    }

    /// Starts a part that was stopped, and waits until it answers.
    ///
    /// # Errors
    /// When there is no such part or it does not start.
    pub async fn start_part(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.run(|parts| async move { parts.start(&name).await }).await
    }

    /// Sets secrets of the functions, as the hosted platform does: new workers have them, and those of before
    /// finish what they have under way. Gives back when the new ones answer.
    ///
    /// # Errors
    /// When a function does not start with them.
    pub async fn set_secrets(&self, secrets: &[(String, String)]) -> Result<()> {
        let secrets = secrets.to_vec();
        self.run(|parts| async move { parts.set_secrets(&secrets).await }).await
    }

    /// The gateway: `http://127.0.0.1:<port>`.
    pub fn api_url(&self) -> &str {
        &self.parts.api_url
    }

    /// The database as role `postgres`, which migrations and functions use.
    pub fn db_url(&self) -> String {
        self.parts.db_url("postgres")
    }

    /// The database as its superuser `supabase_admin`, which a hosted project does not give away.
    pub fn admin_db_url(&self) -> String {
        self.parts.db_url("supabase_admin")
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn redis_url(&self) -> &str {
        &self.parts.redis_url
    }

    /// The project's keys, which also make users' tokens.
    pub fn keys(&self) -> &Keys {
        &self.parts.keys
    }

    /// What the functions accepted in `X-Service-Key` at the start, and the cron jobs showed.
    pub fn service_api_key(&self) -> &str {
        self.parts.service_api_key()
    }

    /// The process of a function while it runs.
    pub fn function_pid(&self, name: &str) -> Option<u32> {
        self.parts.pid(name)
    }

    /// Where the `/tmp` of a function's worker is while it runs.
    pub fn function_tmp(&self, name: &str) -> Option<PathBuf> {
        self.parts.worker_folder(name).map(|folder| folder.tmp())
    }

    /// The parts, in the order of their start.
    pub fn state(&self) -> State {
        self.parts.state()
    }

    /// Where the log of a part is.
    pub fn log(&self, part: &str) -> PathBuf {
        logs::path(&self.folder.logs(), part)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let (done, wait) = std::sync::mpsc::channel();
        let parts = Arc::clone(&self.parts);
        runtime.spawn(async move {
            parts.stop_all().await;
            let _ = done.send(());
        });
        // The patience of all parts together, and some more.
        let _ = wait.recv_timeout(Duration::from_secs(45));
        self.folder.forget();
        runtime.shutdown_background();
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
