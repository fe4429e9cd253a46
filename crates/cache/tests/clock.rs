//! What time does to the cache: clocks that jump, entries that expire, saves that are tried again.

use std::time::Duration;

use ironferry::testing::{Answer, App, Reply, SERVICE_KEY};
use serde_json::{Value, json};

const KEY: [(&str, &str); 2] = [("x-service-key", SERVICE_KEY), ("content-type", "application/json")];
const DAY: f64 = 86_400.0;

/// A cache that admits everybody; what the database says of data comes with each test.
fn cache() -> App {
    cache::forget();
    let admitted = json!({
        "verdict": "admitted", "caller": "service", "can_write": true, "granted": 50, "remaining": 50, "reset_ms": 60_000,
    });
    App::new(cache::handle)
        .rpc("cache_admit", Answer::json(admitted))
        .rpc("cache_warm", Answer::json(json!([])))
        .rpc("cache_claim", Answer::json(json!({ "claimed": [], "busy_ms": null })))
        .rpc("cache_record", Answer::json(Value::Null))
}

fn saved(outcome: &str) -> Answer {
    Answer::json(json!({ "outcome": outcome, "age_ms": 0 }))
}

fn loaded(data: &Value, age_ms: u64) -> Answer {
    Answer::json(json!({
        "standing": "sound", "source": null, "etag": "tag", "age_ms": age_ms, "fresh_seconds": 3_600, "data": data,
    }))
}

fn get(app: &App) -> Reply {
    app.send("GET", "/cache/tracker/data", &KEY, "")
}

fn put(app: &App, query: &str) -> Reply {
    app.send("PUT", &format!("/cache/tracker/data{query}"), &KEY, "{\"n\":1}")
}

fn layer(reply: &Reply) -> &str {
    reply.header("x-cache").unwrap_or("none")
}

fn age(reply: &Reply) -> u64 {
    reply.header("age").and_then(|age| age.parse().ok()).expect("an age")
}

#[test]
fn memory_goes_by_the_time_that_passes_and_not_by_the_clock_on_the_wall() {
    let app = cache().rpc("cache_save", saved("new")).rpc("cache_load", loaded(&json!({ "n": 1 }), 301_000));
    assert_eq!(put(&app, "").status(), 200);
    for jump in [DAY, -2.0 * DAY, 400.0 * DAY] {
        app.jump(jump);
        let reply = get(&app);
        assert_eq!((layer(&reply), age(&reply)), ("memory", 0), "{jump}");
    }
    app.advance(Duration::from_secs(299));
    assert_eq!((layer(&get(&app)), age(&get(&app))), ("memory", 299));
    app.advance(Duration::from_secs(2));
    assert_eq!(
        layer(&get(&app)),
        "database",
        "5 minutes have passed, and the file's date cannot be believed"
    );
}

#[test]
fn a_file_from_the_future_is_not_taken_for_fresh_and_still_served_when_there_is_nothing_else() {
    let app = cache()
        .rpc("cache_save", saved("new"))
        .rpc("cache_load", [loaded(&json!({ "n": 2 }), 5_000), Answer::refused()]);
    put(&app, "?fresh_seconds=3600");
    cache::forget();
    app.jump(-DAY);
    let reply = get(&app);
    assert_eq!(
        (layer(&reply), reply.json(), age(&reply)),
        ("database", json!({ "n": 2 }), 5),
        "the database's clock is right"
    );

    let app = cache().rpc("cache_save", saved("new")).rpc("cache_load", Answer::refused());
    put(&app, "?fresh_seconds=3600");
    cache::forget();
    app.jump(-DAY);
    let reply = get(&app);
    assert_eq!((layer(&reply), reply.json(), age(&reply)), ("stale", json!({ "n": 1 }), 0));
}

#[test]
fn a_clock_that_jumps_forward_makes_files_stale_and_loses_none() {
    let app = cache().rpc("cache_save", saved("new")).rpc("cache_load", Answer::refused());
    put(&app, "?fresh_seconds=3600");
    cache::forget();
    app.jump(DAY);
    let reply = get(&app);
    assert_eq!((layer(&reply), reply.json(), age(&reply)), ("stale", json!({ "n": 1 }), 86_400));
}

#[test]
fn data_that_claims_to_come_from_the_future_comes_from_now() {
    let app = cache().rpc("cache_save", saved("new"));
    put(&app, "?last_fetch=2027-01-01T00:00:00Z");
    assert_eq!(app.rpc_calls("cache_save")[0]["p_last_fetch"], "2026-01-01T00:00:00Z");
    assert_eq!(age(&get(&app)), 0);
}

#[test]
fn a_save_that_the_database_did_not_take_is_tried_again_until_it_is_in() {
    let down = || Answer::refused();
    let app = cache().rpc("cache_save", [down(), down(), down(), down(), saved("new")]);
    let reply = put(&app, "?retention_days=7");
    assert_eq!((reply.status(), reply.json()["pending"].clone()), (202, json!(true)));
    let calls = app.rpc_calls("cache_save");
    assert_eq!(calls.len(), 5);
    assert!(
        calls.iter().all(|call| call["p_retention_days"] == 7),
        "the mark keeps what the file does not say"
    );
    assert!(app.files().iter().all(|(path, _)| !path.ends_with(".pending")));
    assert_eq!(app.rpc_calls("cache_save").len(), 5, "and no more once it is in");
}

#[test]
fn the_database_is_told_what_waits_and_when_nothing_waits_any_more() {
    let slow = || Answer::status(500, json!({ "code": "57014", "message": "statement timeout" }).to_string());
    let app = cache()
        .rpc("cache_save", [slow(), slow(), slow(), slow(), saved("new")])
        .rpc("cache_pending_report", Answer::json(Value::Null));
    assert_eq!(put(&app, "").status(), 202);
    let told = app.rpc_calls("cache_pending_report");
    let (first, last) = (&told[0], &told[told.len() - 1]);
    assert_eq!((&first["p_pending"], &first["p_refused"]), (&json!(1), &json!(0)), "{first}");
    assert!(first["p_error"].as_str().is_some_and(|said| said.contains("statement timeout")), "{first}");
    assert_eq!((&last["p_pending"], &last["p_instance_id"]), (&json!(0), &first["p_instance_id"]), "{last}");
    app.advance(Duration::from_mins(10));
    get(&app);
    assert_eq!(app.rpc_calls("cache_pending_report").len(), told.len(), "and then there is no more to tell");
}

#[test]
fn what_an_earlier_instance_left_is_told_in_its_name_with_its_age() {
    let app = cache()
        .secret("BACKGROUND_RETRY", "false")
        .secret("GRACEFUL_SHUTDOWN", "false")
        .rpc("cache_save", Answer::refused())
        .rpc("cache_pending_report", Answer::json(Value::Null));
    put(&app, "");
    app.send("POST", "/cache/tick?wait=true", &KEY, "");
    cache::forget();
    app.advance(Duration::from_mins(2));
    app.send("POST", "/cache/tick?wait=true", &KEY, "");
    let told = app.rpc_calls("cache_pending_report");
    let (first, last) = (&told[0], &told[told.len() - 1]);
    assert_eq!(first["p_instance_id"], last["p_instance_id"]);
    assert_eq!((&first["p_pending"], &last["p_pending"]), (&json!(1), &json!(1)));
    assert!(last["p_oldest_seconds"].as_u64().is_some_and(|age| (120..130).contains(&age)), "{last}");
}

#[test]
fn a_save_that_does_not_get_through_does_not_keep_the_others() {
    let slow = || Answer::status(500, json!({ "code": "57014", "message": "statement timeout" }).to_string());
    let app = cache()
        .secret("BACKGROUND_RETRY", "false")
        .rpc("cache_save", [slow(), slow(), slow(), slow(), slow(), slow(), saved("new"), slow()])
        .rpc("cache_pending_report", Answer::json(Value::Null));
    put(&app, "");
    app.advance(Duration::from_secs(3));
    app.send("PUT", "/cache/tracker/other", &KEY, "{}");
    app.advance(Duration::from_secs(3));
    // The older one fails, which ends this attempt.
    let tick = app.send("POST", "/cache/tick?wait=true", &KEY, "");
    assert_eq!(tick.json()["pending"], json!({ "saved": 0, "left": 2 }));
    app.advance(Duration::from_secs(3));
    let tick = app.send("POST", "/cache/tick?wait=true", &KEY, "");
    assert_eq!(tick.json()["pending"], json!({ "saved": 1, "left": 1 }), "the other one goes first");
    let calls = app.rpc_calls("cache_save");
    let tried: Vec<&str> =
        calls[4..].iter().map(|call| call["p_type"].as_str().unwrap_or_default()).collect();
    assert_eq!(tried[..3], ["data", "data", "other"], "{tried:?}");
}

#[test]
fn a_save_that_was_accepted_and_is_refused_later_is_told_as_lost() {
    let refusal = json!({ "code": "22003", "message": "value overflows numeric format" });
    let app = cache()
        .rpc("cache_save", [Answer::refused(), Answer::refused(), Answer::status(400, refusal.to_string())])
        .rpc("cache_pending_report", Answer::json(Value::Null));
    assert_eq!(put(&app, "").status(), 202);
    let told = app.rpc_calls("cache_pending_report");
    let last = &told[told.len() - 1];
    assert_eq!((&last["p_pending"], &last["p_refused"]), (&json!(0), &json!(1)), "{told:?}");
    assert!(last["p_error"].as_str().is_some_and(|said| said.contains("overflows")), "{last}");
    assert!(told[..told.len() - 1].iter().all(|earlier| earlier["p_refused"] == 0), "once: {told:?}");
}

#[test]
fn without_background_retry_a_save_waits_for_a_tick() {
    let app = cache()
        .secret("BACKGROUND_RETRY", "false")
        .rpc("cache_save", [Answer::refused(), Answer::refused(), saved("new")]);
    assert_eq!(put(&app, "").status(), 202);
    app.advance(Duration::from_mins(1));
    assert_eq!(get(&app).status(), 200);
    assert_eq!(app.rpc_calls("cache_save").len(), 2, "two attempts of the save itself");
    let tick = app.send("POST", "/cache/tick?wait=true", &KEY, "");
    assert_eq!(tick.json()["pending"], json!({ "saved": 1, "left": 0 }));
    assert_eq!(app.rpc_calls("cache_save").len(), 3);
}

#[test]
fn a_pending_save_keeps_its_worker_alive_unless_that_is_turned_off() {
    for (retry, graceful, is_kept) in
        [("true", "true", true), ("true", "false", true), ("false", "true", true), ("false", "false", false)]
    {
        let app = cache()
            .secret("BACKGROUND_RETRY", retry)
            .secret("GRACEFUL_SHUTDOWN", graceful)
            .rpc("cache_save", Answer::refused());
        assert_eq!(put(&app, "").status(), 202);
        assert_eq!(app.elapsed().as_secs() > 300, is_kept, "{retry} {graceful}: {:?}", app.elapsed());
        assert_eq!(app.rpc_calls("cache_save").len() > 10, retry == "true");
    }
}

#[test]
fn a_save_that_waits_is_in_memory_whatever_the_disk_does() {
    let down = || Answer::refused();
    let app = cache()
        .secret("CACHE_MEMORY_MB", "0")
        .rpc("cache_save", [down(), down(), down(), down(), saved("new")])
        .rpc("cache_load", Answer::refused());
    app.break_files(true);
    let reply = put(&app, "");
    assert_eq!((reply.status(), reply.json()["layers"].clone()), (202, json!(["memory"])));
    assert_eq!(app.rpc_calls("cache_save").len(), 5, "it is retried until it is in");
}

#[test]
fn memory_is_believed_for_as_long_as_is_set() {
    let app = cache().secret("CACHE_TTL_SECONDS", "10").rpc("cache_save", saved("new"));
    put(&app, "");
    app.advance(Duration::from_secs(9));
    assert_eq!(layer(&get(&app)), "memory");
    app.advance(Duration::from_secs(2));
    assert_eq!(layer(&get(&app)), "file", "CACHE_TTL_SECONDS=10");
}

#[test]
fn a_broken_disk_costs_no_answer_and_no_save() {
    let app = cache().rpc("cache_save", saved("new")).rpc("cache_load", loaded(&json!({ "n": 1 }), 0));
    app.break_files(true);
    assert_eq!(put(&app, "").json()["layers"], json!(["memory", "database"]));
    cache::forget();
    assert_eq!(layer(&get(&app)), "database");
    assert_eq!(layer(&get(&app)), "memory");
}

#[test]
fn refusals_of_the_database_are_not_tried_again_and_leave_nothing_behind() {
    let refusal = json!({ "code": "22003", "message": "value overflows numeric format" });
    let app = cache().rpc("cache_save", Answer::status(400, refusal.to_string()));
    let reply = put(&app, "");
    assert_eq!((reply.status(), reply.json()["code"].clone()), (400, json!("CACHE_REFUSED")));
    assert_eq!(app.rpc_calls("cache_save").len(), 1);
    assert!(app.files().iter().all(|(path, _)| !path.contains("tracker.data")), "{:?}", app.files());
}

#[test]
fn a_setting_that_cannot_be_used_is_named() {
    let app = cache().secret("CACHE_TTL_SECONDS", "soon");
    assert_eq!(get(&app).json()["code"], "INVALID_SETTING");
}

#[test]
fn the_database_is_left_alone_by_a_name_that_the_platform_takes_and_by_the_older_one() {
    for (name, older, asked) in
        [("", "", true), ("false", "", false), ("", "false", false), ("true", "false", true)]
    {
        cache::forget();
        let app = cache()
            .secret("CACHE_DATABASE_ENABLED", name)
            .secret("SUPABASE_ENABLED", older)
            .rpc("cache_save", saved("new"));
        put(&app, "");
        assert_eq!(!app.rpc_calls("cache_save").is_empty(), asked, "{name:?} {older:?}");
    }
}
