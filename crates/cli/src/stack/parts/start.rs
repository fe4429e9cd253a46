//! How each part is started, and in which order.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{GATEWAY, PG_NET, POSTGRES, Parts, REDIS, REST, lock};
use crate::stack::config::Function;
use crate::stack::gateway::{self, Gateway, Route};
use crate::stack::limits::Supervision;
use crate::stack::postgres::Template;
use crate::stack::process::{Process, Spec};
use crate::stack::worker::WorkerFolder;
use crate::stack::{functions, logs, migrations, pg_net, redis, reload, rest, tools, vault};

/// A first start on a slow machine; usually it is below one second.
const POSTGRES_PATIENCE: Duration = Duration::from_mins(1);
/// The others, on a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

impl Parts {
    /// All parts. What does not need another starts beside it.
    pub(crate) async fn start_all(self: Arc<Self>) -> Result<()> {
        let seen = self.options.reload.then(|| reload::Seen::now(&self));
        self.tend(Arc::clone(&self).keep_state());
        tokio::try_join!(self.database(), self.timed(REDIS), self.all_functions())?;
        // In this order: what the database has queued already is sent to the gateway.
        self.start(GATEWAY).await?;
        self.start(PG_NET).await?;
        self.tend(Arc::clone(&self).replace_retired());
        if let Some(seen) = seen {
            self.tend(reload::watch(Arc::clone(&self), seen));
        }
        self.ready.store(true, Ordering::Relaxed);
        self.folder.write(&self.state())
    }

    async fn database(&self) -> Result<()> {
        if let Some(templates) = &self.options.templates
            && self.postgres.is_new()
        {
            self.begin_as_copy(templates).await?;
        }
        self.timed(POSTGRES).await?;
        if self.postgres.is_outdated() {
            self.progress("the database has other roles or default privileges than this version of ferry makes; to make a new one, run `ferry down` and delete its folder");
        }
        if let Some(why) = self.postgres.unguarded() {
            self.progress(&format!("check missing: UPDATE and DELETE without WHERE, which the hosted platform refuses, are accepted here: {why}"));
        }
        self.migrate().await?;
        let secrets = [("project_url", self.api_url.as_str()), ("service_api_key", self.service_api_key())];
        vault::fill(&self.db_url("supabase_admin"), &secrets).await?;
        // After the migrations, so that it finds the tables it is to serve.
        self.timed(REST).await
    }

    /// Of whoever made a database with these migrations first; without one, this is the first.
    async fn begin_as_copy(&self, templates: &Path) -> Result<()> {
        let project = self.options.migrate.then_some(self.project.as_path());
        let template = Template::of(&self.postgres, templates, project)?;
        let _lock = template.lock().await?;
        if template.is_made() {
            return template.copy();
        }
        self.run_postgres(false).await?;
        self.migrate().await?;
        // Else a tick takes part in whatever a test is about.
        self.postgres.rest_jobs().await?;
        self.stop(POSTGRES).await?;
        template.keep()
    }

    async fn migrate(&self) -> Result<()> {
        if !self.options.migrate {
            return Ok(());
        }
        let start = Instant::now();
        let log = self.log("migrations")?;
        let (database, is_unseeded) = (self.db_url(POSTGRES), self.postgres.is_unseeded());
        let applied = migrations::apply(&self.project, &database, is_unseeded, &log).await?;
        self.postgres.mark_seeded()?;
        if applied > 0 {
            self.progress(&format!("{applied} migrations applied {}", seconds(start)));
        }
        Ok(())
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
            POSTGRES => self.run_postgres(self.options.jobs).await,
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

    async fn run_postgres(&self, jobs: bool) -> Result<()> {
        self.postgres.initialise().await?;
        let process = self.run(POSTGRES, self.postgres.server(jobs))?;
        let ready = process.ready(POSTGRES_PATIENCE, || self.postgres.check()).await;
        self.explain(POSTGRES, ready)?;
        if self.postgres.is_new() {
            self.postgres.bootstrap().await?;
        }
        self.postgres.guard().await
    }

    async fn start_process(&self, name: &str, spec: Spec, port: u16) -> Result<()> {
        let process = self.run(name, spec)?;
        let ready = process.ready(PATIENCE, || listens(port)).await;
        self.explain(name, ready)
    }

    async fn start_function(&self, name: &str) -> Result<()> {
        let (function, port) = self
            .functions
            .iter()
            .find(|(function, _)| function.name == name)
            .with_context(|| format!("there is no part named {name:?}"))?;
        let process = self.run(name, self.function_spec(function, *port)?)?;
        lock(&self.routes).insert(name.to_owned(), route_to(function, *port, &process));
        let ready = process.ready(PATIENCE, || listens(*port)).await;
        if ready.is_ok()
            && let Some(pid) = process.pid()
        {
            process.traffic().set_listening(pid);
        }
        ready
    }

    pub(super) fn function_spec(&self, function: &Function, port: u16) -> Result<Spec> {
        let worker = functions::Worker {
            function,
            port,
            supervision: Supervision {
                function: function.name.clone(),
                folder: WorkerFolder::new(self.folder.path(), &function.name, port),
                limits: self.options.limits,
                retirements: self.retirements.clone(),
            },
            functions_url: format!("{}/functions/v1/", self.api_url),
            calls_per_minute: self.options.calls_per_minute,
        };
        let deno = tools::deno(&self.project)?;
        let prelude = functions::write_prelude(self.folder.path())?;
        Ok(functions::spec(&deno, &self.project, &prelude, worker, &self.environment()?))
    }

    fn start_gateway(&self) -> Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.gateway_port))
            .context("the gateway's port was taken meanwhile")?;
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

    /// Adds the end of the log to what went wrong.
    fn explain(&self, name: &str, result: Result<()>) -> Result<()> {
        result.map_err(|error| {
            let tail = logs::tail(&self.folder.logs(), name, 12);
            anyhow::anyhow!("{error:#}{tail}")
        })
    }
}

pub(super) fn route_to(function: &Function, port: u16, process: &Process) -> Route {
    Route {
        port,
        verify_jwt: function.verify_jwt,
        life: Some(process.watch()),
        traffic: Arc::clone(process.traffic()),
        before: None,
        turn: AtomicU32::default(),
    }
}

pub(super) async fn listens(port: u16) -> Result<()> {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.context("it does not listen")?;
    Ok(())
}

fn seconds(start: Instant) -> String {
    format!("{:.1} s", start.elapsed().as_secs_f64())
}
