//! Measures a sync of many tokens beside the same job in TypeScript, on one stack, in turns.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use ferry::stack::Options;
use ironferry_tests::lab::{Db, Lab, project};
use ironferry_tests::redis;
use ironferry_tests::report::{Bound, Output, Rounds, Section, Table, number};
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
    #[command(flatten)]
    output: Output,
}

const METHOD: &str = "A sync of Redis into Postgres by `token-manager` and by `benches/tokens/token-twin`, which does \
    the same job with npm:redis, WebCrypto and supabase-js in the same Deno, on the same stack, in turns. Pipelined \
    asks Redis for a page of keys at once; one call after the other is what the earlier implementations do. The \
    first sync finds empty tables, the next one finds all of it known, as every half hour's does. The rows, \
    mappings and events that they leave are compared and are the same. The ratio is how many times the others \
    take, round by round.";

const OURS: (&str, &str) = ("token-manager", "/token-manager?action=sync");
const PIPELINED: (&str, &str) = ("TypeScript, pipelined", "/token-twin?mode=pipelined");
const SEQUENTIAL: (&str, &str) = ("TypeScript, one call after the other", "/token-twin?mode=sequential");

#[tokio::main]
async fn main() -> Result<()> {
    let asked = Arguments::parse();
    let folder = std::env::temp_dir().join(format!("ironferry-bench-tokens-{}", std::process::id()));
    let mut options = Options::for_load(project(), &folder);
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

    let mut measured = [
        (OURS, Rounds::default(), Rounds::default()),
        (PIPELINED, Rounds::default(), Rounds::default()),
        (SEQUENTIAL, Rounds::default(), Rounds::default()),
    ];
    let mut left = Vec::new();
    for round in 0..=asked.rounds {
        for ((_, path), first, again) in &mut measured {
            db.run("truncate public.tradovate_tokens, public.token_key_mappings, public.token_events")
                .await?;
            let took = (sync(&lab, path, asked.tokens).await?, sync(&lab, path, asked.tokens).await?);
            left.push(result(&db).await?);
            // The first round finds cold code and empty caches.
            if round > 0 {
                first.push(took.0.as_secs_f64());
                again.push(took.1.as_secs_f64());
            }
        }
    }
    left.dedup();
    ensure!(left.len() == 1, "they did not leave the same: {left:?}");
    lab.stop().await?;
    asked.output.finish(&[section(&asked, &measured)])
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

type Measured = ((&'static str, &'static str), Rounds, Rounds);

fn section(asked: &Arguments, measured: &[Measured]) -> Section {
    let mut section =
        Section::new("A sync of tokens", METHOD).fact("tokens", asked.tokens).fact("rounds", asked.rounds);
    let (_, our_first, our_again) = &measured[0];
    let mut table =
        Table::new(["", "first sync, s", "tokens/s", "ratio", "next sync, s", "tokens/s", "ratio"]);
    for ((name, _), first, again) in measured {
        let rate = |times: &Rounds| number(f64::from(asked.tokens) / times.median(), 0);
        table.row([
            (*name).into(),
            first.cell(2),
            rate(first),
            first.against(our_first).cell(1),
            again.cell(2),
            rate(again),
            again.against(our_again).cell(1),
        ]);
    }
    section.table(table);
    for ((name, _), first, again) in &measured[1..] {
        for (which, theirs, ours) in [("first", first, our_first), ("next", again, our_again)] {
            let ratio = theirs.against(ours).median();
            section.target(&format!("token sync, {which}, against {name}"), Bound::AtLeast(3.0), ratio, "×");
        }
    }
    section
}
