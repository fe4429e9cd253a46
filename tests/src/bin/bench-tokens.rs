//! Measures a sync of many tokens beside the same job in TypeScript, on one stack, in turns.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use ferry::stack::Options;
use ironferry_tests::lab::{Db, Lab, project};
use ironferry_tests::redis;
use ironferry_tests::tokens::jwt;
use serde_json::json;

/// Tokens a second of `token-manager` and of its twin in TypeScript. Each is told the same Redis, and what
/// it left in the tables is compared.
#[derive(Parser)]
struct Arguments {
    /// Tokens in Redis
    #[arg(long, default_value_t = 10_000)]
    tokens: u32,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

const OURS: (&str, &str) = ("token-manager", "/token-manager?action=sync");
const PIPELINED: (&str, &str) = ("TypeScript, pipelined", "/token-twin?mode=pipelined");
const SEQUENTIAL: (&str, &str) = ("TypeScript, one call after the other", "/token-twin?mode=sequential");

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let folder = std::env::temp_dir().join(format!("ironferry-bench-tokens-{}", std::process::id()));
    let mut options = Options::for_tests(project(), &folder);
    options.extra_functions = vec![PathBuf::from("benches/tokens/token-twin")];
    options.function_env = vec![("LOG_LEVEL".into(), "warn".into())];
    let lab = Lab::with(options, folder).await?;
    let db = lab.db().await?;
    // The twin writes the tables itself, as clients do that have no functions of the database to call.
    db.run("grant insert, update on public.tradovate_tokens, public.token_key_mappings, public.token_events to service_role").await?;
    let commands: Vec<String> = (0..asked.tokens)
        .map(|n| {
            format!("SET token:PAAPEX{:06}{n:07} {} EX 3600\n", 100_000 + n / 20, jwt(&n.to_string(), 4_800))
        })
        .collect();
    redis::run(lab.stack.redis_url(), &commands.concat()).await?;

    let mut measured = [(OURS, vec![], vec![]), (PIPELINED, vec![], vec![]), (SEQUENTIAL, vec![], vec![])];
    let mut left = Vec::new();
    for round in 0..=asked.rounds {
        for ((_, path), first, again) in &mut measured {
            db.run("truncate public.tradovate_tokens, public.token_key_mappings, public.token_events")
                .await?;
            let took = (sync(&lab, path, asked.tokens).await?, sync(&lab, path, asked.tokens).await?);
            left.push(result(&db).await?);
            // The first round finds cold code and empty caches.
            if round > 0 {
                first.push(took.0);
                again.push(took.1);
            }
        }
    }
    left.dedup();
    ensure!(left.len() == 1, "they did not leave the same: {left:?}");
    report(&asked, &measured);
    lab.stop().await
}

async fn sync(lab: &Lab, path: &str, tokens: u32) -> Result<Duration> {
    let started = Instant::now();
    let reply = lab.as_service("GET", path, None, json!({})).await?;
    let took = started.elapsed();
    let said = reply.json()?;
    ensure!(reply.status == 200 && said["tokens_synced"] == tokens, "{path}: {}", reply.status);
    Ok(took)
}

/// What a sync leaves, in one text: ciphertexts differ, ends by the milliseconds that reading took.
async fn result(db: &Db) -> Result<String> {
    let query = "select concat_ws(' ',
        (select md5(string_agg(concat_ws('|', account_name, main_account, token_type, token_length, source, is_active,
            abs(extract(epoch from expires_at - now()) - 3600) < 120, metadata ->> 'redis_key'), ',' order by account_name))
         from public.tradovate_tokens),
        (select md5(string_agg(concat_ws('|', redis_key, main_account, key_type, account_name), ',' order by redis_key))
         from public.token_key_mappings),
        (select md5(string_agg(concat_ws('|', event, account_name), ',' order by account_name)) from public.token_events))";
    db.text(query, &[]).await
}

type Measured = ((&'static str, &'static str), Vec<Duration>, Vec<Duration>);

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

fn report(asked: &Arguments, measured: &[Measured]) {
    let ours = &measured[0];
    if asked.json {
        let told = measured.iter().map(|((name, _), first, again)| {
            json!({ "name": name, "first_seconds": median(first), "again_seconds": median(again) })
        });
        println!("{}", json!({ "tokens": asked.tokens, "results": told.collect::<Vec<_>>() }));
        return;
    }
    println!(
        "\n| {} tokens | first sync, s | tokens/s | ratio | sync again, s | tokens/s | ratio |",
        asked.tokens
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for ((name, _), first, again) in measured {
        let (one, two) = (median(first), median(again));
        println!(
            "| {name} | {one:.2} | {:.0} | {:.1} | {two:.2} | {:.0} | {:.1} |",
            f64::from(asked.tokens) / one,
            one / median(&ours.1),
            f64::from(asked.tokens) / two,
            two / median(&ours.2),
        );
    }
}
