//! The cache when its layers are away: each, every pair, all; what it could not save, and what it finds
//! damaged.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ironferry_tests::lab::Lab;
use ironferry_tests::origins::{Origins, Trouble};
use serde_json::json;

use crate::cache::{Cache, header, layer};

pub(crate) async fn database_is_back(lab: &Lab) -> Result<()> {
    lab.stack.start_part("postgres").await?;
    for _ in 0..600 {
        if lab.db().await.is_ok() {
            // The cache leaves a database that was away alone for 2 s.
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the database does not come back")
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_layers_are_broken_the_next_one_answers() -> Result<()> {
    let origins = Origins::start().await?;
    let data = json!({ "n": 1 });
    origins.document("/data", data.clone());
    let url = format!("{}/data", origins.url());
    let sources =
        json!({ "tracker/data": { "kind": "json", "url": url, "refresh_seconds": 3_600 } }).to_string();
    // One worker throughout: what a worker's end takes along is told elsewhere.
    let cache =
        Cache::start_with("outages", &[("CACHE_SOURCES", &sources)], |options| options.limits = None).await?;
    cache.source("/tracker/data", json!({ "url": url, "refresh_seconds": 3_600 })).await?;

    // Not due while the story is told: what the source sends later would be newer than what is saved.
    assert_eq!(cache.send("POST", "/tracker/data/refresh", &[], "").await?.status, 200);

    for broken in 0..8_u8 {
        let folder = cache.folder()?;
        let [memory, file, database] = [1, 2, 4].map(|layer| broken & layer != 0);
        // All layers are well and full.
        assert_eq!(cache.put("/tracker/data", &data).await?.status, 200);
        assert_eq!(layer(&cache.get("/tracker/data").await?), "memory");

        if memory {
            cache.fill_memory().await?;
        }
        if file {
            std::fs::remove_dir_all(&folder)?;
            std::fs::write(&folder, "not a folder")?;
        }
        if database {
            cache.lab.stack.stop_part("postgres").await?;
        }
        let expected = match (memory, file, database) {
            (false, _, _) => "memory",
            (true, false, _) => "file",
            (true, true, false) => "database",
            (true, true, true) => "origin",
        };
        let asked = Instant::now();
        let reply = cache.get("/tracker/data").await?;
        let said = (memory, file, database);
        assert_eq!((reply.status, layer(&reply), reply.json()?), (200, expected, data.clone()), "{said:?}");
        // What stands in for the database is believed for 2 s.
        let again = cache.get("/tracker/data").await?;
        let is_long_ago = database && asked.elapsed() >= Duration::from_secs(2);
        assert!(layer(&again) == "memory" || is_long_ago, "it is filled again: {said:?} {}", layer(&again));

        // And saves are taken: what the database does not take now, it takes later.
        let newer = json!({ "n": 1, "saved_without": format!("{said:?}") });
        let saved = cache.put("/tracker/data", &newer).await?;
        assert_eq!(saved.status, if database { 202 } else { 200 }, "{said:?}");
        assert_eq!(
            saved.json()?["layers"].as_array().map(Vec::len),
            Some(3 - usize::from(file) - usize::from(database))
        );
        assert_eq!(cache.get("/tracker/data").await?.json()?, newer);

        if file {
            std::fs::remove_file(&folder)?;
        }
        if database {
            database_is_back(&cache.lab).await?;
        }
        let db = cache.lab.db().await?;
        let kept = "select coalesce(max(data ->> 'saved_without'), '') from public.cache_storage";
        let begun = Instant::now();
        while db.text(kept, &[]).await? != format!("{said:?}") {
            ensure!(begun.elapsed() < Duration::from_mins(1), "the save does not arrive: {said:?}");
            // Whoever reads has it tried again.
            cache.get("/tracker/data").await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_saves_keep_a_worker_that_is_replaced_and_arrive_with_the_newest_data() -> Result<()> {
    let cache = Cache::start("pending", &[]).await?;
    assert_eq!(cache.put("/tracker/one", &json!({ "n": 0 })).await?.status, 200);
    cache.lab.stack.stop_part("postgres").await?;
    for n in 1..=3 {
        for name in ["one", "two"] {
            let reply = cache.put(&format!("/tracker/{name}"), &json!({ "n": n })).await?;
            assert_eq!((reply.status, reply.json()?["pending"].clone()), (202, json!(true)));
        }
    }
    let replaced = cache.lab.stack.function_pid("cache");
    cache.lab.stack.set_secrets(&[]).await?;
    assert_ne!(cache.lab.stack.function_pid("cache"), replaced);
    database_is_back(&cache.lab).await?;
    // Nobody asks for anything: the worker that took the saves tries them again.
    let db = cache.lab.db().await?;
    let all =
        "select string_agg(cache_type || (data ->> 'n'), ' ' order by cache_type) from public.cache_storage";
    db.wait_for("the saves", Duration::from_mins(2), &format!("select ({all}) = 'one3 two3'")).await?;
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_waits_arrives_without_another_request_unless_that_is_turned_off() -> Result<()> {
    for (retry, expected) in [("true", "1"), ("false", "0")] {
        let cache = Cache::start(&format!("retry-{retry}"), &[("BACKGROUND_RETRY", retry)]).await?;
        assert_eq!(cache.put("/tracker/one", &json!({ "n": 0 })).await?.status, 200);
        cache.lab.stack.stop_part("postgres").await?;
        assert_eq!(cache.put("/tracker/one", &json!({ "n": 1 })).await?.status, 202);
        database_is_back(&cache.lab).await?;
        let db = cache.lab.db().await?;
        let kept = "select data ->> 'n' from public.cache_storage";
        let told = format!("BACKGROUND_RETRY={retry}");
        if retry == "true" {
            db.wait_for(&told, Duration::from_mins(2), &format!("select ({kept}) = '{expected}'")).await?;
        } else {
            cache.get("/tracker/one").await?;
            assert_eq!(db.text(kept, &[]).await?, expected, "{told}: a tick has to come");
            cache.send("POST", "/tick?wait=true", &[], "{}").await?;
            assert_eq!(db.text(kept, &[]).await?, "1", "{told}");
        }
        cache.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_reported_and_repaired_from_the_next_layer() -> Result<()> {
    let cache = Cache::start("damage", &[("CACHE_TTL_SECONDS", "1")]).await?;
    let origins = Origins::start().await?;
    origins.document("/data", json!({ "n": 2 }));
    let db = cache.lab.db().await?;
    cache.put("/tracker/data", &json!({ "n": 1 })).await?;
    let file = cache.folder()?.join("tracker.data.json");

    // Cut off, changed, empty, and no JSON at all.
    let whole = std::fs::read(&file)?;
    let changed = String::from_utf8_lossy(&whole).replace("{\"n\":1}", "{\"n\":7}").into_bytes();
    for damaged in [whole[..whole.len() - 1].to_vec(), changed, Vec::new(), b"garbage\n{}".to_vec()] {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        std::fs::write(&file, damaged)?;
        let reply = cache.get("/tracker/data").await?;
        assert_eq!((layer(&reply), reply.json()?), ("database", json!({ "n": 1 })));
        let begun = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            if layer(&cache.get("/tracker/data").await?) == "file" {
                break;
            }
            ensure!(begun.elapsed() < Duration::from_mins(1), "it is not repaired");
        }
    }
    let reported = "select count(*) >= 4 from public.cache_audit_log where details ->> 'repaired' = 'file'";
    db.wait_for("the report", Duration::from_mins(1), reported).await?;
    let alerted = "select count(*) = 1 from public.cache_alerts where kind = 'corrupt_data'";
    db.wait_for("the alert", Duration::from_mins(1), alerted).await?;

    // The database's own row, in a worker that has no copy of it: from the source.
    let spoil = "alter table public.cache_storage disable trigger cache_storage_measure;
                 update public.cache_storage set data = '{\"n\": 9}';
                 alter table public.cache_storage enable trigger cache_storage_measure";
    cache.source("/tracker/data", json!({ "url": format!("{}/data", origins.url()) })).await?;
    cache.restart().await?;
    db.run(spoil).await?;
    db.run("update public.cache_sources set next_due_at = now() + interval '1 hour'").await?;
    let reply = cache.get("/tracker/data").await?;
    assert_eq!(reply.json()?, json!({ "n": 2 }), "nothing corrupt is ever served");
    let sound = "select data ->> 'n' = '2' and checksum = encode(sha256(convert_to(data::text, 'utf8')), 'hex') from public.cache_storage";
    db.wait_for("the repair", Duration::from_mins(1), sound).await?;
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_leaves_the_old_data_in_place() -> Result<()> {
    let cache = Cache::start("faults", &[]).await?;
    let origins = Origins::start().await?;
    origins.document("/data", json!({ "n": 1 }));
    cache
        .source(
            "/tracker/data",
            json!({ "url": format!("{}/data", origins.url()), "refresh_seconds": 3_600 }),
        )
        .await?;
    assert_eq!(layer(&cache.get("/tracker/data").await?), "origin");
    let db = cache.lab.db().await?;
    for (trouble, status, code) in [
        (Trouble::TooMany(777), 503, "SOURCE_LIMITED"),
        (Trouble::Status(500), 502, "SOURCE_FAILED"),
        (Trouble::Status(404), 502, "SOURCE_FAILED"),
        (Trouble::Html, 502, "SOURCE_PROTOCOL"),
        (Trouble::CutOff, 502, "SOURCE_PROTOCOL"),
        (Trouble::Redirect, 502, "SOURCE_FAILED"),
        (Trouble::Large(11_000_000), 502, "SOURCE_FAILED"),
    ] {
        origins.trouble(Some(trouble));
        let reply = cache.send("POST", "/tracker/data/refresh", &[], "").await?;
        assert_eq!((reply.status, reply.json()?["code"].as_str()), (status, Some(code)), "{trouble:?}");
        if trouble == Trouble::TooMany(777) {
            assert_eq!(header(&reply, "retry-after"), "777");
            let waits = "select next_due_at > now() + interval '5 minutes' from public.cache_sources";
            db.wait_for("the wait that was asked for", Duration::from_mins(1), waits).await?;
        }
        assert_eq!(cache.get("/tracker/data").await?.json()?, json!({ "n": 1 }), "{trouble:?}");
    }
    // Nothing to give: the reader hears that too, and the source is left alone.
    let calls = origins.calls().len();
    cache.source("/tracker/new", json!({ "url": format!("{}/data", origins.url()) })).await?;
    let first = cache.get("/tracker/new").await?;
    assert_eq!((first.status, first.json()?["code"].as_str()), (502, Some("SOURCE_FAILED")));
    let second = cache.get("/tracker/new").await?;
    assert_eq!((second.status, second.json()?["code"].as_str()), (503, Some("SOURCE_RESTING")));
    assert!(!header(&second, "retry-after").is_empty());
    assert_eq!(origins.calls().len(), calls + 1);
    origins.trouble(None);
    let asked = cache.send("POST", "/tracker/new/refresh", &[], "").await?;
    assert_eq!(
        (asked.status, asked.json()?),
        (200, json!({ "n": 1 })),
        "who asks for it is not kept waiting"
    );
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_other_layers_do() -> Result<()> {
    let origins = Origins::start().await?;
    origins.document("/data", json!({ "n": 1 }));
    let source = json!({ "kind": "json", "url": format!("{}/data", origins.url()) });
    let sources = json!({ "tracker/data": source }).to_string();
    let cache =
        Cache::start("alone", &[("CACHE_DATABASE_ENABLED", "false"), ("CACHE_SOURCES", &sources)]).await?;
    assert_eq!(layer(&cache.get("/tracker/data").await?), "origin");
    assert_eq!(layer(&cache.get("/tracker/data").await?), "memory");
    assert_eq!(
        cache.put("/tracker/other", &json!({ "n": 2 })).await?.json()?["layers"],
        json!(["file", "memory"])
    );
    cache.fill_memory().await?;
    assert_eq!(layer(&cache.get("/tracker/other").await?), "file");
    assert_eq!(cache.get("/tracker/nothing").await?.status, 404);
    let db = cache.lab.db().await?;
    assert_eq!(
        db.count("select count(*) from public.cache_storage", &[]).await?,
        0,
        "CACHE_DATABASE_ENABLED=false"
    );
    cache.stop().await?;

    let cache = Cache::start("calm", &[("EMERGENCY_REFRESH", "false"), ("CACHE_SOURCES", &sources)]).await?;
    let missing = cache.get("/tracker/data").await?;
    assert_eq!((missing.status, origins.calls().len()), (404, 1), "EMERGENCY_REFRESH=false");
    cache.stop().await
}
