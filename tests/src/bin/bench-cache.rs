//! How fast each layer of the cache answers, beside the same reads in TypeScript, and how many reads a
//! skewed load answers from which layer.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use ferry::stack::Options;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use ironferry_tests::http::Reply;
use ironferry_tests::lab::{Lab, project};
use ironferry_tests::load;
use ironferry_tests::origins::Origins;
use ironferry_tests::process;
use ironferry_tests::report::{Bound, Output, Rounds, Section, Table, count, number, quantile};
use serde_json::{Value, json};

/// Reads each layer of the cache and its twin in TypeScript, then a skewed load.
#[derive(Parser)]
struct Arguments {
    /// Reads of each layer in a round
    #[arg(long, default_value_t = 400)]
    reads: usize,
    /// Rounds, in turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Bytes of an entry
    #[arg(long, default_value_t = 10_000)]
    bytes: usize,
    /// Names of the skewed load
    #[arg(long, default_value_t = 500)]
    names: usize,
    /// Reads of the skewed load
    #[arg(long, default_value_t = 10_000)]
    skewed: usize,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "One entry, each layer reached by switching off the trust in those above. Inside is the function's own \
    `Server-Timing` when reads follow each other: from the request's arrival in the handler to the reply, with \
    authentication and rate limit. A second is how many reads come back when many are asked for at once, straight from \
    the function's port. `benches/cache-twin` is the same in TypeScript with supabase-js, with checksum, ETag, rate limit \
    and audit. In turns after a warm-up; the ratio is round by round.";

const SKEWED: &str = "Reads by Zipf's law with the exponent 1, over the gateway. Each name has a source of its own, and memory \
    has room for a fifth of them. A hit is a read that waits for no source.";

/// At once, when reads a second are counted.
const CONNECTIONS: usize = 16;
/// The layer, how long memory and files are trusted, and how long a read may take inside.
const LAYERS: [(&str, &str, &str, f64); 3] =
    [("memory", "300", "900", 5.0), ("file", "0", "900", 10.0), ("database", "0", "0", 250.0)];
const FUNCTIONS: [(&str, &str); 2] = [("cache", "Rust"), ("cache-twin", "TypeScript")];

/// What one of the two did of one layer.
#[derive(Default)]
struct Turns {
    p50: Rounds,
    p99: Rounds,
    per_second: Rounds,
    cpu_ms: Rounds,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let mut section = Section::new("The layers of the cache", METHOD)
        .fact("reads a round", asked.reads)
        .fact("rounds", asked.rounds)
        .fact("bytes", asked.bytes)
        .fact("at once", CONNECTIONS);
    let mut table = Table::new([
        "layer",
        "in",
        "inside p50 ms",
        "inside p99 ms",
        "reads a second",
        "ratio",
        "CPU ms a read",
    ]);
    for (layer, memory, file, limit) in LAYERS {
        let lab = start(&[("CACHE_TTL_SECONDS", memory), ("CACHE_FILE_TTL_SECONDS", file)]).await?;
        put(&lab, "entry", asked.bytes).await?;
        let mut turns = [Turns::default(), Turns::default()];
        for round in 0..=asked.rounds {
            eprintln!("{layer}: round {round} of {}", asked.rounds);
            for ((function, _), turns) in FUNCTIONS.into_iter().zip(&mut turns) {
                let one = measure(&lab, function, layer, asked.reads).await?;
                // The first warms up.
                if round > 0 {
                    one.into_iter().zip(turns.all()).for_each(|(value, rounds)| rounds.push(value));
                }
            }
        }
        for ((_, language), one) in FUNCTIONS.into_iter().zip(&turns) {
            table.row([
                layer.into(),
                language.into(),
                one.p50.cell(3),
                one.p99.cell(3),
                one.per_second.cell(0),
                one.per_second.against(&turns[1].per_second).cell(2),
                one.cpu_ms.cell(3),
            ]);
        }
        let what = format!("a cache read from {layer}, 99 % of them");
        section.target(&what, Bound::AtMost(limit), turns[0].p99.median(), "ms");
        let ratio = turns[0].per_second.against(&turns[1].per_second).median();
        let what = format!("cache reads a second from {layer} against the twin");
        section.target(&what, Bound::AtLeast(1.0), ratio, "×");
        lab.stop().await?;
    }
    section.table(table);
    asked.output.finish(&[section, skewed(&asked).await?])
}

impl Turns {
    fn all(&mut self) -> [&mut Rounds; 4] {
        [&mut self.p50, &mut self.p99, &mut self.per_second, &mut self.cpu_ms]
    }
}

async fn start(settings: &[(&str, &str)]) -> Result<Lab> {
    let folder = std::env::temp_dir().join(format!("ironferry-bench-cache-{}", std::process::id()));
    let files = format!("{}-files", folder.display());
    for place in [files.clone(), format!("{files}-twin")] {
        let _ = std::fs::remove_dir_all(place);
    }
    let mut options = Options::for_load(project(), &folder);
    options.extra_functions = vec!["benches/cache-twin".into()];
    let common = [("ALLOWED_HOSTS", "127.0.0.1"), ("CACHE_RATE_LIMIT", "10000000"), ("LOG_LEVEL", "warn")];
    options.function_env = common
        .iter()
        .chain(settings)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .chain([("CACHE_DIR".to_owned(), files)])
        .collect();
    Lab::with(options, folder).await
}

async fn put(lab: &Lab, name: &str, bytes: usize) -> Result<()> {
    let rows: Vec<Value> =
        (0..bytes / 50).map(|row| json!({ "id": row, "name": "a run in the park", "km": 5.5 })).collect();
    let reply = lab.as_service("PUT", &format!("/cache/bench/{name}"), None, json!({ "rows": rows })).await?;
    ensure!(reply.status == 200, "{}", reply.json()?);
    Ok(())
}

async fn get(lab: &Lab, function: &str, name: &str) -> Result<Reply> {
    lab.as_service("GET", &format!("/{function}/bench/{name}"), None, Value::Null).await
}

/// The quantiles inside the handler, reads a second, and CPU milliseconds a read.
async fn measure(lab: &Lab, function: &str, layer: &str, reads: usize) -> Result<[f64; 4]> {
    // The layers above those that are read find nothing yet.
    get(lab, function, "entry").await?;
    let mut inside = Vec::new();
    for _ in 0..reads {
        let reply = get(lab, function, "entry").await?;
        ensure!(layer_of(&reply) == layer, "{function} answered from {}, not {layer}", layer_of(&reply));
        let timing = reply.headers["server-timing"].to_str()?;
        inside.push(timing.rsplit_once("dur=").context("no time")?.1.parse()?);
    }
    inside.sort_by(f64::total_cmp);
    let request = Request::get(format!("/{function}/bench/entry"))
        .header("host", "localhost")
        .header("x-service-key", lab.stack.service_api_key())
        .body(Bytes::new())?;
    let (port, pid) = (lab.port(function)?, lab.pid(function)?);
    let cpu = process::cpu(pid)?;
    let load = load::run_all(CONNECTIONS, port, reads * 4, |_| request.clone())?;
    let cpu = process::cpu(pid)?.saturating_sub(cpu);
    ensure!(load.failed == 0, "{function}: {} reads of {layer} failed", load.failed);
    #[allow(clippy::cast_precision_loss)] // thousands
    let cpu_ms = cpu.as_secs_f64() * 1_000.0 / load.answers as f64;
    Ok([quantile(&inside, 0.5), quantile(&inside, 0.99), load.per_second, cpu_ms])
}

fn layer_of(reply: &Reply) -> &str {
    reply.headers.get("x-cache").and_then(|value| value.to_str().ok()).unwrap_or("none")
}

/// Reads by Zipf's law, the exponent 1: the second most popular name is read half as often as the first.
/// Each name has a source, and memory has room for a fifth of them.
async fn skewed(asked: &Arguments) -> Result<Section> {
    let lab =
        start(&[("CACHE_MEMORY_MB", "1"), ("CACHE_TTL_SECONDS", "300"), ("CACHE_FILE_TTL_SECONDS", "900")])
            .await?;
    let origins = Origins::start().await?;
    for name in 0..asked.names {
        let text = "x".repeat(asked.bytes);
        origins.document(&format!("/{name}"), json!({ "text": text }));
        let source =
            json!({ "kind": "json", "url": format!("{}/{name}", origins.url()), "refresh_seconds": 3_600 });
        let reply = lab.as_service("PUT", &format!("/cache/bench/name-{name}/source"), None, source).await?;
        ensure!(reply.status == 200, "{}", reply.json()?);
    }
    let reads = asked.skewed;
    let mut chance = 42_u64;
    let names: Vec<usize> = (0..reads).map(|_| zipf(asked.names, &mut chance)).collect();
    let started = Instant::now();
    let layers: Vec<String> = stream::iter(names)
        .map(|name| {
            let lab = &lab;
            async move {
                Ok::<_, anyhow::Error>(
                    layer_of(&get(lab, "cache", &format!("name-{name}")).await?).to_owned(),
                )
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect()
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)] // some thousands
    let share = |layer: &str| layers.iter().filter(|one| *one == layer).count() as f64 * 100.0 / reads as f64;
    #[allow(clippy::cast_precision_loss)]
    let rate = reads as f64 / seconds;
    let calls = origins.calls().len();
    lab.stop().await?;
    let mut section = Section::new("A skewed load on the cache", SKEWED)
        .fact("reads", reads)
        .fact("names", asked.names)
        .fact("bytes", asked.bytes)
        .fact("at once", CONNECTIONS);
    let mut table = Table::new([
        "memory %",
        "file %",
        "database %",
        "origin %",
        "calls of the sources",
        "reads a second",
    ]);
    table.row([
        number(share("memory"), 1),
        number(share("file"), 1),
        number(share("database"), 1),
        number(share("origin"), 1),
        count(calls),
        number(rate, 0),
    ]);
    section.table(table);
    #[allow(clippy::cast_precision_loss)]
    let each = calls as f64 / asked.names as f64;
    section.target("calls of each source while all ask for it", Bound::AtMost(1.0), each, "calls");
    Ok(section)
}

/// A name by its rank.
fn zipf(names: usize, chance: &mut u64) -> usize {
    // xorshift: the same load each time.
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    #[allow(clippy::cast_precision_loss)]
    let weight = |rank: usize| 1.0 / (rank as f64 + 1.0);
    let total: f64 = (0..names).map(weight).sum();
    #[allow(clippy::cast_precision_loss)]
    let mut left = (*chance >> 11) as f64 / (1_u64 << 53) as f64 * total;
    (0..names)
        .find(|rank| {
            left -= weight(*rank);
            left <= 0.0
        })
        .unwrap_or(names - 1)
}
