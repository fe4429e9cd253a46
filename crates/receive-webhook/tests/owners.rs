//! What owners are given once, signed alerts, and who is told of orders.

use hmac::{Hmac, Mac as _};
use ironferry::testing::{Answer, App};
use serde_json::json;
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

#[test]
fn the_sweep_tells_owners_what_is_in_the_outbox() {
    let due = json!([{
        "id": 1, "event": "success", "url": "https://hooks.slack.com/services/x", "format": null,
        "message": "Trend · AAPL: buy 10, filled", "body": {},
    }]);
    let app = app()
        .rpc("receive_webhook_waiting", Answer::json(json!([])))
        .rpc("receive_webhook_open_orders", Answer::json(json!([])))
        .rpc("notifications_claim", Answer::json(due))
        .rpc("notifications_finish", Answer::status(204, ""))
        .on("POST", "https://hooks.slack.com", Answer::status(200, "ok"));
    assert_eq!(app.post_as_service("/receive-webhook/sweep", "").status(), 202);
    assert_eq!(app.rpc_calls("notifications_claim")[0]["p_sender"], "receive-webhook");
    assert!(app.calls().iter().any(|call| call.url == "https://hooks.slack.com/services/x"));
    assert_eq!(app.rpc_calls("notifications_finish"), [json!({ "p_id": 1 })]);
}

#[test]
fn the_sweep_and_other_peoples_limits_want_a_key() {
    assert_eq!(app().post("/receive-webhook/sweep", "").status(), 401);
    assert_eq!(app().get("/receive-webhook/configs").status(), 401);
    assert_eq!(app().get("/receive-webhook/limits").status(), 401);
    let unnamed = app().post_as_service("/receive-webhook/configs", r#"{"name":"x"}"#);
    assert_eq!((unnamed.status(), &unnamed.json()["code"]), (400, &json!("INVALID_QUERY")));
}
