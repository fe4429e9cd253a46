//! Refresh tokens that rotate: the newest is the only one that a source takes, whatever the database says.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use ironferry::testing::{Answer, App, Reply, SERVICE_KEY};
use ironferry::{Context, Request, Response, Result};
use serde_json::{Value, json};

const KEY: [(&str, &str); 2] = [("x-service-key", SERVICE_KEY), ("content-type", "application/json")];
const RING: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The cache; and at `/cache/together` a tick, and half a second later a refresh.
async fn handle(request: Request, cx: Context) -> Result<Response> {
    if !request.route().ends_with("/together") {
        return cache::handle(request, cx).await;
    }
    let send = |after, path| {
        let cx = cx.clone();
        async move {
            cx.sleep(Duration::from_millis(after)).await;
            let request = http::Request::post(format!("http://functions.test/cache{path}"));
            Box::pin(cache::handle(Request::from(request.body(Bytes::new()).expect("a request")), cx)).await
        }
    };
    let (tick, refresh) = join(send(0, "/tick?wait=true"), send(500, "/tracker/strava/refresh")).await;
    tick.and(refresh)
}

fn app() -> App {
    cache::forget();
    let admitted = json!({
        "verdict": "admitted", "caller": "service", "can_write": true, "granted": 50, "remaining": 50, "reset_ms": 60_000,
    });
    App::new(handle)
        .secret("CREDENTIALS_ENCRYPTION_KEYS", RING)
        .secret("STRAVA_CLIENT_ID", "client")
        .secret("STRAVA_CLIENT_SECRET", "client-secret")
        .secret("BACKGROUND_RETRY", "false")
        .rpc("cache_admit", Answer::json(admitted))
        .rpc("cache_warm", Answer::json(json!([])))
        .rpc("cache_record", Answer::json(Value::Null))
}

/// A cache with a Strava source whose token has to be renewed; what the database says of the new one
/// comes with each test.
fn strava() -> App {
    let maker = app().rpc("cache_source_save", Answer::json(json!("a-source")));
    let source = json!({ "kind": "strava", "url": "https://strava.example", "refresh_token": "refresh-0" });
    assert_eq!(maker.send("PUT", "/cache/tracker/strava/source", &KEY, source.to_string()).status(), 200);
    let sealed = maker.rpc_calls("cache_source_save")[0]["p_credentials"].clone();
    let source = json!({ "kind": "strava", "url": "https://strava.example", "credentials": sealed });
    let none = json!({ "claimed": [], "busy_ms": null });
    let claim = json!({ "project": "tracker", "type": "strava", "lease_id": "a-lease", "source": source });
    let claim = Answer::json(json!({ "claimed": [claim], "busy_ms": null }));
    let granted = json!({ "access_token": "access-1", "refresh_token": "refresh-1", "expires_at": 1 });
    app()
        .rpc("cache_claim", [claim.clone(), claim, Answer::json(none)])
        .rpc("cache_save", Answer::json(json!({ "outcome": "new" })))
        .on("POST", "https://strava.example/oauth/token", Answer::json(granted))
        .on("GET", "https://strava.example/", Answer::json(json!([])))
}

fn refresh(app: &App) -> Reply {
    app.send("POST", "/cache/tracker/strava/refresh", &KEY, "")
}

fn file(app: &App, suffix: &str) -> Option<Value> {
    let files = app.files();
    let (_, content) = files.iter().find(|(path, _)| path.ends_with(&format!("tracker.strava.{suffix}")))?;
    Some(serde_json::from_slice(content).expect("JSON"))
}

#[test]
fn a_token_is_sent_with_the_time_on_the_clock_that_dated_it() {
    let app = strava().rpc("cache_credentials", Answer::json(json!(true)));
    app.jump(-3_600.0);
    assert_eq!(refresh(&app).status(), 200);
    let call = &app.rpc_calls("cache_credentials")[0];
    assert_eq!(call["p_got_at"], "2025-12-31T23:00:00Z", "{call}");
    assert_eq!(call["p_sent_at"], call["p_got_at"], "{call}");
    assert_eq!((file(&app, "token"), file(&app, "spare")), (None, None));
}

#[test]
fn a_token_that_the_database_did_not_keep_stays_in_a_file_and_is_told_of() {
    let app = strava().rpc("cache_credentials", Answer::json(json!(false)));
    assert_eq!(refresh(&app).status(), 200);
    let sent = app.rpc_calls("cache_credentials").pop().expect("a call")["p_credentials"].clone();
    assert_eq!(file(&app, "spare").expect("a file")["sealed"], sent, "the last of them");
    assert_eq!(file(&app, "token"), None, "it is no longer taken for the newest");
    assert!(app.logs().iter().any(|line| line["event"] == "cache.token_not_kept"), "{:?}", app.logs());

    // Also when the answer comes later.
    let app =
        strava().rpc("cache_credentials", [Answer::refused(), Answer::refused(), Answer::json(json!(false))]);
    assert_eq!(refresh(&app).status(), 200);
    assert!(file(&app, "token").is_some());
    app.advance(Duration::from_secs(3));
    app.send("POST", "/cache/tick?wait=true", &KEY, "");
    assert_eq!((file(&app, "token").is_some(), file(&app, "spare").is_some()), (false, true));
}

#[test]
fn a_token_is_kept_through_what_is_no_verdict_on_it() {
    let problem = |code| Answer::status(401, json!({ "code": code, "message": "no" }).to_string());
    let app = strava().rpc("cache_credentials", [problem("PGRST301"), problem("PGRST301"), problem("42501")]);
    assert_eq!(refresh(&app).status(), 200);
    app.advance(Duration::from_secs(3));
    app.send("POST", "/cache/tick?wait=true", &KEY, "");
    assert!(app.rpc_calls("cache_credentials").len() > 2);
    assert!(file(&app, "token").is_some(), "it is the only one that the source takes");
}

#[test]
fn an_answer_for_one_token_says_nothing_of_the_next() {
    // The first waits. The answer for it comes while the next is kept, which the database does not take.
    let down = Answer::refused;
    let first = Answer::json(json!(true)).after(Duration::from_secs(1));
    let app = strava().rpc("cache_credentials", [down(), down(), first, down()]);
    refresh(&app);
    app.advance(Duration::from_secs(3));
    app.send("POST", "/cache/together", &KEY, "");
    let calls = app.rpc_calls("cache_credentials");
    let sent = |turn: usize| &calls[turn]["p_credentials"];
    assert!(sent(2) == sent(0) && sent(3) != sent(0), "{calls:?}");
    assert_eq!(file(&app, "token").expect("the next waits")["sealed"], *sent(3));
}
