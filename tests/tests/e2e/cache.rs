//! The cache in its ordinary life: what goes in comes out of each layer in turn, once asked for at the
//! source however many ask, and through restarts.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ferry::stack::Options;
use ironferry_tests::http::Reply;
use ironferry_tests::lab::Lab;
use ironferry_tests::origins::{Origins, Trouble};
use serde_json::{Value, json};

/// What an instance holds at the most.
const MEMORY_MB: &str = "1";
const MEMORY_BYTES: usize = 1_000_000;

/// A stack with a cache of its own.
pub(crate) struct Cache {
    pub(crate) lab: Lab,
}

impl Cache {
    pub(crate) async fn start(story: &str, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(story, settings, |_| ()).await
    }

    pub(crate) async fn start_with(
        story: &str,
        settings: &[(&str, &str)],
        change: impl FnOnce(&mut Options),
    ) -> Result<Self> {
        // A machine with much else to do is not a database that is down.
        let patience = ("CACHE_DATABASE_TIMEOUT_MS", "20000");
        let memory = ("CACHE_MEMORY_MB", MEMORY_MB);
        let mut all = vec![("CACHE_RATE_LIMIT", "100000"), memory, patience];
        all.extend(settings);
        let lab = Lab::start_with(&format!("cache-{story}"), &all, change).await?;
        let cache = Self { lab };
        cache.is_started().await?;
        Ok(cache)
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Result<Reply> {
        let mut all =
            vec![("content-type", "application/json"), ("x-service-key", self.lab.stack.service_api_key())];
        all.extend(headers);
        self.lab.api.send(method, &format!("/functions/v1/cache{path}"), &all, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Reply> {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn put(&self, path: &str, data: &Value) -> Result<Reply> {
        self.send("PUT", path, &[], data.to_string()).await
    }

    /// Makes a source of JSON at this address.
    pub(crate) async fn source(&self, path: &str, more: Value) -> Result<()> {
        let mut source = json!({ "kind": "json" });
        if let (Value::Object(source), Value::Object(more)) = (&mut source, more) {
            source.extend(more);
        }
        let reply = self.put(&format!("{path}/source"), &source).await?;
        ensure!(reply.status == 200, "{}", reply.json()?);
        Ok(())
    }

    /// What an instance does at its start goes on behind its first request; a story begins after it.
    async fn is_started(&self) -> Result<()> {
        self.get("/").await?;
        let log = self.lab.stack.log("cache");
        for _ in 0..1_200 {
            let told = std::fs::read_to_string(&log).unwrap_or_default();
            if told.contains("cache.started") || told.contains("\"path\":\"/cache\",\"status\":503") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the cache does not start")
    }

    /// The folder of the files of the worker that runs now.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        Ok(self.lab.stack.function_tmp("cache").context("the cache runs")?.join("ironferry-cache"))
    }

    /// Loses the memory and keeps the files: one save is as large as all that an instance holds.
    pub(crate) async fn fill_memory(&self) -> Result<()> {
        let filler = format!("{{\"a\":\"{}\"}}", "x".repeat(MEMORY_BYTES - 9));
        let reply = self.send("PUT", "/tracker/filler", &[], filler).await?;
        ensure!(reply.status < 300, "{}", reply.json()?);
        Ok(())
    }

    /// Loses the memory and the files, as a worker that is replaced.
    pub(crate) async fn restart(&self) -> Result<()> {
        self.lab.stack.stop_part("cache").await?;
        self.lab.stack.start_part("cache").await
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.lab.stop().await
    }
}

pub(crate) fn layer(reply: &Reply) -> &str {
    header(reply, "x-cache")
}

pub(crate) fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_comes_out_of_each_layer_and_fills_the_ones_above() -> Result<()> {
    let cache = Cache::start("layers", &[]).await?;
    let data =
        json!({ "total": 7, "text": "it's; \"quoted\" \\ 🦀", "nested": { "b": 1, "a": [1, 2.5, null] } });
    let begun = Instant::now();
    let saved = cache.put("/tracker/custom", &data).await?.json()?;
    assert_eq!(saved["layers"], json!(["file", "memory", "database"]), "{saved}");

    let first = cache.get("/tracker/custom").await?;
    assert_eq!((first.status, layer(&first), first.json()?), (200, "memory", data.clone()));
    let tag = header(&first, "etag").to_owned();
    assert!(header(&first, "age").parse::<u64>()? <= begun.elapsed().as_secs() && tag.starts_with("W/\""));
    let same = cache.send("GET", "/tracker/custom", &[("if-none-match", tag.as_str())], "").await?;
    assert_eq!((same.status, same.body.len(), header(&same, "etag")), (304, 0, tag.as_str()));

    cache.fill_memory().await?;
    assert_eq!(layer(&cache.get("/tracker/custom").await?), "file");
    assert_eq!(layer(&cache.get("/tracker/custom").await?), "memory", "the file has filled it");

    // In a new worker memory is believed for 2 s, the file for 6.
    let lives = [("CACHE_TTL_SECONDS", "2"), ("CACHE_FILE_TTL_SECONDS", "6")];
    cache.lab.stack.set_secrets(&lives.map(|(name, value)| (name.to_owned(), value.to_owned()))).await?;
    let begun = Instant::now();
    assert_eq!(layer(&cache.get("/tracker/custom").await?), "database", "its files are gone");
    let mut filled = Instant::now();
    let below = loop {
        let asked = Instant::now();
        let reply = cache.get("/tracker/custom").await?;
        match layer(&reply) {
            "memory" => assert!(asked - filled < Duration::from_secs(2), "{:?}", asked - filled),
            "file" => filled = Instant::now(),
            _ => break reply,
        }
        ensure!(begun.elapsed() < Duration::from_mins(2), "the file is believed for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(begun.elapsed() >= Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!((layer(&below), below.json()?), ("database", data.clone()));
    assert_eq!(header(&below, "etag"), tag, "it is the same version in every layer");
    assert!(header(&below, "age").parse::<u32>()? >= 6);

    // Newer data replaces it, older does not.
    let older =
        cache.put("/tracker/custom?last_fetch=2020-01-01T00:00:00Z", &json!({ "total": 1 })).await?.json()?;
    assert_eq!(older["outcome"], "older");
    assert_eq!(cache.get("/tracker/custom").await?.json()?, data);
    let newer = cache.put("/tracker/custom", &json!({ "total": 8 })).await?.json()?;
    assert_eq!(newer["outcome"], "replaced");
    let same = cache.send("GET", "/tracker/custom", &[("if-none-match", tag.as_str())], "").await?;
    assert_eq!((same.status, same.json()?), (200, json!({ "total": 8 })));

    let gone = cache.send("DELETE", "/tracker/custom", &[], "").await?;
    assert_eq!(gone.json()?["deleted"], true);
    let missing = cache.get("/tracker/custom").await?;
    assert_eq!((missing.status, missing.json()?["code"].as_str()), (404, Some("CACHE_MISS")));
    let unknown = cache.get("/nobody/custom").await?;
    assert_eq!((unknown.status, unknown.json()?["code"].as_str()), (404, Some("PROJECT_NOT_FOUND")));
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_at_once_cause_one_call_of_the_source() -> Result<()> {
    let cache = Cache::start("readers", &[]).await?;
    let origins = Origins::start().await?;
    origins.document("/numbers", json!({ "n": 42 }));
    cache
        .source(
            "/tracker/numbers",
            json!({ "url": format!("{}/numbers", origins.url()), "refresh_seconds": 30 }),
        )
        .await?;
    origins.trouble(Some(Trouble::Slow(300)));
    let readers = (0..1_000).map(|_| cache.get("/tracker/numbers"));
    for reply in futures_util::future::try_join_all(readers).await? {
        assert_eq!((reply.status, reply.json()?), (200, json!({ "n": 42 })));
    }
    assert_eq!(origins.calls().len(), 1, "{:?}", origins.calls());

    // Expired: all are answered at once with the old data, and again there is one call.
    let db = cache.lab.db().await?;
    origins.document("/numbers", json!({ "n": 43 }));
    db.run("update public.cache_storage set last_fetch = now() - interval '1 hour'").await?;
    db.run("update public.cache_sources set last_succeeded_at = now() - interval '1 hour'").await?;
    cache.restart().await?;
    db.run("update public.cache_sources set next_due_at = now() + interval '1 hour'").await?;
    origins.trouble(Some(Trouble::Held));
    let readers = (0..200).map(|_| cache.get("/tracker/numbers"));
    for reply in futures_util::future::try_join_all(readers).await? {
        assert_eq!((layer(&reply), reply.json()?), ("stale", json!({ "n": 42 })));
        assert!(header(&reply, "age").parse::<u32>()? >= 3_600);
    }
    // Nobody waited for the source, which answers now.
    origins.trouble(None);
    let begun = Instant::now();
    let fresh = loop {
        let reply = cache.get("/tracker/numbers").await?;
        if layer(&reply) != "stale" {
            break reply;
        }
        ensure!(begun.elapsed() < Duration::from_mins(1), "it stays stale");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((layer(&fresh), fresh.json()?), ("memory", json!({ "n": 43 })));
    assert_eq!(origins.calls().len(), 2, "{:?}", origins.calls());
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_all_of_the_data() -> Result<()> {
    let cache = Cache::start("restart", &[]).await?;
    for number in 0..40 {
        let reply = cache.put(&format!("/tracker/entry-{number}"), &json!({ "number": number })).await?;
        assert_eq!(reply.status, 200);
    }
    cache.restart().await?;
    for number in 0..40 {
        let reply = cache.get(&format!("/tracker/entry-{number}")).await?;
        assert_eq!((reply.status, reply.json()?), (200, json!({ "number": number })));
        assert!(["database", "file"].contains(&layer(&reply)), "{}", layer(&reply));
    }
    // The database fills the files of a new worker behind its first request.
    cache.restart().await?;
    cache.get("/metrics").await?;
    let folder = cache.folder()?;
    let begun = Instant::now();
    let files = || -> Result<usize> {
        let files = std::fs::read_dir(&folder)?.filter_map(Result::ok);
        Ok(files.filter(|file| file.path().extension().is_some_and(|kind| kind == "json")).count())
    };
    while !folder.exists() || files()? < 40 {
        ensure!(begun.elapsed() < Duration::from_mins(1), "the files are not filled");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(files()?, 40);
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_are_the_limit_to_the_byte() -> Result<()> {
    let cache = Cache::start("large", &[("CACHE_TTL_SECONDS", "1"), ("CACHE_FILE_TTL_SECONDS", "1")]).await?;
    let data = |size: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(size - 9));
    let put = |body: String| cache.send("PUT", "/tracker/large", &[], body);
    let kept = put(data(10_485_759)).await?;
    assert_eq!((kept.status, kept.json()?["layers"].clone()), (200, json!(["file", "memory", "database"])));
    let refused = put(data(10_485_760)).await?;
    assert_eq!((refused.status, refused.json()?["code"].as_str()), (413, Some("CACHE_TOO_LARGE")));
    let over = put(data(10_485_800)).await?;
    assert_eq!((over.status, over.json()?["code"].as_str()), (413, Some("BODY_TOO_LARGE")));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let whole = cache.get("/tracker/large").await?;
    assert_eq!((layer(&whole), whole.json()?["a"].as_str().map(str::len)), ("database", Some(10_485_750)));
    // 27 kB that Postgres would write as 400 MB.
    let numbers = format!("{{\"a\":[{}]}}", vec!["1e131071"; 3_000].join(","));
    let digits = format!("{{\"a\":{}}}", "9".repeat(140_000));
    for (path, body, status, code) in [
        ("/tracker/large", "[1]", 400, "INVALID_DATA"),
        ("/tracker/large", "{", 400, "INVALID_DATA"),
        ("/tracker/large", "{\"a\":\"\\u0000\"}", 400, "INVALID_DATA"),
        ("/tracker/large", "{\"a\":1e200000}", 400, "INVALID_DATA"),
        ("/tracker/large", &numbers, 413, "CACHE_TOO_LARGE"),
        ("/tracker/large", &digits, 400, "CACHE_REFUSED"),
        ("/tracker/fundraising", "{\"donations\":[]}", 400, "INVALID_DATA"),
        ("/tracker/Upper", "{}", 400, "INVALID_TYPE"),
        ("/tra%20cker/large", "{}", 400, "INVALID_PROJECT"),
        ("/tracker/large?last_fetch=yesterday", "{}", 400, "INVALID_QUERY"),
    ] {
        let reply = cache.send("PUT", path, &[], body.to_owned()).await?;
        assert_eq!((reply.status, reply.json()?["code"].as_str()), (status, Some(code)), "{path} {body}");
    }
    let still = cache.get("/tracker/large").await?;
    assert_eq!(still.body, whole.body, "what was refused has changed nothing");
    cache.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_instance_refreshes_a_reader_waits_for_what_it_saves() -> Result<()> {
    let cache = Cache::start("leased", &[]).await?;
    let db = cache.lab.db().await?;
    let origins = Origins::start().await?;
    cache.source("/tracker/data", json!({ "url": format!("{}/data", origins.url()) })).await?;
    // The other instance: it has the lease, and saves a second later.
    let lease = "update public.cache_sources set lease_id = gen_random_uuid(), leased_until = now() + interval '60 seconds'";
    db.run(lease).await?;
    let other = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        db.run("select public.cache_save('tracker', 'data', '{\"n\": 5}', 'tag', now(), now())").await
    };
    let readers = futures_util::future::try_join_all((0..20).map(|_| cache.get("/tracker/data")));
    let (replies, ()) = tokio::try_join!(readers, other)?;
    for reply in replies {
        assert_eq!((reply.status, reply.json()?), (200, json!({ "n": 5 })));
    }
    assert!(origins.calls().is_empty(), "nobody asked the source: {:?}", origins.calls());
    cache.stop().await
}
