//! Where a run ends early, and companies that it passes over.

use anyhow::Result;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab};
use serde_json::{Value, json};
use time::OffsetDateTime;

const COMPANIES: u32 = 12;

/// A stack with so many companies, three captures each.
async fn companies(story: &str, settings: &[(&str, &str)], count: u32) -> Result<(Lab, Db, Site)> {
    let lab = Lab::start(story, settings).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> =
        (1..=count).map(|number| Account::synthetic(number, 1, 3, OffsetDateTime::now_utc())).collect();
    let site = Site::start(0, accounts.clone()).await?;
    for account in &accounts {
        lab.company(&db, &account.email, &site, account).await?;
    }
    Ok((lab, db, site))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_has_spent_its_budget_leaves_the_rest_due_and_the_next_ones_finish() -> Result<()> {
    // A company with 3 captures costs some 12 requests: 40 are spent after a few.
    let settings = [("COLLECT_REQUESTS", "40"), ("COLLECT_CONCURRENCY", "2")];
    let (lab, db, site) = companies("budget", &settings, COMPANIES).await?;
    let mut runs = 0;
    loop {
        let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
        assert_eq!(summary["success"], true, "{summary}");
        runs += 1;
        let held = "select count(*) from public.collection_state where lease_run_id is not null";
        assert_eq!(db.count(held, &[]).await?, 0, "what was not collected is free for the next tick");
        let due = "select count(*) from public.collection_state where next_due_at <= now()";
        if db.count(due, &[]).await? == 0 {
            break;
        }
        assert!(runs < 20, "no end after {runs} runs: {summary}");
    }
    assert!(runs > 2, "the budget ended nothing: {runs} runs");
    let captures = db.count("select count(*) from public.dex_captures", &[]).await?;
    assert_eq!(captures, i64::from(COMPANIES) * 3);
    assert_eq!(site.stats().downloaded_again(), Vec::<i64>::new());
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_has_begun_it_finishes_beyond_its_budget_and_nobody_is_visited_twice() -> Result<()> {
    const COMPANIES: u32 = 36;
    // 11 requests a company and two at once: the eighth on top of 176 is what these two need.
    let settings = [("COLLECT_REQUESTS", "176"), ("COLLECT_CONCURRENCY", "2")];
    let (lab, db, site) = companies("reserve", &settings, COMPANIES).await?;
    site.reset_stats();
    let mut processed = Vec::new();
    while processed.iter().sum::<u64>() < u64::from(COMPANIES) && processed.len() < 10 {
        let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
        assert_eq!(summary["success"], true, "{summary}");
        processed.push(summary["companiesProcessed"].as_u64().unwrap_or_default());
    }
    assert!(processed.len() > 2, "the budget ended nothing: {processed:?}");
    assert_eq!(processed.iter().sum::<u64>(), u64::from(COMPANIES));
    assert_eq!(site.stats().all_logins(), u64::from(COMPANIES));
    let due = "select count(*) from public.collection_state where next_due_at <= now()";
    assert_eq!(db.count(due, &[]).await?, 0);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn companies_that_cannot_be_collected_are_passed_over_and_say_why() -> Result<()> {
    let lab = Lab::start("passed-over", &[]).await?;
    let db = lab.db().await?;
    let accounts = [1, 2].map(|number| Account::synthetic(number, 1, 2, OffsetDateTime::now_utc()));
    let site = Site::start(0, accounts.to_vec()).await?;
    lab.company(&db, "ready", &site, &accounts[0]).await?;
    let idle = lab.company(&db, "all machines retired", &site, &accounts[1]).await?;
    let retire = "update public.machines set status = 'retired' where company_id = $1::text::uuid";
    db.0.execute(retire, &[&idle]).await?;
    db.run("insert into public.companies (company_name) values ('no login yet')").await?;
    site.reset_stats();

    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert_eq!((&summary["companiesProcessed"], &summary["totalRecords"]), (&json!(1), &json!(2)));
    let reason = |name: &str| {
        let results = summary["results"].as_array().cloned().unwrap_or_default();
        let one = results.into_iter().find(|one| one["company_name"] == name);
        one.map_or(Value::Null, |one| one["skipped"].clone())
    };
    assert_eq!(reason("no login yet"), "no credentials");
    assert_eq!(reason("all machines retired"), "no active machines");
    assert_eq!(reason("ready"), Value::Null);
    assert_eq!(site.stats().all_logins(), 1, "nobody logs in for nothing");

    let reply = lab.as_service("POST", "/collect-bulk", Some(&idle), json!({})).await?;
    assert_eq!((reply.status, &reply.json()?["code"]), (400, &json!("NOT_COLLECTABLE")));
    lab.stop().await
}
