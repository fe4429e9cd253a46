//! What `health` says of a project that is well, and of each fault.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ironferry_tests::lab::{Lab, project};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::cache::Cache;

/// The whole health as a service sees it.
async fn full(lab: &Lab) -> Result<(u16, Value)> {
    let reply = lab.as_service("GET", "/health/full", None, Value::Null).await?;
    Ok((reply.status, reply.json()?))
}

/// The page that Prometheus gets.
async fn page(lab: &Lab) -> Result<(u16, String)> {
    let headers = [("x-service-key", lab.stack.service_api_key()), ("accept", "text/plain;version=0.0.4")];
    let reply = lab.api.send("GET", "/functions/v1/health/full", &headers, "").await?;
    ensure!(reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8");
    Ok((reply.status, String::from_utf8(reply.body.to_vec())?))
}

fn check<'a>(said: &'a Value, name: &str) -> (&'a str, String) {
    let check = &said["checks"][name];
    (check["status"].as_str().unwrap_or("not checked"), check["problems"].to_string())
}

/// Asks until a check has this status; the last answer tells why it has not.
async fn wait_for(lab: &Lab, name: &str, status: &str, limit: Duration) -> Result<(u16, Value)> {
    let started = std::time::Instant::now();
    loop {
        let (code, said) = full(lab).await?;
        if check(&said, name).0 == status {
            return Ok((code, said));
        }
        ensure!(started.elapsed() < limit, "{name} is not {status} within {limit:?}: {said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Asks until this is the answer: a busy machine may be slow for a moment, which is told too.
async fn wait_until(lab: &Lab, wanted: impl Fn(u16, &Value) -> bool) -> Result<(u16, Value)> {
    let started = std::time::Instant::now();
    loop {
        let (code, said) = full(lab).await?;
        if wanted(code, &said) {
            return Ok((code, said));
        }
        ensure!(started.elapsed() < Duration::from_mins(1), "{code} {said}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Asks for the page until it says this.
async fn wait_for_page(lab: &Lab, line: &str) -> Result<String> {
    let started = std::time::Instant::now();
    loop {
        let (status, text) = page(lab).await?;
        ensure!(status == 200, "{status} {text}");
        if text.contains(line) {
            return Ok(text);
        }
        ensure!(started.elapsed() < Duration::from_mins(1), "{line} is not in {text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn is_healthy(code: u16, said: &Value) -> bool {
    code == 200 && said["status"] == "healthy"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_well_is_healthy_to_services_and_alive_to_everybody() -> Result<()> {
    let lab = Lab::start("health", &[("HEALTH_QUERY_SECONDS_DEGRADED", "1")]).await?;
    let alive = lab.api.send("GET", "/functions/v1/health", &[], "").await?;
    assert_eq!((alive.status, alive.json()?), (200, json!({ "status": "alive" })));
    let publishable = lab.stack.keys().publishable.clone();
    let user =
        format!("Bearer {}", lab.stack.keys().user_jwt("00000000-0000-4000-8000-000000000001", &json!({})));
    for headers in [vec![], vec![("apikey", publishable.as_str())], vec![("authorization", user.as_str())]] {
        let refused = lab.api.send("GET", "/functions/v1/health/full", &headers, "").await?;
        assert_eq!(refused.status, 401, "{headers:?}");
        assert!(!String::from_utf8_lossy(&refused.body).contains("measured"));
    }

    let (_, said) = wait_until(&lab, is_healthy).await?;
    let newest = std::fs::read_dir(project().join("supabase/migrations"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.split('_').next().map(str::to_owned))
        .max();
    assert_eq!(said["measured"]["versions"]["migration"].as_str(), newest.as_deref());
    let db = lab.db().await?;
    let tables =
        db.count("select count(*) from pg_tables where schemaname in ('public', 'private')", &[]).await?;
    let listed = said["measured"]["tables"].as_object().context("no tables")?.len();
    assert_eq!(i64::try_from(listed)?, tables);
    assert!(said["measured"]["server"]["size_bytes"].as_u64() > Some(1_000_000));

    let text = wait_for_page(&lab, "\nironferry_health 0\n").await?;
    assert!(
        text.contains("ironferry_cron_job_active{job=\"collect-dex\"} 0"),
        "jobs of a lab are at rest: {text}"
    );

    // Somebody forgets a transaction, which also locks a table.
    let forgotten = lab.db().await?;
    forgotten.run("begin; lock table public.companies in access exclusive mode").await?;
    let is_forgotten = |code, said: &Value| {
        code == 200 && said["status"] == "degraded" && check(said, "queries").0 == "degraded"
    };
    let (_, said) = wait_until(&lab, is_forgotten).await?;
    assert!(check(&said, "queries").1.contains("idle in transaction"), "{said}");
    let (tables, problems) = check(&said, "tables");
    assert!(tables == "degraded" && problems.contains("companies cannot be read: 55P03"), "{said}");
    assert_eq!(said["checks"]["report"]["problems"][0].as_str().map(|text| &text[..5]), None, "{said}");
    forgotten.run("rollback").await?;
    wait_for(&lab, "tables", "healthy", Duration::from_mins(1)).await?;
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_function_lives_and_tells_what_it_knows() -> Result<()> {
    let lab = Lab::start("health-down", &[]).await?;
    lab.stack.stop_part("postgres").await?;
    let alive = lab.api.send("GET", "/functions/v1/health", &[], "").await?;
    assert_eq!(alive.status, 200);
    let (status, said) = full(&lab).await?;
    assert_eq!((status, &said["status"]), (503, &json!("unhealthy")), "{said}");
    let (database, problems) = check(&said, "database");
    // A REST server that waits for its database to return says nothing for longer than we listen.
    let is_told = ["DATABASE_UNAVAILABLE", "TIMEOUT"].iter().any(|code| problems.contains(code));
    assert!(database == "unhealthy" && is_told, "{said}");
    assert_eq!((&said["measured"], &said["module"]), (&Value::Null, &json!("0.1.0")));
    let (status, text) = page(&lab).await?;
    assert!(status == 200 && text.contains("\nironferry_health 2\n"), "{text}");

    lab.stack.start_part("postgres").await?;
    wait_for(&lab, "database", "healthy", Duration::from_mins(1)).await?;
    // Who worked for the database comes back after it.
    wait_for(&lab, "pg_net", "healthy", Duration::from_mins(1)).await?;
    wait_until(&lab, is_healthy).await?;
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_job_that_fails_is_named_with_what_it_said() -> Result<()> {
    let lab = Lab::start("health-cron", &[("HEALTH_JOB_FAILURES_UNHEALTHY", "1")]).await?;
    let db = lab.db().await?;
    db.run("select cron.schedule('breaks', '* * * * *', 'select 1 / 0')").await?;
    let (status, said) = wait_for(&lab, "pg_cron", "degraded", Duration::from_mins(3)).await?;
    assert_eq!(status, 200, "{said}");
    let problems = check(&said, "pg_cron").1;
    assert!(problems.contains("breaks failed") && problems.contains("division by zero"), "{said}");
    let text = page(&lab).await?.1;
    assert!(text.contains("ironferry_cron_job_failures_in_a_row{job=\"breaks\"} 1\n"), "{text}");

    let (status, said) = wait_for(&lab, "pg_cron", "unhealthy", Duration::from_mins(3)).await?;
    assert_eq!(status, 503, "it failed again: {said}");
    db.run("select cron.unschedule('breaks')").await?;
    wait_for(&lab, "pg_cron", "healthy", Duration::from_mins(1)).await?;
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_pile_up_or_fail_show_in_pg_net() -> Result<()> {
    let limits = [("HEALTH_QUEUED_CALLS_DEGRADED", "5"), ("HEALTH_QUEUED_CALLS_UNHEALTHY", "20")];
    let lab = Lab::start("health-queue", &limits).await?;
    let db = lab.db().await?;
    // A receiver that takes calls and never answers keeps the only worker for the whole time-out.
    let deaf = TcpListener::bind("127.0.0.1:0").await?;
    let call = |calls: u32, patience: u32| {
        format!(
            "select net.http_post('http://{}/', timeout_milliseconds => {patience}) from generate_series(1, {calls})",
            deaf.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
        )
    };
    db.run(&call(10, 20_000)).await?;
    let (status, said) = wait_for(&lab, "pg_net", "degraded", Duration::from_mins(1)).await?;
    assert_eq!((status, &said["measured"]["pg_net"]["queued"]), (200, &json!(10)), "{said}");
    db.run(&call(15, 1_000)).await?;
    let (status, said) = wait_for(&lab, "pg_net", "unhealthy", Duration::from_mins(1)).await?;
    assert_eq!(status, 503, "{said}");
    assert!(page(&lab).await?.1.contains("ironferry_calls_queued 25\n"));

    // Then they have all timed out, which is told too.
    db.wait_for("an empty queue", Duration::from_mins(1), "select count(*) = 0 from net.http_request_queue")
        .await?;
    let (status, said) = full(&lab).await?;
    let (net, problems) = check(&said, "pg_net");
    assert_eq!((status, net), (503, "unhealthy"), "{said}");
    assert!(problems.contains("Timeout of") && problems.contains("100 (limit 50)"), "{said}");
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_the_database_does_not_take_while_others_pass_is_seen() -> Result<()> {
    let settings = [("HEALTH_CACHE_PENDING_SECONDS_DEGRADED", "3"), ("CACHE_DATABASE_TIMEOUT_MS", "500")];
    let cache = Cache::start("unsaved", &settings).await?;
    let passes = async |name: &str, n: u8| {
        for _ in 0..300 {
            if cache.put(&format!("/tracker/{name}"), &json!({ "n": n })).await?.status == 200 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::bail!("no save passes")
    };
    passes("stuck", 1).await?;
    passes("other", 1).await?;
    // Somebody holds one row.
    let db = cache.lab.db().await?;
    db.run("begin; select from public.cache_storage where cache_type = 'stuck' for update").await?;
    assert_eq!(cache.put("/tracker/stuck", &json!({ "n": 2 })).await?.status, 202);
    let (code, said) = wait_for(&cache.lab, "cache", "degraded", Duration::from_mins(1)).await?;
    let problems = check(&said, "cache").1;
    assert!(code == 200 && problems.contains("1 saves wait for the database"), "{said}");
    let page = page(&cache.lab).await?.1;
    assert!(page.contains("ironferry_cache_pending 1\n"), "{page}");
    // After a moment's rest of the connection another save passes.
    passes("other", 3).await?;

    db.run("commit").await?;
    let (_, said) = wait_for(&cache.lab, "cache", "healthy", Duration::from_mins(1)).await?;
    assert_eq!(said["measured"]["cache"]["pending"], 0, "{said}");
    let kept =
        db.text("select data ->> 'n' from public.cache_storage where cache_type = 'stuck'", &[]).await?;
    assert_eq!(kept, "2");
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_come_is_late() -> Result<()> {
    let lab = Lab::start("health-collector", &[]).await?;
    let db = lab.db().await?;
    db.run("insert into public.companies (company_name) values ('Waiting')").await?;
    for (late, collector, code) in [("10", "healthy", 200), ("20", "degraded", 200), ("90", "unhealthy", 503)]
    {
        db.run(&format!(
            "update public.collection_state set next_due_at = now() - interval '{late} minutes'"
        ))
        .await?;
        let is_told = |status, said: &Value| (status, check(said, "collector").0) == (code, collector);
        wait_until(&lab, is_told).await.with_context(|| format!("{late} minutes, {collector}"))?;
    }
    db.run("update public.collection_state set leased_until = now() + interval '1 minute'").await?;
    wait_until(&lab, |status, _| status == 200).await.context("one that is being collected is not late")?;
    lab.stop().await
}
