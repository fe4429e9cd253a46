//! How often each operation asks the database: exactly as often as `tests/budget.json` says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ferry::stack::Options;
use ironferry_tests::budget::{self, Needs};
use ironferry_tests::calls::Calls;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Lab, project};
use ironferry_tests::redis;
use ironferry_tests::tokens::jwt;
use serde_json::{Value, json};
use time::OffsetDateTime;

const PASSPHRASE: &str = "a passphrase of the calls";

/// Long enough for what a function does behind its reply that it should not.
const QUIET: Duration = Duration::from_millis(700);
/// And for what it should, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(1);
const PART: &str = "database calls";

/// A stack whose calls of the database are counted.
struct Counted {
    lab: Lab,
    calls: Calls,
    allowed: BTreeMap<String, Needs>,
    needs: BTreeMap<String, Needs>,
}

impl Counted {
    async fn start(story: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ironferry-{story}-{}", std::process::id()));
        let calls = Calls::default();
        let mut options = Options::for_tests(project(), &folder);
        // A call that is given up on a busy machine is none that is counted.
        let patience = ("CACHE_DATABASE_TIMEOUT_MS", "20000");
        let own = [("ALLOWED_HOSTS", "127.0.0.1"), patience];
        options.function_env = own
            .iter()
            .chain(settings)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        options.listener = Some(calls.listener());
        let (allowed, needs) = (budget::allowed(PART)?, BTreeMap::new());
        Ok(Self { lab: Lab::with(options, folder).await?, calls, allowed, needs })
    }

    /// Asks for something once and notes what that needed, the work behind the reply included.
    async fn count(&mut self, operation: &str, method: &str, path: &str, body: Value) -> Result<()> {
        let _ = self.calls.take();
        let reply = self.lab.as_service(method, path, None, body).await?;
        ensure!(reply.status == 200, "{operation}: {} {}", reply.status, reply.json()?);
        let mut needs = Needs::new();
        let begun = Instant::now();
        loop {
            tokio::time::sleep(QUIET).await;
            let more = self.calls.take();
            let mut allowed = self.allowed.get(operation).into_iter().flatten();
            let has_all = allowed.all(|(what, count)| needs.get(what).is_some_and(|now| now >= count));
            if more.is_empty() && (has_all || begun.elapsed() > PATIENCE) {
                break;
            }
            for (what, count) in more {
                // Tables by their names alone: which rows are asked for is no matter here.
                let what = what.split('?').next().unwrap_or_default().to_owned();
                *needs.entry(what).or_default() += count;
            }
        }
        self.needs.insert(operation.to_owned(), needs);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_asks_the_database_as_often_as_its_budget_says() -> Result<()> {
    let mut one = Counted::start("calls", &[]).await?;
    let db = one.lab.db().await?;

    let account = Account::synthetic(1, 3, 5, OffsetDateTime::now_utc());
    let site = Site::start(0, vec![account.clone()]).await?;
    one.lab.company(&db, "one", &site, &account).await?;
    one.count("collect one company with 15 captures", "POST", "/collect-dex?wait=true", json!({})).await?;
    one.count("collect when nothing is due", "POST", "/collect-dex?wait=true", json!({})).await?;
    one.count("last runs of the collector", "GET", "/collect-dex/status", json!({})).await?;

    let tokens: Vec<String> = (0..100)
        .map(|n| format!("SET token:PAAPEX100000{n:07} {} EX 5400\n", jwt(&n.to_string(), 4_800)))
        .collect();
    redis::run(one.lab.stack.redis_url(), &tokens.concat()).await?;
    one.count("first sync of 100 tokens", "GET", "/token-manager?action=sync", json!({})).await?;
    one.count("next sync of 100 tokens", "GET", "/token-manager?action=sync", json!({})).await?;
    one.count("a token", "GET", "/token-manager?action=get&account=PAAPEX1000000000001", json!({})).await?;

    db.run(&format!(
        "insert into auth.users (id, email) values (gen_random_uuid(), 'one@calls.example');
         insert into public.webhook_configs (user_id, name, security_token, source, rate_limit_per_minute)
         select id, email, '{PASSPHRASE}', 'other', 1000 from auth.users;
         insert into private.trading_turns (user_id, lease_id, leased_until) select id, gen_random_uuid(), now() + interval '1 day' from auth.users;"
    ))
    .await?;
    let path =
        format!("/receive-webhook/{}", db.text("select id::text from public.webhook_configs", &[]).await?);
    let alert = json!({ "passphrase": PASSPHRASE, "ticker": "AAPL", "action": "buy", "qty": 1, "price": "150.25", "alert_id": "1" });
    one.count("an alert, while another has the owner's turn", "POST", &path, alert.clone()).await?;
    one.count("the same alert again", "POST", &path, alert).await?;

    one.count("health", "GET", "/health", json!({})).await?;
    one.count("health, full", "GET", "/health/full", json!({})).await?;

    one.count("a value into the cache", "PUT", "/cache/bench/entry", json!({ "rows": [1, 2, 3] })).await?;
    one.count("a cached value from memory", "GET", "/cache/bench/entry", json!({})).await?;
    let mut needs = one.needs;
    one.lab.stop().await?;

    for (layer, file) in [("file", "900"), ("database", "0")] {
        let settings = [("CACHE_TTL_SECONDS", "0"), ("CACHE_FILE_TTL_SECONDS", file)];
        let mut two = Counted::start(&format!("calls-{layer}"), &settings).await?;
        two.count("a value into the cache", "PUT", "/cache/bench/entry", json!({ "rows": [1, 2, 3] }))
            .await?;
        two.count(&format!("a cached value from {layer}"), "GET", "/cache/bench/entry", json!({})).await?;
        two.needs.remove("a value into the cache");
        needs.append(&mut two.needs);
        two.lab.stop().await?;
    }
    budget::check(PART, &needs)
}
