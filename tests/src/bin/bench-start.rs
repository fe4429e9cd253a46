//! How long a function takes from its process's start to its first reply, beside its twin in TypeScript,
//! and what of it is the module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Parser;
use ferry::stack::Options;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ironferry_tests::instance::Recipe;
use ironferry_tests::lab::{Lab, project};
use ironferry_tests::process;
use ironferry_tests::report::{Bound, Cell, Output, Rounds, Section, Table, count, number};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

/// Starts each function and its twin over and over, in turns, and asks each its first request.
#[derive(Parser)]
struct Arguments {
    /// Starts of each
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Only the function whose name has this in it
    #[arg(long, default_value = "")]
    only: String,
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "From the start of the process to the last byte of the first reply, which does the function's own \
    cheap work on the database, straight to its port, on one stack, in turns with its twin; the same Deno, options and \
    environment; files are in the page cache, what Deno transpiles is in its cache. The twin is measured as it is \
    written, with packages from Deno's npm cache, and as `deno bundle` packs it in one file. A bare `Deno.serve` shows \
    what is Deno's own. *Code cache* is V8's, warmed by two starts; the hosted runtime keeps none between workers, \
    which is the other column, and the one that the target is about. CPU is that of the process until its first reply. The ratio is to the twin \
    of that row, round by round.";

const MODULE: &str = "In a fresh process each: importing its files (the module is a text in JSON, base64), decoding it, \
    compiling it (V8's first tier is lazy), and making an instance.";

const SIZE: &str = "All files of the module graph, packages of npm as a whole, which is what the platform's bundle carries, \
    gzipped together (`benches/start/weigh.ts`); and the twin as `deno bundle` packs it, gzipped.";

/// A function, its twin, and the request that a fresh process gets.
struct Pair {
    function: &'static str,
    twin: &'static str,
    twin_folder: &'static str,
    request: fn(&Lab, &Seeds, &str, usize) -> Result<Request<Bytes>>,
}

/// What requests need to know of the database.
struct Seeds {
    webhook: String,
}

const PAIRS: [Pair; 5] = [
    Pair {
        function: "collect-dex",
        twin: "collect-dex-ts",
        twin_folder: "benches/collect/collect-dex-ts",
        request: |lab, _, function, _| read(lab, &format!("/{function}/status")),
    },
    Pair {
        function: "token-manager",
        twin: "token-twin",
        twin_folder: "benches/tokens/token-twin",
        request: |lab, _, function, _| read(lab, &format!("/{function}?action=status")),
    },
    Pair {
        function: "receive-webhook",
        twin: "receive-webhook-ts",
        twin_folder: "benches/webhooks/receive-webhook-ts",
        request: |_, seeds, function, number| alert(seeds, function, number),
    },
    Pair {
        function: "cache",
        twin: "cache-twin",
        twin_folder: "benches/cache-twin",
        request: |lab, _, function, _| read(lab, &format!("/{function}/bench/entry")),
    },
    Pair {
        function: "health",
        twin: "health-ts",
        twin_folder: "benches/health/health-ts",
        request: |lab, _, function, _| read(lab, &format!("/{function}/full")),
    },
];

const PASSPHRASE: &str = "a passphrase for the bench";

fn read(lab: &Lab, path: &str) -> Result<Request<Bytes>> {
    let request = Request::get(path).header("host", "localhost").header("user-agent", "bench");
    Ok(request.header("x-service-key", lab.stack.service_api_key()).body(Bytes::new())?)
}

fn alert(seeds: &Seeds, function: &str, number: usize) -> Result<Request<Bytes>> {
    let body = json!({
        "passphrase": PASSPHRASE, "ticker": "AAPL", "action": "buy", "qty": 1, "price": "150.25",
        "alert_id": format!("{function} {number} {}", std::process::id()),
    });
    let request = Request::post(format!("/{function}/{}", seeds.webhook)).header("host", "localhost");
    Ok(request.header("content-type", "text/plain").body(body.to_string().into())?)
}

/// One way to run one of the two.
struct Variant {
    name: String,
    cached: Recipe,
    uncached: Recipe,
    /// With V8's code cache, without, and the CPU of the latter.
    times: [Rounds; 3],
}

impl Variant {
    fn new(name: &str, recipe: Recipe) -> Self {
        let uncached = recipe.clone().option("--no-code-cache");
        Self { name: name.to_owned(), cached: recipe, uncached, times: Default::default() }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let lab = start().await?;
    let seeds = seed(&lab).await?;
    let bundles = std::env::temp_dir().join(format!("ironferry-bench-start-{}-bundles", std::process::id()));
    std::fs::create_dir_all(&bundles)?;
    let mut first =
        Section::new("The first reply of a fresh process", METHOD).fact("starts of each", asked.rounds);
    let mut modules = Section::new("The module's part of a start", MODULE).fact("processes", asked.rounds);
    let mut sizes = Section::new("What is deployed", SIZE);
    let mut start_table =
        Table::new(["first reply of", "in", "ms", "ratio", "ms with a code cache", "ratio", "CPU ms"]);
    let mut module_table = Table::new(["module", "import ms", "decode ms", "compile ms", "instantiate ms"]);
    let mut size_table = Table::new([
        "",
        "files",
        "kB",
        "kB gzipped",
        "twin, files",
        "twin, kB",
        "twin, kB gzipped",
        "twin in one file, kB gzipped",
    ]);
    for pair in PAIRS.iter().filter(|pair| pair.function.contains(&asked.only)) {
        let bundle = bundle(pair, &bundles).await?;
        starts(&lab, &seeds, pair, &bundle, &asked, &mut start_table, &mut first).await?;
        module_table.row(module(pair, asked.rounds).await?);
        weigh(pair, &bundle, &mut size_table, &mut sizes).await?;
    }
    module_sizes(&mut sizes).await?;
    std::fs::remove_dir_all(&bundles)?;
    lab.stop().await?;
    first.table(start_table);
    modules.table(module_table);
    sizes.table(size_table);
    asked.output.finish(&[first, modules, sizes])
}

async fn start() -> Result<Lab> {
    let folder = std::env::temp_dir().join(format!("ironferry-bench-start-{}", std::process::id()));
    let mut options = Options::for_load(project(), &folder);
    options.extra_functions = PAIRS.iter().map(|pair| pair.twin_folder.into()).collect();
    options.function_env =
        [("LOG_LEVEL", "error"), ("CACHE_FILE_TTL_SECONDS", "0"), ("ALLOWED_HOSTS", "127.0.0.1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    // Starts come faster than callers may ask.
    options.function_env.push(("CACHE_RATE_LIMIT".into(), "10000000".into()));
    options.function_env.push(("CACHE_DIR".into(), format!("{}-files", folder.display())));
    Lab::with(options, folder).await
}

async fn seed(lab: &Lab) -> Result<Seeds> {
    let db = lab.db().await?;
    db.run(&format!(
        "insert into auth.users (id, email) values (gen_random_uuid(), 'one@bench.example');
         insert into public.webhook_configs (user_id, name, security_token, source, rate_limit_per_minute)
         select id, email, '{PASSPHRASE}', 'other', 100000 from auth.users;
         insert into private.trading_turns (user_id, lease_id, leased_until) select id, gen_random_uuid(), now() + interval '1 day' from auth.users;"
    ))
    .await?;
    let rows: Vec<Value> =
        (0..200).map(|row| json!({ "id": row, "name": "a run in the park", "km": 5.5 })).collect();
    let reply = lab.as_service("PUT", "/cache/bench/entry", None, json!({ "rows": rows })).await?;
    ensure!(reply.status == 200, "{}", reply.json()?);
    Ok(Seeds { webhook: db.text("select id::text from public.webhook_configs", &[]).await? })
}

/// The twin in one file.
async fn bundle(pair: &Pair, folder: &Path) -> Result<PathBuf> {
    let out = folder.join(format!("{}.js", pair.twin));
    let place = project().join(pair.twin_folder);
    let made = Command::new("deno")
        .args(["bundle", "--quiet", "--config"])
        .args([place.join("deno.json"), "--output".into(), out.clone(), place.join("index.ts")])
        .output()
        .await?;
    ensure!(made.status.success(), "{}: {}", pair.twin, String::from_utf8_lossy(&made.stderr));
    Ok(out)
}

async fn starts(
    lab: &Lab,
    seeds: &Seeds,
    pair: &Pair,
    bundle: &Path,
    asked: &Arguments,
    table: &mut Table,
    section: &mut Section,
) -> Result<()> {
    let (ours, theirs) = (Recipe::of(lab, pair.function)?, Recipe::of(lab, pair.twin)?);
    let bare = project().join("benches/start/bare.ts").display().to_string();
    let mut variants = [
        Variant::new("Rust", ours.clone()),
        Variant::new("TypeScript", theirs.clone()),
        Variant::new("TypeScript in one file", theirs.script(bundle.display().to_string())),
        Variant::new("a bare `Deno.serve`", ours.script(bare)),
    ];
    for round in 0..asked.rounds + 2 {
        eprintln!("{}: start {round} of {}", pair.function, asked.rounds + 1);
        for (which, variant) in variants.iter_mut().enumerate() {
            let path = if which == 0 { pair.function } else { pair.twin };
            let request = |number| (pair.request)(lab, seeds, path, number);
            let cached = once(&variant.cached, request(round * 8 + which * 2)?).await?;
            let uncached = once(&variant.uncached, request(round * 8 + which * 2 + 1)?).await?;
            // The first two warm the caches.
            if round > 1 {
                variant.times[0].push(cached.0);
                variant.times[1].push(uncached.0);
                variant.times[2].push(uncached.1);
            }
        }
    }
    for (which, variant) in variants.iter().enumerate() {
        let against = |time: usize| variants[0].times[time].against(&variant.times[time]).cell(2);
        let ratio = |time| if which == 1 || which == 2 { against(time) } else { Cell::empty() };
        table.row([
            pair.function.into(),
            variant.name.as_str().into(),
            variant.times[1].cell(0),
            ratio(1),
            variant.times[0].cell(0),
            ratio(0),
            variant.times[2].cell(0),
        ]);
    }
    for (which, what) in [(1, "the twin"), (2, "the twin in one file")] {
        let ratio = variants[0].times[1].against(&variants[which].times[1]).median();
        section.target(
            &format!("{}: first reply against {what}", pair.function),
            Bound::AtMost(0.6),
            ratio,
            "×",
        );
    }
    Ok(())
}

/// Milliseconds to the end of the first reply, and of CPU until then.
async fn once(recipe: &Recipe, request: Request<Bytes>) -> Result<(f64, f64)> {
    let (instance, begun) = recipe.spawn()?;
    let stream = instance.connect(begun).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    let reply = sender.send_request(request.map(Full::new)).await?;
    let status = reply.status();
    let body = reply.into_body().collect().await?.to_bytes();
    let took = milliseconds(begun);
    let cpu = process::cpu_of_threads(instance.pid)?.as_secs_f64() * 1_000.0;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok((took, cpu))
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}

/// What `benches/start/module.ts` tells, in milliseconds.
#[derive(Deserialize)]
struct Steps {
    load: f64,
    decode: f64,
    compile: f64,
    instantiate: f64,
}

async fn module(pair: &Pair, rounds: usize) -> Result<[Cell; 5]> {
    let file = format!("supabase/functions/{}/wasm/{}.ts", pair.function, pair.function.replace('-', "_"));
    let mut times: [Rounds; 4] = Default::default();
    for _ in 0..rounds {
        let steps: Steps =
            script(&["run", "--quiet", "--no-code-cache", "-A", "benches/start/module.ts", &file]).await?;
        let steps = [steps.load, steps.decode, steps.compile, steps.instantiate];
        times.iter_mut().zip(steps).for_each(|(times, time)| times.push(time));
    }
    let [load, decode, compile, instantiate] = times.map(|times| times.cell(2));
    Ok([pair.function.into(), load, decode, compile, instantiate])
}

/// What `benches/start/weigh.ts` tells, in bytes.
#[derive(Deserialize)]
struct Weight {
    files: usize,
    raw: f64,
    gzipped: f64,
}

async fn weigh(pair: &Pair, bundle: &Path, table: &mut Table, section: &mut Section) -> Result<()> {
    let weight = async |config: String, script_path: String| -> Result<Weight> {
        script(&["run", "--quiet", "-A", "benches/start/weigh.ts", &config, &script_path]).await
    };
    let of = |folder: &str| (format!("{folder}/deno.json"), format!("{folder}/index.ts"));
    let (config, index) = of(&format!("supabase/functions/{}", pair.function));
    let ours = weight(config, index).await?;
    let (config, index) = of(pair.twin_folder);
    let theirs = weight(config, index).await?;
    // Alone: a configuration that names packages would have them weighed again.
    let (config, _) = of("supabase/functions/health");
    let packed = weight(config, bundle.display().to_string()).await?;
    let kb = |bytes: f64| number(bytes / 1_000.0, 0);
    table.row([
        pair.function.into(),
        count(ours.files),
        kb(ours.raw),
        kb(ours.gzipped),
        count(theirs.files),
        kb(theirs.raw),
        kb(theirs.gzipped),
        kb(packed.gzipped),
    ]);
    let what = format!("{}: what is deployed, gzipped, against the twin", pair.function);
    section.target(&what, Bound::AtMost(1.0), ours.gzipped / theirs.gzipped, "×");
    Ok(())
}

/// Every module is to be small, those without a twin too.
async fn module_sizes(section: &mut Section) -> Result<()> {
    let weights: BTreeMap<String, f64> =
        script(&["run", "--quiet", "--allow-read", "benches/start/modules.ts"]).await?;
    for (function, bytes) in weights {
        section.target(
            &format!("{function}: the module, gzipped"),
            Bound::AtMost(120.0),
            bytes / 1_000.0,
            "kB",
        );
    }
    Ok(())
}

/// Runs Deno in the project and reads the JSON that it prints.
async fn script<T: serde::de::DeserializeOwned>(args: &[&str]) -> Result<T> {
    let ran = Command::new("deno").args(args).current_dir(project()).output().await?;
    ensure!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).with_context(|| format!("{args:?}"))
}
