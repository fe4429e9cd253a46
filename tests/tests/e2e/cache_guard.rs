//! Who may ask the cache, how often and from where; what is on record of it; and its figures.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ironferry_tests::http::Reply;
use serde_json::json;

use crate::cache::{Cache, header};

async fn with_key(cache: &Cache, key: &str, method: &str, path: &str, body: &str) -> Result<Reply> {
    let headers = [("content-type", "application/json"), ("x-cache-key", key)];
    cache.lab.api.send(method, &format!("/functions/v1/cache{path}"), &headers, body.to_owned()).await
}

async fn new_key(cache: &Cache, project: &str, body: serde_json::Value) -> Result<String> {
    let reply = cache.send("POST", &format!("/{project}/keys"), &[], body.to_string()).await?.json()?;
    reply["key"].as_str().map(str::to_owned).with_context(|| reply.to_string())
}

fn answer(reply: &Reply) -> Result<(u16, String)> {
    let code = reply.json()?["code"].as_str().unwrap_or("").to_owned();
    Ok((reply.status, code))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projects_key_opens_its_project_and_is_replaced_with_an_overlap() -> Result<()> {
    let cache = Cache::start("keys", &[]).await?;
    cache.put("/tracker/data", &json!({ "n": 1 })).await?;
    cache.put("/other/data", &json!({ "n": 2 })).await?;
    let reader = new_key(&cache, "tracker", json!({ "name": "web" })).await?;
    let writer = new_key(&cache, "tracker", json!({ "name": "job", "can_write": true })).await?;
    assert!(reader.starts_with("ifc_") && reader.len() >= 40);

    let read = with_key(&cache, &reader, "GET", "/tracker/data", "").await?;
    assert_eq!((read.status, read.json()?), (200, json!({ "n": 1 })));
    let cases = [
        (reader.as_str(), "PUT", "/tracker/data", "{}", 403, "READ_ONLY_KEY"),
        (&reader, "DELETE", "/tracker/data", "", 403, "READ_ONLY_KEY"),
        (&reader, "POST", "/tracker/data/refresh", "", 403, "READ_ONLY_KEY"),
        (&reader, "GET", "/other/data", "", 403, "WRONG_PROJECT"),
        (&writer, "PUT", "/other/data", "{}", 403, "WRONG_PROJECT"),
        (&writer, "PUT", "/tracker/data/source", "{}", 403, "FORBIDDEN"),
        (&writer, "POST", "/tracker/keys", "{}", 403, "FORBIDDEN"),
        (&writer, "GET", "/metrics", "", 403, "FORBIDDEN"),
        (&writer, "POST", "/tick", "", 403, "FORBIDDEN"),
        ("ifc_guess", "GET", "/tracker/data", "", 401, "INVALID_API_KEY"),
        ("ifc_guess", "GET", "/nowhere/data", "", 401, "INVALID_API_KEY"),
    ];
    for (key, method, path, body, status, code) in cases {
        let reply = with_key(&cache, key, method, path, body).await?;
        assert_eq!(answer(&reply)?, (status, code.to_owned()), "{method} {path}");
        assert_eq!(header(&reply, "x-content-type-options"), "nosniff", "{method} {path}");
    }
    let written = with_key(&cache, &writer, "PUT", "/tracker/data", "{\"n\":3}").await?;
    assert_eq!(written.status, 200);
    let nobody = cache.lab.api.send("GET", "/functions/v1/cache/tracker/data", &[], "").await?;
    assert_eq!(answer(&nobody)?, (401, "INVALID_SERVICE_KEY".to_owned()));
    let wrong = cache
        .lab
        .api
        .send("GET", "/functions/v1/cache/tracker/data", &[("x-service-key", "guess")], "")
        .await?;
    assert_eq!(answer(&wrong)?, (401, "INVALID_SERVICE_KEY".to_owned()));

    // Rotation: for the overlap both are good, then the old one is not; revoking ends both at once.
    let next = new_key(&cache, "tracker", json!({ "name": "web", "overlap_seconds": 3_600 })).await?;
    for key in [&reader, &next] {
        assert_eq!(with_key(&cache, key, "GET", "/tracker/data", "").await?.status, 200);
    }
    let db = cache.lab.db().await?;
    let stored = db.text("select string_agg(key_hash, ' ') from public.cache_keys", &[]).await?;
    assert!(!stored.contains(&reader) && !stored.contains(&next));
    let revoked = cache.send("DELETE", "/tracker/keys/web", &[], "").await?;
    assert_eq!(revoked.json()?["revoked"], 2);
    for key in [&reader, &next] {
        assert_eq!(with_key(&cache, key, "GET", "/tracker/data", "").await?.status, 401);
    }

    // A key that is known is good while the database is away; a guess is not.
    assert_eq!(with_key(&cache, &writer, "GET", "/tracker/data", "").await?.status, 200);
    cache.lab.stack.stop_part("postgres").await?;
    assert_eq!(with_key(&cache, &writer, "GET", "/tracker/data", "").await?.json()?, json!({ "n": 3 }));
    assert_eq!(with_key(&cache, "ifc_guess", "GET", "/tracker/data", "").await?.status, 503);
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_a_hundred_requests_a_minute_and_is_told_so() -> Result<()> {
    let cache = Cache::start("rates", &[("CACHE_RATE_LIMIT", "100")]).await?;
    cache.put("/tracker/data", &json!({ "n": 1 })).await?;
    let key = new_key(&cache, "tracker", json!({ "name": "web" })).await?;
    // Many at once, from one address.
    let asked = (0..150).map(|_| with_key(&cache, &key, "GET", "/tracker/data", ""));
    let replies = futures_util::future::try_join_all(asked).await?;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 100);
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert_eq!(refused.len(), 50);
    let one = refused[0];
    assert_eq!(answer(one)?.1, "RATE_LIMITED");
    assert_eq!((header(one, "ratelimit-limit"), header(one, "ratelimit-remaining")), ("100", "0"));
    assert!((1..=60).contains(&header(one, "retry-after").parse::<u32>()?));
    assert_eq!(header(one, "retry-after"), header(one, "ratelimit-reset"));
    assert_eq!(cache.get("/tracker/data").await?.status, 200, "another caller has its own");
    let db = cache.lab.db().await?;
    let alerted =
        "select count(*) = 1 from public.cache_alerts where kind = 'rate_limited' and occurrences >= 10";
    db.wait_for("the alert", Duration::from_mins(1), alerted).await?;
    let audited =
        "select count(*) = 50 from public.cache_audit_log where code = 'RATE_LIMITED' and not success";
    db.wait_for("the record", Duration::from_mins(1), audited).await?;
    db.run("update public.cache_rates set begun_at = begun_at - interval '1 minute'").await?;
    assert_eq!(with_key(&cache, &key, "GET", "/tracker/data", "").await?.status, 200, "the next minute");
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_guesses_and_bad_input_are_refused_recorded_and_raise_alarm() -> Result<()> {
    let cache = Cache::start("alarm", &[("CLIENT_IP_HEADER", "x-forwarded-for")]).await?;
    let db = cache.lab.db().await?;
    cache.put("/tracker/data", &json!({ "n": 1 })).await?;
    for number in 0..6 {
        let reply = with_key(&cache, &format!("ifc_guess{number}"), "GET", "/tracker/data", "").await?;
        assert_eq!(reply.status, 401);
    }
    for _ in 0..20 {
        let reply = cache.send("PUT", "/tracker/data", &[], "{not json").await?;
        assert_eq!(answer(&reply)?, (400, "INVALID_DATA".to_owned()));
    }
    let alerts = "select coalesce(string_agg(kind, ' ' order by kind), '') = 'failed_auth invalid_input' from public.cache_alerts";
    db.wait_for("the alerts", Duration::from_mins(1), alerts).await?;

    // Plain HTTP is refused, but on this machine.
    let plain = cache.send("GET", "/tracker/data", &[("host", "project.example")], "").await?;
    assert_eq!(answer(&plain)?, (403, "HTTPS_REQUIRED".to_owned()));

    // Only the networks that are named: not ours, then ours too.
    db.run("insert into public.allowed_ips (network) values ('203.0.113.0/24')").await?;
    cache.restart().await?;
    let refused = cache.get("/tracker/data").await?;
    assert_eq!(answer(&refused)?, (403, "NETWORK_REFUSED".to_owned()));
    let forged = cache.send("GET", "/tracker/data", &[("x-forwarded-for", "203.0.113.5")], "").await?;
    assert_eq!(
        answer(&forged)?.1,
        "NETWORK_REFUSED",
        "what a caller writes into the header counts for nothing"
    );
    db.run("insert into public.allowed_ips (network) values ('127.0.0.0/8')").await?;
    assert_eq!(cache.get("/tracker/data").await?.status, 200);

    let recorded = "select count(*) = 6 from public.cache_audit_log where code = 'INVALID_API_KEY' and operation = 'READ'
                    and user_role = 'nobody' and ip_address = '127.0.0.1' and request_id is not null";
    db.wait_for("the record", Duration::from_mins(1), recorded).await?;
    let suspicious = db.text("select string_agg(failures::text, ' ' order by failures) from public.security_analysis where operation in ('READ', 'WRITE')", &[]).await?;
    assert!(suspicious.contains("20"), "{suspicious}");
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_tell_who_answered_and_how_fast() -> Result<()> {
    let cache = Cache::start("figures", &[]).await?;
    let db = cache.lab.db().await?;
    cache.put("/tracker/data", &json!({ "n": 1 })).await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..8 {
        let begun = Instant::now();
        cache.get("/tracker/data").await?;
        slowest = slowest.max(begun.elapsed());
    }
    db.wait_for(
        "the first record",
        Duration::from_mins(1),
        "select count(*) = 8 from public.cache_audit_log where operation = 'READ'",
    )
    .await?;
    cache.restart().await?;
    cache.get("/tracker/data").await?;
    assert_eq!(cache.get("/tracker/none").await?.status, 404);
    db.wait_for(
        "the record",
        Duration::from_mins(1),
        "select count(*) = 10 from public.cache_audit_log where operation = 'READ'",
    )
    .await?;
    let figures = cache.get("/metrics?project=tracker").await?.json()?;
    assert_eq!((&figures["reads"], &figures["hit_ratio"]), (&json!(10), &json!(0.9)), "{figures}");
    let layers = &figures["layers"];
    assert_eq!(
        [&layers["memory"]["answers"], &layers["database"]["answers"], &layers["miss"]["answers"]],
        [8, 1, 1]
    );
    let within = slowest.as_secs_f64() * 1_000.0;
    assert!(layers["memory"]["p50_ms"].as_f64().is_some_and(|ms| ms <= within), "{within} {figures}");
    let status = cache.get("/tracker").await?.json()?;
    assert_eq!((&status[0]["type"], &status[0]["data_size"]), (&json!("data"), &json!(8)));
    assert!(status[0]["data"].is_null(), "the overview never has the data");
    cache.stop().await
}
