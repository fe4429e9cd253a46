//! `ferry webhooks`, `signals`, `orders` and `risk` on a running stack with its function.

mod ferry;
mod project;

use std::path::Path;
use std::time::Duration;

use ::ferry::stack::{Options, Stack};
use anyhow::{Context as _, Result};
use ferry::{Folder, Ran, ferry_with};

const USER: &str = "5f0c1b7e-8a3d-4f52-9e61-2b7c0d9a4e10";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_tried_limited_and_switched_off() -> Result<()> {
    if let Some(what) = project::missing() {
        println!("skipped: {what} is not installed");
        return Ok(());
    }
    let state = Folder::new();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stack = Stack::start(Options::for_tests(repository, &state.0)).await?;
    let (database, connection) = tokio_postgres::connect(&stack.db_url(), tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    database
        .batch_execute(&format!("insert into auth.users (id, email) values ('{USER}', 'a@tests.example')"))
        .await?;
    let (url, key, secret) = (stack.api_url(), stack.service_api_key(), stack.keys().secret.clone());
    let ran = |arguments: &[&str], token: &str| -> Ran {
        let environment = [
            ("SUPABASE_URL", url),
            ("SERVICE_API_KEY", key),
            ("SUPABASE_SECRET_KEY", secret.as_str()),
            ("WEBHOOK_TOKEN", token),
        ];
        tokio::task::block_in_place(|| ferry_with(arguments, b"", &environment))
    };
    let last = |line: String| line.rsplit(' ').next().unwrap_or_default().to_owned();

    let made = ran(&["webhooks", "create", "--user", USER, "--name", "Trend", "--source", "other"], "");
    assert_eq!(made.code, 0, "{made:?}");
    let (id, token) = (last(made.line("Webhook")), last(made.line("Passphrase")));
    assert_eq!(ran(&["webhooks", "list"], "").line(&id), format!("{id} Trend on other as set {USER}"));

    let test = |ticker: &str, token: &str| {
        ran(&["webhooks", "test", &id, "--ticker", ticker, "--price", "150.25", "--quantity", "1"], token)
    };
    assert!(test("AAPL", &token).line("accepted").starts_with("accepted: signal "));
    let limited = ran(&["risk", "set", "--user", USER, "max_order_notional=100.5"], "");
    assert_eq!(limited.line("max_order_notional"), "max_order_notional 100.5");
    assert_eq!(test("MSFT", &token).code, 0);
    let killed = ran(&["risk", "kill", "--user", USER], "");
    assert_eq!(killed.line("kill_switch"), "kill_switch true");
    assert_eq!(ran(&["risk", "set", "--user", USER, "kill_switch=false"], "").code, 2);
    assert_eq!(ran(&["risk", "set", "--user", USER, "max_loss=1"], "").code, 1);
    let ended = "select count(*) from public.webhook_signals where finished_at is not null";
    for _ in 0..600 {
        if database.query_one(ended, &[]).await?.try_get::<_, i64>(0)? == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let signals = ran(&["signals", "--json"], "").json();
    let signals = signals.as_array().context("an array")?;
    let of =
        |symbol: &str| signals.iter().find(|one| one["symbol"] == symbol).map(|one| one["status"].clone());
    assert_eq!(of("AAPL"), Some("ordered".into()));
    assert_eq!(of("MSFT"), Some("refused".into()));
    let refused = ran(&["signals", "--status", "refused"], "");
    assert!(refused.out.contains("the order is worth 150.25, 100.5 is the most"), "{}", refused.out);
    let orders = ran(&["orders"], "");
    assert!(orders.out.contains("AAPL") && orders.out.contains("buy market (entry)"), "{}", orders.out);

    let again = last(ran(&["webhooks", "rotate", &id], "").line("Passphrase"));
    let old = test("AAPL", &token);
    assert_eq!(old.code, 1);
    assert!(old.err.contains("Invalid passphrase") && !old.err.contains("SERVICE_API_KEY"), "{}", old.err);
    assert_eq!(test("AAPL", "").code, 2);
    assert_eq!(ran(&["webhooks", "disable", &id], "").out.trim(), format!("{id} is off"));
    assert!(test("AAPL", &again).err.contains("CONFIG_INACTIVE"));
    stack.stop().await;
    Ok(())
}
