//! One instance under very many requests: whether its memory and its latency stay as they are.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use ferry::stack::Options;
use http::Request;
use ironferry_tests::instance::{Instance, Recipe};
use ironferry_tests::lab::{Lab, project};
use ironferry_tests::report::{Bound, Output, Section, Table, count, number};
use ironferry_tests::{load, process};
use serde::Deserialize;

/// Sends very many requests to one instance, of an echo and of a function that reads the database.
#[derive(Parser)]
struct Arguments {
    /// Requests to each of the two
    #[arg(long, default_value_t = 200_000)]
    requests: usize,
    /// Requests at once
    #[arg(long, default_value_t = 16)]
    connections: usize,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "Requests to one process of a function, straight to its port: `POST /boundary/echo`, and \
    `GET /collect-dex/status` with one database read each. The heap is what V8 holds after a full collection \
    (`gc()` at a signal), wasm is the module's linear memory, resident is the process's, with Deno's own. In the \
    first half the runtime finds its size; growth is from the middle to the end. No request may fail.";

/// How much of memory may be added in the second half, in per cent.
const GROWTH: f64 = 5.0;
const PARTS: usize = 10;

/// What `benches/soak/memory.js` tells, in bytes.
#[derive(Clone, Copy, Deserialize)]
struct Inside {
    heap: f64,
    external: f64,
    wasm: f64,
    instances: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let folder = std::env::temp_dir().join(format!("ironferry-bench-soak-{}", std::process::id()));
    let mut options = Options::for_load(project(), &folder);
    options.extra_functions = vec!["tests/functions/boundary".into()];
    options.function_env = vec![("LOG_LEVEL".into(), "error".into())];
    let lab = Lab::with(options, folder).await?;
    let key = lab.stack.service_api_key();
    let echo = Request::post("/boundary/echo")
        .header("content-type", "application/json")
        .header("host", "localhost")
        .body(Bytes::from_static(b"{\"text\":\"a soak\"}"))?;
    let status = Request::get("/collect-dex/status").header("x-service-key", key).header("host", "localhost");
    let mut section = Section::new("A soak", METHOD)
        .fact("requests", asked.requests)
        .fact("connections", asked.connections);
    soak(&lab, "boundary", &echo, &asked, &mut section).await?;
    soak(&lab, "collect-dex", &status.body(Bytes::new())?, &asked, &mut section).await?;
    lab.stop().await?;
    asked.output.finish(&[section])
}

async fn soak(
    lab: &Lab,
    function: &str,
    request: &Request<Bytes>,
    asked: &Arguments,
    section: &mut Section,
) -> Result<()> {
    let memory = project().join("benches/soak/memory.js");
    let recipe = Recipe::of(lab, function)?.option("--v8-flags=--expose-gc");
    let mut instance = recipe.option(format!("--preload={}", memory.display())).start().await?;
    let mut table = Table::new([
        "requests",
        "per second",
        "p50 ms",
        "p99 ms",
        "heap MB",
        "outside it MB",
        "wasm MB",
        "resident MB",
        "failed",
    ])
    .caption(format!("`{} {}`:", request.method(), request.uri().path()));
    let (mut growing, mut failed) = (Vec::new(), 0);
    let mb = |bytes: f64| bytes / 1_048_576.0;
    for part in 1..=PARTS {
        eprintln!("{function}: part {part} of {PARTS}");
        let requests = asked.requests / PARTS;
        let load = load::run_all(asked.connections, instance.port, requests, |_| request.clone())?;
        let inside = inside(&mut instance).await?;
        let resident = process::resident_mb(instance.pid)?;
        ensure!(inside.instances == 1, "{function} made {} instances", inside.instances);
        failed += load.failed;
        growing.push([inside.heap, inside.wasm, resident]);
        table.row([
            count(requests * part),
            number(load.per_second, 0),
            number(load.quantile(0.5), 2),
            number(load.quantile(0.99), 2),
            number(mb(inside.heap), 2),
            number(mb(inside.external), 2),
            number(mb(inside.wasm), 2),
            number(resident, 1),
            count(load.failed),
        ]);
    }
    section.table(table);
    let (middle, end) = (growing[PARTS / 2 - 1], growing[PARTS - 1]);
    for (which, what) in ["V8's heap", "wasm memory", "resident memory"].into_iter().enumerate() {
        let growth = (end[which] / middle[which] - 1.0) * 100.0;
        let what = format!("soak of {function}: {what} in the second half");
        section.target(&what, Bound::AtMost(GROWTH), growth, "%");
    }
    #[allow(clippy::cast_precision_loss)] // hopefully few
    let failed = failed as f64;
    section.target(&format!("soak of {function}: failed requests"), Bound::AtMost(0.0), failed, "requests");
    Ok(())
}

/// Asks the instance what it holds.
async fn inside(instance: &mut Instance) -> Result<Inside> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(instance.pid)?).context("no process")?;
    rustix::process::kill_process(pid, rustix::process::Signal::HUP)?;
    loop {
        let line = instance.output.next_line().await?.context("the function ended")?;
        if let Some(told) = line.strip_prefix("memory ") {
            return Ok(serde_json::from_str(told)?);
        }
    }
}
