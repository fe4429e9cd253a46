//! Sites that are slow, that refuse a login, or that have habits of their own.

use std::time::{Duration, Instant};

use anyhow::Result;
use ironferry_tests::dex_site::{Account, Fault, Faults, Site};
use ironferry_tests::lab::{Db, Lab};
use serde_json::{Value, json};
use time::OffsetDateTime;

fn account(number: u32, readings: u32) -> Account {
    Account::synthetic(number, 1, readings, OffsetDateTime::now_utc())
}

async fn collect(lab: &Lab, db: &Db) -> Result<Value> {
    db.run("update public.collection_state set next_due_at = now()").await?;
    lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()
}

/// Success, code and records of a company, by its name.
fn outcome<'a>(summary: &'a Value, company: &str) -> (bool, &'a str, u64) {
    let results = summary["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = results.iter().find(|one| one["company_name"] == company).unwrap_or(&Value::Null);
    (
        one["success"] == true,
        one["code"].as_str().unwrap_or_default(),
        one["recordsCollected"].as_u64().unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_does_not_answer_costs_the_others_nothing() -> Result<()> {
    let lab = Lab::start("slow-sites", &[]).await?;
    let db = lab.db().await?;
    let hangs = |part: fn(&mut Faults, Fault), fault| {
        let mut faults = Faults::default();
        part(&mut faults, fault);
        faults
    };
    let stories = [
        ("well", Faults::default(), (true, "", 3)),
        (
            "no form",
            hangs(|faults, fault| faults.page = Some(fault), Fault::Hang),
            (false, "SITE_TIMEOUT", 0),
        ),
        (
            "no list",
            hangs(|faults, fault| faults.list = Some(fault), Fault::Hang),
            (false, "SITE_TIMEOUT", 0),
        ),
        (
            "dripping list",
            hangs(|faults, fault| faults.list = Some(fault), Fault::Drip(10_000)),
            (false, "SITE_TIMEOUT", 0),
        ),
        // One capture in three hangs: the others are stored, and the next tick tries it again.
        (
            "one capture hangs",
            Faults { captures: [(5_000_001, Fault::Hang)].into(), ..Faults::default() },
            (true, "", 2),
        ),
        (
            "a list without end",
            hangs(|faults, fault| faults.list = Some(fault), Fault::Endless),
            (false, "SITE_UNREACHABLE", 0),
        ),
        ("well as well", Faults::default(), (true, "", 3)),
    ];
    let accounts: Vec<Account> = (1..).take(stories.len()).map(|number| account(number, 3)).collect();
    let site = Site::start(0, accounts.clone()).await?;
    for ((name, ..), account) in stories.iter().zip(&accounts) {
        lab.company(&db, name, &site, account).await?;
    }
    for ((_, faults, _), account) in stories.iter().zip(&accounts) {
        site.set_faults(&account.email, faults.clone());
    }

    let started = Instant::now();
    let summary = collect(&lab, &db).await?;
    for (name, _, expected) in &stories {
        assert_eq!(outcome(&summary, name), *expected, "{name}: {summary}");
    }
    // The patience is one time-out of 20 s, not four of them one after another.
    assert!(started.elapsed() < Duration::from_secs(79), "{:?}", started.elapsed());
    let unhindered = "select count(*) from public.collection_state
        where last_succeeded_at < last_started_at + interval '19 seconds'";
    assert_eq!(db.count(unhindered, &[]).await?, 2);

    site.clear_faults();
    let summary = collect(&lab, &db).await?;
    assert_eq!(summary["successfulCollections"], 7, "{summary}");
    assert_eq!(db.count("select count(*) from public.dex_captures", &[]).await?, 21);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_marked_and_a_new_one_is_used_at_once() -> Result<()> {
    let lab = Lab::start("logins", &[]).await?;
    let db = lab.db().await?;
    let site = Site::start(0, vec![account(1, 2), account(2, 2)]).await?;
    let company = lab.company(&db, "changed", &site, &account(1, 2)).await?;
    lab.company(&db, "unchanged", &site, &account(2, 2)).await?;
    let status = "select validation_status from public.user_credentials where company_id = $1::text::uuid";
    assert_eq!(db.text(status, &[&company]).await?, "valid");

    site.set_password("operator-1@example.com", "another");
    let summary = collect(&lab, &db).await?;
    assert_eq!(outcome(&summary, "changed"), (false, "LOGIN_REFUSED", 0), "{summary}");
    assert_eq!(outcome(&summary, "unchanged"), (true, "", 2), "{summary}");
    assert_eq!(db.text(status, &[&company]).await?, "invalid");

    let save = async |password: &str| {
        let login =
            json!({ "username": "operator-1@example.com", "password": password, "site_url": site.url() });
        let reply = lab.as_service("PUT", "/collect-bulk/credentials", Some(&company), login).await?;
        anyhow::Ok((reply.status, reply.json()?))
    };
    let (code, said) = save("wrong").await?;
    assert_eq!((code, &said["code"]), (400, &json!("LOGIN_REFUSED")));
    site.set_faults("*", Faults { page: Some(Fault::Status(503)), times: Some(1), ..Faults::default() });
    assert_eq!(save("another").await?.1["validation_status"], "unchecked", "the site is down: no verdict");
    assert_eq!(save("another").await?.1["validation_status"], "valid");
    // Nobody waits out the backoff of a login that was mended.
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert_eq!(outcome(&summary, "changed"), (true, "", 2), "{summary}");
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_with_habits_of_their_own_are_read_to_the_end() -> Result<()> {
    let lab = Lab::start("sessions", &[]).await?;
    let db = lab.db().await?;
    let accounts = [account(1, 30), account(2, 30), account(3, 30)];
    let site = Site::start(0, accounts.to_vec()).await?;
    for (name, account) in ["short sessions", "no sessions", "short pages"].iter().zip(&accounts) {
        lab.company(&db, name, &site, account).await?;
    }
    site.set_faults(&accounts[0].email, Faults { session_requests: Some(5), ..Faults::default() });
    site.set_faults(&accounts[1].email, Faults { session_requests: Some(1), ..Faults::default() });
    // However many rows are asked for, a page has seven.
    site.set_faults(&accounts[2].email, Faults { page_rows: Some(7), ..Faults::default() });
    let summary = collect(&lab, &db).await?;
    assert_eq!(outcome(&summary, "short pages"), (true, "", 30), "{summary}");
    assert_eq!(outcome(&summary, "short sessions"), (true, "", 30), "{summary}");
    assert_eq!(outcome(&summary, "no sessions"), (false, "SESSION_REFUSED", 0), "{summary}");
    let asked = site.stats().logins["operator-2@example.com"];
    assert!(asked < 6, "{asked} logins: a site that ends each session is not hammered");
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tick_downloads_what_is_new_and_nothing_else() -> Result<()> {
    let lab = Lab::start("new-only", &[]).await?;
    let db = lab.db().await?;
    let account = Account::synthetic(1, 4, 2, OffsetDateTime::now_utc());
    let site = Site::start(0, vec![account.clone()]).await?;
    lab.company(&db, "Acme", &site, &account).await?;
    for expected in [8, 0, 4, 4] {
        let summary = collect(&lab, &db).await?;
        assert_eq!(outcome(&summary, "Acme"), (true, "", expected), "{summary}");
        if expected != 8 {
            assert_eq!(site.advance(None), 4);
        }
    }
    assert_eq!(site.stats().downloaded_again(), Vec::<i64>::new());
    // Sales are differences of counters that never fall.
    let falling = "select count(*) from (
            select (parsed_data #>> '{totals,vends,since_init,value}')::bigint
                   < lag((parsed_data #>> '{totals,vends,since_init,value}')::bigint)
                       over (partition by machine_id order by captured_at, dex_id) as falls
            from public.dex_captures
        ) as reading where falls";
    assert_eq!(db.count(falling, &[]).await?, 0);
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_days_old_and_fails_is_brought_by_a_later_tick() -> Result<()> {
    let lab = Lab::start("old-captures", &[]).await?;
    let db = lab.db().await?;
    let old = Account::synthetic(1, 1, 3, OffsetDateTime::now_utc() - time::Duration::days(10));
    let site = Site::start(0, vec![old.clone()]).await?;
    let company = lab.company(&db, "Acme", &site, &old).await?;
    let fails =
        Faults { captures: [(old.captures[1].dex_id, Fault::Status(500))].into(), ..Faults::default() };
    site.set_faults(&old.email, fails);
    // The end of the list is not all of it.
    let path = "/collect-bulk?offset=2";
    let bulk = lab.as_service("POST", path, Some(&company), json!({})).await?.json()?;
    assert_eq!((&bulk["recordsCount"], &bulk["batching"]["hasMore"]), (&json!(1), &json!(false)), "{bulk}");
    for expected in [1, 0] {
        let summary = collect(&lab, &db).await?;
        assert_eq!(outcome(&summary, "Acme"), (true, "", expected), "{summary}");
        assert_eq!(summary["results"][0]["errors"].as_array().map(Vec::len), Some(1), "{summary}");
    }
    site.clear_faults();
    site.set_faults(&old.email, Faults::default());
    for expected in [1, 0] {
        let summary = collect(&lab, &db).await?;
        assert_eq!(outcome(&summary, "Acme"), (true, "", expected), "{summary}");
    }
    let begins =
        "select round(extract(epoch from now() - collect_from) / 86400)::text from public.collection_state
        where company_id = $1::text::uuid";
    assert_eq!(db.text(begins, &[&company]).await?, "2");
    lab.stop().await
}
