//! What of the database's answers is a verdict on the data, and what is only a bad moment.

use std::time::Duration;

use ironferry::testing::{Answer, App, SERVICE_KEY};
use serde_json::{Value, json};

const KEY: [(&str, &str); 2] = [("x-service-key", SERVICE_KEY), ("content-type", "application/json")];
const WEB: [(&str, &str); 1] = [("x-cache-key", "ifc_web")];

fn refusal(status: u16, code: &str) -> Answer {
    Answer::status(status, json!({ "code": code, "message": "no" }).to_string())
}

/// Read-only, deadlock, serialization, lock; keys and schemas that PostgREST does not know; the gateway.
fn bad_moments() -> Vec<Answer> {
    vec![
        refusal(405, "25006"),
        refusal(500, "40P01"),
        refusal(500, "40001"),
        refusal(500, "55P03"),
        refusal(403, "42501"),
        refusal(401, "PGRST301"),
        refusal(404, "PGRST202"),
        Answer::status(401, r#"{"message":"Invalid API key"}"#),
        Answer::status(429, "slow down"),
    ]
}

fn admitted(granted: u32) -> Answer {
    Answer::json(json!({
        "verdict": "admitted", "caller": "service", "can_write": true, "granted": granted, "remaining": 50, "reset_ms": 60_000,
    }))
}

/// A cache that tries again by ticks alone.
fn app() -> App {
    cache::forget();
    App::new(cache::handle)
        .secret("BACKGROUND_RETRY", "false")
        .rpc("cache_warm", Answer::json(json!([])))
        .rpc("cache_claim", Answer::json(json!({ "claimed": [], "busy_ms": null })))
}

fn put(app: &App) -> (u16, Value) {
    let reply = app.send("PUT", "/cache/tracker/data", &KEY, "{\"n\":1}");
    (reply.status(), reply.json())
}

fn tick(app: &App) -> Value {
    app.advance(Duration::from_secs(3));
    app.send("POST", "/cache/tick?wait=true", &KEY, "").json()["pending"].clone()
}

#[test]
fn a_save_outlives_each_bad_moment_of_the_database() {
    let page = Answer::status(200, "<html>");
    for moment in bad_moments().into_iter().chain([page]) {
        let app = app()
            .rpc("cache_admit", admitted(50))
            .rpc("cache_load", moment.clone())
            .rpc("cache_save", vec![moment.clone(); 6]);
        assert_eq!(put(&app).0, 202, "{moment:?}");
        assert_eq!(tick(&app), json!({ "saved": 0, "left": 1 }), "{moment:?}");
        cache::forget();
        assert_eq!(tick(&app), json!({ "saved": 0, "left": 1 }), "the mark stays: {moment:?}");
        let read = app.send("GET", "/cache/tracker/data", &KEY, "");
        assert_eq!((read.status(), read.json()), (200, json!({ "n": 1 })), "{moment:?}");
    }
}

#[test]
fn a_verdict_on_the_data_is_final() {
    for code in ["22003", "23514", "54000", "P0002"] {
        let app = app().rpc("cache_admit", admitted(50)).rpc("cache_save", refusal(400, code));
        let (status, said) = put(&app);
        let expected = if code == "P0002" { "PROJECT_NOT_FOUND" } else { "CACHE_REFUSED" };
        assert_eq!((said["code"].as_str(), status >= 400), (Some(expected), true), "{code}");
        assert_eq!(app.rpc_calls("cache_save").len(), 1, "{code}");
        assert!(app.files().iter().all(|(path, _)| !path.contains("tracker.data")), "{code}");
    }
}

#[test]
fn known_callers_are_admitted_on_and_others_are_told_to_come_again() {
    for moment in bad_moments() {
        let app = app().rpc("cache_admit", [admitted(1), moment.clone()]).rpc(
            "cache_load",
            Answer::json(json!({ "standing": "sound", "etag": "tag", "data": { "n": 1 } })),
        );
        let get = |headers: &[(&str, &str)]| app.send("GET", "/cache/tracker/data", headers, "").status();
        assert_eq!(get(&KEY), 200, "{moment:?}");
        app.advance(Duration::from_mins(1));
        assert_eq!((get(&KEY), get(&WEB)), (200, 503), "{moment:?}");
    }
}

#[test]
fn what_was_left_of_a_callers_minute_is_granted_when_the_database_goes_away_in_it() {
    let away = Answer::status(503, "");
    let app = app()
        .rpc("cache_admit", [admitted(1), away])
        .rpc("cache_load", Answer::json(json!({ "standing": "sound", "etag": "tag", "data": { "n": 1 } })));
    let get = || app.send("GET", "/cache/tracker/data", &KEY, "");
    for left in (0..=50).rev() {
        let reply = get();
        assert_eq!(
            (reply.status(), reply.header("ratelimit-remaining")),
            (200, Some(left.to_string().as_str()))
        );
    }
    assert_eq!(get().status(), 429);
    app.advance(Duration::from_mins(1));
    assert_eq!(get().status(), 200);
}

#[test]
fn the_record_waits_until_the_database_takes_it() {
    for moment in bad_moments() {
        let app = app()
            .rpc("cache_admit", admitted(50))
            .rpc("cache_save", Answer::json(json!({ "outcome": "new" })))
            .rpc("cache_record", [moment.clone(), Answer::json(Value::Null)]);
        put(&app);
        app.advance(Duration::from_secs(3));
        put(&app);
        let calls = app.rpc_calls("cache_record");
        assert_eq!(calls.len(), 3, "{moment:?}");
        assert_eq!(calls[0], calls[1], "{moment:?}");
    }
}
