//! The file layer: files that are damaged or left over, and what a crashed instance leaves to the next one.

use ironferry::testing::{Answer, App, Reply, SERVICE_KEY};
use serde_json::{Value, json};

const KEY: [(&str, &str); 2] = [("x-service-key", SERVICE_KEY), ("content-type", "application/json")];
const FOLDER: &str = "/tmp/ironferry-cache";

/// A cache that admits everybody.
fn cache() -> App {
    cache::forget();
    let admitted = json!({
        "verdict": "admitted", "caller": "service", "can_write": true, "granted": 50, "remaining": 50, "reset_ms": 60_000,
    });
    App::new(cache::handle)
        .secret("BACKGROUND_RETRY", "false")
        .secret("GRACEFUL_SHUTDOWN", "false")
        .rpc("cache_admit", Answer::json(admitted))
        .rpc("cache_warm", Answer::json(json!([])))
        .rpc("cache_claim", Answer::json(json!({ "claimed": [], "busy_ms": null })))
        .rpc("cache_record", Answer::json(Value::Null))
}

fn saved() -> Answer {
    Answer::json(json!({ "outcome": "new", "age_ms": 0 }))
}

fn get(app: &App) -> Reply {
    app.send("GET", "/cache/tracker/data", &KEY, "")
}

fn put(app: &App) -> Reply {
    app.send("PUT", "/cache/tracker/data?fresh_seconds=3600", &KEY, "{\"n\":1}")
}

fn layer(reply: &Reply) -> &str {
    reply.header("x-cache").unwrap_or("none")
}

fn names(app: &App) -> Vec<String> {
    app.files().into_iter().map(|(path, _)| path[FOLDER.len() + 1..].to_owned()).collect()
}

fn content(app: &App, name: &str) -> bytes::Bytes {
    let path = format!("{FOLDER}/{name}");
    app.files().into_iter().find(|(known, _)| *known == path).expect("a file").1
}

#[test]
fn a_file_is_served_to_the_next_instance() {
    let app = cache().rpc("cache_save", saved());
    put(&app);
    cache::forget();
    let reply = get(&app);
    assert_eq!((layer(&reply), reply.json()), ("file", json!({ "n": 1 })));
}

#[test]
fn a_half_written_file_is_never_served_and_is_removed() {
    let app = cache().rpc("cache_save", saved()).rpc("cache_load", Answer::refused());
    put(&app);
    let whole = content(&app, "tracker.data.json");
    for length in [0, 1, 63, 64, 65, 66, whole.len() / 2, whole.len() - 1] {
        app.put_file(&format!("{FOLDER}/tracker.data.json"), Some(whole.slice(..length)));
        cache::forget();
        assert_eq!(get(&app).status(), 503, "{length} of {} bytes", whole.len());
        assert!(!names(&app).contains(&"tracker.data.json".to_owned()), "{length}: {:?}", names(&app));
    }
}

#[test]
fn what_a_killed_worker_left_is_removed_and_what_is_whole_stays() {
    let app = cache().rpc("cache_save", saved()).rpc("cache_load", Answer::refused());
    put(&app);
    let before = names(&app);
    let whole = content(&app, "tracker.data.json");
    for (name, left) in [
        ("9f0c8a52-0000-4000-8000-000000000000.new", whole.clone()),
        ("tracker.other.json", whole.slice(..whole.len() - 1)),
        ("tracker.other.spare", whole.clone()),
        ("callers.log", whole.slice(..10)),
    ] {
        app.put_file(&format!("{FOLDER}/{name}"), Some(left));
    }
    cache::forget();
    assert_eq!(layer(&get(&app)), "file");
    let after = names(&app);
    assert!(before.iter().all(|name| after.contains(name)), "{before:?} {after:?}");
    assert!(after.iter().all(|name| before.contains(name)), "{before:?} {after:?}");
    assert!(app.logs().iter().any(|line| line["event"] == "cache.files_removed"), "{:?}", app.logs());
}

#[test]
fn a_save_that_a_crashed_instance_left_is_saved_by_the_next_one() {
    let app = cache().rpc("cache_save", [Answer::refused(), Answer::refused(), saved()]);
    assert_eq!(put(&app).status(), 202);
    assert!(names(&app).contains(&"tracker.data.pending".to_owned()), "{:?}", names(&app));
    cache::forget();
    app.send("POST", "/cache/tick?wait=true", &KEY, "");
    assert_eq!(app.rpc_calls("cache_save").len(), 3);
    assert!(!names(&app).contains(&"tracker.data.pending".to_owned()), "{:?}", names(&app));
}

#[test]
fn a_mark_without_its_data_is_told_of_and_removed() {
    let app = cache().rpc("cache_save", Answer::refused()).rpc("cache_load", Answer::refused());
    assert_eq!(put(&app).status(), 202);
    app.put_file(&format!("{FOLDER}/tracker.data.json"), None);
    cache::forget();
    get(&app);
    assert!(!names(&app).contains(&"tracker.data.pending".to_owned()), "{:?}", names(&app));
    let lost = app.logs().into_iter().find(|line| line["event"] == "cache.pending_lost").expect("a log line");
    assert_eq!((&lost["level"], &lost["key"]), (&json!("error"), &json!("tracker.data")));
}
