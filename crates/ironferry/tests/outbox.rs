//! The outbox: each listener in its shape, nothing inside reached, and what became of it noted.

use ironferry::testing::{Answer, App, Reply};
use ironferry::{Context, Request, Response, Result, outbox};
use serde_json::{Value, json};

async fn tick(_request: Request, cx: Context) -> Result<Response> {
    outbox::deliver(&cx, "tick", None).await;
    Response::json(200, &json!({}))
}

fn deliver(message: &Value) -> App {
    let app = App::new(tick)
        .rpc("notifications_claim", Answer::json(json!([message])))
        .rpc("notifications_finish", Answer::status(204, ""))
        .on("POST", "https://hooks.slack.com", Answer::status(200, "ok"))
        .on("POST", "https://discord.com", Answer::status(204, ""))
        .on(
            "POST",
            "https://moved.example.com",
            Answer::status(302, "").header("location", "http://10.0.0.1/"),
        )
        .on("POST", "https://down.example.com", Answer::status(503, ""))
        .on("POST", "https://gone.example.com", Answer::status(404, ""));
    let reply: Reply = app.get("/tick");
    assert_eq!(reply.status(), 200);
    app
}

fn message(url: &str, format: Option<&str>) -> Value {
    json!({ "id": 7, "event": "success", "url": url, "format": format, "message": "bought <10> @everyone",
            "body": { "webhook": "Trend", "data": { "symbol": "AAPL" } } })
}

/// What left the project.
fn sent(app: &App) -> Vec<Value> {
    let calls = app.calls().into_iter().filter(|call| !call.url.starts_with("http://supabase.test"));
    calls.map(|call| call.json()).collect()
}

#[test]
fn each_listener_gets_its_own_shape_and_strangers_call_nobody_through_it() {
    let slack = json!({ "text": "bought &lt;10&gt; @everyone" });
    let discord = json!({ "content": "bought <10> @everyone", "allowed_mentions": { "parse": [] } });
    let plain = json!({ "event": "success", "message": "bought <10> @everyone", "webhook": "Trend",
                        "data": { "symbol": "AAPL" } });
    for (url, format, shape) in [
        ("https://hooks.slack.com/services/x", None, &slack),
        ("https://discord.com/api/webhooks/x", None, &discord),
        ("https://discord.com/api/webhooks/x", Some("json"), &plain),
        ("https://hooks.slack.com/x", Some("discord"), &discord),
    ] {
        let app = deliver(&message(url, format));
        assert_eq!(sent(&app), std::slice::from_ref(shape), "{url} {format:?}");
        assert_eq!(app.rpc_calls("notifications_finish"), [json!({ "p_id": 7 })]);
        assert_eq!(app.rpc_calls("notifications_claim"), [json!({ "p_sender": "tick" })]);
    }
}

#[test]
fn a_message_reaches_nothing_inside_and_is_tried_again_only_where_that_may_help() {
    for (url, is_final) in [
        ("", true),
        ("http://hooks.slack.com/x", true),
        ("https://127.0.0.1/x", true),
        ("https://169.254.169.254/latest/meta-data", true),
        ("https://metadata.google.internal/", true),
        ("https://[::1]/", true),
        ("https://moved.example.com/", true),
        ("https://gone.example.com/", true),
        ("https://down.example.com/", false),
    ] {
        let app = deliver(&message(url, None));
        let noted = &app.rpc_calls("notifications_finish")[0];
        assert!(noted["p_error"].is_string(), "{url}: {noted}");
        assert_eq!(noted["p_final"], is_final, "{url}");
        assert!(sent(&app).len() <= 1, "{url}");
        assert!(app.calls().iter().all(|call| !call.url.contains("10.0.0.1")), "{url}");
    }
}

#[test]
fn a_database_that_is_away_does_not_fail_the_caller() {
    let app = App::new(tick).rpc("notifications_claim", Answer::status(503, ""));
    assert_eq!(app.get("/tick").status(), 200);
    assert_eq!(app.logs()[0]["event"], "outbox.claim_failed");
}
