//! Refresh tokens that rotate: the newest is the only one that a source takes, whatever the database says.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use ironferry::testing::{Answer, App, Reply, SERVICE_KEY};
use ironferry::{Context, Request, Response, Result};
use serde_json::{Value, json};

const KEY: [(&str, &str); 2] = [("x-service-key", SERVICE_KEY), ("content-type", "application/json")];
const OAUTH: &str = "https://strava.example/oauth/token";
const RING: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The cache; and at `/cache/together` a refresh, and nine seconds later another one.
async fn handle(request: Request, cx: Context) -> Result<Response> {
    if !request.route().ends_with("/together") {
        return cache::handle(request, cx).await;
    }
    let refresh = |after| {
        let cx = cx.clone();
        async move {
            cx.sleep(Duration::from_secs(after)).await;
            let request = http::Request::post("http://functions.test/cache/tracker/strava/refresh");
            Box::pin(cache::handle(Request::from(request.body(Bytes::new()).expect("a request")), cx)).await
        }
    };
    let (first, next) = join(refresh(0), refresh(9)).await;
    first.and(next)
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

/// A Strava source whose token has to be renewed.
fn sealed_source() -> Value {
    let maker = app().rpc("cache_source_save", Answer::json(json!("a-source")));
    let source = json!({ "kind": "strava", "url": "https://strava.example", "refresh_token": "refresh-0" });
    assert_eq!(maker.send("PUT", "/cache/tracker/strava/source", &KEY, source.to_string()).status(), 200);
    let sealed = maker.rpc_calls("cache_source_save")[0]["p_credentials"].clone();
    json!({ "kind": "strava", "url": "https://strava.example", "credentials": sealed })
}

/// A cache with a Strava source whose token has to be renewed. Each test adds what the database says of the
/// new token. `claims`: which claims of the source succeed, those that the start of the instance makes included.
fn strava(claims: &[bool]) -> App {
    let source = sealed_source();
    outside(app(), claims, &source)
}

/// The same with another answer of the outside, for a single refresh.
fn strava_with(url: &str, answer: Answer) -> App {
    let source = sealed_source();
    let app = if url == OAUTH { app().on("POST", url, answer) } else { app().rpc(url, answer) };
    outside(app, &[true, false], &source)
}

fn outside(app: App, claims: &[bool], source: &Value) -> App {
    let none = json!({ "claimed": [], "busy_ms": null });
    let claim = json!({ "project": "tracker", "type": "strava", "lease_id": "a-lease", "source": source });
    let claim = json!({ "claimed": [claim], "busy_ms": null });
    let claims =
        claims.iter().map(|succeeds| Answer::json(if *succeeds { claim.clone() } else { none.clone() }));
    let granted = json!({ "access_token": "access-1", "refresh_token": "refresh-1", "expires_at": 1 });
    app.rpc("cache_claim", claims.collect::<Vec<_>>())
        .rpc("cache_save", Answer::json(json!({ "outcome": "new" })))
        .rpc("cache_fail", Answer::json(Value::Null))
        .rpc("cache_rotation_begin", Answer::json(source["credentials"].clone()))
        .rpc("cache_rotation_fail", Answer::json(Value::Null))
        .rpc("cache_needs_login", Answer::json(true))
        .on("POST", OAUTH, Answer::json(granted))
        .on("GET", "https://strava.example/", Answer::json(json!([])))
}

/// How many times the source was asked to renew a token.
fn renewals(app: &App) -> usize {
    app.calls().iter().filter(|call| call.url == OAUTH).count()
}

fn refresh(app: &App) -> Reply {
    app.send("POST", "/cache/tracker/strava/refresh", &KEY, "")
}

/// The sealed token that a file keeps for an instance that comes after a crash.
fn token_file(app: &App) -> Option<Value> {
    let files = app.files();
    let (_, content) = files.iter().find(|(path, _)| path.ends_with("tracker.strava.token"))?;
    let token = content.splitn(2, |byte| *byte == b'\n').nth(1).expect("a checksum");
    Some(serde_json::from_slice::<Value>(token).expect("JSON")["sealed"].clone())
}

#[test]
fn a_token_is_sent_with_the_time_on_the_clock_that_dated_it() {
    let app = strava(&[true, false]).rpc("cache_credentials", Answer::json(json!(true)));
    app.jump(-3_600.0);
    assert_eq!(refresh(&app).status(), 200);
    let call = &app.rpc_calls("cache_credentials")[0];
    assert_eq!(call["p_got_at"], "2025-12-31T23:00:00Z", "{call}");
    assert_eq!(call["p_sent_at"], call["p_got_at"], "{call}");
    assert_eq!(token_file(&app), None);
}

#[test]
fn a_token_that_the_database_did_not_keep_is_not_sent_again() {
    let down = Answer::refused;
    for answers in [vec![Answer::json(json!(false))], vec![down(), down(), Answer::json(json!(false))]] {
        let calls = answers.len();
        let app = strava(&[true, false]).rpc("cache_credentials", answers);
        assert_eq!(refresh(&app).status(), 200);
        app.send("POST", "/cache/tick?wait=true", &KEY, "");
        assert_eq!(app.rpc_calls("cache_credentials").len(), calls);
        assert_eq!(token_file(&app), None, "newer credentials are there");
        assert!(app.logs().iter().any(|line| line["event"] == "cache.token_not_kept"), "{:?}", app.logs());
    }
}

#[test]
fn a_token_is_retried_for_as_long_as_the_worker_lives() {
    let problem = |code| Answer::status(401, json!({ "code": code, "message": "no" }).to_string());
    for answers in [
        vec![problem("PGRST301"), problem("PGRST301"), problem("42501")],
        vec![Answer::refused()],
        vec![Answer::status(503, "")],
    ] {
        let app = strava(&[true, false]).rpc("cache_credentials", answers);
        assert_eq!(refresh(&app).status(), 200, "its access token is good");
        let calls = app.rpc_calls("cache_credentials");
        assert!(calls.len() > 10, "{}", calls.len());
        assert!(calls.iter().all(|call| call["p_credentials"] == calls[0]["p_credentials"]));
        assert!(token_file(&app).is_some(), "the source takes no other");
    }
}

#[test]
fn a_token_arrives_as_soon_as_the_database_is_back() {
    let down = Answer::refused;
    let app = strava(&[true, false])
        .rpc("cache_credentials", [down(), down(), down(), down(), Answer::json(json!(true))]);
    assert_eq!(refresh(&app).status(), 200);
    assert_eq!(app.rpc_calls("cache_credentials").len(), 5);
    assert_eq!(token_file(&app), None);
    app.send("POST", "/cache/tick?wait=true", &KEY, "");
    assert_eq!(app.rpc_calls("cache_credentials").len(), 5, "and no more once it is in");
}

#[test]
fn an_answer_for_one_token_says_nothing_of_the_next() {
    // The answer for the first comes after the next, which the database does not take.
    let down = Answer::refused;
    let first = Answer::json(json!(true)).after(Duration::from_secs(10));
    let app = strava(&[true, true, false])
        .secret("CACHE_DATABASE_TIMEOUT_MS", "20000")
        .rpc("cache_credentials", [down(), down(), first, down()]);
    app.send("POST", "/cache/together", &KEY, "");
    let calls = app.rpc_calls("cache_credentials");
    let next =
        calls.iter().find(|call| call["p_credentials"] != calls[0]["p_credentials"]).expect("the next");
    let before = |time: &str| next["p_sent_at"].as_str().is_some_and(|at| at < time);
    assert!(
        calls[2]["p_credentials"] == calls[0]["p_credentials"] && before("2026-01-01T00:00:11Z"),
        "{calls:?}"
    );
    assert_eq!(token_file(&app).expect("the next waits"), next["p_credentials"]);
}

#[test]
fn no_token_is_renewed_unless_the_database_allows_it() {
    // Another instance may hold a newer one.
    let app = strava_with("cache_rotation_begin", Answer::json(Value::Null));
    let reply = refresh(&app);
    assert_eq!((reply.status(), reply.json()["code"].clone()), (503, json!("REFRESHING")));
    assert_eq!(renewals(&app), 0);

    // The database went away after the lease was given.
    let app = strava_with("cache_rotation_begin", Answer::refused());
    let reply = refresh(&app);
    assert_eq!((reply.status(), reply.json()["code"].clone()), (503, json!("DATABASE_UNAVAILABLE")));
    assert_eq!(renewals(&app), 0);

    // No lease at all: the source is known from `CACHE_SOURCES`, and its token has never been renewed.
    let source = json!({ "tracker/strava": sealed_source() }).to_string();
    let app = self::app().secret("CACHE_SOURCES", &source).rpc("cache_claim", Answer::refused());
    let reply = refresh(&app);
    assert_eq!((reply.status(), reply.json()["code"].clone()), (503, json!("DATABASE_UNAVAILABLE")));
    assert_eq!(renewals(&app), 0);
}

#[test]
fn a_token_that_the_source_refuses_is_told_of_and_not_tried_again() {
    let refused =
        json!({ "message": "Bad Request", "errors": [{ "resource": "RefreshToken", "code": "invalid" }] });
    let app = strava_with(OAUTH, Answer::status(400, refused.to_string()));
    let reply = refresh(&app);
    assert_eq!((reply.status(), reply.json()["code"].clone()), (502, json!("SOURCE_NEEDS_LOGIN")));
    let told = app.rpc_calls("cache_needs_login").pop().expect("the database is told");
    assert_eq!((&told["p_project"], &told["p_type"]), (&json!("tracker"), &json!("strava")));
    assert!(told["p_credentials"].as_str().is_some_and(|sealed| sealed.starts_with("v1.")), "{told}");
    assert!(app.rpc_calls("cache_rotation_fail").is_empty());

    // The database says so to the next one.
    let claim = json!({ "claimed": [], "busy_ms": 0, "needs_login": true });
    let next = self::app().rpc("cache_claim", Answer::json(claim));
    let reply = refresh(&next);
    assert_eq!((reply.status(), reply.json()["code"].clone()), (502, json!("SOURCE_NEEDS_LOGIN")));
}

#[test]
fn a_renewal_that_fails_for_another_reason_ends_and_loses_no_token() {
    for answer in
        [Answer::status(503, ""), Answer::status(401, "{\"message\":\"wrong client\"}"), Answer::refused()]
    {
        let app = strava_with(OAUTH, answer);
        assert_eq!(refresh(&app).json()["code"], "SOURCE_FAILED");
        assert_eq!(
            (app.rpc_calls("cache_rotation_fail").len(), app.rpc_calls("cache_needs_login").len()),
            (1, 0)
        );
    }
}

#[test]
fn a_token_that_the_database_refuses_for_good_is_told_of_as_lost() {
    let refusal = json!({ "code": "23514", "message": "violates a check constraint" });
    let app = strava(&[true, false]).rpc("cache_credentials", Answer::status(400, refusal.to_string()));
    assert!(refresh(&app).status() >= 400);
    let told = app.rpc_calls("cache_needs_login").pop().expect("the database is told");
    assert_eq!(told.get("p_credentials"), None, "whatever credentials it has");
    assert_eq!(token_file(&app), None);
}

#[test]
fn a_token_that_another_instance_has_renewed_meanwhile_is_used_and_not_renewed_again() {
    // The first instance renews, and its token is good for long.
    let granted =
        json!({ "access_token": "access-9", "refresh_token": "refresh-9", "expires_at": 1_900_000_000 });
    let first = strava_with(OAUTH, Answer::json(granted)).rpc("cache_credentials", Answer::json(true));
    assert_eq!(refresh(&first).status(), 200);
    let renewed = first.rpc_calls("cache_credentials")[0]["p_credentials"].clone();
    // The claim of the second one was made before.
    let second = strava_with("cache_rotation_begin", Answer::json(renewed));
    assert_eq!((refresh(&second).status(), renewals(&second)), (200, 0));
    let asked = second.calls().into_iter().find(|call| call.url.contains("/athlete/")).expect("a call");
    assert_eq!(asked.headers["authorization"], "Bearer access-9");
    assert_eq!(second.rpc_calls("cache_rotation_fail").len(), 1);
}
