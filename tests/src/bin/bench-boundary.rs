//! What the boundary costs: the SDK's echo beside a bare `Deno.serve` and beside Hono, in one run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use ferry::stack::Claim;
use http::Request;
use ironferry_tests::lab::project;
use ironferry_tests::load::{self, Load, Measured};
use ironferry_tests::report::{Bound, Output, Rounds, Section, Table};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Measures an echo on the SDK beside the same on bare Deno and on Hono, in turns.
#[derive(Parser)]
#[command(after_help = "Examples:\n  bench-boundary\n  bench-boundary --rounds 9 --json")]
struct Arguments {
    /// Turns of each server
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Seconds of a turn
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Bytes of the JSON body
    #[arg(long, default_value_t = 1_000)]
    bytes: usize,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "`POST /boundary/echo` with a JSON body, straight to the server's port: a bare `Deno.serve` \
    that reads and writes the same headers (`benches/boundary/bare.ts`), the same on Hono, and the SDK's echo in \
    Rust. Each in a process of its own, warmed up, then in turns; ratios are turn by turn against the bare one.";

/// A server that echoes.
struct Server {
    name: &'static str,
    claim: Claim,
    turns: Vec<Measured>,
    // Killed when this is dropped.
    _process: Child,
}

/// The first is what the others are compared with.
const SERVERS: [(&str, &str); 3] = [
    ("Deno.serve", "benches/boundary/bare.ts"),
    ("Hono", "benches/boundary/hono.ts"),
    ("Ironferry", "tests/functions/boundary/index.ts"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let request = request(asked.bytes)?;
    let mut servers = Vec::new();
    for (name, script) in SERVERS {
        let server = start(name, script).await?;
        check(&server, &request).await?;
        servers.push(server);
    }
    let turn = Load { connections: asked.connections, duration: Duration::from_secs_f64(asked.seconds) };
    for server in &servers {
        // Compiled and optimised before anything counts.
        load::run(turn, server.claim.port(), &request)?;
    }
    for round in 0..asked.rounds {
        eprintln!("round {} of {}", round + 1, asked.rounds);
        for server in &mut servers {
            let measured = load::run(turn, server.claim.port(), &request)?;
            ensure!(measured.failed == 0, "{}: {} requests failed", server.name, measured.failed);
            server.turns.push(measured);
        }
    }
    asked.output.finish(&[section(&asked, &servers)])
}

fn request(bytes: usize) -> Result<Request<Bytes>> {
    let body = json!({ "text": "x".repeat(bytes.saturating_sub(11)) }).to_string();
    Ok(Request::post("/boundary/echo")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("authorization", "Bearer a.jwt.of-some-length")
        .header("x-request-id", "bench")
        .body(body.into())?)
}

async fn start(name: &'static str, script: &str) -> Result<Server> {
    let claim = Claim::any()?;
    let at = |path: &str| Path::new(project()).join(path);
    let process = Command::new("deno")
        .args(["run", "--quiet", "--no-prompt", "--no-lock", "--allow-net", "--allow-env", "--allow-read"])
        .arg(format!("--config={}", at("benches/boundary/deno.json").display()))
        .arg(at(script))
        .env("DENO_SERVE_ADDRESS", format!("tcp:127.0.0.1:{}", claim.port()))
        .env("LOG_LEVEL", "error")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("deno is not on the PATH: source scripts/env")?;
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", claim.port())).await.is_ok() {
            return Ok(Server { name, claim, turns: Vec::new(), _process: process });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{script} does not listen")
}

/// The same answer from each: what is compared does the same.
async fn check(server: &Server, request: &Request<Bytes>) -> Result<()> {
    let client = ironferry_tests::http::Client::new(&format!("http://127.0.0.1:{}", server.claim.port()));
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter(|(name, _)| *name != "host")
        .map(|(name, value)| Ok((name.as_str(), value.to_str()?)))
        .collect::<Result<_>>()?;
    let reply = client.send("POST", "/boundary/echo", &headers, request.body().clone()).await?;
    ensure!(reply.status == 200 && reply.body == request.body(), "{} does not echo", server.name);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-request-id", "bench"),
        ("access-control-allow-origin", "*"),
    ] {
        let shown = reply.headers.get(name).and_then(|shown| shown.to_str().ok());
        ensure!(shown == Some(value), "{}: {name} is {shown:?}", server.name);
    }
    Ok(())
}

fn section(asked: &Arguments, servers: &[Server]) -> Section {
    let mut section = Section::new("The boundary", METHOD)
        .fact("rounds", asked.rounds)
        .fact("seconds a turn", asked.seconds)
        .fact("connections", asked.connections)
        .fact("bytes of the body", asked.bytes);
    let rates = |server: &Server| server.turns.iter().map(|turn| turn.per_second).collect::<Rounds>();
    let base = rates(&servers[0]);
    let mut table = Table::new(["echo", "requests/s", "p50 ms", "p99 ms", "ratio"]);
    for server in servers {
        let rate = rates(server);
        let ratio = rate.against(&base);
        let at = |share: f64| server.turns.iter().map(|turn| turn.quantile(share)).collect::<Rounds>();
        table.row([server.name.into(), rate.cell(0), at(0.5).cell(2), at(0.99).cell(2), ratio.cell(2)]);
        if server.name == "Ironferry" {
            let what = "the SDK's echo, requests/s against bare `Deno.serve`";
            section.target(what, Bound::AtLeast(0.85), ratio.median(), "×");
        }
    }
    section.table(table);
    section
}
