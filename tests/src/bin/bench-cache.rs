//! How fast each layer of the cache answers, beside the same reads in TypeScript, and how many reads a
//! skewed load answers from which layer.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use ferry::stack::Options;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ironferry_tests::http::Reply;
use ironferry_tests::lab::{Lab, project};
use ironferry_tests::origins::Origins;
use serde_json::{Value, json};

/// Reads each layer of the cache and its twin in TypeScript, and prints two tables.
#[derive(Parser)]
struct Arguments {
    /// Reads of each layer
    #[arg(long, default_value_t = 1_000)]
    reads: usize,
    /// Bytes of an entry
    #[arg(long, default_value_t = 10_000)]
    bytes: usize,
    /// Names of the skewed load
    #[arg(long, default_value_t = 500)]
    names: usize,
}

/// Milliseconds, sorted.
struct Times(Vec<f64>);

impl Times {
    fn at(&self, share: f64) -> f64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let place = (self.0.len() as f64 * share) as usize;
        self.0.get(place.min(self.0.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    println!("\n| layer | in | inside p50 ms | inside p99 ms | at the caller p50 ms |");
    println!("|---|---|---:|---:|---:|");
    for (layer, memory, file) in [("memory", "300", "900"), ("file", "0", "900"), ("database", "0", "0")] {
        let lab = start(&[("CACHE_TTL_SECONDS", memory), ("CACHE_FILE_TTL_SECONDS", file)]).await?;
        put(&lab, "entry", asked.bytes).await?;
        for (function, language) in [("cache", "Rust"), ("cache-twin", "TypeScript")] {
            let (inside, outside) = measure(&lab, function, layer, asked.reads).await?;
            let (median, worst, caller) = (inside.at(0.5), inside.at(0.99), outside.at(0.5));
            println!("| {layer} | {language} | {median:.3} | {worst:.3} | {caller:.3} |");
        }
        lab.stop().await?;
    }
    skewed(&asked).await
}

async fn start(settings: &[(&str, &str)]) -> Result<Lab> {
    let folder = std::env::temp_dir().join(format!("ironferry-bench-cache-{}", std::process::id()));
    let files = format!("{}-files", folder.display());
    for place in [files.clone(), format!("{files}-twin")] {
        let _ = std::fs::remove_dir_all(place);
    }
    let mut options = Options::for_tests(project(), &folder);
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

/// Inside the handler, by its own `Server-Timing`, and at the caller.
async fn measure(lab: &Lab, function: &str, layer: &str, reads: usize) -> Result<(Times, Times)> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        get(lab, function, "entry").await?;
    }
    for _ in 0..reads {
        let started = Instant::now();
        let reply = get(lab, function, "entry").await?;
        outside.push(started.elapsed().as_secs_f64() * 1_000.0);
        ensure!(layer_of(&reply) == layer, "{function} answered from {}, not {layer}", layer_of(&reply));
        let timing = reply.headers["server-timing"].to_str()?;
        inside.push(timing.rsplit_once("dur=").context("no time")?.1.parse()?);
    }
    inside.sort_by(f64::total_cmp);
    outside.sort_by(f64::total_cmp);
    Ok((Times(inside), Times(outside)))
}

fn layer_of(reply: &Reply) -> &str {
    reply.headers.get("x-cache").and_then(|value| value.to_str().ok()).unwrap_or("none")
}

/// Reads by Zipf's law, the exponent 1: the second most popular name is read half as often as the first.
/// Each name has a source, and memory has room for a fifth of them.
async fn skewed(asked: &Arguments) -> Result<()> {
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
    let reads = asked.reads * 10;
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
        .buffer_unordered(16)
        .try_collect()
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "\n| reads | names | memory | file | database | origin | calls of the source | reads a second |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    #[allow(clippy::cast_precision_loss)] // some thousands
    let share = |layer: &str| layers.iter().filter(|one| *one == layer).count() as f64 * 100.0 / reads as f64;
    #[allow(clippy::cast_precision_loss)]
    let rate = reads as f64 / seconds;
    println!(
        "| {reads} | {} | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {} | {rate:.0} |",
        asked.names,
        share("memory"),
        share("file"),
        share("database"),
        share("origin"),
        origins.calls().len(),
    );
    lab.stop().await
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
