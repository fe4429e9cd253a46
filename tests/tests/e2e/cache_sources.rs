//! The cache's sources: what they send, what it makes of it, and that it asks no more than it may.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ironferry_tests::lab::Db;
use ironferry_tests::origins::{Origins, Page};
use ironferry_tests::server::{Server, json as json_reply};
use serde_json::{Value, json};

use crate::cache::{Cache, layer};
use crate::cache_outages::database_is_back;

const STRAVA: [(&str, &str); 2] =
    [("STRAVA_CLIENT_ID", "client"), ("STRAVA_CLIENT_SECRET", "the-client-secret")];

async fn strava(cache: &Cache, origins: &Origins, more: Value) -> Result<()> {
    let mut source = json!({
        "kind": "strava", "url": origins.url(), "refresh_token": "refresh-0", "settings": { "types": ["Run", "Ride"] },
    });
    if let (Value::Object(source), Value::Object(more)) = (&mut source, more) {
        source.extend(more);
    }
    let reply = cache.put("/tracker/strava/source", &source).await?;
    ensure!(reply.status == 200, "{}", reply.json()?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_strava_arrive_and_the_newest_refresh_token_is_kept_sealed() -> Result<()> {
    let cache = Cache::start("strava", &STRAVA).await?;
    let db = cache.lab.db().await?;
    let origins = Origins::start().await?;
    origins.athlete(|athlete| {
        athlete.activities = 450;
        athlete.token_seconds = 60;
        athlete.limit = 1_000;
    });
    strava(&cache, &origins, json!({})).await?;
    let first = cache.get("/tracker/strava").await?;
    let data = first.json()?;
    assert_eq!((layer(&first), &data["total_activities"]), ("origin", &json!(450)), "{:?}", origins.calls());
    assert_eq!(
        data["activities"][0]["map"]["summary_polyline"], "_p~iF~ps|U_ulLnnqC'\\;",
        "nothing is 'sanitised'"
    );
    let rich = |field: &str, data: &Value| {
        data["activities"].as_array().map_or(0, |all| all.iter().filter(|one| !one[field].is_null()).count())
    };
    assert_eq!(
        (rich("photos", &data), rich("comments", &data)),
        (1, 7),
        "photos of a day, comments of a week"
    );

    // The token lasts a minute: each refresh renews it, with the token that the last one brought.
    for round in 2..=3 {
        let reply = cache.send("POST", "/tracker/strava/refresh", &[], "").await?;
        assert_eq!(reply.status, 200, "{}", reply.json()?);
        assert_eq!(rich("comments", &reply.json()?), 7, "rich fields stay and are not fetched again");
        assert_eq!(origins.athlete(|athlete| athlete.refresh_token.clone()), format!("refresh-{round}"));
    }
    let calls = origins.calls();
    assert_eq!(calls.iter().filter(|call| call.contains("/comments")).count(), 7);
    assert_eq!(calls.iter().filter(|call| call.contains("page=4&")).count(), 3, "an empty page is the end");
    let sealed = db.text("select credentials from public.cache_sources", &[]).await?;
    assert!(sealed.starts_with("v1.") && !sealed.contains("refresh-"), "{sealed}");

    // Without the database no token is renewed: nothing could keep the new one.
    cache.lab.stack.stop_part("postgres").await?;
    let reply = cache.send("POST", "/tracker/strava/refresh", &[], "").await?;
    assert_eq!((reply.status, reply.json()?["code"].as_str()), (503, Some("DATABASE_UNAVAILABLE")));
    assert_eq!(origins.athlete(|athlete| athlete.refresh_token.clone()), "refresh-3");
    assert_eq!(
        cache.get("/tracker/strava").await?.json()?["total_activities"],
        450,
        "what was fetched is served"
    );
    database_is_back(&cache.lab).await?;
    let reply = cache.send("POST", "/tracker/strava/refresh", &[], "").await?;
    assert_eq!(reply.status, 200, "{}", reply.json()?);

    // Nothing but the database needs to last.
    cache.restart().await?;
    let reply = cache.send("POST", "/tracker/strava/refresh", &[], "").await?;
    assert_eq!(reply.status, 200, "the database has the newest token: {}", reply.json()?);
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_refresh_token_is_told_of_and_replaced_by_an_operator() -> Result<()> {
    let cache = Cache::start("login", &STRAVA).await?;
    let db = cache.lab.db().await?;
    let (heard, listener) = listener().await?;
    db.run(&format!("select vault.create_secret('{}', 'cache_alert_url')", listener.url())).await?;
    let origins = Origins::start().await?;
    origins.athlete(|athlete| {
        athlete.activities = 3;
        athlete.token_seconds = 60;
        athlete.limit = 1_000;
    });
    strava(&cache, &origins, json!({})).await?;
    assert_eq!(cache.get("/tracker/strava").await?.status, 200);

    // A worker renewed the token and was killed before the database had the new one.
    origins.athlete(|athlete| athlete.refresh_token = "refresh-lost".to_owned());
    for _ in 0..2 {
        let reply = cache.send("POST", "/tracker/strava/refresh", &[], "").await?;
        assert_eq!((reply.status, reply.json()?["code"].as_str()), (502, Some("SOURCE_NEEDS_LOGIN")));
    }
    let grants = |calls: &[String]| calls.iter().filter(|call| call.contains("/oauth/token")).count();
    assert_eq!(grants(&origins.calls()), 2, "a token that was refused is not tried again");
    let marked = "select needs_login_at is not null and rotating_until is null from public.cache_sources";
    assert_eq!(db.text(&format!("select ({marked})::text"), &[]).await?, "true");
    let alerts = "select string_agg(kind || ' ' || subject, ', ') from public.cache_alerts";
    assert_eq!(db.text(alerts, &[]).await?, "needs_login tracker/strava");
    assert_eq!(cache.get("/tracker/strava").await?.json()?["total_activities"], 3, "the old data stays");
    for _ in 0..2 {
        delivered(&cache, &db).await?;
    }
    assert_eq!(states(&heard), ["needs_login tracker/strava began"], "one message, however many ticks");

    strava(&cache, &origins, json!({ "refresh_token": "refresh-lost" })).await?;
    let reply = cache.send("POST", "/tracker/strava/refresh", &[], "").await?;
    assert_eq!(reply.status, 200, "{}", reply.json()?);
    delivered(&cache, &db).await?;
    assert_eq!(states(&heard), ["needs_login tracker/strava began", "needs_login tracker/strava ended"]);
    cache.stop().await
}

type Heard = Arc<Mutex<Vec<Value>>>;

/// A listener for alerts, and the messages that it got.
async fn listener() -> Result<(Heard, Server)> {
    let heard = Heard::default();
    let messages = Arc::clone(&heard);
    let server = Server::start(move |request| {
        let message = serde_json::from_slice(request.body()).unwrap_or_default();
        messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        async move { json_reply(200, &json!({})) }
    })
    .await?;
    Ok((heard, server))
}

/// Event, subject and state of each message. One whose answer was missed is sent again.
fn states(heard: &Heard) -> Vec<String> {
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    let texts = heard.iter().map(|message| {
        ["event", "subject", "state"].map(|field| message[field].as_str().unwrap_or("none")).join(" ")
    });
    let mut texts: Vec<String> = texts.collect();
    texts.dedup();
    texts
}

/// Has the cache tick until every message is delivered.
async fn delivered(cache: &Cache, db: &Db) -> Result<()> {
    let waiting = "select string_agg(status || ' ' || coalesce(last_error, ''), ', ') from public.notifications where status <> 'sent'";
    let begun = Instant::now();
    loop {
        let reply = cache.send("POST", "/tick?wait=true", &[], "").await?;
        ensure!(reply.status == 200, "{}", reply.json()?);
        let Some(left) = db.0.query_one(waiting, &[]).await?.try_get::<_, Option<String>>(0)? else {
            return Ok(());
        };
        ensure!(begun.elapsed() < Duration::from_mins(2), "{left}");
        db.run("update public.notifications set next_attempt_at = now() where status = 'pending'").await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_limit_of_strava_ends_a_refresh_and_the_old_data_stays() -> Result<()> {
    let cache = Cache::start("limits", &STRAVA).await?;
    let origins = Origins::start().await?;
    origins.athlete(|athlete| {
        athlete.activities = 300;
        athlete.limit = 1_000;
    });
    strava(&cache, &origins, json!({})).await?;
    assert_eq!(cache.get("/tracker/strava").await?.status, 200);
    origins.athlete(|athlete| {
        athlete.used = 0;
        athlete.limit = 2;
    });
    let limited = cache.send("POST", "/tracker/strava/refresh", &[], "").await?;
    assert_eq!((limited.status, limited.json()?["code"].as_str()), (503, Some("SOURCE_LIMITED")));
    assert!(origins.athlete(|athlete| athlete.used) <= 2, "it stops before it is refused");
    let db = cache.lab.db().await?;
    let quarter =
        "select next_due_at <= date_bin('15 minutes', now(), '2000-01-01') + interval '15 minutes 5 seconds'
                   and consecutive_failures = 1 from public.cache_sources";
    db.wait_for("the wait for the next quarter of an hour or the backoff", Duration::from_mins(1), quarter)
        .await?;
    assert_eq!(cache.get("/tracker/strava").await?.json()?["total_activities"], 300);
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_justgiving_page_becomes_the_fundraising_data_that_readers_know() -> Result<()> {
    let cache = Cache::start("justgiving", &[("JUSTGIVING_API_KEY", "the-justgiving-key")]).await?;
    let origins = Origins::start().await?;
    origins.page(Page {
        short_name: "a-long-run".into(),
        api_key: "the-justgiving-key".into(),
        donations: 320,
    });
    let source = json!({ "kind": "justgiving", "url": origins.url(), "settings": { "page": "a-long-run" } });
    assert_eq!(cache.put("/tracker/fundraising/source", &source).await?.status, 200);
    let data = cache.get("/tracker/fundraising").await?.json()?;
    assert_eq!((&data["total_raised"], &data["target"]), (&json!("3200.00"), &json!("5000.00")), "{data}");
    assert_eq!(
        (&data["total_donations"], data["donations"].as_array().map(Vec::len)),
        (&json!(320), Some(320))
    );
    let one = &data["donations"][3];
    assert_eq!((&one["amount"], &one["date"]), (&Value::Null, &json!("2025-05-22T08:00:00Z")));
    assert_eq!(one["message"], "Well done; it's \"great\"");
    let db = cache.lab.db().await?;
    let due = "select next_due_at between now() + interval '13 minutes' and now() + interval '15 minutes' from public.cache_sources";
    db.wait_for("a quarter of an hour", Duration::from_mins(1), due).await?;
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_source_sends_its_secret_takes_a_part_and_goes_nowhere_inside() -> Result<()> {
    let cache = Cache::start("json", &[("CACHE_SECRET_PARTNER", "the-partners-key")]).await?;
    let origins = Origins::start().await?;
    origins.document("/api", json!({ "meta": 1, "data": { "items": [1, 2, 3] } }));
    cache
        .source(
            "/tracker/items",
            json!({
                "url": format!("{}/api", origins.url()), "settings": { "pointer": "/data/items" },
                "headers": { "authorization": { "secret": "CACHE_SECRET_PARTNER" }, "x-plain": "yes" },
            }),
        )
        .await?;
    assert_eq!(cache.get("/tracker/items").await?.json()?, json!({ "value": [1, 2, 3] }));
    assert_eq!(origins.last_header("authorization").as_deref(), Some("the-partners-key"));
    let db = cache.lab.db().await?;
    let stored = db.text("select headers::text from public.cache_sources", &[]).await?;
    assert!(!stored.contains("the-partners-key"));

    let refused = [
        (json!({ "kind": "json", "url": "http://169.254.169.254/latest/meta-data" }), "URL_REFUSED"),
        (json!({ "kind": "json", "url": "https://10.0.0.1/" }), "URL_REFUSED"),
        (json!({ "kind": "json" }), "INVALID_SOURCE"),
        (json!({ "kind": "ftp", "url": "https://example.com/" }), "INVALID_SOURCE"),
        (json!({ "kind": "json", "url": "https://example.com/", "refresh_seconds": 1 }), "INVALID_SOURCE"),
        (json!({ "kind": "json", "url": "https://example.com/", "surprise": 1 }), "INVALID_JSON"),
    ];
    for (source, code) in refused {
        let reply = cache.put("/tracker/other/source", &source).await?;
        assert_eq!((reply.status, reply.json()?["code"].as_str()), (400, Some(code)), "{source}");
    }
    // No secret but those meant for it.
    cache
        .source(
            "/tracker/stolen",
            json!({
                "url": format!("{}/api", origins.url()), "headers": { "x": { "secret": "SERVICE_API_KEY" } },
            }),
        )
        .await?;
    let calls = origins.calls().len();
    let reply = cache.get("/tracker/stolen").await?;
    assert_eq!((reply.status, reply.json()?["code"].as_str()), (400, Some("INVALID_SOURCE")));
    assert_eq!(origins.calls().len(), calls, "nothing was sent");
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_of_cron_refreshes_what_is_due_and_nothing_else() -> Result<()> {
    let begun = Instant::now();
    let cache = Cache::start("tick", &[]).await?;
    let db = cache.lab.db().await?;
    let origins = Origins::start().await?;
    for name in ["one", "two", "three"] {
        origins.document(&format!("/{name}"), json!({ "name": name }));
        cache
            .source(&format!("/tracker/{name}"), json!({ "url": format!("{}/{name}", origins.url()) }))
            .await?;
    }
    db.run(
        "update public.cache_sources set next_due_at = now() + interval '1 hour' where cache_type = 'three'",
    )
    .await?;
    cache.lab.schedule(&db, "cache", "* * * * *").await?;
    let done = "select count(*) = 2 from public.cache_storage where data ->> 'name' = cache_type and cache_type <> 'three'";
    db.wait_for("the tick", Duration::from_mins(3), done).await?;
    assert_eq!(origins.calls().len(), 2, "{:?}", origins.calls());
    let lag = db.count("select max(last_lag_seconds)::bigint from public.cache_sources", &[]).await?;
    assert!(lag <= i64::try_from(begun.elapsed().as_secs())?, "{lag}");
    cache.stop().await
}
