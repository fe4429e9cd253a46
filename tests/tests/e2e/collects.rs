//! The main job on the whole stack: pg_cron to rows, faults that stay where they belong, and runs
//! that overlap.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use ironferry_tests::captures::{Capture, Family, Machine, Spoil};
use ironferry_tests::dex_site::{Account, Fault, Faults, Site};
use ironferry_tests::lab::{Db, Lab, ferry};
use ironferry_tests::process::cpu_of_main_thread;
use serde_json::{Value, json};
use time::OffsetDateTime;

fn account(number: u32) -> Account {
    Account::synthetic(number, 2, 3, OffsetDateTime::now_utc())
}

async fn captures_of(db: &Db, company: &str) -> Result<i64> {
    db.count("select count(*) from public.dex_captures where company_id = $1::text::uuid", &[&company]).await
}

fn result_of<'a>(summary: &'a Value, company: &str) -> &'a Value {
    let results = summary["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    results.iter().find(|one| one["company_id"] == company).unwrap_or(&Value::Null)
}

async fn make_due(db: &Db) -> Result<()> {
    db.run("update public.collection_state set next_due_at = now()").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_tick_becomes_rows() -> Result<()> {
    let lab = Lab::start("cron", &[]).await?;
    let db = lab.db().await?;
    let site = Site::start(0, vec![account(1)]).await?;
    let company = lab.company(&db, "Acme", &site, &account(1)).await?;

    let scheduled = db.text("select schedule from cron.job where jobname = 'collect-dex'", &[]).await?;
    assert_eq!(scheduled, "*/5 * * * *");
    // The same job, sooner. pg_cron fires it, pg_net calls the gateway, the gateway the function.
    lab.schedule(&db, "collect-dex", "* * * * *").await?;
    let done = "select exists (select from public.collection_runs where triggered_by = 'cron' and status = 'succeeded' and total_records = 6)";
    db.wait_for("a run by cron", Duration::from_mins(3), done).await?;

    assert_eq!(captures_of(&db, &company).await?, 6);
    let machine = db
        .text(
            "select format('%s %s %s %s', count(*), sum(public.dex_last_4hrs(machines)), bool_or(dex_has_errors), sum(jsonb_array_length(dex_history)))
             from public.machines where company_id = $1::text::uuid",
            &[&company],
        )
        .await?;
    assert!(machine.starts_with("2 6 ") && machine.ends_with(" 6"), "{machine}");
    // The run may have ended before what its caller heard is noted.
    let called = "select bool_and(status_code = 202) is true from net._http_response";
    db.wait_for("the answer to its call", Duration::from_mins(1), called).await?;
    site.stop();
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_with_one_company_is_its_own() -> Result<()> {
    let lab = Lab::start("faults", &[]).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> = (1..=8).map(account).collect();
    let site = Site::start(0, accounts.clone()).await?;
    let mut companies = Vec::new();
    for account in &accounts {
        companies.push(lab.company(&db, &account.email, &site, account).await?);
    }
    let list = |fault| Faults { list: Some(fault), ..Faults::default() };
    let download = |fault| Faults { download: Some(fault), ..Faults::default() };
    let faults = [
        list(Fault::Status(500)),
        list(Fault::Html),
        list(Fault::Garbage),
        list(Fault::CutOff),
        list(Fault::TooMany),
        download(Fault::Truncated),
        Faults { session_requests: Some(4), ..Faults::default() },
    ];
    for (account, fault) in accounts.iter().zip(faults) {
        site.set_faults(&account.email, fault);
    }
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    let expected = [
        (false, "BAD_GATEWAY", 0),
        (false, "SITE_PROTOCOL", 0),
        (false, "SITE_PROTOCOL", 0),
        (false, "SITE_UNREACHABLE", 0),
        (false, "TOO_MANY_REQUESTS", 0),
        // Half a capture is a capture: stored, and marked.
        (true, "", 6),
        // The session ends in the middle and is renewed.
        (true, "", 6),
        (true, "", 6),
    ];
    for (company, (success, code, records)) in companies.iter().zip(expected) {
        let result = result_of(&summary, company);
        assert_eq!(result["success"], success, "{result}");
        assert_eq!(result["code"].as_str().unwrap_or(""), code, "{result}");
        assert_eq!(captures_of(&db, company).await?, records, "{result}");
    }
    let damaged = "select count(*) from public.dex_captures where company_id = $1::text::uuid and crc_status = 'absent' and has_errors";
    assert_eq!(db.count(damaged, &[&companies[5]]).await?, 6);

    let backing_off = "select count(*) from public.collection_state where consecutive_failures = 1 and last_error is not null
                       and next_due_at > now() + interval '4 minutes'";
    assert_eq!(db.count(backing_off, &[]).await?, 5);

    // The site recovers; nothing is downloaded twice, and the captures that were spoiled stay.
    site.set_faults("*", Faults::default());
    for account in &accounts[..5] {
        site.set_faults(&account.email, Faults::default());
    }
    make_due(&db).await?;
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert_eq!((&summary["successfulCollections"], &summary["totalRecords"]), (&json!(8), &json!(30)));
    assert!(site.stats().downloads.values().all(|times| *times == 1), "{:?}", site.stats().downloads);
    site.stop();
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_overlapping_ticks_never_collect_the_same_company_twice() -> Result<()> {
    let lab = Lab::start("overlap", &[("COLLECT_CONCURRENCY", "5")]).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> = (1..=20).map(account).collect();
    let site = Site::start(0, accounts.clone()).await?;
    for account in &accounts {
        lab.company(&db, &account.email, &site, account).await?;
    }
    let logins_before: u64 = site.stats().logins.values().sum();
    site.set_faults("*", Faults::slow(Duration::from_millis(30)));
    let tick = || lab.as_service("POST", "/collect-dex?wait=true", None, json!({}));
    let (first, second, third) = tokio::try_join!(tick(), tick(), tick())?;
    let summaries = [first.json()?, second.json()?, third.json()?];
    let processed: u64 = summaries.iter().filter_map(|one| one["companiesProcessed"].as_u64()).sum();
    assert_eq!(processed, 20, "{summaries:#?}");
    let stats = site.stats();
    assert_eq!(stats.logins.values().sum::<u64>() - logins_before, 20, "each company logged in once");
    assert!(stats.downloads.len() == 120 && stats.downloads.values().all(|times| *times == 1));
    site.stop();
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_grows_while_it_is_paged_loses_nothing_and_late_captures_are_kept() -> Result<()> {
    let lab = Lab::start("growing", &[]).await?;
    let db = lab.db().await?;
    let now = OffsetDateTime::now_utc();
    let crowded = Account::synthetic(1, 5, 50, now);
    let site = Site::start(0, vec![crowded.clone()]).await?;
    let company = lab.company(&db, "Crowded", &site, &crowded).await?;
    site.set_faults("*", Faults { grows_by: 7, ..Faults::default() });
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert!(summary["totalRecords"].as_u64() >= Some(250), "{summary}");
    let listed_first =
        "select count(*) from public.dex_captures where company_id = $1::text::uuid and dex_id = any ($2)";
    let ids: Vec<i64> = crowded.captures.iter().map(|capture| capture.dex_id).collect();
    assert_eq!(db.count(listed_first, &[&company, &ids]).await?, 250);

    // A device that was offline for a day sends what it kept.
    site.set_faults("*", Faults::default());
    let machine = Machine::new(Family::Cola, 100);
    let late = now - time::Duration::hours(30);
    let body = machine.read(0, late);
    let late_one = Capture {
        dex_id: 7,
        serial: crowded.captures[0].serial.clone(),
        created: late,
        body: body.clone().into(),
    };
    let spoiled =
        |dex_id, spoil: Spoil| Capture { dex_id, body: spoil.apply(&body).into(), ..late_one.clone() };
    let strange = [spoiled(8, Spoil::Empty), spoiled(9, Spoil::NotText), spoiled(10, Spoil::Huge)];
    site.add(&crowded.email, [late_one].into_iter().chain(strange));
    let newest = "select max(latest_dex_id)::bigint from public.machines where case_serial = $1";
    let before = db.count(newest, &[&crowded.captures[0].serial]).await?;
    make_due(&db).await?;
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert_eq!(summary["results"][0]["success"], true, "{summary}");
    let kept = "select string_agg(dex_id || ' ' || raw_encoding, ', ' order by dex_id) from public.dex_captures where dex_id < 20";
    assert_eq!(db.text(kept, &[]).await?, "7 utf-8, 8 utf-8, 9 base64, 10 utf-8");
    assert_eq!(
        db.count(newest, &[&crowded.captures[0].serial]).await?,
        before,
        "the newest stays the newest"
    );
    site.stop();
    lab.stop().await
}

/// The hard limit of a hosted worker.
const KILLED_AT: Duration = Duration::from_secs(2);

/// Kills a function's worker, as the platform does, and waits for the next one.
async fn replace_worker(lab: &Lab) -> Result<()> {
    let pid = lab.pid("collect-dex")?;
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status()?;
    ensure!(killed.success(), "kill -9 {pid} failed");
    for _ in 0..600 {
        let reply = lab.as_service("GET", "/collect-dex/status", None, json!({})).await?;
        if reply.status == 200 && lab.pid("collect-dex").is_ok_and(|new| new != pid) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("collect-dex has not come back in a minute")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_collection_of_many_companies_spreads_over_ticks_and_no_worker_reaches_its_limit()
-> Result<()> {
    const COMPANIES: u32 = 250;
    // What a worker may collect by its CPU budget, with room for other figures than today's.
    const A_WORKER: i64 = 1_000;
    let lab = Lab::start("spread", &[]).await?;
    let db = lab.db().await?;
    let accounts: Vec<Account> =
        (1..=COMPANIES).map(|number| Account::synthetic(number, 2, 4, OffsetDateTime::now_utc())).collect();
    let site = Site::start(0, accounts.clone()).await?;
    for account in &accounts {
        lab.company(&db, &account.email, &site, account).await?;
    }
    site.reset_stats();
    let tick = || lab.as_service("POST", "/collect-dex?wait=true", None, json!({}));
    let stored = "select count(*) from public.dex_captures";
    let held = "select count(*) from public.collection_state where lease_run_id is not null";
    let due = "select count(*) from public.collection_state where next_due_at <= now()";
    // Of the companies that are done, none comes again before the others.
    db.run(
        r#"update public.companies set settings = settings || '{"collectEveryMinutes": 1440}' where true"#,
    )
    .await?;
    // A worker that is half as old as the platform lets it become is retired: each tick begins with a young one.
    replace_worker(&lab).await?;
    let mut ticks = 0;
    loop {
        let before = db.count(stored, &[]).await?;
        // Calls that share the worker share its budget.
        let (one, other) = tokio::try_join!(tick(), tick())?;
        let summaries = [one.json()?, other.json()?];
        ticks += 1;
        let cpu = cpu_of_main_thread(lab.pid("collect-dex")?)?;
        let after = db.count(stored, &[]).await?;
        eprintln!("tick {ticks}: {} captures, {cpu:?} of CPU on the main thread", after - before);
        assert!(summaries.iter().all(|summary| summary["success"] == true), "{summaries:?}");
        assert!((1..=A_WORKER).contains(&(after - before)), "tick {ticks}: {} captures", after - before);
        assert!(cpu < KILLED_AT, "tick {ticks} would have been killed after {cpu:?}");
        assert_eq!(db.count(held, &[]).await?, 0, "no lease is left");
        if db.count(due, &[]).await? == 0 {
            break;
        }
        // One of the two may have found the last companies leased by the other.
        assert!(summaries.iter().any(|summary| summary["budgetSpent"] == true), "{summaries:?}");
        let refused = tick().await?.json()?;
        assert_eq!((&refused["companiesProcessed"], &refused["budgetSpent"]), (&json!(0), &json!(true)));
        assert_eq!(db.count(stored, &[]).await?, after, "a later call finds the budget spent");
        let noted = "select count(*) from public.collection_runs where status = 'succeeded' and error like 'CPU_BUDGET_SPENT: %'";
        assert!(db.count(noted, &[]).await? >= 2 * ticks, "the runs say why companies are left");
        assert!(ticks < 20, "no end after {ticks} ticks");
        // The platform retires a worker before the next tick.
        replace_worker(&lab).await?;
    }
    assert_eq!(db.count(stored, &[]).await?, i64::from(COMPANIES) * 8);
    let stats = site.stats();
    assert_eq!(stats.downloaded_again(), Vec::<i64>::new());
    let visits = stats.all_logins();
    let cut_off = u64::from(COMPANIES / 10);
    assert!(visits <= u64::from(COMPANIES) + cut_off, "{visits} visits: what was begun is finished");
    let unfinished = "select count(*) from public.collection_state where last_succeeded_at is null or consecutive_failures > 0";
    assert_eq!(db.count(unfinished, &[]).await?, 0, "no company starves, none has failed");
    let log = std::fs::read_to_string(lab.stack.log("collect-dex"))?;
    assert!(!log.contains("worker ended: cpu"), "a worker reached a limit of CPU: {log}");
    site.stop();
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tick_after_a_worker_was_killed_reports_its_run_as_killed() -> Result<()> {
    let lab = Lab::start("killed", &[]).await?;
    let db = lab.db().await?;
    let site = Site::start(0, vec![account(1)]).await?;
    let company = lab.company(&db, "Acme", &site, &account(1)).await?;
    site.set_faults("*", Faults { download: Some(Fault::Hang), ..Faults::default() });
    // A tick as pg_cron makes and records it, in this session.
    let tick = || async {
        db.run("select private.collect_dex_tick()").await?;
        db.run(
            "insert into cron.job_run_details
                (jobid, runid, job_pid, database, username, command, status, start_time, end_time)
             select jobid, (select coalesce(max(runid), 0) + 1 from cron.job_run_details), pg_backend_pid(), 'postgres',
                'postgres', command, 'succeeded', called_at - interval '10 milliseconds', called_at
             from cron.job, (select max(called_at) as called_at from private.function_calls) as call
             where jobname = 'collect-dex'",
        )
        .await
    };
    tick().await?;
    let leased = "select exists (select from public.collection_state where leased_until > now())";
    db.wait_for("the lease", Duration::from_mins(1), leased).await?;
    let answered = "select exists (select from net._http_response where status_code = 202)";
    db.wait_for("the answer to the call", Duration::from_mins(1), answered).await?;
    replace_worker(&lab).await?;
    site.clear_faults();

    // The next tick comes five minutes later.
    db.run(
        "update public.collection_runs set started_at = started_at - interval '5 minutes' where true;
         update public.collection_state set leased_until = leased_until - interval '5 minutes' where true;
         update private.function_calls set called_at = called_at - interval '5 minutes' where true;
         update net._http_response set created = created - interval '5 minutes' where true;
         update cron.job_run_details
         set start_time = start_time - interval '5 minutes', end_time = end_time - interval '5 minutes' where true",
    )
    .await?;
    tick().await?;
    let done =
        "select exists (select from public.collection_runs where status = 'succeeded' and total_records = 6)";
    db.wait_for("the next run", Duration::from_mins(1), done).await?;
    assert_eq!(captures_of(&db, &company).await?, 6, "the next run collects what the killed one held");

    let killed = "select id || ': ' || error from public.collection_runs where status = 'killed'";
    let killed = db.text(killed, &[]).await?;
    assert!(killed.contains(": the worker ended before the run reported: "), "{killed}");
    let status = lab.as_service("GET", "/collect-dex/status", None, json!({})).await?.json()?;
    let runs = status["runs"].as_array().cloned().unwrap_or_default();
    let statuses: Vec<_> = runs.iter().map(|run| run["status"].as_str().unwrap_or_default()).collect();
    assert_eq!(statuses, ["succeeded", "killed"], "{status}");
    let mut cron = Command::new(ferry());
    cron.args(["cron", "collect-dex"]).env("DATABASE_URL", lab.stack.db_url()).env("NO_COLOR", "1");
    let told = tokio::task::spawn_blocking(move || cron.output()).await??;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("the run in public.collection_runs is killed: the worker ended"), "{told}");
    site.stop();
    lab.stop().await
}
