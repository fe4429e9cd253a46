//! Load on a server: so many connections, each sending its next request when the last is answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections, each with one request under way.
    pub connections: usize,
    /// How long.
    pub duration: Duration,
}

/// What a server made of it.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Answers that came.
    pub answers: usize,
    /// Those with a status that was not asked for.
    pub failed: usize,
    /// Answers per second.
    pub per_second: f64,
    /// How long each took, in milliseconds, sorted.
    times: Vec<f64>,
}

impl Measured {
    /// The time within which this share of the answers came, in milliseconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        crate::report::quantile(&self.times, share)
    }
}

// A thread of its own makes the load: as few threads as can be compete with the server for the cores, and
// nothing else of this process, such as a stack's gateway, waits for it.

/// Sends this request over and over to `127.0.0.1:port`. Any status but 2xx counts as failed.
pub fn run(load: Load, port: u16, request: &Request<Bytes>) -> Result<Measured> {
    let until = Instant::now() + load.duration;
    drive(load.connections, port, |_| (Instant::now() < until).then(|| request.clone()))
}

/// Sends so many requests to `127.0.0.1:port`, made of their numbers from 0 on.
pub fn run_all(
    connections: usize,
    port: u16,
    requests: usize,
    request: impl Fn(usize) -> Request<Bytes> + Sync,
) -> Result<Measured> {
    drive(connections, port, |number| (number < requests).then(|| request(number)))
}

/// Until there is no next request. Blocks the caller, whose other tasks go on where they have threads.
fn drive(
    connections: usize,
    port: u16,
    request: impl Fn(usize) -> Option<Request<Bytes>> + Sync,
) -> Result<Measured> {
    let (started, sent) = (Instant::now(), AtomicUsize::new(0));
    let next = || request(sent.fetch_add(1, Ordering::Relaxed));
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(futures_util::future::try_join_all((0..connections).map(|_| send(port, &next))))
    };
    let all = std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let mut measured = Measured::default();
    for (times, failed) in all {
        measured.failed += failed;
        measured.times.extend(times);
    }
    measured.answers = measured.times.len();
    #[allow(clippy::cast_precision_loss)]
    let answers = measured.answers as f64;
    measured.per_second = answers / started.elapsed().as_secs_f64();
    measured.times.sort_by(f64::total_cmp);
    if measured.answers == 0 {
        bail!("port {port} answered nothing");
    }
    Ok(measured)
}

async fn send(port: u16, next: &impl Fn() -> Option<Request<Bytes>>) -> Result<(Vec<f64>, usize)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.with_context(|| format!("port {port}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(request) = next() {
        sender.ready().await?;
        let begun = Instant::now();
        let reply = sender.send_request(request.map(Full::new)).await?;
        failed += usize::from(!reply.status().is_success());
        reply.into_body().collect().await?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok((times, failed))
}
