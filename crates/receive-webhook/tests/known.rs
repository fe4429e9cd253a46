//! A webhook that was read is read again only when it has changed: what an alert asks of the database.

use ironferry::testing::{Answer, App};
use serde_json::{Value, json};

const ID: &str = "3b241101-e2bb-4255-8caf-4136c566a962";
const ALERT: &str = r#"{"passphrase":"open sesame","ticker":"AAPL","action":"buy"}"#;
const OTHER: &str = r#"{"passphrase":"another one","ticker":"AAPL","action":"buy"}"#;
/// SHA-256 of the passphrases.
const OPEN_SESAME: &str = "sha256:41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";
const ANOTHER_ONE: &str = "sha256:08518b71617eb0b46c053f3766069649f664e9a3fbaca168d6a861fbec870082";

fn read(token: &str, version: &str) -> Answer {
    Answer::json(json!([{
        "id": ID, "security_token": token, "is_active": true, "source": "other", "allowed_ips": null,
        "hmac_secret_sealed": null, "hmac_required": false, "freshness_seconds": 120, "updated_at": version,
    }]))
}

fn said(outcome: &str) -> Answer {
    Answer::json(json!({ "outcome": outcome, "signal_id": "s" }))
}

fn webhook(reads: Vec<Answer>, outcomes: Vec<Answer>) -> App {
    receive_webhook::forget();
    App::new(receive_webhook::handle)
        .on("GET", "/rest/v1/webhook_configs", reads)
        .rpc("receive_webhook_record", outcomes)
}

fn send(app: &App, alert: &str) -> u16 {
    app.send("POST", &format!("/receive-webhook/{ID}"), &[("content-type", "text/plain")], alert.to_owned())
        .status()
}

fn reads(app: &App) -> usize {
    app.calls().iter().filter(|call| call.url.contains("/webhook_configs")).count()
}

fn versions(app: &App) -> Vec<Value> {
    app.rpc_calls("receive_webhook_record").iter().map(|call| call["p_config_version"].clone()).collect()
}

#[test]
fn a_webhook_is_read_once_for_many_alerts() {
    let app = webhook(vec![read(OPEN_SESAME, "one")], vec![said("duplicate")]);
    for _ in 0..5 {
        assert_eq!(send(&app, ALERT), 200);
    }
    assert_eq!((reads(&app), versions(&app)), (1, vec![json!("one"); 5]));
}

#[test]
fn a_webhook_that_has_changed_is_read_again_and_verifies_again() {
    let app = webhook(
        vec![read(OPEN_SESAME, "one"), read(ANOTHER_ONE, "two")],
        vec![said("duplicate"), said("changed")],
    );
    assert_eq!(send(&app, ALERT), 200);
    assert_eq!(send(&app, ALERT), 401, "the old passphrase is worth nothing");
    assert_eq!((reads(&app), versions(&app)), (2, vec![json!("one"); 2]));
}

#[test]
fn a_refusal_counts_only_by_a_webhook_that_was_just_read() {
    let reads_ = vec![read(OPEN_SESAME, "one"), read(ANOTHER_ONE, "two")];
    let app = webhook(reads_, vec![said("duplicate")]);
    assert_eq!(send(&app, ALERT), 200);
    assert_eq!(send(&app, OTHER), 200, "the new passphrase is good at once");
    assert_eq!((reads(&app), versions(&app)), (2, vec![json!("one"), json!("two")]));
}

#[test]
fn a_webhook_that_is_gone_or_switched_off_is_not_remembered() {
    let gone = Answer::json(json!([]));
    let app = webhook(vec![read(OPEN_SESAME, "one"), gone], vec![said("duplicate"), said("inactive")]);
    assert_eq!(send(&app, ALERT), 200);
    assert_eq!(send(&app, ALERT), 404);
    assert_eq!(reads(&app), 2);
}

#[test]
fn a_webhook_that_changes_again_and_again_is_not_waited_for_for_ever() {
    let app = webhook(vec![read(OPEN_SESAME, "one")], vec![said("changed")]);
    assert_eq!(send(&app, ALERT), 503);
    assert_eq!(reads(&app), 5);
}
