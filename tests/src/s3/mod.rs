//! A simulated S3 store: one bucket, path style, as far as a backup sees it.
//!
//! `routes` reads requests and refuses unsigned ones, `objects` keeps objects and uploads in parts,
//! `list` answers `ListObjectsV2` in short pages. Each object's first PUT can be made to fail.

mod list;
mod objects;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use objects::Objects;

/// The id of the only key that is accepted.
pub const KEY_ID: &str = "simulated";

/// A running store on 127.0.0.1. Ends when dropped.
pub struct S3 {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What all connections share.
#[derive(Default)]
struct Shared {
    objects: Mutex<Objects>,
    stats: Mutex<Stats>,
    fails_first: bool,
    failed: Mutex<BTreeSet<String>>,
}

/// What it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// PUTs of whole objects that were taken.
    pub puts: usize,
    /// PUTs of parts that were taken.
    pub parts: usize,
    /// Pages of lists.
    pub pages: usize,
    /// Requests answered 500 on purpose.
    pub failures: usize,
    /// Requests without a signature.
    pub unsigned: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl S3 {
    /// Starts a store with an empty bucket of any name. With `fails_first`, the first PUT of each
    /// object and part gets a 500.
    pub async fn start(fails_first: bool) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { fails_first, ..Shared::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it is, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        lock(&self.shared.stats).clone()
    }

    /// The keys of all objects, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        lock(&self.shared.objects).keys()
    }

    /// Changes one byte of an object.
    pub fn spoil(&self, key: &str) {
        lock(&self.shared.objects).spoil(key);
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { routes::answer(request, &shared).await }
            });
            // A client that goes away is no fault of the store's.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
