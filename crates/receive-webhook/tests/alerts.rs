//! Alerts in all the spellings there are, against a scripted database; and whatever else arrives.

use ironferry::testing::{Answer, App, Call, Reply};
use proptest::prelude::*;
use serde_json::{Value, json};

const ID: &str = "3b241101-e2bb-4255-8caf-4136c566a962";
const PASSPHRASE: &str = "open sesame";
/// SHA-256 of the passphrase.
const HASH: &str = "sha256:41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";

fn config(more: &Value) -> Value {
    let mut config = json!({
        "id": ID, "security_token": HASH, "is_active": true, "source": "other", "allowed_ips": null,
        "hmac_secret_sealed": null, "hmac_required": false, "freshness_seconds": 120,
        "updated_at": "2026-11-21T09:00:00.123456+00:00",
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    config
}

fn webhook(more: &Value) -> App {
    receive_webhook::forget();
    App::new(receive_webhook::handle)
        .on("GET", "/rest/v1/webhook_configs", Answer::json(json!([config(more)])))
        .rpc(
            "receive_webhook_record",
            Answer::json(json!({"outcome": "accepted", "signal_id": "s", "user_id": "u"})),
        )
        .rpc("receive_webhook_next", Answer::json(Value::Null))
        .rpc("notifications_claim", Answer::json(json!([])))
}

fn send(app: &App, body: &str) -> Reply {
    app.send("POST", &format!("/receive-webhook/{ID}"), &[("content-type", "text/plain")], body.to_owned())
}

/// What was stored, as the text that went to the database.
fn stored(app: &App) -> String {
    let is_record = |call: &Call| call.url.ends_with("receive_webhook_record");
    let call = app.calls().into_iter().find(is_record).expect("it was stored");
    String::from_utf8(call.body.to_vec()).expect("text")
}

#[test]
fn the_passphrase_hash_is_the_one_of_the_database() {
    assert_eq!(
        send(&webhook(&json!({})), r#"{"passphrase":"open sesame","ticker":"AAPL","action":"buy"}"#).status(),
        200
    );
    assert_eq!(
        send(&webhook(&json!({})), r#"{"passphrase":"open sesam","ticker":"AAPL","action":"buy"}"#).status(),
        401
    );
}

#[test]
fn spellings_of_many_templates_are_one_signal() {
    for body in [
        r#"{"passphrase":"open sesame","ticker":"AAPL","action":"BUY","quantity":"1.50","price":150.10,"order_type":"LIMIT"}"#,
        r#"{"Secret":"open sesame","symbol":"NASDAQ:AAPL","strategy_order_action":"buy","strategy_order_contracts":1.5,"strategy_order_price":"150.1","type":"limit"}"#,
        r#"{"auth":{"token":"open sesame"},"instrument":"aapl","strategy":{"order":{"action":"Buy","contracts":"1.5","price":"150.10"}},"orderType":"Limit"}"#,
        "\u{feff} {\"password\":\"open sesame\",\"ticker\":\" aapl \",\"side\":\"buy\",\"qty\":1.5e0,\"close\":\"150.1\",\"order-type\":\"lmt\",\"sl\":\"NaN\",\"tp\":null,\"tif\":\"\"}",
    ] {
        let app = webhook(&json!({}));
        let reply = send(&app, body);
        assert_eq!(reply.status(), 200, "{}", reply.text());
        let signal: Value = serde_json::from_str::<Value>(&stored(&app)).expect("JSON")["p_signal"].clone();
        let expected = json!({
            "symbol": { "name": "AAPL", "class": "us_equity" }, "action": "buy", "order_type": "limit",
            "quantity": "1.5", "price": "150.1",
        });
        assert_eq!(signal, expected, "{body}");
        assert!(!stored(&app).contains(PASSPHRASE), "{}", stored(&app));
    }
}

#[test]
fn numbers_do_not_go_through_floating_point() {
    let app = webhook(&json!({}));
    let body = r#"{"passphrase":"open sesame","ticker":"SHIBUSD","action":"buy","qty":123456789012.123456789,"price":0.000012345678}"#;
    assert_eq!(send(&app, body).status(), 200);
    let stored = stored(&app);
    assert!(
        stored.contains(r#""quantity":"123456789012.123456789""#)
            && stored.contains(r#""price":"0.000012345678""#),
        "{stored}"
    );
    assert!(stored.contains(r#""qty":123456789012.123456789"#), "the payload keeps it too: {stored}");
}

#[test]
fn an_alert_that_came_before_is_acted_on_when_nobody_is_at_it() {
    for (is_busy, looks) in [(false, 1), (true, 0)] {
        let before = json!({ "outcome": "duplicate", "signal_id": "s", "user_id": "u", "is_busy": is_busy });
        receive_webhook::forget();
        let app = App::new(receive_webhook::handle)
            .on("GET", "/rest/v1/webhook_configs", Answer::json(json!([config(&json!({}))])))
            .rpc("receive_webhook_record", Answer::json(before))
            .rpc("receive_webhook_next", Answer::json(Value::Null));
        let body = r#"{"passphrase":"open sesame","ticker":"AAPL","action":"buy"}"#;
        assert_eq!(send(&app, body).status(), 200);
        assert_eq!(app.rpc_calls("receive_webhook_next").len(), looks, "busy: {is_busy}");
    }
}

#[test]
fn the_size_of_a_strategys_position_may_be_nothing() {
    for (size, expected) in [("0", Value::Null), ("12.50", json!("12.5"))] {
        let app = webhook(&json!({}));
        let strategy =
            json!({ "order": { "action": "buy" }, "market_position": "long", "market_position_size": size });
        let body = json!({ "passphrase": PASSPHRASE, "ticker": "AAPL", "strategy": strategy });
        assert_eq!(send(&app, &body.to_string()).status(), 200);
        let signal = serde_json::from_str::<Value>(&stored(&app)).expect("JSON")["p_signal"].clone();
        assert_eq!(
            (&signal["market_position_size"], &signal["market_position"]),
            (&expected, &json!("long"))
        );
    }
}

#[test]
fn a_comma_parts_thousands_and_is_nothing_else() {
    let quantity = |text: &str| {
        let app = webhook(&json!({}));
        let body = json!({ "passphrase": PASSPHRASE, "ticker": "AAPL", "action": "buy", "qty": text });
        let reply = send(&app, &body.to_string());
        match reply.status() {
            200 => {
                serde_json::from_str::<Value>(&stored(&app)).expect("JSON")["p_signal"]["quantity"].clone()
            }
            _ => reply.json()["details"][0]["path"].clone(),
        }
    };
    for (text, expected) in
        [("1,500", "1500"), ("1,500.25", "1500.25"), ("12,345,678", "12345678"), ("1e3", "1000")]
    {
        assert_eq!(quantity(text), expected);
    }
    for text in [
        "0,5", "0,500", "1,5", "1,50", "1500,25", "1,500,25", "1.500,25", "1,5e3", ",500", "1,,500", "1,500,",
    ] {
        assert_eq!(quantity(text), "qty", "{text}");
    }
}

#[test]
fn a_passphrase_that_is_repeated_is_stored_nowhere() {
    let app = webhook(&json!({}));
    let body =
        r#"{"passphrase":"open sesame","ticker":"AAPL","action":"buy","comment":"says open sesame twice"}"#;
    assert_eq!(send(&app, body).status(), 200);
    assert!(!stored(&app).contains(PASSPHRASE) && stored(&app).contains("[redacted]"));
}

#[test]
fn the_alerts_own_time_and_id_make_it_unique() {
    let key = |body: &str| {
        let app = webhook(&json!({})).at("2026-11-21T14:30:00Z");
        let body = body.replacen('{', r#"{"passphrase":"open sesame","ticker":"AAPL","action":"buy","#, 1);
        let reply = send(&app, &body);
        (
            reply.status(),
            (reply.status() == 200)
                .then(|| serde_json::from_str::<Value>(&stored(&app)).expect("JSON")["p_dedupe_key"].clone()),
        )
    };
    assert_eq!(key(r#"{"alert_id":"7"}"#), (200, Some(json!("id:7"))));
    assert_eq!(key(r#"{"x":1}"#), (200, Some(Value::Null)));
    let (status, timed) = key(r#"{"timenow":"2026-11-21T14:29:00Z"}"#);
    assert!(
        status == 200 && timed.is_some_and(|key| key.as_str().is_some_and(|key| key.starts_with("content:")))
    );
    // Milliseconds, and the time of the bar beside the time of the alert.
    assert_eq!(key(r#"{"time":1795271399000}"#).0, 200);
    assert_eq!(key(r#"{"time":"2026-11-20T00:00:00Z","timenow":"2026-11-21T14:30:00Z"}"#).0, 200);
    for stale in ["2026-11-21T14:27:59Z", "2026-11-21T14:31:01Z"] {
        assert_eq!(key(&format!(r#"{{"timenow":"{stale}"}}"#)).0, 409);
    }
}

#[test]
fn an_address_counts_as_the_front_end_tells_it() {
    let from = |more: Value, front_end: &str, headers: &[(&str, &str)]| {
        let app = webhook(&more).secret("CLIENT_IP_HEADER", front_end);
        let body = format!(r#"{{"passphrase":"{PASSPHRASE}","ticker":"AAPL","action":"buy"}}"#);
        let headers = [&[("content-type", "application/json")], headers].concat();
        app.send("POST", &format!("/receive-webhook/{ID}"), &headers, body).status()
    };
    let tradingview = || json!({ "source": "tradingview" });
    let listed = || json!({ "allowed_ips": ["203.0.113.9", "2001:DB8::1"] });
    for (config, front_end, header, address, status) in [
        (tradingview(), "x-forwarded-for", "x-forwarded-for", "52.89.214.238", 200),
        (tradingview(), "x-forwarded-for", "x-forwarded-for", "52.89.214.238, 203.0.113.9", 401),
        (tradingview(), "x-forwarded-for", "cf-connecting-ip", "52.89.214.238", 401),
        // Without a front end anyone can write these.
        (tradingview(), "", "x-forwarded-for", "52.89.214.238", 401),
        (tradingview(), "", "cf-connecting-ip", "52.89.214.238", 401),
        (listed(), "x-real-ip", "x-real-ip", "203.0.113.9", 200),
        (listed(), "x-real-ip", "x-real-ip", "2001:db8:0::1", 200),
        (listed(), "x-real-ip", "x-real-ip", "203.0.113.90", 401),
    ] {
        assert_eq!(from(config, front_end, &[(header, address)]), status, "{front_end:?} {header} {address}");
    }
    assert_eq!(from(tradingview(), "x-real-ip", &[]), 401);
    assert_eq!(from(json!({ "source": "tradingview", "allowed_ips": [] }), "", &[]), 200);
}

#[test]
fn a_webhook_that_wants_signatures_takes_no_passphrase() {
    let body = format!(r#"{{"passphrase":"{PASSPHRASE}","ticker":"AAPL","action":"buy"}}"#);
    assert_eq!(
        send(&webhook(&json!({ "hmac_required": true, "hmac_secret_sealed": "v1.k.x" })), &body).status(),
        401
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_gets_an_answer(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let app = webhook(&json!({}));
        let reply = app.send("POST", &format!("/receive-webhook/{ID}"), &[("content-type", "text/plain")], body);
        prop_assert!((400..500).contains(&reply.status()));
    }

    #[test]
    fn whatever_an_alert_says_is_stored_whole_or_refused_by_name(
        fields in prop::collection::btree_map(
            prop::sample::select(vec!["ticker", "action", "qty", "price", "stop_loss", "tp", "time", "order_type", "tif", "x", "strategy"]),
            prop_oneof![
                any::<f64>().prop_map(|number| json!(number)), any::<i64>().prop_map(|number| json!(number)),
                "\\PC{0,20}".prop_map(Value::from), Just(json!(null)), Just(json!([1])), Just(json!({"a": {"b": "c"}})),
                Just(json!("AAPL")), Just(json!("buy")), "[0-9]{1,30}(\\.[0-9]{1,30})?".prop_map(Value::from),
            ],
            0..10,
        ),
    ) {
        let mut body = json!(fields);
        body["passphrase"] = PASSPHRASE.into();
        let app = webhook(&json!({ "freshness_seconds": 0 }));
        let reply = send(&app, &body.to_string());
        match reply.status() {
            200 => prop_assert!(serde_json::from_str::<Value>(&stored(&app)).is_ok()),
            400 => prop_assert!(reply.json()["details"].as_array().is_some_and(|details| !details.is_empty()), "{}", reply.text()),
            status => prop_assert!(false, "{status}: {}", reply.text()),
        }
    }
}
