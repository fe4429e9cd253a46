//! Load on a server: so many connections, each sending its next request when the last is answered.

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
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let place = (self.times.len() as f64 * share) as usize;
        self.times.get(place.min(self.times.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Sends this request over and over to `127.0.0.1:port`. Any status but 2xx counts as failed.
pub async fn run(load: Load, port: u16, request: &Request<Bytes>) -> Result<Measured> {
    let started = Instant::now();
    let until = started + load.duration;
    let senders = (0..load.connections).map(|_| tokio::spawn(send(port, request.clone(), until)));
    let mut measured = Measured::default();
    for sender in senders.collect::<Vec<_>>() {
        let (times, failed) = sender.await??;
        measured.failed += failed;
        measured.times.extend(times);
    }
    measured.answers = measured.times.len();
    #[allow(clippy::cast_precision_loss)]
    let answers = measured.answers as f64;
    measured.per_second = answers / started.elapsed().as_secs_f64();
    measured.times.sort_by(f64::total_cmp);
    if measured.answers == 0 {
        bail!("port {port} answered nothing within {:?}", load.duration);
    }
    Ok(measured)
}

async fn send(port: u16, request: Request<Bytes>, until: Instant) -> Result<(Vec<f64>, usize)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.with_context(|| format!("port {port}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    let (mut times, mut failed) = (Vec::new(), 0);
    while Instant::now() < until {
        let begun = Instant::now();
        sender.ready().await?;
        let reply = sender.send_request(request.clone().map(Full::new)).await?;
        failed += usize::from(!reply.status().is_success());
        reply.into_body().collect().await?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok((times, failed))
}
