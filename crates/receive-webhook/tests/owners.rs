//! What owners are given once, signed alerts, and who is told of orders.

use hmac::{Hmac, Mac as _};
use ironferry::testing::{Answer, App};
use serde_json::{Value, json};
use sha2::Sha256;

const ID: &str = "3b241101-e2bb-4255-8caf-4136c566a962";
const USER: &str = "9d2c1a52-6f0e-4d1b-9a4e-0f6a3e0a7a11";
const RING: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn app() -> App {
    receive_webhook::forget();
    App::new(receive_webhook::handle).secret("CREDENTIALS_ENCRYPTION_KEYS", RING)
}

#[test]
fn a_signing_key_is_shown_once_and_opens_the_webhook() {
    let maker = app().on("POST", "/rest/v1/webhook_configs", Answer::status(201, "")).on(
        "GET",
        "/rest/v1/webhook_configs",
        Answer::json(json!([{ "id": ID }])),
    );
    let body = r#"{"name":"Relay","hmac":true,"hmac_required":true,"alpaca_api_key":"PK1","alpaca_api_secret":"hidden-secret"}"#;
    let made = maker.post_as_service(&format!("/receive-webhook/configs?user_id={USER}"), body);
    assert_eq!(made.status(), 201, "{}", made.text());
    let reply = made.json();
    let (key, passphrase) =
        (reply["hmac_secret"].as_str().unwrap(), reply["security_token"].as_str().unwrap());
    let inserted = maker.calls().into_iter().find(|call| call.method == "POST").unwrap();
    let text = String::from_utf8(inserted.body.to_vec()).unwrap();
    for secret in [key, passphrase, "PK1", "hidden-secret"] {
        assert!(!text.contains(secret), "{secret} goes to the database in clear: {text}");
    }
    let row = inserted.json();
    let id = row["id"].as_str().unwrap();

    let alert = r#"{"ticker":"AAPL","action":"buy"}"#;
    let signed = |body: &str, timestamp: Option<&str>| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        if let Some(timestamp) = timestamp {
            mac.update(format!("{timestamp}.").as_bytes());
        }
        mac.update(body.as_bytes());
        mac.finalize().into_bytes().iter().fold("sha256=".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
    };
    let send = |signature: &str, timestamp: Option<&str>| {
        let config = json!({
            "id": id, "security_token": row["security_token"], "is_active": true, "source": "other",
            "allowed_ips": null, "hmac_secret_sealed": row["hmac_secret_sealed"], "hmac_required": true,
            "freshness_seconds": 120, "updated_at": "2026-11-21T09:00:00.123456+00:00",
        });
        let app = app()
            .on("GET", "/rest/v1/webhook_configs", Answer::json(json!([config])))
            .rpc("receive_webhook_record", Answer::json(json!({"outcome": "duplicate", "signal_id": "s"})));
        let mut headers = vec![("content-type", "application/json"), ("x-webhook-signature", signature)];
        headers.extend(timestamp.map(|timestamp| ("x-webhook-timestamp", timestamp)));
        app.send("POST", &format!("/receive-webhook/{id}"), &headers, alert).status()
    };
    assert_eq!(send(&signed(alert, None), None), 200);
    assert_eq!(send(&signed("another body", None), None), 401);
    // The clock of the test stands at 1767225600.
    assert_eq!(send(&signed(alert, Some("1767225400")), Some("1767225400")), 200);
    assert_eq!(send(&signed(alert, Some("1767225299")), Some("1767225299")), 401);
    assert_eq!(send(&signed(alert, None), Some("1767225400")), 401);
}

fn told(preferences: &Value, body: &Value) -> App {
    let due =
        json!([{ "id": 1, "event": "success", "body": body, "name": "Trend", "preferences": preferences }]);
    let app = app()
        .rpc("receive_webhook_waiting", Answer::json(json!([])))
        .rpc("receive_webhook_open_orders", Answer::json(json!([])))
        .rpc("receive_webhook_notifications", Answer::json(due))
        .rpc("receive_webhook_notified", Answer::status(204, ""))
        .on("POST", "https://hooks.slack.com", Answer::status(200, "ok"))
        .on("POST", "https://discord.com", Answer::status(204, ""))
        .on(
            "POST",
            "https://moved.example.com",
            Answer::status(302, "").header("location", "http://10.0.0.1/"),
        )
        .on("POST", "https://down.example.com", Answer::status(503, ""));
    assert_eq!(app.post_as_service("/receive-webhook/sweep", "").status(), 202);
    app
}

fn order() -> Value {
    json!({ "order_id": "o", "symbol": "AAPL", "side": "buy", "quantity": "10", "status": "filled",
            "filled_quantity": "10", "filled_avg_price": "150.02", "simulated": true })
}

#[test]
fn owners_are_told_in_the_shape_of_their_listener() {
    let sentence = "Trend · AAPL: buy 10, filled 10 at 150.02 (simulated)";
    for (preferences, field) in [
        (json!({ "url": "https://hooks.slack.com/services/x" }), "text"),
        (json!({ "webhookUrl": "https://discord.com/api/webhooks/x" }), "content"),
        (json!({ "url": "https://discord.com/api/webhooks/x", "format": "json" }), "message"),
    ] {
        let app = told(&preferences, &order());
        let sent =
            app.calls().into_iter().find(|call| !call.url.starts_with("http://supabase.test")).unwrap();
        assert_eq!(sent.json()[field], sentence);
        assert_eq!(app.rpc_calls("receive_webhook_notified"), [json!({ "p_id": 1 })]);
    }
}

#[test]
fn a_notification_cannot_reach_inside() {
    for (url, is_final) in [
        ("http://hooks.slack.com/x", true),
        ("https://127.0.0.1/x", true),
        ("https://169.254.169.254/latest/meta-data", true),
        ("https://metadata.google.internal/", true),
        ("https://[::1]/", true),
        ("https://moved.example.com/", true),
        ("https://down.example.com/", false),
    ] {
        let app = told(&json!({ "url": url }), &order());
        let noted = &app.rpc_calls("receive_webhook_notified")[0];
        assert!(noted["p_error"].is_string(), "{url}: {noted}");
        assert_eq!(noted["p_final"], is_final, "{url}");
        let outside: Vec<_> =
            app.calls().into_iter().filter(|call| !call.url.starts_with("http://supabase.test")).collect();
        assert!(outside.len() <= 1 && outside.iter().all(|call| !call.url.contains("10.0.0.1")), "{url}");
    }
}

#[test]
fn the_sweep_and_other_peoples_limits_want_a_key() {
    assert_eq!(app().post("/receive-webhook/sweep", "").status(), 401);
    assert_eq!(app().get("/receive-webhook/configs").status(), 401);
    assert_eq!(app().get("/receive-webhook/limits").status(), 401);
    let unnamed = app().post_as_service("/receive-webhook/configs", r#"{"name":"x"}"#);
    assert_eq!((unnamed.status(), &unnamed.json()["code"]), (400, &json!("INVALID_QUERY")));
}
