//! What each function does in a second, beside its twin in TypeScript: the calls that are made all day.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use ferry::stack::Options;
use http::Request;
use ironferry_tests::calls::Calls;
use ironferry_tests::lab::{Lab, project};
use ironferry_tests::load::{self, Load};
use ironferry_tests::report::{Bound, Output, Rounds, Section, Table};
use ironferry_tests::tokens::{accounts, jwt};
use ironferry_tests::{process, redis};
use serde_json::{Value, json};

/// Sends the same requests to each function and to its twin, in turns.
#[derive(Parser)]
#[command(after_help = "Examples:\n  bench-work\n  bench-work --only health --rounds 9 --json")]
struct Arguments {
    /// Turns of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a turn
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Only the work whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "The same request over and over, straight to the function's port, to each function and to its twin \
    in `benches/` (TypeScript, supabase-js with one client for all requests, the same functions of the database) on \
    one stack. Their replies are compared first and must say the same. Warmed up, then in turns; ratios are round by \
    round. CPU is the function's process. Calls are requests to the REST server, those behind the reply \
    among them.";

/// A request that a function and its twin answer alike.
struct Work {
    name: &'static str,
    function: &'static str,
    twin: &'static str,
    /// Behind the function's name.
    path: String,
    /// What may differ in the replies: times, and what one of them measures of itself.
    differs: &'static [&'static str],
    /// For the cache: how long, in seconds, memory and file are believed.
    believed: (&'static str, &'static str),
}

fn all() -> Vec<Work> {
    let work = |name, function, twin, path: &str, differs| Work {
        name,
        function,
        twin,
        path: path.to_owned(),
        differs,
        believed: ("300", "900"),
    };
    let full: &[&str] =
        &["latency_ms", "/measured/took_ms", "/measured/at", "/measured/server", "/measured/queries"];
    let entry = "/bench/entry";
    let token = format!("?action=get&account={}", accounts()[0]);
    vec![
        work("health", "health", "health-ts", "", &[]),
        work("health, full", "health", "health-ts", "/full", full),
        work("collector, last runs", "collect-dex", "collect-dex-ts", "/status", &[]),
        work("token, get", "token-manager", "token-twin", &token, &[]),
        work("token, status", "token-manager", "token-twin", "?action=status", &[]),
        work("cache, memory", "cache", "cache-twin", entry, &[]),
        Work { believed: ("0", "900"), ..work("cache, file", "cache", "cache-twin", entry, &[]) },
        Work { believed: ("0", "0"), ..work("cache, database", "cache", "cache-twin", entry, &[]) },
    ]
}

/// What one of the two did.
#[derive(Default)]
struct Turns {
    rate: Rounds,
    p50: Rounds,
    p99: Rounds,
    cpu_ms: Rounds,
    calls: Rounds,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let mut section = Section::new("The work of each function", METHOD)
        .fact("rounds", asked.rounds)
        .fact("seconds a turn", asked.seconds)
        .fact("connections", asked.connections);
    let mut table = Table::new([
        "work",
        "in",
        "requests/s",
        "ratio",
        "p50 ms",
        "p99 ms",
        "CPU ms a request",
        "database calls a request",
    ]);
    let mut wanted = all();
    wanted.retain(|work| work.name.contains(&asked.only));
    let mut running: Option<((&str, &str), Lab, Calls)> = None;
    for work in wanted {
        // The cache's settings need a stack of their own.
        if running.as_ref().is_some_and(|(believed, ..)| *believed != work.believed)
            && let Some((_, lab, _)) = running.take()
        {
            lab.stop().await?;
        }
        if running.is_none() {
            let calls = Calls::default();
            running = Some((work.believed, start(work.believed, &calls).await?, calls));
        }
        let (_, lab, calls) = running.as_ref().context("it runs")?;
        compare(lab, &work).await?;
        let turns = measure(lab, calls, &work, &asked)?;
        let ratio = turns[0].rate.against(&turns[1].rate);
        for (language, one, ratio) in
            [("Rust", &turns[0], &ratio), ("TypeScript", &turns[1], &turns[1].rate.against(&turns[1].rate))]
        {
            table.row([
                work.name.into(),
                language.into(),
                one.rate.cell(0),
                ratio.cell(2),
                one.p50.cell(2),
                one.p99.cell(2),
                one.cpu_ms.cell(3),
                one.calls.cell(2),
            ]);
        }
        let what = format!("{}: requests/s against the twin", work.name);
        section.target(&what, Bound::AtLeast(1.0), ratio.median(), "×");
    }
    if let Some((_, lab, _)) = running {
        lab.stop().await?;
    }
    section.table(table);
    asked.output.finish(&[section])
}

async fn start((memory, file): (&str, &str), calls: &Calls) -> Result<Lab> {
    let folder = std::env::temp_dir().join(format!("ironferry-bench-work-{}", std::process::id()));
    let files = format!("{}-files", folder.display());
    for place in [files.clone(), format!("{files}-twin")] {
        let _ = std::fs::remove_dir_all(place);
    }
    let mut options = Options::for_load(project(), &folder);
    options.extra_functions = [
        "benches/health/health-ts",
        "benches/collect/collect-dex-ts",
        "benches/tokens/token-twin",
        "benches/cache-twin",
    ]
    .map(Into::into)
    .into();
    options.function_env = [
        ("ALLOWED_HOSTS", "127.0.0.1"),
        ("LOG_LEVEL", "error"),
        ("CACHE_RATE_LIMIT", "10000000"),
        ("CACHE_TTL_SECONDS", memory),
        ("CACHE_FILE_TTL_SECONDS", file),
        ("CACHE_DIR", &files),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    options.listener = Some(calls.listener());
    let lab = Lab::with(options, folder).await?;
    let commands: Vec<String> = accounts()
        .into_iter()
        .map(|account| format!("SET token:{account} {} EX 36000\n", jwt(&account, 36_000)))
        .collect();
    redis::run(lab.stack.redis_url(), &commands.concat()).await?;
    let rows: Vec<Value> =
        (0..200).map(|row| json!({ "id": row, "name": "a run in the park", "km": 5.5 })).collect();
    for (method, path, body) in [
        ("GET", "/token-manager?action=sync", Value::Null),
        ("PUT", "/cache/bench/entry", json!({ "rows": rows })),
        ("POST", "/collect-dex?wait=true", json!({})),
    ] {
        let reply = lab.as_service(method, path, None, body).await?;
        ensure!(reply.status == 200, "{path}: {}", reply.json()?);
    }
    Ok(lab)
}

/// Both say the same, but for what may differ. Asked twice: of the cache the second reply counts, which
/// comes from the layer that is measured.
async fn compare(lab: &Lab, work: &Work) -> Result<()> {
    let mut said = Vec::new();
    for function in [work.function, work.twin] {
        let path = format!("/{function}{}", work.path);
        lab.as_service("GET", &path, None, Value::Null).await?;
        let reply = lab.as_service("GET", &path, None, Value::Null).await?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.json()?);
        let layer =
            reply.headers.get("x-cache").map(|layer| layer.to_str().map(str::to_owned)).transpose()?;
        let mut body = reply.json()?;
        for place in work.differs {
            let (parent, name) = place.rsplit_once('/').unwrap_or(("", place));
            if let Some(fields) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
                fields.remove(name);
            }
        }
        said.push((layer, body));
    }
    ensure!(said[0] == said[1], "{}: {} but {}", work.name, said[0].1, said[1].1);
    if let (Some(layer), Some((_, wanted))) = (&said[0].0, work.name.split_once(", ")) {
        ensure!(layer == wanted, "{} comes from {layer}", work.name);
    }
    Ok(())
}

fn measure(lab: &Lab, calls: &Calls, work: &Work, asked: &Arguments) -> Result<[Turns; 2]> {
    let turn = Load { connections: asked.connections, duration: Duration::from_secs_f64(asked.seconds) };
    let mut turns = [Turns::default(), Turns::default()];
    for round in 0..=asked.rounds {
        eprintln!("{}: round {round} of {}", work.name, asked.rounds);
        for (function, turns) in [work.function, work.twin].into_iter().zip(&mut turns) {
            let (port, pid) = (lab.port(function)?, lab.pid(function)?);
            let request = Request::get(format!("/{function}{}", work.path))
                .header("host", "localhost")
                .header("x-service-key", lab.stack.service_api_key())
                .header("x-request-id", "bench")
                .header("user-agent", "bench")
                .body(Bytes::new())?;
            let (_, cpu) = (calls.take(), process::cpu(pid)?);
            let measured = load::run(turn, port, &request)?;
            let cpu = process::cpu(pid)?.saturating_sub(cpu);
            ensure!(measured.failed == 0, "{}: {function} failed {} times", work.name, measured.failed);
            // The first round warms up.
            if round > 0 {
                #[allow(clippy::cast_precision_loss)] // some ten thousand
                let each = |sum: f64| sum / measured.answers as f64;
                turns.rate.push(measured.per_second);
                turns.p50.push(measured.quantile(0.5));
                turns.p99.push(measured.quantile(0.99));
                turns.cpu_ms.push(each(cpu.as_secs_f64() * 1_000.0));
                #[allow(clippy::cast_precision_loss)]
                turns.calls.push(each(calls.take().into_values().sum::<usize>() as f64));
            }
        }
    }
    Ok(turns)
}
