//! A way to a server on which things go wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What goes wrong with new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is taken and nothing ever comes back.
    Hang,
    /// It breaks after so many bytes from the server.
    CutAfter(u64),
    /// The next one breaks after so many bytes; those after it are well.
    CutOnceAfter(u64),
    /// Each piece from the server comes so many milliseconds late.
    Slow(u64),
    /// Something answers that is no Redis.
    Garbage,
}

/// A running proxy. Ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    fault: Arc<Mutex<Fault>>,
    connections: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts before `redis://host:port`.
    pub async fn start(url: &str, fault: Fault) -> Result<Self> {
        let upstream = url.split_once("://").context("a URL")?.1.to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let fault = Arc::new(Mutex::new(fault));
        let connections = Arc::new(AtomicU64::new(0));
        let (shared, counted) = (Arc::clone(&fault), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let fault = {
                    let mut fault = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    let now = *fault;
                    if matches!(now, Fault::CutOnceAfter(_)) {
                        *fault = Fault::None;
                    }
                    now
                };
                let upstream = upstream.clone();
                // How a connection ends is what this is about.
                tokio::spawn(async move { pass(client, &upstream, fault).await });
            }
        });
        Ok(Self { address, fault, connections, task })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// What goes wrong from now on.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, upstream: &str, fault: Fault) -> std::io::Result<()> {
    if fault == Fault::Hang {
        let mut sink = tokio::io::sink();
        copy(&mut client, &mut sink).await?;
        return Ok(());
    }
    if fault == Fault::Garbage {
        return client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    }
    let server = TcpStream::connect(upstream).await?;
    let (mut from_server, mut to_server) = server.into_split();
    let (mut from_client, mut to_client) = client.into_split();
    let up = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    match fault {
        Fault::CutAfter(bytes) | Fault::CutOnceAfter(bytes) => {
            let mut limited = from_server.take(bytes);
            copy(&mut limited, &mut to_client).await?;
        }
        Fault::Slow(milliseconds) => {
            let mut piece = vec![0; 64 * 1024];
            loop {
                let length = from_server.read(&mut piece).await?;
                if length == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                to_client.write_all(&piece[..length]).await?;
            }
        }
        _ => {
            copy(&mut from_server, &mut to_client).await?;
        }
    }
    up.abort();
    Ok(())
}
