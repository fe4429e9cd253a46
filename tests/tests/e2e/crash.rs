//! The function's process is killed in the middle of a run.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ironferry_tests::dex_site::{Account, Fault, Faults, Site};
use ironferry_tests::lab::Lab;
use serde_json::json;
use time::OffsetDateTime;

const COMPANIES: u32 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_loses_nothing_doubles_nothing_and_the_next_one_finishes() -> Result<()> {
    let lab = Lab::start("crash", &[("COLLECT_LEASE_SECONDS", "3"), ("COLLECT_CONCURRENCY", "10")]).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> =
        (1..=COMPANIES).map(|number| Account::synthetic(number, 2, 5, OffsetDateTime::now_utc())).collect();
    let site = Site::start(0, accounts.clone()).await?;
    for account in &accounts {
        lab.company(&db, &account.email, &site, account).await?;
    }
    site.set_faults("*", Faults::slow(Duration::from_millis(40)));
    // The run does not end before it is killed, however late that is.
    for account in &accounts[..3] {
        site.set_faults(&account.email, Faults { download: Some(Fault::Hang), ..Faults::default() });
    }

    let accepted = lab.as_service("POST", "/collect-dex", None, json!({})).await?;
    assert_eq!(accepted.status, 202);
    let some = "select count(*) > 20 from public.dex_captures";
    db.wait_for("the first captures", Duration::from_mins(1), some).await?;
    let pid = lab.stack.function_pid("collect-dex").context("collect-dex does not run")?;
    kill(pid)?;
    let stored = db.count("select count(*) from public.dex_captures", &[]).await?;
    assert!(stored < i64::from(COMPANIES) * 10, "the kill came too late to test anything");

    // The leases of the dead run end by themselves; nobody clears them.
    let free = "select not exists (select from public.collection_state where leased_until > now())";
    db.wait_for("the end of the leases", Duration::from_mins(1), free).await?;
    wait_for_function(&lab, pid).await?;
    site.clear_faults();
    // The next one keeps its own on a machine that is slow.
    lab.stack.set_secrets(&[("COLLECT_LEASE_SECONDS".to_owned(), "150".to_owned())]).await?;
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert_eq!(summary["success"], true, "{summary}");

    assert_eq!(db.count("select count(*) from public.dex_captures", &[]).await?, i64::from(COMPANIES) * 10);
    let twice = "select count(*) from (select from public.dex_captures group by company_id, dex_id having count(*) > 1) as twice";
    assert_eq!(db.count(twice, &[]).await?, 0);
    let unfinished = "select count(*) from public.collection_state where last_succeeded_at is null or consecutive_failures > 0";
    assert_eq!(db.count(unfinished, &[]).await?, 0);

    // The ledger does not leave the dead run running for ever.
    db.run("update public.collection_runs set started_at = now() - interval '11 minutes' where status = 'running'").await?;
    lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?;
    let killed = "select count(*) from public.collection_runs where status = 'killed'";
    assert_eq!(db.count(killed, &[]).await?, 1);
    site.stop();
    lab.stop().await
}

fn kill(pid: u32) -> Result<()> {
    let done = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    anyhow::ensure!(done.success(), "kill -9 {pid} failed");
    Ok(())
}

/// The stack starts a function again that died.
async fn wait_for_function(lab: &Lab, dead: u32) -> Result<()> {
    for _ in 0..600 {
        let reply = lab.as_service("GET", "/collect-dex/status", None, json!({})).await?;
        if reply.status == 200 && lab.stack.function_pid("collect-dex") != Some(dead) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("collect-dex has not come back in a minute")
}
