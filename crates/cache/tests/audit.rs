//! The record of operations: behind the replies, in nobody's way, and nothing in it twice.

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
