//! What functions rely on, seen from a function: database errors, retries, time limits, users.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ironferry::testing::{Answer, App, user_token};
use ironferry::{Context, Error, HostError, Request, Response, Result, Retry};
use serde_json::{Value, json};
use time::OffsetDateTime;

async fn rows(_request: Request, cx: Context) -> Result<Response> {
    let rows: Vec<Value> =
        cx.db().from("machines").select("id").eq("status", "a&b=c").any_of("id", [1, 2]).fetch().await?;
    Response::json(200, &rows)
}

#[test]
fn a_query_travels_with_the_secret_key_alone_and_its_values_are_encoded() {
    let app = App::new(rows).on("GET", "/rest/v1/machines", Answer::json(json!([{ "id": 1 }])));
    assert_eq!(app.get("/rows").json(), json!([{ "id": 1 }]));
    let call = &app.calls()[0];
    assert!(call.url.contains("status=eq.a%26b%3Dc") && call.url.contains("id=in.(1,2)"), "{}", call.url);
    assert_eq!(call.headers["apikey"], "sb_secret_for_tests");
    assert!(!call.headers.contains_key("authorization"), "a new key is no bearer token");
}

#[test]
fn a_legacy_key_goes_into_both_headers() {
    let app = App::new(rows)
        .secret("SUPABASE_SECRET_KEYS", "")
        .secret("SUPABASE_SERVICE_ROLE_KEY", "a.legacy.jwt")
        .on("GET", "/rest/v1/machines", Answer::json(json!([])));
    assert_eq!(app.get("/rows").status(), 200);
    let headers = &app.calls()[0].headers;
    assert_eq!(
        (&headers["apikey"], &headers["authorization"]),
        (&"a.legacy.jwt".parse().unwrap(), &"Bearer a.legacy.jwt".parse().unwrap())
    );
}

#[test]
fn each_refusal_of_the_database_has_its_status_and_keeps_its_words() {
    let refusal =
        |code: &str| json!({ "code": code, "message": "no", "details": "why", "hint": "how" }).to_string();
    for (answer, status, code) in [
        (Answer::status(409, refusal("23505")), 409, "CONFLICT"),
        (Answer::status(403, refusal("42501")), 403, "DATABASE_FORBIDDEN"),
        (Answer::status(400, refusal("42703")), 500, "DATABASE_ERROR"),
        (Answer::status(503, "<html>"), 503, "DATABASE_UNAVAILABLE"),
        (Answer::refused(), 503, "DATABASE_UNAVAILABLE"),
        (Answer::hang(), 503, "DATABASE_UNAVAILABLE"),
        (Answer::json(json!({ "not": "rows" })), 500, "DATABASE_ERROR"),
    ] {
        let app = App::new(rows).on("GET", "/rest/v1/", answer.clone());
        let reply = app.get("/rows");
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (status, Some(code)), "{answer:?}");
        assert!(!reply.text().contains("why"), "the database's words are for the log");
    }
    let app = App::new(rows).on("GET", "/rest/v1/", Answer::status(400, refusal("42703")));
    app.get("/rows");
    assert!(app.logs()[0]["error"].as_str().unwrap().contains("42703 no (Some(\"why\"), Some(\"how\"))"));
}

async fn patient(_request: Request, cx: Context) -> Result<Response> {
    let ask = || async {
        let request = http::Request::get("https://api.example.com/x").body(bytes::Bytes::new())?;
        let reply = cx.fetch(request).await?;
        ironferry::status_error(reply.status(), "the service").map_or(Ok(reply), Err)
    };
    let reply = Retry { attempts: 4, ..Retry::default() }.run(&cx, ask).await?;
    Response::json(200, &reply.status().as_u16())
}

#[test]
fn transient_failures_are_tried_again_and_others_are_not() {
    let flaky = vec![Answer::status(503, ""), Answer::refused(), Answer::status(200, "")];
    let app = App::new(patient).on("GET", "api.example.com", flaky);
    assert_eq!(app.get("/x").status(), 200);
    assert_eq!(app.calls().len(), 3);

    let down = App::new(patient).on("GET", "api.example.com", Answer::status(503, ""));
    assert_eq!((down.get("/x").status(), down.calls().len()), (503, 4));

    let refusing = App::new(patient).on("GET", "api.example.com", Answer::status(404, ""));
    assert_eq!((refusing.get("/x").status(), refusing.calls().len()), (502, 4), "502 is ours to try again");
    let limited = App::new(never).on("GET", "api.example.com", Answer::status(200, ""));
    assert_eq!((limited.get("/x").status(), limited.calls().len()), (400, 1));
}

async fn never(_request: Request, cx: Context) -> Result<Response> {
    let refuse = || async {
        cx.fetch(http::Request::get("https://api.example.com/x").body(bytes::Bytes::new())?).await?;
        Err(Error::bad_request("no"))
    };
    Retry::default().run(&cx, refuse).await
}

async fn hurried(_request: Request, cx: Context) -> Result<Response> {
    let slow = cx.fetch(http::Request::get("https://api.example.com/x").body(bytes::Bytes::new())?);
    let outcome = cx.within(Duration::from_secs(2), slow).await;
    Response::json(200, &(outcome.err() == Some(HostError::Timeout)))
}

#[test]
fn a_limit_ends_what_takes_too_long() {
    let slow = Answer::status(200, "").after(Duration::from_secs(5));
    assert_eq!(App::new(hurried).on("GET", "api.example.com", slow).get("/x").json(), true);
    let quick = Answer::status(200, "").after(Duration::from_secs(1));
    assert_eq!(App::new(hurried).on("GET", "api.example.com", quick).get("/x").json(), false);
}

async fn who(_request: Request, cx: Context) -> Result<Response> {
    Response::json(200, &cx.require_user().await?.id)
}

#[test]
fn a_user_is_known_until_the_token_expires() {
    let now = OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
    let token = user_token("user-1", now + Duration::from_mins(1));
    let app = App::new(who);
    let ask = || app.send("GET", "/who", &[("authorization", &token)], "");
    assert_eq!(ask().json(), "user-1");
    app.advance(Duration::from_mins(2));
    assert_eq!(ask().json()["code"], "TOKEN_EXPIRED");
}

/// A token whose signature the scripted host accepts, under another algorithm.
fn token_of(algorithm: &str) -> String {
    let now = OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
    let token = user_token("user-1", now + Duration::from_mins(1));
    let (_, rest) = token.split_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "kid": "legacy" }).to_string());
    format!("Bearer {header}.{rest}")
}

#[test]
fn a_legacy_project_verifies_by_its_jwt_secret_and_an_algorithm_never_gets_the_key_of_another() {
    const LEGACY: &str = "a-legacy-jwt-secret-of-a-project";
    const PUBLIC: &str = r#"{"keys":[{"kty":"EC"},{"kty":"RSA"}]}"#;
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}", "A".repeat(64));
    let jwk = format!(r#"{{"kty":"EC","x":"{}"}}"#, "A".repeat(64));
    for (jwks, secret, algorithm, status, code) in [
        ("", LEGACY, "HS256", 200, None),
        (PUBLIC, LEGACY, "HS256", 200, None),
        (PUBLIC, LEGACY, "ES256", 200, None),
        (PUBLIC, "", "HS256", 401, Some("INVALID_TOKEN")),
        ("", LEGACY, "ES256", 401, Some("INVALID_TOKEN")),
        ("", LEGACY, "RS256", 401, Some("INVALID_TOKEN")),
        (PUBLIC, LEGACY, "HS512", 401, Some("INVALID_TOKEN")),
        (PUBLIC, LEGACY, "none", 401, Some("INVALID_TOKEN")),
        (PUBLIC, &pem, "HS256", 500, Some("INVALID_SETTING")),
        (PUBLIC, &jwk, "HS256", 500, Some("INVALID_SETTING")),
        (PUBLIC, "short", "HS256", 500, Some("INVALID_SETTING")),
        ("", "", "HS256", 500, Some("MISSING_SECRET")),
        (r#"{"keys":[]}"#, "", "ES256", 500, Some("MISSING_SECRET")),
    ] {
        let app = App::new(who).secret("SUPABASE_JWKS", jwks).secret("JWT_SECRET", secret);
        let reply = app.send("GET", "/who", &[("authorization", &token_of(algorithm))], "");
        let told = (reply.status(), reply.json()["code"].as_str().map(str::to_owned));
        assert_eq!(told, (status, code.map(str::to_owned)), "{jwks} {secret} {algorithm}: {}", reply.text());
    }
    let app = App::new(who).secret("SUPABASE_JWKS", "");
    let told = app.send("GET", "/who", &[("authorization", &token_of("HS256"))], "").text();
    assert!(told.contains("JWT signing keys") && told.contains("JWT_SECRET"), "{told}");
}

async fn echo(request: Request, _cx: Context) -> Result<Response> {
    Ok(Response::text(200, request.route()))
}

async fn whence(request: Request, cx: Context) -> Result<Response> {
    let address = request.client_address(&cx).map_or("unknown".to_owned(), |address| address.to_string());
    Ok(Response::text(200, &address))
}

#[test]
fn a_forwarding_header_counts_only_behind_the_front_end_that_sets_it() {
    const HOSTED: &str = "https://abcdefghijklmnopqrst.supabase.co";
    let from = |url: &str, setting: &str, headers: &[(&str, &str)]| {
        let app = App::new(whence).secret("SUPABASE_URL", url).secret("CLIENT_IP_HEADER", setting);
        app.send("GET", "/whence", headers, "").text()
    };
    let all = [
        ("cf-connecting-ip", "203.0.113.1"),
        ("x-forwarded-for", "203.0.113.2, 203.0.113.3"),
        ("x-real-ip", "203.0.113.4"),
    ];
    assert_eq!(from(HOSTED, "", &all), "203.0.113.1", "the platform's edge sets it");
    assert_eq!(from(HOSTED, "", &all[1..]), "unknown", "whoever called wrote these");
    for url in [
        "http://127.0.0.1:54321",
        "http://kong:8000",
        "https://supabase.co.evil.example",
        "https://own.example",
    ] {
        assert_eq!(from(url, "", &all), "unknown", "{url} has no front end that is known");
    }
    assert_eq!(
        from("http://kong:8000", "X-Forwarded-For", &all),
        "203.0.113.3",
        "the front end adds the last one"
    );
    assert_eq!(from(HOSTED, "x-real-ip", &all), "203.0.113.4", "the operator knows better");
    assert_eq!(from(HOSTED, "not a header", &all), "unknown");

    let one = |value: &str| from(HOSTED, "", &[("cf-connecting-ip", value)]);
    assert_eq!(one("::ffff:203.0.113.9"), "203.0.113.9");
    assert_eq!(one(" 2001:DB8::0:1 "), "2001:db8::1");
    for nothing in ["", "localhost", "203.0.113.9:80", "203.0.113.9,"] {
        assert_eq!(one(nothing), "unknown", "{nothing:?}");
    }
}

#[test]
fn browsers_may_call_from_the_origins_that_are_named() {
    let app = App::new(echo).secret("CORS_ORIGINS", "https://a.example, https://b.example");
    let from = |origin| app.send("GET", "/echo", &[("origin", origin)], "");
    assert_eq!(from("https://b.example").header("access-control-allow-origin"), Some("https://b.example"));
    assert_eq!(from("https://evil.example").header("access-control-allow-origin"), None);
    let asks = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    assert_eq!(app.send("OPTIONS", "/echo", &asks, "").status(), 204);
}

#[test]
fn a_caller_may_ask_for_a_problem_document() {
    let app = App::new(|_, _| async { Err(Error::gone("it has expired")) });
    let reply = app.send("GET", "/x", &[("accept", "application/problem+json")], "");
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!((&reply.json()["status"], &reply.json()["detail"]), (&json!(410), &json!("it has expired")));
    assert_eq!(reply.header("x-request-id"), Some("request-1"));
}

/// 32 bytes of one and of another kind, in base64.
const RING: [&str; 2] =
    ["k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "k2:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="];

async fn sealing(request: Request, cx: Context) -> Result<Response> {
    if request.method() == http::Method::POST {
        return ironferry::seal::reseal(&cx, "SEALING_KEYS", "sdk").await;
    }
    let ring = ironferry::seal::KeyRing::from_secret(&cx, "SEALING_KEYS")?;
    Ok(Response::text(200, ring.seal(&cx, "notes/1", &ironferry::Secret::new("the text"))?))
}

#[test]
fn a_worker_tells_services_which_keys_it_has_and_nobody_else() {
    let app = App::new(rows).secret("SEALING_KEYS", &RING.join(","));
    let service = [("x-service-key", ironferry::testing::SERVICE_KEY)];
    let reply = app.send("GET", "/rows/.ironferry/keys", &service, "");
    assert_eq!((reply.status(), &*reply.text()), (200, "ironferry keys\nSEALING_KEYS k1 k2\n"));
    assert_eq!(app.get("/rows/.ironferry/keys").status(), 401);
    assert!(app.calls().is_empty(), "the function itself was not asked");
}

#[test]
fn a_worker_tells_services_which_module_it_runs() {
    let app = App::new(rows).secret("IRONFERRY_MODULE", "rows 4b73b9");
    let service = [("x-service-key", ironferry::testing::SERVICE_KEY)];
    let reply = app.send("GET", "/rows/.ironferry/module", &service, "");
    assert_eq!((reply.status(), &*reply.text()), (200, "ironferry module rows 4b73b9\n"));
    assert_eq!(app.get("/rows/.ironferry/module").status(), 401);
    let wrong = [("x-service-key", "another")];
    assert_eq!(app.send("GET", "/rows/.ironferry/module", &wrong, "").status(), 401);
    assert_eq!(app.send("GET", "/rows/.ironferry/other", &service, "").status(), 404);
    assert!(app.calls().is_empty(), "the handler is not called");
}

#[test]
fn texts_under_an_older_key_are_sealed_again_and_those_that_no_key_opens_are_named() {
    let old = App::new(sealing).secret("SEALING_KEYS", RING[0]).get("/sdk").text();
    let batch = json!([{ "place": "notes/1", "old_text": old }, { "place": "notes/2", "old_text": old }]);
    let app = App::new(sealing)
        .secret("SEALING_KEYS", &[RING[1], RING[0]].join(","))
        .rpc("sealed_batch", [Answer::json(batch), Answer::json(json!([]))])
        .rpc("sealed_store", Answer::json(json!(1)));
    let reply = app.post_as_service("/sdk", "");
    assert_eq!(
        reply.json(),
        json!({ "success": true, "key_id": "k2", "rotated": 1, "unreadable": ["notes/2"], "has_more": false })
    );
    let stored = &app.rpc_calls("sealed_store")[0];
    let text = &stored["p_texts"][0];
    assert_eq!((&text["place"], &text["old_text"]), (&json!("notes/1"), &json!(old)));
    assert!(text["new_text"].as_str().unwrap().starts_with("v1.k2."));
    assert_eq!(app.rpc_calls("sealed_batch")[1]["p_after"], "notes/2", "each text is looked at once");
    assert_eq!(app.post("/sdk", "").status(), 401, "for services only");
}
