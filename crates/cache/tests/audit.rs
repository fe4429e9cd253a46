//! The record of operations: behind the replies, in nobody's way, and nothing in it twice; and the alerts that
//! arise from it.

use std::time::Duration;

use ironferry::testing::{Answer, App, SERVICE_KEY};
use serde_json::{Value, json};

const KEY: [(&str, &str); 2] = [("x-service-key", SERVICE_KEY), ("content-type", "application/json")];

fn cache(record: impl Into<Vec<Answer>>) -> App {
    cache::forget();
    let admitted = json!({
        "verdict": "admitted", "caller": "service", "can_write": true, "granted": 50, "remaining": 50, "reset_ms": 60_000,
    });
    let row = json!({ "standing": "sound", "etag": "tag", "age_ms": 0, "fresh_seconds": 3_600, "data": { "n": 1 } });
    App::new(cache::handle)
        .rpc("cache_admit", Answer::json(admitted))
        .rpc("cache_warm", Answer::json(json!([])))
        .rpc("cache_claim", Answer::json(json!({ "claimed": [], "busy_ms": null })))
        .rpc("cache_load", Answer::json(row))
        .rpc("cache_record", record)
}

fn get(app: &App, name: &str) -> u16 {
    app.send("GET", &format!("/cache/tracker/{name}"), &KEY, "").status()
}

#[test]
fn a_record_that_is_slow_to_write_keeps_no_reader_from_the_database() {
    for trouble in [Answer::hang(), Answer::status(500, json!({ "code": "57014" }).to_string())] {
        let app = cache(trouble);
        assert_eq!((get(&app, "one"), get(&app, "two")), (200, 200));
        assert_eq!(app.rpc_calls("cache_load").len(), 2);
    }
}

#[test]
fn a_batch_whose_answer_was_lost_is_sent_again_as_it_was() {
    let app = cache([Answer::hang(), Answer::hang(), Answer::hang(), Answer::json(Value::Null)]);
    get(&app, "one");
    app.advance(Duration::from_secs(3));
    get(&app, "two");
    // Through a restart, too: the file knows what was sent together.
    cache::forget();
    get(&app, "three");
    app.advance(Duration::from_secs(3));
    get(&app, "four");
    let calls = app.rpc_calls("cache_record");
    assert_eq!(calls[0]["p_entries"].as_array().map(Vec::len), Some(1), "{calls:?}");
    assert!(calls[..4].iter().all(|call| call == &calls[0]), "{calls:?}");
    let types: Vec<_> = calls[3..]
        .iter()
        .flat_map(|call| call["p_entries"].as_array().cloned().unwrap_or_default())
        .map(|entry| entry["type"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(types, ["one", "two", "three", "four"], "each once");
    assert!(app.files().iter().all(|(path, _)| !path.ends_with("audit.log")));
}

#[test]
fn a_tick_delivers_the_alerts_of_the_outbox() {
    let alert = json!([{
        "id": 7, "event": "needs_login", "url": "https://hooks.slack.com/services/x", "format": null,
        "message": "Cache: the source tracker/strava needs a login.", "body": { "state": "began" },
    }]);
    let app = cache(Answer::json(Value::Null))
        .rpc("notifications_claim", [Answer::json(alert), Answer::json(json!([]))])
        .rpc("notifications_finish", Answer::status(204, ""))
        .on("POST", "https://hooks.slack.com", Answer::status(200, "ok"));
    for _ in 0..2 {
        assert_eq!(app.send("POST", "/cache/tick", &KEY, "").status(), 202);
    }
    assert_eq!(app.rpc_calls("notifications_claim"), vec![json!({ "p_sender": "cache" }); 2]);
    let sent: Vec<_> = app.calls().into_iter().filter(|call| call.url.contains("hooks.slack.com")).collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].json(), json!({ "text": "Cache: the source tracker/strava needs a login." }));
    assert_eq!(app.rpc_calls("notifications_finish"), [json!({ "p_id": 7 })]);
}

#[test]
fn a_tick_without_a_database_asks_for_no_outbox() {
    let app = cache(Answer::json(Value::Null)).secret("CACHE_DATABASE_ENABLED", "false");
    assert_eq!(app.send("POST", "/cache/tick?wait=true", &KEY, "").json()["success"], false);
    assert!(app.rpc_calls("notifications_claim").is_empty());
}
