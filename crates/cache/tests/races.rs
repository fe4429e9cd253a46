//! What happens at the same time: an answer of the database that comes late, and data that was saved or
//! deleted while it was on its way.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use ironferry::testing::{Answer, App, SERVICE_KEY};
use ironferry::{Context, Request, Response, Result};
use serde_json::{Value, json};

/// When, in milliseconds, and what.
type Step = (u64, &'static str, &'static str, &'static str);

const KEY: [(&str, &str); 2] = [("x-service-key", SERVICE_KEY), ("content-type", "application/json")];
const PUT_2: Step = (500, "PUT", "/cache/tracker/data", "{\"n\":2}");
const GET: Step = (0, "GET", "/cache/tracker/data", "");

async fn send(cx: Context, (after, method, path, body): Step) -> Result<Response> {
    cx.sleep(Duration::from_millis(after)).await;
    let request = http::Request::builder()
        .method(method)
        .uri(format!("http://functions.test{path}"))
        .header("content-type", "application/json")
        .body(Bytes::from_static(body.as_bytes()))
        .expect("a request");
    cache::handle(Request::from(request), cx).await
}

/// A cache that makes these steps, each at its time, at any request of `/cache/together`; its reply has
/// their bodies.
fn cache(steps: &'static [Step]) -> App {
    cache::forget();
    let admitted = json!({
        "verdict": "admitted", "caller": "service", "can_write": true, "granted": 50, "remaining": 50, "reset_ms": 60_000,
    });
    App::new(move |request: Request, cx: Context| async move {
        if !request.route().ends_with("/together") {
            return cache::handle(request, cx).await;
        }
        let replies = join_all(steps.iter().map(|step| send(cx.clone(), *step))).await;
        let bodies = replies.into_iter().map(|reply| match reply {
            Ok(reply) => serde_json::from_slice(reply.body()).unwrap_or_default(),
            Err(error) => json!({ "code": error.as_code() }),
        });
        Response::json(200, &bodies.collect::<Vec<Value>>())
    })
    .secret("BACKGROUND_RETRY", "false")
    .rpc("cache_admit", Answer::json(admitted))
    .rpc("cache_record", Answer::json(Value::Null))
}

fn calm(app: App) -> App {
    app.rpc("cache_warm", Answer::json(json!([])))
        .rpc("cache_claim", Answer::json(json!({ "claimed": [], "busy_ms": null })))
}

fn together(app: &App) -> Value {
    app.send("GET", "/cache/together", &KEY, "").json()
}

fn request(app: &App, method: &str, path: &str) -> Value {
    app.send(method, path, &KEY, "").json()
}

/// The row of version 1, a minute old.
fn one() -> Answer {
    Answer::json(json!({ "standing": "sound", "etag": "one", "age_ms": 60_000, "data": { "n": 1 } }))
}

fn absent() -> Answer {
    Answer::json(json!({ "standing": "absent" }))
}

fn saved(outcome: &str) -> Answer {
    Answer::json(json!({ "outcome": outcome }))
}

fn late(answer: Answer) -> Answer {
    answer.after(Duration::from_secs(1))
}

/// The data in the file, and whether it is marked as pending.
fn file(app: &App) -> (Option<Value>, bool) {
    let files = app.files();
    let find =
        |suffix: &str| files.iter().find(|(path, _)| path.ends_with(&format!("tracker.data.{suffix}")));
    let data = find("json").map(|(_, content)| {
        let data = content.splitn(3, |byte| *byte == b'\n').nth(2).expect("a checksum and a head");
        serde_json::from_slice(data).expect("JSON")
    });
    (data, find("pending").is_some())
}

fn two() -> Value {
    json!({ "n": 2 })
}

#[test]
fn a_late_answer_does_not_overwrite_what_was_saved_meanwhile() {
    // The save is in, or still under way, or was not taken.
    for (answer, is_pending) in
        [(saved("replaced"), false), (late(saved("replaced")), false), (Answer::refused(), true)]
    {
        for loaded in [one(), absent()] {
            let app = calm(cache(&[GET, PUT_2]))
                .rpc("cache_load", late(loaded.clone()))
                .rpc("cache_save", answer.clone());
            together(&app);
            assert_eq!(file(&app), (Some(two()), is_pending), "{loaded:?} {answer:?}");
            assert_eq!(request(&app, "GET", "/cache/tracker/data"), two(), "{loaded:?}");
            app.advance(Duration::from_secs(3));
            request(&app, "POST", "/cache/tick?wait=true");
            let sent = app.rpc_calls("cache_save");
            assert!(sent.iter().all(|call| call["p_data"] == two()), "{sent:?}");
        }
    }
}

#[test]
fn a_copy_that_stands_in_does_not_overwrite_what_was_saved_while_the_database_did_not_answer() {
    let app = calm(cache(&[GET, PUT_2]))
        .secret("CACHE_TTL_SECONDS", "1")
        .secret("CACHE_FILE_TTL_SECONDS", "1")
        .rpc("cache_load", [one(), Answer::hang()])
        .rpc("cache_save", Answer::refused());
    request(&app, "GET", "/cache/tracker/data");
    app.advance(Duration::from_secs(2));
    together(&app);
    assert_eq!(file(&app), (Some(two()), true));
    assert_eq!(request(&app, "GET", "/cache/tracker/data"), two());
}

#[test]
fn a_late_answer_does_not_bring_back_what_was_deleted_meanwhile() {
    let app = calm(cache(&[GET, (500, "DELETE", "/cache/tracker/data", "")]))
        .rpc("cache_load", [late(one()), absent()])
        .rpc("cache_delete", Answer::json(json!(true)));
    together(&app);
    assert_eq!(file(&app), (None, false));
    assert_eq!(request(&app, "GET", "/cache/tracker/data")["code"], "CACHE_MISS");
}

#[test]
fn what_fills_a_new_instance_does_not_overwrite_what_was_saved_meanwhile() {
    for (answer, is_pending) in [(saved("replaced"), false), (Answer::refused(), true)] {
        let kept = json!([{ "project": "tracker", "type": "data", "etag": "one" }]);
        let app = cache(&[(0, "GET", "/cache", ""), PUT_2])
            .rpc("cache_status", Answer::json(json!([])))
            .rpc("cache_warm", Answer::json(kept))
            .rpc("cache_claim", Answer::json(json!({ "claimed": [], "busy_ms": null })))
            .rpc("cache_load", late(one()))
            .rpc("cache_save", answer);
        together(&app);
        assert_eq!(app.rpc_calls("cache_load").len(), 1, "the fill");
        assert_eq!(file(&app), (Some(two()), is_pending));
    }
}

/// Another instance has the lease.
fn busy(app: App) -> App {
    app.rpc("cache_warm", Answer::json(json!([])))
        .rpc("cache_claim", Answer::json(json!({ "claimed": [], "busy_ms": 5_000 })))
}

/// The row that it saves, of so many milliseconds ago.
fn another(etag: &str, age_ms: u64, n: u32) -> Answer {
    Answer::json(json!({ "standing": "sound", "etag": etag, "age_ms": age_ms, "data": { "n": n } }))
}

#[test]
fn who_waits_for_another_instance_does_not_put_its_older_row_over_a_save_that_waits() {
    let app = busy(cache(&[PUT_2]))
        .rpc("cache_load", [one(), another("other", 30_000, 7)])
        .rpc("cache_save", Answer::refused());
    together(&app);
    app.advance(Duration::from_secs(3));
    request(&app, "POST", "/cache/tracker/data/refresh");
    assert_eq!(app.rpc_calls("cache_load").len(), 2);
    assert_eq!(file(&app), (Some(two()), true));
    assert_eq!(request(&app, "GET", "/cache/tracker/data"), two());
}

#[test]
fn who_asks_for_a_refresh_waits_for_what_the_other_instance_saves() {
    // The same data, too, when it was fetched again.
    for (etag, n) in [("two", 2), ("one", 1)] {
        let app = busy(cache(&[])).rpc("cache_load", [one(), one(), another(etag, 500, n)]);
        let reply = app.send("POST", "/cache/tracker/data/refresh", &KEY, "");
        assert_eq!((reply.json(), reply.header("age")), (json!({ "n": n }), Some("0")), "{etag}");
        assert_eq!((reply.header("x-cache"), app.rpc_calls("cache_load").len()), (Some("origin"), 3));
    }
    // One and the same row, as it grows older.
    let rows: Vec<Answer> = (0..=20).map(|turn| another("one", 60_000 + 250 * turn, 1)).collect();
    let app = busy(cache(&[])).rpc("cache_load", rows);
    assert_eq!(request(&app, "POST", "/cache/tracker/data/refresh")["code"], "REFRESHING");
}

#[test]
fn an_answer_for_one_version_says_nothing_of_the_next() {
    const TICK: Step = (0, "POST", "/cache/tick?wait=true", "");
    for outcome in ["replaced", "older", "refused"] {
        // Version 2 waits. The answer for it comes while version 3 is saved, which is not taken at first.
        let answer = match outcome {
            "refused" => Answer::status(400, json!({ "code": "22003" }).to_string()),
            outcome => saved(outcome),
        };
        let down = Answer::refused;
        let answers = [down(), down(), late(answer), down(), down(), down(), down(), saved("replaced")];
        let app = calm(cache(&[TICK, (500, "PUT", "/cache/tracker/data", "{\"n\":3}")]))
            .rpc("cache_load", absent())
            .rpc("cache_save", answers);
        assert_eq!(app.send("PUT", "/cache/tracker/data", &KEY, "{\"n\":2}").status(), 202);
        app.advance(Duration::from_secs(3));
        let replies = together(&app);
        assert_eq!(replies[0]["pending"]["left"], 1, "{outcome}: {replies}");
        assert_eq!(replies[1]["outcome"], "pending", "{outcome}: {replies}");
        assert_eq!(file(&app), (Some(json!({ "n": 3 })), true), "{outcome}");
        cache::forget();
        app.advance(Duration::from_secs(3));
        request(&app, "POST", "/cache/tick?wait=true");
        app.advance(Duration::from_secs(3));
        request(&app, "POST", "/cache/tick?wait=true");
        let last = app.rpc_calls("cache_save").pop().expect("a call");
        assert_eq!((&last["p_data"], file(&app).1), (&json!({ "n": 3 }), false), "{outcome}");
    }
}
