//! A simulated DEX site: the Cantaloupe dashboard as far as a collector sees it. Laravel's form
//! login with CSRF tokens and session cookies, a DataTables list, raw downloads, and the ways in
//! which all of that fails.

mod accounts;
mod answer;
mod faults;
mod pages;
mod sessions;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use accounts::Account;
pub use faults::{Fault, Faults};

use sessions::Sessions;

/// A running site on 127.0.0.1.
pub struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What all connections share.
struct Shared {
    accounts: Mutex<HashMap<String, Account>>,
    sessions: Mutex<Sessions>,
    faults: Mutex<HashMap<String, Faults>>,
    stats: Mutex<Stats>,
}

/// What the site was asked, for tests to look at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Logins that succeeded, by account.
    pub logins: HashMap<String, u64>,
    /// Pages of the list, by account.
    pub lists: HashMap<String, u64>,
    /// Downloads, by dex id.
    pub downloads: HashMap<i64, u64>,
    /// All requests.
    pub requests: u64,
    /// Requests under way now.
    pub under_way: u64,
    /// The most at once.
    pub most_at_once: u64,
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
        let shared = Arc::new(Shared {
            accounts: Mutex::new(accounts),
            sessions: Mutex::default(),
            faults: Mutex::default(),
            stats: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, shared.clone()));
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

    /// Makes one account fail, or all with `*`; the account's own faults win.
    pub fn set_faults(&self, account: &str, faults: Faults) {
        lock(&self.shared.faults).insert(account.to_owned(), faults);
    }

    /// Adds captures to an account: time passes.
    pub fn add(&self, account: &str, captures: impl IntoIterator<Item = crate::captures::Capture>) {
        if let Some(account) = lock(&self.shared.accounts).get_mut(account) {
            account.captures.extend(captures);
        }
    }

    /// Ends every session, as a restart of the site does.
    pub fn expire_sessions(&self) {
        *lock(&self.shared.sessions) = Sessions::default();
    }

    /// Stops it; connections are cut.
    pub fn stop(self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| pages::answer(shared.clone(), request));
            // A connection that the client or a fault cut is over, and that is all there is to it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
