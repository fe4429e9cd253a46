//! Workers are replaced as on the hosted platform, when secrets change and when they come to their limits: new requests
//! go to the next one, and the one of before finishes what it has under way.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::start::{PATIENCE, listens, route_to};
use super::{Parts, Running, first_key, lock};
use crate::stack::config::Function;
use crate::stack::limits::Reason;
use crate::stack::ports;
use crate::stack::process::{Life, Process};
use crate::stack::vault;

impl Parts {
    /// Sets secrets of the functions, and gives every running function a worker that has them.
    pub(crate) async fn set_secrets(self: &Arc<Self>, secrets: &[(String, String)]) -> Result<()> {
        {
            let mut changed = lock(&self.changed);
            changed.retain(|(known, _)| !secrets.iter().any(|(name, _)| name == known));
            changed.extend(secrets.iter().cloned());
        }
        match self.renew_workers(|_| true).await.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Gives functions and Vault what their environment file says now. Returns the functions that could not be
    /// started with it, with the reason; they keep the worker that they have.
    pub(crate) async fn read_environment_again(self: &Arc<Self>) -> Result<Vec<(String, anyhow::Error)>> {
        let environment = self.environment()?;
        let behind = self.renew_workers(|_| true).await;
        vault::fill(&self.db_url("supabase_admin"), &[("service_api_key", first_key(&environment))]).await?;
        Ok(behind)
    }

    /// Gives each of these functions a new worker, and returns those for which that failed.
    pub(crate) async fn renew_workers(
        self: &Arc<Self>,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Vec<(String, anyhow::Error)> {
        let wanted = self.functions.iter().filter(|(function, _)| is_wanted(&function.name));
        let renewed = wanted.map(async |(function, _)| {
            self.renew_worker(function).await.err().map(|error| (function.name.clone(), error))
        });
        futures_util::future::join_all(renewed).await.into_iter().flatten().collect()
    }

    /// Replaces a worker by one that is ready.
    async fn renew_worker(self: &Arc<Self>, function: &Function) -> Result<()> {
        if !lock(&self.running).contains_key(&function.name) {
            return Ok(());
        }
        let (port, worker) = self.start_worker(function)?;
        worker.ready(PATIENCE, || listens(port)).await?;
        self.replace_worker(function, port, worker, Reason::Termination);
        Ok(())
    }

    /// Replaces each worker that takes no more requests. Requests wait for the next one from then on.
    pub(super) async fn replace_retired(self: Arc<Self>) {
        let Some(mut retired) = lock(&self.retired).take() else { return };
        while let Some((name, reason)) = retired.recv().await {
            let Some((function, _)) = self.functions.iter().find(|(function, _)| function.name == name)
            else {
                continue;
            };
            let is_replaced = match lock(&self.running).get(&name) {
                Some(Running::Process(process)) => !process.traffic().is_retired(),
                _ => true,
            };
            if is_replaced {
                continue;
            }
            match self.start_worker(function) {
                Ok((port, worker)) => self.replace_worker(function, port, worker, reason),
                Err(error) => {
                    self.note(&format!("{name}: {error:#}; trying again"));
                    tokio::time::sleep(AGAIN_AFTER).await;
                    let _ = self.retirements.send((name, reason));
                }
            }
        }
    }

    /// Starts a worker on a port of its own.
    fn start_worker(&self, function: &Function) -> Result<(u16, Arc<Process>)> {
        let claim = self.options.ports.claim(ports::FUNCTIONS)?;
        let port = claim.port();
        lock(&self.claims).insert(port, claim);
        let worker = Process::start(self.function_spec(function, port)?, self.log(&function.name)?)?;
        Ok((port, Arc::new(worker)))
    }

    /// Sends a function's requests to another worker; the one of before ends when it has answered its own.
    fn replace_worker(
        self: &Arc<Self>,
        function: &Function,
        port: u16,
        worker: Arc<Process>,
        reason: Reason,
    ) {
        let name = &function.name;
        let mut route = route_to(function, port, &worker);
        let old_workers_serve = match reason {
            Reason::Termination => self.options.old_workers_serve,
            _ => Duration::ZERO,
        };
        let replaced = {
            let mut running = lock(&self.running);
            // Stopped meanwhile: then it stays so.
            if !running.contains_key(name) {
                return;
            }
            let replaced = running.insert(name.clone(), Running::Process(worker));
            let mut routes = lock(&self.routes);
            let mut before = routes.remove(name);
            let old_port = before.as_ref().map(|before| before.port);
            if let Some(before) = &mut before {
                before.before = None;
            }
            if !old_workers_serve.is_zero() {
                route.before = before.map(Box::new);
            }
            routes.insert(name.clone(), route);
            replaced.zip(old_port)
        };
        let Some((Running::Process(old), port)) = replaced else { return };
        let (parts, name) = (Arc::clone(self), name.clone());
        self.tend(async move {
            tokio::time::sleep(old_workers_serve).await;
            if let Some(route) = lock(&parts.routes).get_mut(&name)
                && route.before.as_ref().is_some_and(|before| Arc::ptr_eq(&before.traffic, old.traffic()))
            {
                route.before = None;
            }
            while !old.traffic().is_idle() && old.life() != Life::Stopped {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            old.retire(reason).await;
            // What a function had at first it has again when it is stopped and started.
            if !parts.functions.iter().any(|(_, first)| *first == port) {
                lock(&parts.claims).remove(&port);
            }
        });
    }
}

/// How often an old worker is looked at for requests.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// After a worker could not be started: no port or no process was to be had.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
