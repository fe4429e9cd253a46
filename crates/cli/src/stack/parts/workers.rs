//! Functions take changed secrets over as on the hosted platform: new workers have them, and those of before finish
//! what they have under way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use super::start::{PATIENCE, listens, route_to};
use super::{Parts, Running, first_key, lock};
use crate::stack::config::Function;
use crate::stack::ports;
use crate::stack::process::Process;
use crate::stack::vault;

impl Parts {
    /// Sets secrets of the functions, and gives every running function a worker that has them.
    pub(crate) async fn set_secrets(self: &Arc<Self>, secrets: &[(String, String)]) -> Result<()> {
        {
            let mut changed = lock(&self.changed);
            changed.retain(|(known, _)| !secrets.iter().any(|(name, _)| name == known));
            changed.extend(secrets.iter().cloned());
        }
        self.renew_workers().await
    }

    /// Gives functions and Vault what their environment file says now.
    pub(crate) async fn read_environment_again(self: &Arc<Self>) -> Result<()> {
        self.renew_workers().await?;
        let environment = self.environment()?;
        vault::fill(&self.db_url("supabase_admin"), &[("service_api_key", first_key(&environment))]).await
    }

    async fn renew_workers(self: &Arc<Self>) -> Result<()> {
        let renewed = self.functions.iter().map(|(function, _)| self.renew_worker(function));
        futures_util::future::join_all(renewed).await.into_iter().collect()
    }

    async fn renew_worker(self: &Arc<Self>, function: &Function) -> Result<()> {
        let name = &function.name;
        if !lock(&self.running).contains_key(name) {
            return Ok(());
        }
        let claim = self.options.ports.claim(ports::FUNCTIONS)?;
        let port = claim.port();
        lock(&self.claims).insert(port, claim);
        let worker = Arc::new(Process::start(self.function_spec(function, port)?, self.log(name)?)?);
        worker.ready(PATIENCE, || listens(port)).await?;
        let mut route = route_to(function, port, &worker);
        let replaced = {
            let mut running = lock(&self.running);
            // Stopped meanwhile: then it stays so.
            if !running.contains_key(name) {
                return Ok(());
            }
            let replaced = running.insert(name.clone(), Running::Process(worker));
            let mut routes = lock(&self.routes);
            let mut before = routes.remove(name);
            let left = before.as_ref().map(|before| (before.port, Arc::clone(&before.active)));
            if let Some(before) = &mut before {
                before.before = None;
            }
            if !self.options.old_workers_serve.is_zero() {
                route.before = before.map(Box::new);
            }
            routes.insert(name.clone(), route);
            replaced.zip(left)
        };
        let Some((Running::Process(old), (port, active))) = replaced else { return Ok(()) };
        let (parts, name) = (Arc::clone(self), name.clone());
        self.tend(async move {
            tokio::time::sleep(parts.options.old_workers_serve).await;
            if let Some(route) = lock(&parts.routes).get_mut(&name)
                && route.before.as_ref().is_some_and(|before| Arc::ptr_eq(&before.active, &active))
            {
                route.before = None;
            }
            while active.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            old.retire().await;
            // What a function had at first it has again when it is stopped and started.
            if !parts.functions.iter().any(|(_, first)| *first == port) {
                lock(&parts.claims).remove(&port);
            }
        });
        Ok(())
    }
}
