//! The function with a scripted outside: what goes to Redis, to the database and to Tradovate.

use ironferry::testing::{Answer, App, Reply, SERVICE_KEY};
use serde_json::{Value, json};

const RING: &str = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// `exp` is 2026-01-01T00:10:00Z, ten minutes after the clock of the tests.
const TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjE3NjcyMjYyMDB9.c2lnbmF0dXJlLW9mLWEtdG9rZW4";

fn app() -> App {
    App::new(token_manager::handle)
        .secret("TOKEN_ENCRYPTION_KEYS", RING)
        .secret("REDIS_URL", "redis://redis.test")
        .rpc("token_sync_begin", Answer::json("7b6f6c1e-0000-4000-8000-000000000001"))
        .rpc("token_sync_fail", Answer::status(204, ""))
        .rpc("token_sync_seal", Answer::status(204, ""))
        .rpc("token_sync_finish", Answer::json(json!({ "tokens_synced": 2, "accounts": ["A", "B"] })))
}

fn call(app: &App, query: &str) -> Reply {
    app.send("POST", &format!("/token-manager?{query}"), &[("x-service-key", SERVICE_KEY)], "")
}

/// The commands in what was written to the socket.
fn commands(written: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(written).into_owned();
    let mut lines = text.split("\r\n");
    let mut commands = Vec::new();
    while let Some(head) = lines.next().and_then(|line| line.strip_prefix('*')) {
        let parts: usize = head.parse().expect("a number of parts");
        commands.push((0..parts).map(|_| lines.nth(1).expect("a part").to_owned()).collect());
    }
    commands
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// A Redis with these keys: value (as RESP) and life in milliseconds.
fn redis(keys: Vec<(&'static str, String, i64)>) -> impl Fn(&[u8]) -> Vec<u8> {
    move |written| {
        let answer = |command: Vec<String>| {
            let known = keys.iter().find(|(key, ..)| Some(*key) == command.get(1).map(String::as_str));
            match command[0].as_str() {
                "SCAN" => {
                    let prefix = command[3].trim_end_matches('*');
                    let found: Vec<_> = keys.iter().filter(|(key, ..)| key.starts_with(prefix)).collect();
                    let list: String = found.iter().map(|(key, ..)| bulk(key)).collect();
                    format!("*2\r\n{}*{}\r\n{list}", bulk("0"), found.len())
                }
                "GET" => known.map_or_else(|| "$-1\r\n".to_owned(), |(_, value, _)| value.clone()),
                "PTTL" => format!(":{}\r\n", known.map_or(-2, |(_, _, life)| *life)),
                _ => "+OK\r\n".to_owned(),
            }
        };
        commands(written).into_iter().map(answer).collect::<String>().into_bytes()
    }
}

#[test]
fn only_tokens_that_the_database_asks_for_are_sealed_and_sent() {
    let keys = vec![
        ("token:A", bulk(TOKEN), 3_600_000),
        ("token:B", bulk(TOKEN), 60_000),
        ("token:C", bulk("opaque"), -1),
        ("auth:A", bulk(TOKEN), -1),
    ];
    let app = app().rpc("token_sync_stage", Answer::json(json!([2]))).socket(redis(keys));
    let reply = call(&app, "action=sync");
    assert_eq!((reply.status(), &reply.json()["tokens_synced"]), (200, &json!(2)), "{}", reply.text());
    let rows = &app.rpc_calls("token_sync_stage")[0]["p_rows"];
    let ends: Vec<&Value> = (0..4).map(|row| &rows[row]["expires_at"]).collect();
    let (by_token, by_key) = (&json!("2026-01-01T00:10:00Z"), &json!("2026-01-01T00:01:00Z"));
    assert_eq!(ends, [by_token, by_key, &Value::Null, by_token], "the earlier end, or none");
    assert_eq!(rows[0]["fingerprint"], rows[1]["fingerprint"], "the same token");
    assert!(rows[2].get("ttl_seconds").is_none() && rows[2].get("access_token").is_none());
    let sealed = app.rpc_calls("token_sync_seal")[0]["p_rows"].clone();
    assert_eq!((sealed.as_array().map(Vec::len), &sealed[0]["redis_key"]), (Some(1), &json!("token:C")));
    let sent =
        app.calls().iter().map(|call| String::from_utf8_lossy(&call.body).into_owned()).collect::<String>();
    assert!(sent.contains("v1.k1.") && !sent.contains("opaque") && !sent.contains(TOKEN), "{sent}");
    assert!(!format!("{:?}", app.logs()).contains(TOKEN));
}

#[test]
fn a_first_sync_sends_sealed_tokens_at_once_after_its_first_batch() {
    let names: Vec<&'static str> = (0..4_500).map(|n| &*format!("token:A{n}").leak()).collect();
    let keys = names.into_iter().map(|key| (key, bulk(TOKEN), -1)).collect();
    let needed: Value = (0..4_500).collect();
    // One page holds all keys here; two patterns make two batches.
    let app = app()
        .secret("TOKEN_REDIS_PATTERNS", "token:A*, token:A1*")
        .rpc("token_sync_stage", vec![Answer::json(needed), Answer::json(json!([]))])
        .socket(redis(keys));
    assert_eq!(call(&app, "action=sync").status(), 200);
    let staged = app.rpc_calls("token_sync_stage");
    assert_eq!(staged.len(), 2);
    assert!(staged[0]["p_rows"][0].get("access_token").is_none());
    assert!(staged[1]["p_rows"][0]["access_token"].is_string());
    assert_eq!(app.rpc_calls("token_sync_seal").len(), 1);
}

#[test]
fn keys_that_go_away_or_hold_no_token_are_left_out() {
    let keys = vec![
        ("token:GONE", "$-1\r\n".to_owned(), -2),
        ("token:LATE", bulk("opaque"), -2),
        (
            "token:LIST",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n".to_owned(),
            -1,
        ),
        ("token:EMPTY", bulk(""), -1),
        ("token:TWO WORDS", bulk("opaque"), -1),
        ("token:JSON", bulk(r#"{"user":"x"}"#), -1),
    ];
    let app = app().rpc("token_sync_stage", Answer::json(json!([]))).socket(redis(keys));
    let reply = call(&app, "action=sync").json();
    assert_eq!(app.rpc_calls("token_sync_stage")[0]["p_rows"], json!([]));
    let warnings: Vec<(&str, &str)> = reply["warnings"]
        .as_array()
        .expect("warnings")
        .iter()
        .map(|one| (one["key"].as_str().unwrap_or(""), one["reason"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        warnings,
        [
            ("token:LIST", "the value is not a string"),
            ("token:EMPTY", "the value is empty"),
            ("token:TWO WORDS", "the key names no account"),
            ("token:JSON", "the JSON has no token in it"),
        ]
    );
}

#[test]
fn each_refusal_of_redis_has_its_code_and_ends_the_sync() {
    for (words, status, code) in [
        ("-NOAUTH Authentication required.\r\n", 502, "REDIS_REFUSED"),
        ("-NOPERM this user has no permissions to run the 'scan' command\r\n", 502, "REDIS_REFUSED"),
        ("-LOADING Redis is loading the dataset in memory\r\n", 503, "REDIS_UNAVAILABLE"),
        ("+OK\r\n", 502, "REDIS_REFUSED"),
        ("?what\r\n", 502, "REDIS_PROTOCOL"),
        ("", 503, "REDIS_UNAVAILABLE"),
    ] {
        let app = app().socket(move |_| words.as_bytes().to_vec());
        let reply = call(&app, "action=sync");
        assert_eq!((reply.status(), reply.json()["code"].as_str()), (status, Some(code)), "{words}");
        assert_eq!(app.rpc_calls("token_sync_fail").len(), 1);
        assert!(app.rpc_calls("token_sync_finish").is_empty());
    }
    let unset = app().secret("REDIS_URL", "");
    assert_eq!(call(&unset, "action=sync").json()["code"], "MISSING_SECRET");
    assert!(unset.rpc_calls("token_sync_begin").is_empty());
}

#[test]
fn the_login_and_the_database_of_the_address_come_first() {
    let app = app()
        .secret("REDIS_URL", "redis://sync:word@redis.test/3")
        .rpc("token_sync_stage", Answer::json(json!([])))
        .socket(|written| {
            let all = commands(written);
            if all[0][0] == "AUTH" {
                assert_eq!(all, [vec!["AUTH", "sync", "word"], vec!["SELECT", "3"]]);
                return b"+OK\r\n+OK\r\n".to_vec();
            }
            all.iter().flat_map(|_| b"*2\r\n$1\r\n0\r\n*0\r\n".to_vec()).collect()
        });
    assert_eq!(call(&app, "action=sync").status(), 200);
}

/// An app with one token to renew.
fn renewing(app: App) -> App {
    // Sealed by the function itself, so that it opens.
    let sealing = self::app()
        .rpc("token_store", Answer::json(json!({ "tokens_stored": 1, "created": 1, "updated": 0 })));
    let body = json!({ "tokens": [{ "account_name": "APEX_1", "access_token": TOKEN }] }).to_string();
    let reply = sealing.post_as_service("/token-manager?action=store", &body);
    assert_eq!(reply.status(), 200, "{}", reply.text());
    let sealed = &sealing.rpc_calls("token_store")[0]["p_tokens"][0];
    let claim = json!({ "waiting": 0, "tokens": [{
        "fingerprint": sealed["fingerprint"], "account_name": "APEX_1", "access_token": sealed["access_token"],
        "accounts": ["APEX_1", "PAAPEX1"], "redis_keys": [],
    }] });
    app.rpc("token_renew_claim", Answer::json(claim))
        .rpc("token_renew_store", Answer::json(2))
        .rpc("token_renew_fail", Answer::status(204, ""))
        .rpc("token_renew_pause", Answer::json("2026-01-01T01:00:00+00:00"))
}

#[test]
fn a_renewed_token_is_sealed_for_each_account_and_shows_nowhere() {
    let renewed =
        json!({ "accessToken": "renewed-token-value", "expirationTime": "2026-01-01T01:20:00.000Z" });
    let app = renewing(app()).on("GET", "/auth/renewaccesstoken", Answer::json(renewed));
    let reply = call(&app, "action=renew");
    assert_eq!(
        (&reply.json()["renewed"], &reply.json()["accounts"]),
        (&json!(1), &json!(["APEX_1", "PAAPEX1"]))
    );
    let stored = app.rpc_calls("token_renew_store")[0]["p_tokens"].clone();
    assert_eq!(stored[0]["expires_at"], "2026-01-01T01:20:00Z");
    assert_ne!(stored[0]["access_token"], stored[1]["access_token"]);
    assert_eq!(stored[0]["fingerprint"], stored[1]["fingerprint"]);
    let asked = app.calls().into_iter().find(|call| call.url.contains("renewaccesstoken")).expect("a call");
    assert_eq!(asked.headers["authorization"], format!("Bearer {TOKEN}"));
    let told = format!("{}{:?}", reply.text(), app.logs());
    assert!(!told.contains(TOKEN) && !told.contains("renewed-token-value"), "{told}");
}

#[test]
fn a_short_penalty_is_served_with_its_ticket_and_a_long_one_stops_all() {
    let renewed = json!({ "accessToken": "renewed", "expirationTime": "2026-01-01T01:20:00Z" });
    let penalty =
        |seconds: u32| Answer::json(json!({ "p-ticket": "a+b", "p-time": seconds, "p-captcha": false }));
    let app = renewing(app()).on("GET", "/auth/renewaccesstoken", vec![penalty(15), Answer::json(renewed)]);
    assert_eq!(call(&app, "action=renew").json()["renewed"], 1);
    let asked: Vec<_> =
        app.calls().into_iter().filter(|call| call.url.contains("renewaccesstoken")).collect();
    assert!(asked[1].url.ends_with("?p-ticket=a%2Bb"), "{}", asked[1].url);

    let captcha = Answer::json(json!({ "p-ticket": "t", "p-time": 1, "p-captcha": true }));
    let hours = Answer::status(429, "").header("retry-after", "7200");
    for (answers, seconds) in [
        (vec![penalty(21)], 21),
        (vec![penalty(5), penalty(30)], 30),
        (vec![captcha], 3_600),
        (vec![hours], 7_200),
    ] {
        let app = renewing(app_without_redis()).on("GET", "/auth/renewaccesstoken", answers);
        let reply = call(&app, "action=renew").json();
        assert_eq!((&reply["renewed"], &reply["waiting"]), (&json!(0), &json!(1)), "{reply}");
        assert_eq!(app.rpc_calls("token_renew_pause")[0]["p_seconds"], seconds);
    }
}

fn app_without_redis() -> App {
    app().secret("REDIS_URL", "")
}

#[test]
fn what_the_broker_says_wrongly_costs_one_token_and_is_not_repeated() {
    let echo = json!({ "errorText": format!("invalid token {TOKEN}") });
    for (answer, reason) in [
        (Answer::status(401, "{}"), "the session has ended"),
        (Answer::status(200, "<html>"), "Tradovate answers in a way that is not understood"),
        (Answer::json(json!({})), "Tradovate gave no token"),
        (Answer::json(json!({ "accessToken": "two words" })), "Tradovate gave no token"),
        (Answer::json(echo), "Tradovate says: invalid token [redacted]"),
        (Answer::hang(), "Tradovate cannot be reached: no answer in time"),
    ] {
        let app = renewing(app()).on("GET", "/auth/renewaccesstoken", answer);
        let reply = call(&app, "action=renew").json();
        assert_eq!(reply["failed"], json!([{ "account_name": "APEX_1", "reason": reason }]));
        assert_eq!(app.rpc_calls("token_renew_fail").len(), 1);
    }
}
