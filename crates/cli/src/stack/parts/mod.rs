//! The parts of a stack: their ports and keys, and what runs of them. `start` knows how they start.

mod start;
mod workers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::stack::Options;
use crate::stack::config::{Config, Function};
use crate::stack::functions::{self, Surroundings};
use crate::stack::gateway::Routes;
use crate::stack::keys::Keys;
use crate::stack::limits::Reason;
use crate::stack::logs::Log;
use crate::stack::ports::{self, Claim};
use crate::stack::postgres::{self, Postgres};
use crate::stack::process::{Life, Process, Spec};
use crate::stack::state::{Folder, PartState, ProcessId, State};
use crate::stack::worker::WorkerFolder;

const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
const REST: &str = "rest";
const PG_NET: &str = "pg_net";
const GATEWAY: &str = "gateway";

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
    around: Surroundings,
    /// Secrets that were set since the start.
    changed: Mutex<Vec<(String, String)>>,
    /// What functions took in `X-Service-Key` at the start.
    service_api_key: String,
    routes: Routes,
    /// Of every port that a part has or had, by port.
    claims: Mutex<BTreeMap<u16, Claim>>,
    running: Mutex<BTreeMap<String, Running>>,
    /// What looks after the stack while it runs.
    tenders: Mutex<Vec<JoinHandle<()>>>,
    /// Functions whose worker takes no more requests, and why.
    retirements: mpsc::UnboundedSender<(String, Reason)>,
    retired: Mutex<Option<mpsc::UnboundedReceiver<(String, Reason)>>>,
    ready: AtomicBool,
    stopping: AtomicBool,
}

impl Parts {
    /// Chooses ports and keys and lays the folders; starts nothing.
    pub(crate) fn prepare(options: Options, project: PathBuf, folder: Folder) -> Result<Self> {
        let config = Config::read(&project)?;
        let keys = Keys::load_or_create(&folder.keys())?;
        let mut claims = BTreeMap::new();
        let mut reserve = |usual: u16| -> Result<u16> {
            let claim = options.ports.claim(usual)?;
            let port = claim.port();
            claims.insert(port, claim);
            Ok(port)
        };
        let gateway_port = reserve(ports::GATEWAY)?;
        let (postgres_port, rest_port) = (reserve(ports::POSTGRES)?, reserve(ports::REST)?);
        let redis_port = reserve(ports::REDIS)?;
        let mut functions = Vec::new();
        if options.functions {
            for function in config.functions(&project, &options.extra_functions)? {
                if [POSTGRES, REDIS, REST, PG_NET, GATEWAY].contains(&function.name.as_str()) {
                    bail!(
                        "a function cannot be named {:?}: a part of the stack has that name",
                        function.name
                    );
                }
                let port = reserve(ports::FUNCTIONS)?;
                functions.push((function, port));
            }
        }
        let permissive = options.permissive_default_privileges || config.exposes_new_tables();
        let postgres =
            Postgres::prepare(&postgres::root_for(folder.path())?, postgres_port, options.durable)?
                .with_permissive_default_privileges(permissive);
        let api_url = format!("http://127.0.0.1:{gateway_port}");
        let redis_url = format!("redis://127.0.0.1:{redis_port}");
        let around = Surroundings {
            api: api_url.clone(),
            database: postgres.url("postgres"),
            redis: redis_url.clone(),
        };
        let environment = functions::environment(&project, &keys, &around, &options.function_env)?;
        let service_api_key = first_key(&environment).to_owned();
        let (retirements, retired) = mpsc::unbounded_channel();
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
            around,
            changed: Mutex::default(),
            service_api_key,
            routes: Routes::default(),
            claims: Mutex::new(claims),
            running: Mutex::default(),
            tenders: Mutex::default(),
            retirements,
            retired: Mutex::new(Some(retired)),
            ready: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    pub(crate) fn db_url(&self, role: &str) -> String {
        self.postgres.url(role)
    }

    pub(crate) fn service_api_key(&self) -> &str {
        &self.service_api_key
    }

    /// What the functions get: their environment file is read anew.
    fn environment(&self) -> Result<Vec<(String, String)>> {
        let extra = [&self.options.function_env[..], &lock(&self.changed)[..]].concat();
        functions::environment(&self.project, &self.keys, &self.around, &extra)
    }

    /// Tells what happens while the stack runs.
    pub(crate) fn note(&self, text: &str) {
        self.progress(text);
    }

    fn progress(&self, text: &str) {
        if let Some(progress) = &self.options.progress {
            progress(text);
        }
    }

    fn log(&self, part: &str) -> Result<Arc<Log>> {
        Log::open(&self.folder.logs(), part, self.options.listener.clone())
    }

    fn tend(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tenders = lock(&self.tenders);
        tenders.retain(|tender| !tender.is_finished());
        tenders.push(tokio::spawn(task));
    }

    fn start_task(&self, name: &str, task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        self.keep(name, || Ok(Running::Task(tokio::spawn(task))))
    }

    fn run(&self, name: &str, spec: Spec) -> Result<Arc<Process>> {
        let log = self.log(name)?;
        let mut started = None;
        self.keep(name, || {
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
        let _ = self.stop(PG_NET).await;
        let _ = self.stop(GATEWAY).await;
        let functions = self.functions.iter().map(|(function, _)| self.stop(&function.name));
        futures_util::future::join_all(functions).await;
        for part in [REST, REDIS, POSTGRES] {
            let _ = self.stop(part).await;
        }
        lock(&self.tenders).drain(..).for_each(|tender| tender.abort());
    }

    /// The names of all parts, in the order of their start.
    fn order(&self) -> impl Iterator<Item = &str> {
        let functions = self.functions.iter().map(|(function, _)| function.name.as_str());
        [POSTGRES, REDIS, REST].into_iter().chain(functions).chain([GATEWAY, PG_NET])
    }

    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        match lock(&self.running).get(name)? {
            Running::Process(process) => process.pid(),
            Running::Task(_) => None,
        }
    }

    /// The folder of the worker that serves a function.
    pub(crate) fn worker_folder(&self, name: &str) -> Option<WorkerFolder> {
        self.functions().find(|function| function.name == name)?;
        Some(WorkerFolder::new(self.folder.path(), name, self.port(name)?))
    }

    fn port(&self, name: &str) -> Option<u16> {
        match name {
            POSTGRES => Some(self.postgres.port),
            REDIS => Some(self.redis_port),
            REST => Some(self.rest_port),
            GATEWAY => Some(self.gateway_port),
            // A worker that replaced another one has a port of its own.
            _ => match lock(&self.routes).get(name) {
                Some(route) => Some(route.port),
                None => self.functions.iter().find(|(known, _)| known.name == name).map(|(_, port)| *port),
            },
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

    /// The functions and their folders.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().map(|(function, _)| function)
    }

    /// Where the functions of the project, and what they share, are.
    pub(crate) fn functions_folder(&self) -> PathBuf {
        self.project.join("supabase/functions")
    }

    /// Starts the process of a running part again, without a gap for the gateway.
    pub(crate) fn restart(&self, name: &str) {
        if let Some(Running::Process(process)) = lock(&self.running).get(name) {
            process.restart();
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

/// Several keys may be accepted at once; the first is the one to show.
fn first_key(environment: &[(String, String)]) -> &str {
    let set = environment.iter().find(|(name, _)| name == "SERVICE_API_KEY");
    set.and_then(|(_, keys)| keys.split(',').next()).unwrap_or_default().trim()
}

/// A part that panicked must not take the others with it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
