//! What becomes of a signal, against a scripted database and a scripted broker.

use ironferry::testing::{Answer, App};
use serde_json::{Value, json};

const RING: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// 16 digits of the SHA-256 of the operator's key.
const OPERATOR: &str = "fcab7fcc2b4cffd9";
const SIGNAL: &str = "5a1f0e8c-0000-4000-8000-000000000001";

/// A signal of a webhook that trades with the operator's account: close what is held of AAPL.
fn close(more: &Value) -> Value {
    let mut task = json!({
        "signal_id": SIGNAL, "config_id": "3b241101-e2bb-4255-8caf-4136c566a962",
        "signal": { "symbol": { "name": "AAPL", "class": "us_equity" }, "action": "exit" },
        "attempts": 1, "age_seconds": 1, "act_within_seconds": 300, "is_active": true, "simulated": false,
        "last_price": "100", "config": {}, "limits": {}, "usage": {}, "held": null, "book": null, "orders": [],
        "open_orders": [],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        task[name] = value.clone();
    }
    task
}

/// An order as it is noted.
fn noted(id: &str, role: &str, side: &str, more: &Value) -> Value {
    let mut order = json!({
        "order_id": id, "client_order_id": format!("if-{id}"), "broker_order_id": format!("at-broker-{id}"),
        "simulated": false, "role": role, "symbol": "AAPL", "asset_class": "us_equity", "side": side,
        "order_type": "limit", "quantity": "10", "limit_price": "90", "time_in_force": "gtc", "status": "new",
        "filled_quantity": "0", "closed": false, "age_seconds": 600,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        order[name] = value.clone();
    }
    order
}

/// What the broker says of an order.
fn says(id: &str, status: &str, filled: &str) -> Answer {
    Answer::json(json!({
        "id": format!("at-broker-{id}"), "client_order_id": format!("if-{id}"), "status": status, "filled_qty": filled,
        "filled_avg_price": (filled != "0").then_some("90"), "qty": "10", "type": "limit",
    }))
}

fn refuses(status: u16, code: u64, message: &str) -> Answer {
    Answer::status(status, json!({ "code": code, "message": message }).to_string())
}

/// The owner's signals come to the sweep; rules for the broker are added to it.
fn trader(tasks: impl IntoIterator<Item = Value>) -> App {
    let tasks: Vec<Answer> = tasks.into_iter().chain([Value::Null]).map(Answer::json).collect();
    App::new(receive_webhook::handle)
        .secret("SIMULATION_MODE", "false")
        .secret("CREDENTIALS_ENCRYPTION_KEYS", RING)
        .secret("ALPACA_API_KEY", "PK")
        .secret("ALPACA_API_SECRET", "secret")
        .rpc("receive_webhook_waiting", Answer::json(json!(["u"])))
        .rpc("receive_webhook_next", tasks)
        .rpc("receive_webhook_later", Answer::json(true))
        .rpc("receive_webhook_finish", Answer::json(true))
        .rpc("receive_webhook_settle", Answer::status(204, ""))
        .rpc("receive_webhook_place", Answer::json("placed"))
        .rpc("receive_webhook_open_orders", Answer::json(json!([])))
        .rpc("notifications_claim", Answer::json(json!([])))
        .on("GET", "/v2/account", Answer::json(json!({
            "equity": "100000", "last_equity": "100000", "buying_power": "200000", "shorting_enabled": true,
        })))
}

/// The id of a webhook with an account of its own, and its sealed keys.
fn own_account(key: &str) -> (Value, Value) {
    let app = App::new(receive_webhook::handle)
        .secret("CREDENTIALS_ENCRYPTION_KEYS", RING)
        .on("POST", "/rest/v1/webhook_configs", Answer::status(201, ""))
        .on("GET", "/rest/v1/webhook_configs", Answer::json(json!([{}])));
    let body = json!({ "name": "Own", "alpaca_api_key": key, "alpaca_api_secret": "secret" });
    let path = "/receive-webhook/configs?user_id=9d2c1a52-6f0e-4d1b-9a4e-0f6a3e0a7a11";
    assert_eq!(app.post_as_service(path, &body.to_string()).status(), 201);
    let row = app.calls()[0].json();
    let [key, secret] = ["alpaca_api_key_sealed", "alpaca_api_secret_sealed"].map(|name| row[name].clone());
    (row["id"].clone(), json!({ "alpaca_api_key_sealed": key, "alpaca_api_secret_sealed": secret }))
}

fn sweep(app: App) -> App {
    assert_eq!(app.post_as_service("/receive-webhook/sweep", "{}").status(), 202);
    app
}

fn holds(quantity: &str) -> Answer {
    Answer::json(json!({ "qty": quantity, "side": "long", "current_price": "100" }))
}

/// What was sent to the broker with this method.
fn sent(app: &App, method: &str) -> Vec<String> {
    let calls = app.calls().into_iter();
    calls.filter(|call| call.method == method && call.url.contains("/v2/")).map(|call| call.url).collect()
}

/// Each order that was settled, with its status.
fn settled(app: &App) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let calls = app.rpc_calls("receive_webhook_settle");
    calls
        .iter()
        .map(|call| format!("{} {}", word(&call["p_order_id"]), word(&call["p_state"]["status"])))
        .collect()
}

/// How the signal was ended, with its first refusal.
fn ended(app: &App) -> Vec<Value> {
    let calls = app.rpc_calls("receive_webhook_finish");
    calls.iter().map(|call| json!([call["p_status"], call["p_refusals"][0]["code"]])).collect()
}

/// When the signal is to be taken up again, and whether this was an attempt.
fn left(app: &App) -> Vec<Value> {
    let calls = app.rpc_calls("receive_webhook_later");
    calls.iter().map(|call| json!([call["p_after_seconds"], call["p_is_attempt"]])).collect()
}

#[test]
fn an_entry_that_is_being_canceled_is_waited_for_and_the_wait_is_no_attempt() {
    let open = json!({ "open_orders": [noted("entry", "entry", "buy", &json!({}))] });
    let app =
        sweep(trader([close(&open)]).on("DELETE", "/v2/orders/at-broker-entry", Answer::status(204, "")).on(
            "GET",
            "/v2/orders/at-broker-entry",
            says("entry", "pending_cancel", "0"),
        ));
    assert_eq!(left(&app), [json!([3, false])]);
    assert!(ended(&app).is_empty(), "{:?}", ended(&app));
}

#[test]
fn an_entry_that_is_filled_while_it_is_being_canceled_is_sold() {
    let open = json!({ "open_orders": [noted("entry", "entry", "buy", &json!({}))] });
    let app = sweep(
        trader([close(&open), close(&json!({}))])
            .on("DELETE", "/v2/orders/at-broker-entry", Answer::status(204, ""))
            .on(
                "GET",
                "/v2/orders/at-broker-entry",
                vec![says("entry", "pending_cancel", "0"), says("entry", "filled", "10")],
            )
            .on("GET", "/v2/positions/AAPL", holds("10"))
            .on("POST", "/v2/orders", says("exit", "filled", "10")),
    );
    assert_eq!(left(&app), [json!([0, true])]);
    assert_eq!(settled(&app), ["entry pending_cancel", "entry filled", "placed filled"]);
    assert_eq!(ended(&app), [json!(["ordered", null])]);
    assert_eq!(app.rpc_calls("receive_webhook_place")[0]["p_account"], OPERATOR);
}

#[test]
fn nothing_is_sold_while_a_stop_still_holds_it() {
    let open = json!({ "open_orders": [noted("stop", "stop_loss", "sell", &json!({}))] });
    let app = sweep(
        trader([close(&open)])
            .on("DELETE", "/v2/orders/at-broker-stop", Answer::status(204, ""))
            .on("GET", "/v2/orders/at-broker-stop", says("stop", "pending_cancel", "0"))
            .on("GET", "/v2/positions/AAPL", holds("10")),
    );
    assert!(sent(&app, "POST").is_empty(), "{:?}", sent(&app, "POST"));
    assert_eq!(left(&app), [json!([3, false])]);
}

#[test]
fn a_stop_that_was_filled_before_it_could_be_canceled_is_not_sold_again() {
    let open = json!({ "open_orders": [noted("stop", "stop_loss", "sell", &json!({}))] });
    let app = sweep(
        trader([close(&open), close(&json!({}))])
            .on(
                "DELETE",
                "/v2/orders/at-broker-stop",
                refuses(422, 42_210_000, "order is already in \"filled\" state"),
            )
            .on("GET", "/v2/orders/at-broker-stop", says("stop", "filled", "10"))
            .on(
                "GET",
                "/v2/positions/AAPL",
                vec![holds("10"), refuses(404, 40_410_000, "position does not exist")],
            ),
    );
    assert!(sent(&app, "POST").is_empty(), "{:?}", sent(&app, "POST"));
    assert_eq!(settled(&app), ["stop filled"]);
    assert_eq!(ended(&app), [json!(["refused", "NOTHING_TO_EXIT"])]);
}

#[test]
fn in_simulation_too_what_is_held_is_read_again_once_orders_were_canceled() {
    let book = json!({ "simulated": true, "held": { "quantity": "10" }, "orders": [] });
    let mut first = book.clone();
    first["open_orders"] = json!([noted("stop", "stop_loss", "sell", &json!({ "simulated": true }))]);
    let app =
        sweep(trader([close(&first), close(&json!({ "simulated": true, "held": { "quantity": "4" } }))]));
    let placed = app.rpc_calls("receive_webhook_place");
    assert_eq!((placed.len(), &placed[0]["p_order"]["quantity"]), (1, &json!("4")));
}

#[test]
fn whoever_may_not_cancel_is_told_so() {
    let open = json!({ "open_orders": [noted("entry", "entry", "buy", &json!({}))] });
    let app =
        sweep(trader([close(&open)]).on("DELETE", "/v2/orders/", refuses(403, 40_310_000, "forbidden.")));
    assert_eq!(ended(&app), [json!(["failed", "BROKER_REFUSED"])]);
}

#[test]
fn a_close_leaves_alone_what_stands_at_another_account() {
    let (id, own) = own_account("PKOWN");
    let elsewhere =
        noted("elsewhere", "entry", "buy", &json!({ "config_id": "another", "account": OPERATOR }));
    let task = close(&json!({ "config_id": id, "config": own, "open_orders": [elsewhere] }));
    let app = sweep(trader([task]).on(
        "GET",
        "/v2/positions/AAPL",
        refuses(404, 40_410_000, "position does not exist"),
    ));
    assert!(sent(&app, "DELETE").is_empty() && settled(&app).is_empty(), "{:?}", settled(&app));
    assert_eq!(ended(&app), [json!(["refused", "NOTHING_TO_EXIT"])]);
}

#[test]
fn two_webhooks_with_one_account_see_each_others_orders() {
    let ((id, own), (other, others)) = (own_account("PKOWN"), own_account("PKOWN"));
    let open = noted("other", "entry", "buy", &json!({ "config_id": other, "own": others }));
    let app = sweep(
        trader([close(&json!({ "config_id": id, "config": own, "open_orders": [open] }))])
            .on("DELETE", "/v2/orders/at-broker-other", Answer::status(204, ""))
            .on("GET", "/v2/orders/at-broker-other", says("other", "canceled", "0")),
    );
    assert_eq!(settled(&app), ["other canceled"]);
}

#[test]
fn what_stands_at_this_account_is_canceled_whatever_keys_its_webhook_has_by_now() {
    let (changed, keys) = own_account("PKNEW");
    for own in [keys, Value::Null] {
        let more = json!({ "config_id": changed, "own": own, "account": OPERATOR });
        let app = sweep(
            trader([close(&json!({ "open_orders": [noted("other", "entry", "buy", &more)] }))])
                .on("DELETE", "/v2/orders/at-broker-other", Answer::status(204, ""))
                .on("GET", "/v2/orders/at-broker-other", says("other", "canceled", "0")),
        );
        assert_eq!(settled(&app), ["other canceled"]);
    }
}

/// An order of the signal itself whose maker ended without a word.
fn in_doubt(role: &str, more: &Value) -> Value {
    let mut order = noted("doubt", role, "sell", &json!({ "broker_order_id": null, "status": "pending" }));
    for (name, value) in more.as_object().into_iter().flatten() {
        order[name] = value.clone();
    }
    json!([order])
}

fn unknown() -> Answer {
    refuses(404, 40_410_000, "order not found")
}

#[test]
fn an_order_is_sent_to_no_other_account_than_it_was_noted_for() {
    // Its webhook had keys of its own; without them it would trade with the operator's account.
    for role in ["exit", "turn"] {
        let orders = in_doubt(role, &json!({ "config_id": "some", "account": "its own account" }));
        let app = sweep(
            trader([close(&json!({ "orders": orders }))])
                .on("GET", "/v2/orders:by_client_order_id", unknown())
                .on("POST", "/v2/orders", says("doubt", "new", "0")),
        );
        assert!(sent(&app, "POST").is_empty(), "{role}: {:?}", sent(&app, "POST"));
        assert!(settled(&app).is_empty(), "{role}: it may stand at the other account: {:?}", settled(&app));
        assert_eq!(ended(&app), [json!(["refused", "CONFIG_CHANGED"])], "{role}");
    }
}

#[test]
fn a_real_order_is_looked_up_at_the_broker_though_simulation_is_on_by_now() {
    let orders = in_doubt("exit", &json!({ "config_id": "some", "account": OPERATOR }));
    let task = || close(&json!({ "simulated": true, "orders": orders }));
    let found = sweep(trader([task()]).on(
        "GET",
        "/v2/orders:by_client_order_id",
        says("doubt", "partially_filled", "3"),
    ));
    assert_eq!(settled(&found), ["doubt partially_filled"]);
    let lost = sweep(trader([task()]).on("GET", "/v2/orders:by_client_order_id", unknown()).on(
        "POST",
        "/v2/orders",
        says("doubt", "new", "0"),
    ));
    assert!(sent(&lost, "POST").is_empty(), "{:?}", sent(&lost, "POST"));
    assert_eq!(
        (settled(&lost), ended(&lost)),
        (vec!["doubt lost".into()], vec![json!(["refused", "CONFIG_CHANGED"])])
    );
}

#[test]
fn a_simulated_turn_is_followed_by_no_real_order() {
    let turn = |more: &Value| json!([noted("turn", "turn", "sell", more)]);
    let open = turn(&json!({ "simulated": true, "order_type": "market", "status": "partially_filled" }));
    let filled =
        turn(&json!({ "simulated": true, "status": "filled", "filled_quantity": "10", "closed": true }));
    let app = sweep(trader([close(&json!({ "orders": open })), close(&json!({ "orders": filled }))]));
    let asked: Vec<_> = ["GET", "POST"].iter().flat_map(|method| sent(&app, method)).collect();
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(
        (settled(&app), ended(&app)),
        (vec!["turn filled".into()], vec![json!(["refused", "CONFIG_CHANGED"])])
    );
}

#[test]
fn the_sweep_takes_no_order_for_lost_that_may_stand_at_another_account() {
    for (account, status) in [(OPERATOR, "lost"), ("its own account", "new")] {
        let mut open = noted("open", "entry", "buy", &json!({ "account": account }));
        open["signal_open"] = json!(false);
        let app = App::new(receive_webhook::handle)
            .secret("ALPACA_API_KEY", "PK")
            .secret("ALPACA_API_SECRET", "secret")
            .rpc("receive_webhook_waiting", Answer::json(json!([])))
            .rpc("receive_webhook_open_orders", Answer::json(json!([open])))
            .rpc("receive_webhook_settle", Answer::status(204, ""))
            .rpc("notifications_claim", Answer::json(json!([])))
            .on("GET", "/v2/orders/at-broker-open", unknown());
        assert_eq!(settled(&sweep(app)), [format!("open {status}")]);
    }
}

#[test]
fn an_order_that_never_arrived_is_no_success() {
    let orders = json!([noted("lost", "entry", "buy", &json!({ "status": "lost", "closed": true }))]);
    let app = sweep(trader([close(&json!({ "orders": orders }))]));
    assert_eq!(ended(&app), [json!(["failed", "ORDER_LOST"])]);
}

#[test]
fn a_reversal_ends_with_what_the_strategy_holds() {
    let task = |more: &Value| {
        let mut task = close(more);
        task["simulated"] = json!(true);
        task["signal"] = json!({
            "symbol": { "name": "AAPL", "class": "us_equity" }, "action": "buy", "quantity": "20",
            "market_position": "long", "market_position_size": "10",
        });
        task
    };
    let turned = json!({ "simulated": true, "status": "filled", "filled_quantity": "10", "closed": true });
    let app = sweep(trader([
        task(&json!({ "held": { "quantity": "-10" } })),
        task(&json!({ "orders": [noted("turn", "turn", "buy", &turned)] })),
    ]));
    let placed: Vec<_> =
        app.rpc_calls("receive_webhook_place").iter().map(|call| call["p_order"].clone()).collect();
    let sizes: Vec<_> = placed.iter().map(|order| json!([order["intent"], order["quantity"]])).collect();
    assert_eq!(sizes, [json!(["turn", "10"]), json!(["entry", "10"])]);

    // One that is on its way already is not ordered again; at another account it is none.
    for (account, quantity) in [(OPERATOR, "20"), ("another account", "10")] {
        let mut task =
            task(&json!({ "open_orders": [noted("first", "entry", "buy", &json!({ "account": account }))] }));
        task["simulated"] = json!(false);
        let app = sweep(trader([task]).on("GET", "/v2/positions/AAPL", unknown()));
        assert_eq!(app.rpc_calls("receive_webhook_place")[0]["p_order"]["quantity"], quantity);
    }
}

#[test]
fn what_was_not_sent_yet_is_not_sent_once_trading_is_stopped() {
    for (stop, code) in [
        (json!({ "limits": { "kill_switch": true } }), "KILL_SWITCH"),
        (json!({ "is_active": false }), "CONFIG_INACTIVE"),
        (json!({ "age_seconds": 301 }), "SIGNAL_EXPIRED"),
    ] {
        for role in ["exit", "turn"] {
            let mut task = close(&stop);
            task["orders"] = in_doubt(role, &json!({ "config_id": "some", "account": OPERATOR }));
            let app = sweep(trader([task]).on("GET", "/v2/orders:by_client_order_id", unknown()).on(
                "POST",
                "/v2/orders",
                says("doubt", "new", "0"),
            ));
            assert!(sent(&app, "POST").is_empty(), "{role}, {code}: {:?}", sent(&app, "POST"));
            assert_eq!(settled(&app), ["doubt lost"], "{role}, {code}");
            assert_eq!(ended(&app), [json!(["refused", code])], "{role}");
        }
    }
}

#[test]
fn a_refusal_counts_only_where_the_order_is_not_there() {
    let poor = || refuses(403, 40_310_000, "insufficient buying power");
    let sent_again = |found: Answer| {
        sweep(
            trader([close(&json!({ "orders": in_doubt("exit", &json!({ "account": OPERATOR })) }))])
                .on("GET", "/v2/orders:by_client_order_id", vec![unknown(), found])
                .on("POST", "/v2/orders", poor()),
        )
    };
    let there = sent_again(says("doubt", "filled", "10"));
    assert_eq!(
        (settled(&there), ended(&there)),
        (vec!["doubt filled".into()], vec![json!(["ordered", null])])
    );
    let nowhere = sent_again(unknown());
    assert_eq!(
        (settled(&nowhere), ended(&nowhere)),
        (vec!["doubt refused".into()], vec![json!(["failed", "BROKER_REFUSED"])])
    );
    let nobody_knows = sent_again(Answer::status(500, ""));
    assert!(settled(&nobody_knows).is_empty() && ended(&nobody_knows).is_empty());
    assert_eq!(left(&nobody_knows), [json!([2, true])]);
}
