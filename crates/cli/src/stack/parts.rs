//! The parts of a stack: what each needs to start, and in which order they come and go.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinHandle;

use super::config::{Config, Function};
use super::functions::{self, Surroundings};
use super::gateway::{self, Gateway, Route, Routes};
use super::keys::Keys;
use super::logs::{self, Log};
use super::ports::{self, Chooser};
use super::postgres::{self, Postgres};
use super::process::{Life, Process, Spec};
use super::state::{Folder, PartState, ProcessId, State};
use super::{Options, migrations, pg_net, redis, rest, tools, vault};

const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
const REST: &str = "rest";
const PG_NET: &str = "pg_net";
const GATEWAY: &str = "gateway";

/// A first start on a slow machine; usually it is below one second.
const POSTGRES_PATIENCE: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// How often `state.json` is compared with what is.
const STATE_EVERY: Duration = Duration::from_millis(250);

/// A part that was started.
enum Running {
    Process(Arc<Process>),
    Task(JoinHandle<()>),
}

/// Everything about one stack.
pub(crate) struct Parts {
    options: Options,
    project: PathBuf,
    folder: Folder,
    config: Config,
    pub(crate) keys: Keys,
    pub(crate) api_url: String,
    pub(crate) redis_url: String,
    postgres: Postgres,
    gateway_port: u16,
    rest_port: u16,
    redis_port: u16,
    functions: Vec<(Function, u16)>,
    environment: Vec<(String, String)>,
    routes: Routes,
    /// Ports are bound from the beginning and handed over when their part starts, so that a stack
    /// that starts at the same time chooses others.
    held: Mutex<BTreeMap<String, TcpListener>>,
    running: Mutex<BTreeMap<String, Running>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    ready: AtomicBool,
    stopping: AtomicBool,
}

impl Parts {
    /// Chooses ports and keys and lays the folders; starts nothing.
    pub(crate) fn prepare(options: Options, project: PathBuf, folder: Folder) -> Result<Self> {
        let config = Config::read(&project)?;
        let keys = Keys::load_or_create(&folder.keys())?;
        let mut chooser = Chooser::new(options.ports);
        let mut held = BTreeMap::new();
        let mut reserve = |name: &str, usual: u16| -> Result<u16> {
            let listener = chooser.bind(usual)?;
            let port = listener.local_addr()?.port();
            held.insert(name.to_owned(), listener);
            Ok(port)
        };
        let gateway_port = reserve(GATEWAY, ports::GATEWAY)?;
        let (postgres_port, rest_port) = (reserve(POSTGRES, ports::POSTGRES)?, reserve(REST, ports::REST)?);
        let redis_port = reserve(REDIS, ports::REDIS)?;
        let mut functions = Vec::new();
        if options.functions {
            for function in config.functions(&project, &options.extra_functions)? {
                if [POSTGRES, REDIS, REST, PG_NET, GATEWAY].contains(&function.name.as_str()) {
                    bail!(
                        "a function cannot be named {:?}: a part of the stack has that name",
                        function.name
                    );
                }
                let port = reserve(&function.name, ports::FUNCTIONS)?;
                functions.push((function, port));
            }
        }
        let postgres =
            Postgres::prepare(&postgres::root_for(folder.path())?, postgres_port, options.durable)?;
        let api_url = format!("http://127.0.0.1:{gateway_port}");
        let redis_url = format!("redis://127.0.0.1:{redis_port}");
        let around = Surroundings {
            api: api_url.clone(),
            database: postgres.url("postgres"),
            redis: redis_url.clone(),
        };
        let environment = functions::environment(&project, &keys, &around, &options.function_env)?;
        Ok(Self {
            options,
            project,
            folder,
            config,
            keys,
            api_url,
            redis_url,
            postgres,
            gateway_port,
            rest_port,
            redis_port,
            functions,
            environment,
            routes: Routes::default(),
            held: Mutex::new(held),
            running: Mutex::default(),
            writer: Mutex::default(),
            ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    pub(crate) fn db_url(&self, role: &str) -> String {
        self.postgres.url(role)
    }

    pub(crate) fn service_api_key(&self) -> &str {
        let set = self.environment.iter().find(|(name, _)| name == "SERVICE_API_KEY");
        // Several keys may be accepted at once; the first is the one to show.
        set.and_then(|(_, keys)| keys.split(',').next()).unwrap_or_default().trim()
    }

    fn progress(&self, text: &str) {
        if let Some(progress) = &self.options.progress {
            progress(text);
        }
    }

    fn log(&self, part: &str) -> Result<Arc<Log>> {
        Log::open(&self.folder.logs(), part, self.options.listener.clone())
    }

    /// All parts. What does not need another starts beside it.
    pub(crate) async fn start_all(self: Arc<Self>) -> Result<()> {
        *lock(&self.writer) = Some(tokio::spawn(Arc::clone(&self).keep_state()));
        tokio::try_join!(self.database(), self.timed(REDIS), self.all_functions())?;
        self.start(PG_NET).await?;
        self.start(GATEWAY).await?;
        self.ready.store(true, Ordering::Relaxed);
        self.folder.write(&self.state())
    }

    async fn database(&self) -> Result<()> {
        self.timed(POSTGRES).await?;
        if self.options.migrate {
            let start = Instant::now();
            let log = self.log("migrations")?;
            let applied =
                migrations::apply(&self.project, &self.db_url(POSTGRES), self.postgres.is_unseeded(), &log)
                    .await?;
            self.postgres.mark_seeded()?;
            if applied > 0 {
                self.progress(&format!("{applied} migrations applied {}", seconds(start)));
            }
        }
        let secrets = [("project_url", self.api_url.as_str()), ("service_api_key", self.service_api_key())];
        vault::fill(&self.db_url("supabase_admin"), &secrets).await?;
        // After the migrations, so that it finds the tables it is to serve.
        self.timed(REST).await
    }

    async fn all_functions(&self) -> Result<()> {
        let starts = self.functions.iter().map(|(function, _)| async move {
            if let Err(error) = self.timed(&function.name).await {
                let tail = logs::tail(&self.folder.logs(), &function.name, 8);
                self.progress(&format!("{} does not start: {error:#}{tail}", function.name));
            }
        });
        futures_util::future::join_all(starts).await;
        Ok(())
    }

    async fn timed(&self, name: &str) -> Result<()> {
        let start = Instant::now();
        self.start(name).await?;
        self.progress(&format!("{name} {}", seconds(start)));
        Ok(())
    }

    /// Starts one part, unless it runs, and waits until it answers.
    pub(crate) async fn start(&self, name: &str) -> Result<()> {
        if lock(&self.running).contains_key(name) {
            return Ok(());
        }
        let started = match name {
            POSTGRES => self.start_postgres().await,
            REDIS => {
                self.start_process(REDIS, redis::spec(self.folder.path(), self.redis_port)?, self.redis_port)
                    .await
            }
            REST => {
                let database = self.db_url("authenticator");
                let spec =
                    rest::spec(self.folder.path(), &self.config, &self.keys, self.rest_port, &database)?;
                self.start_process(REST, spec, self.rest_port).await
            }
            PG_NET => self.start_task(PG_NET, pg_net::work(self.db_url("supabase_admin"), self.log(PG_NET)?)),
            GATEWAY => self.start_gateway(),
            function => self.start_function(function).await,
        };
        started.with_context(|| format!("starting {name}"))
    }

    async fn start_postgres(&self) -> Result<()> {
        self.postgres.initialise().await?;
        let process = self.run(POSTGRES, self.postgres.server())?;
        let ready = process.ready(POSTGRES_PATIENCE, || self.postgres.check()).await;
        self.explain(POSTGRES, ready)?;
        if self.postgres.is_new() { self.postgres.bootstrap().await } else { Ok(()) }
    }

    async fn start_process(&self, name: &str, spec: Spec, port: u16) -> Result<()> {
        let process = self.run(name, spec)?;
        let ready = process
            .ready(PATIENCE, || async move {
                tokio::net::TcpStream::connect(("127.0.0.1", port)).await.context("it does not listen")?;
                Ok(())
            })
            .await;
        self.explain(name, ready)
    }

    async fn start_function(&self, name: &str) -> Result<()> {
        let (function, port) = self
            .functions
            .iter()
            .find(|(function, _)| function.name == name)
            .with_context(|| format!("there is no part named {name:?}"))?;
        let deno = tools::deno(&self.project)?;
        let prelude = functions::write_prelude(self.folder.path())?;
        let spec = functions::spec(&deno, &self.project, &prelude, function, *port, &self.environment);
        let process = self.run(name, spec)?;
        let route = Route {
            port: *port,
            verify_jwt: function.verify_jwt,
            life: Some(process.watch()),
            listening: Arc::new(AtomicU32::new(0)),
        };
        lock(&self.routes).insert(name.to_owned(), route);
        process
            .ready(PATIENCE, || async move {
                tokio::net::TcpStream::connect(("127.0.0.1", *port)).await.context("it does not listen")?;
                Ok(())
            })
            .await
    }

    fn start_gateway(&self) -> Result<()> {
        let held = lock(&self.held).remove(GATEWAY);
        let listener = match held {
            Some(listener) => listener,
            None => TcpListener::bind(("127.0.0.1", self.gateway_port))
                .context("the gateway's port was taken meanwhile")?,
        };
        listener.set_nonblocking(true)?;
        let gateway = Gateway {
            keys: self.keys.clone(),
            rest_port: self.rest_port,
            routes: Arc::clone(&self.routes),
            idle: self.options.idle_timeout,
            log: self.log(GATEWAY)?,
            client: gateway::client(),
        };
        self.start_task(
            GATEWAY,
            gateway::serve(tokio::net::TcpListener::from_std(listener)?, Arc::new(gateway)),
        )
    }

    fn start_task(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        self.keep(name, || Ok(Running::Task(tokio::spawn(task))))
    }

    fn run(&self, name: &str, spec: Spec) -> Result<Arc<Process>> {
        let log = self.log(name)?;
        let mut started = None;
        self.keep(name, || {
            drop(lock(&self.held).remove(name));
            let process = Arc::new(Process::start(spec, log)?);
            started = Some(Arc::clone(&process));
            Ok(Running::Process(process))
        })?;
        started.context("the part was not started")
    }

    /// Starts under the lock, so that nothing is started behind the back of `stop_all`.
    fn keep(&self, name: &str, start: impl FnOnce() -> Result<Running>) -> Result<()> {
        let mut running = lock(&self.running);
        if self.stopping.load(Ordering::Relaxed) {
            bail!("the stack is being stopped");
        }
        running.insert(name.to_owned(), start()?);
        Ok(())
    }

    /// Adds the end of the log to what went wrong.
    fn explain(&self, name: &str, result: Result<()>) -> Result<()> {
        result.map_err(|error| {
            let tail = logs::tail(&self.folder.logs(), name, 12);
            anyhow::anyhow!("{error:#}{tail}")
        })
    }

    /// Stops one part; nothing happens when it is stopped already.
    pub(crate) async fn stop(&self, name: &str) -> Result<()> {
        if !self.order().any(|known| known == name) {
            bail!(
                "there is no part named {name:?}; there are {}",
                self.order().collect::<Vec<_>>().join(", ")
            );
        }
        let running = lock(&self.running).remove(name);
        if let Some(route) = lock(&self.routes).get_mut(name) {
            route.life = None;
        }
        match running {
            Some(Running::Process(process)) => process.stop().await,
            Some(Running::Task(task)) => {
                task.abort();
                let _ = task.await;
            }
            None => {}
        }
        Ok(())
    }

    /// Stops everything, last started first. Functions go together.
    pub(crate) async fn stop_all(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _ = self.stop(GATEWAY).await;
        let _ = self.stop(PG_NET).await;
        let functions = self.functions.iter().map(|(function, _)| self.stop(&function.name));
        futures_util::future::join_all(functions).await;
        for part in [REST, REDIS, POSTGRES] {
            let _ = self.stop(part).await;
        }
        if let Some(writer) = lock(&self.writer).take() {
            writer.abort();
        }
    }

    /// The names of all parts, in the order of their start.
    fn order(&self) -> impl Iterator<Item = &str> {
        let functions = self.functions.iter().map(|(function, _)| function.name.as_str());
        [POSTGRES, REDIS, REST].into_iter().chain(functions).chain([PG_NET, GATEWAY])
    }

    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        match lock(&self.running).get(name)? {
            Running::Process(process) => process.pid(),
            Running::Task(_) => None,
        }
    }

    fn port(&self, name: &str) -> Option<u16> {
        match name {
            POSTGRES => Some(self.postgres.port),
            REDIS => Some(self.redis_port),
            REST => Some(self.rest_port),
            GATEWAY => Some(self.gateway_port),
            _ => self.functions.iter().find(|(function, _)| function.name == name).map(|(_, port)| *port),
        }
    }

    pub(crate) fn state(&self) -> State {
        let parts = self.order().map(|name| {
            let life = match lock(&self.running).get(name) {
                Some(Running::Process(process)) => process.life(),
                Some(Running::Task(_)) => Life::Running { pid: 0 },
                None => Life::Stopped,
            };
            PartState {
                name: name.to_owned(),
                function: self.functions.iter().any(|(function, _)| function.name == name),
                process: self.pid(name).and_then(ProcessId::of),
                port: self.port(name),
                life: match life {
                    Life::Running { .. } => "running",
                    Life::Restarting => "restarting",
                    Life::Stopped => "stopped",
                }
                .to_owned(),
            }
        });
        State {
            supervisor: ProcessId::own(),
            ready: self.ready.load(Ordering::Relaxed),
            api_url: self.api_url.clone(),
            db_url: self.db_url(POSTGRES),
            redis_url: self.redis_url.clone(),
            parts: parts.collect(),
        }
    }

    /// Keeps `state.json` true, for `ferry status` and for the repair after a crash.
    async fn keep_state(self: Arc<Self>) {
        let mut written = None;
        loop {
            let state = self.state();
            if written.as_ref() != Some(&state) && self.folder.write(&state).is_ok() {
                written = Some(state);
            }
            tokio::time::sleep(STATE_EVERY).await;
        }
    }
}

fn seconds(start: Instant) -> String {
    format!("{:.1} s", start.elapsed().as_secs_f64())
}

/// A part that panicked must not take the others with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
