//! A simulated DEX site: the Cantaloupe dashboard as far as a collector sees it.
//!
//! `routes` decides who may see which page, as Laravel does. The pages: `login` (form, CSRF token,
//! sessions), `list` (a DataTables list), `download` (raw captures). `faults` are the ways in which
//! all of that fails and `failing` what a client then gets; `control` is the same from outside.

mod accounts;
mod answer;
mod asked;
mod control;
mod download;
mod failing;
mod faults;
mod list;
mod login;
mod routes;
mod sessions;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use accounts::Account;
pub use faults::{Fault, Faults};
pub use stats::Stats;

use crate::captures::Capture;
use sessions::Sessions;

/// A running site on 127.0.0.1. Ends with [`Site::stop`], or when dropped.
pub struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What all connections share. Each lock is held for the time of a look-up, never across an await.
#[derive(Default)]
struct Shared {
    accounts: Mutex<HashMap<String, Account>>,
    sessions: Mutex<Sessions>,
    faults: Mutex<HashMap<String, Faults>>,
    stats: Mutex<Stats>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    /// Starts a site with these accounts; port 0 is any free one.
    pub async fn start(port: u16, accounts: Vec<Account>) -> Result<Self> {
        let listener =
            TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("listening on {port}"))?;
        let address = listener.local_addr()?;
        let accounts = accounts.into_iter().map(|account| (account.email.clone(), account)).collect();
        let shared = Arc::new(Shared { accounts: Mutex::new(accounts), ..Shared::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it is, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub fn stats(&self) -> Stats {
        lock(&self.shared.stats).clone()
    }

    /// Forgets what it was asked.
    pub fn reset_stats(&self) {
        lock(&self.shared.stats).reset();
    }

    /// Makes one account fail, or all with `*`; the account's own faults win.
    pub fn set_faults(&self, account: &str, faults: Faults) {
        lock(&self.shared.faults).insert(account.to_owned(), faults);
    }

    /// The same from JSON: an object of accounts and their faults.
    ///
    /// # Errors
    /// When it is no such JSON.
    pub fn set_faults_json(&self, faults: &str) -> Result<()> {
        let faults: HashMap<String, Faults> = serde_json::from_str(faults)?;
        lock(&self.shared.faults).extend(faults);
        Ok(())
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Makes every answer take so long, besides the faults.
    pub fn set_latency(&self, latency: Duration) {
        self.set_faults("*", Faults::slow(latency));
    }

    /// Changes an account's password, as its owner does one day.
    pub fn set_password(&self, account: &str, password: &str) {
        if let Some(account) = lock(&self.shared.accounts).get_mut(account) {
            password.clone_into(&mut account.password);
        }
    }

    /// Adds captures to an account.
    pub fn add(&self, account: &str, captures: impl IntoIterator<Item = Capture>) {
        if let Some(account) = lock(&self.shared.accounts).get_mut(account) {
            account.captures.extend(captures);
        }
    }

    /// Time passes: every machine is read again, now. Gives the number of new captures.
    pub fn advance(&self, account: Option<&str>) -> usize {
        self.shared.advance(account, OffsetDateTime::now_utc())
    }

    /// Ends every session, as a restart of the site does.
    pub fn expire_sessions(&self) {
        self.shared.expire(None);
    }

    /// Stops it; connections are cut.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn advance(&self, only: Option<&str>, now: OffsetDateTime) -> usize {
        lock(&self.accounts)
            .values_mut()
            .filter(|account| only.is_none_or(|email| email == account.email))
            .map(|account| account.read_machines(now))
            .sum()
    }

    fn expire(&self, only: Option<&str>) {
        lock(&self.sessions).end_all(only);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        // A client's reset is its own affair; out of descriptors, a moment later there are some.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| routes::answer(Arc::clone(&shared), request));
            // A connection that the client or a fault cut is over, and that is all there is to it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
