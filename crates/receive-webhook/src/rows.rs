//! What this crate uses of the schema `public`, written by `ferry gen types --part`
//! from its `rows.toml`. Do not edit.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::all, clippy::pedantic, rustdoc::all)]

use ::serde::{Deserialize, Serialize};

/// A `numeric` as text. PostgREST gives a JSON number, which most readers take for a double: exact up
/// to 15 digits. Select `column::text` where there are more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Numeric(pub String);

impl<'de> Deserialize<'de> for Numeric {
    fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match ::serde_json::Value::deserialize(deserializer)? {
            ::serde_json::Value::String(text) => Ok(Self(text)),
            ::serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(::serde::de::Error::custom(format_args!("{other} is no number"))),
        }
    }
}

/// One row per webhook: who may send alerts to it, and how they become orders.
pub mod admission {
    pub const TABLE: &str = "webhook_configs";
    /// For `select`.
    pub const COLUMNS: &str = "id,security_token,is_active,source,allowed_ips,hmac_secret_sealed,hmac_required,freshness_seconds,updated_at";
    pub const NAMES: [&str; 9] = [
        "id",
        "security_token",
        "is_active",
        "source",
        "allowed_ips",
        "hmac_secret_sealed",
        "hmac_required",
        "freshness_seconds",
        "updated_at",
    ];
    pub const ID: &str = "id";
    pub const SECURITY_TOKEN: &str = "security_token";
    pub const IS_ACTIVE: &str = "is_active";
    pub const SOURCE: &str = "source";
    pub const ALLOWED_IPS: &str = "allowed_ips";
    pub const HMAC_SECRET_SEALED: &str = "hmac_secret_sealed";
    pub const HMAC_REQUIRED: &str = "hmac_required";
    pub const FRESHNESS_SECONDS: &str = "freshness_seconds";
    pub const UPDATED_AT: &str = "updated_at";

    /// These columns of a row of `webhook_configs`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// The last part of the webhook's URL.
        pub id: String,
        /// sha256: and the hash of the passphrase. A trigger hashes what is written in clear (6 to 255 characters).
        pub security_token: ::ironferry::Secret,
        /// Alerts to an inactive webhook are answered 410.
        pub is_active: bool,
        /// tradingview: only its four addresses are let in, unless allowed_ips says otherwise. other: any.
        pub source: String,
        /// Addresses that are let in; an empty list: any. Not set: by the source.
        pub allowed_ips: Option<Vec<String>>,
        /// The sealed key of the signature that a relay may show instead of the passphrase.
        pub hmac_secret_sealed: Option<String>,
        /// Whether the signature must be there; the passphrase alone is refused then.
        pub hmac_required: bool,
        /// An alert whose own time is older is refused; 0: not looked at.
        pub freshness_seconds: i32,
        /// When the row was last changed.
        pub updated_at: String,
    }
}

/// What an owner's alerts may not exceed. What is not set does not limit; no row: no limits.
pub mod limits {
    pub const TABLE: &str = "risk_limits";
    /// For `select`.
    pub const COLUMNS: &str = "user_id,kill_switch,allowed_symbols,max_order_notional,max_position_notional,max_orders_per_day,max_daily_loss,cooldown_seconds,updated_at";
    pub const NAMES: [&str; 9] = [
        "user_id",
        "kill_switch",
        "allowed_symbols",
        "max_order_notional",
        "max_position_notional",
        "max_orders_per_day",
        "max_daily_loss",
        "cooldown_seconds",
        "updated_at",
    ];
    pub const USER_ID: &str = "user_id";
    pub const KILL_SWITCH: &str = "kill_switch";
    pub const ALLOWED_SYMBOLS: &str = "allowed_symbols";
    pub const MAX_ORDER_NOTIONAL: &str = "max_order_notional";
    pub const MAX_POSITION_NOTIONAL: &str = "max_position_notional";
    pub const MAX_ORDERS_PER_DAY: &str = "max_orders_per_day";
    pub const MAX_DAILY_LOSS: &str = "max_daily_loss";
    pub const COOLDOWN_SECONDS: &str = "cooldown_seconds";
    pub const UPDATED_AT: &str = "updated_at";

    /// These columns of a row of `risk_limits`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// The owner.
        pub user_id: String,
        /// On: no order goes out, exits neither.
        pub kill_switch: bool,
        /// Entries in these only, in the broker's spelling: AAPL, BTC/USD.
        pub allowed_symbols: Option<Vec<String>>,
        /// What an entry may cost, in the account's currency.
        pub max_order_notional: Option<super::Numeric>,
        /// What a position with its open entries may be worth.
        pub max_position_notional: Option<super::Numeric>,
        /// Entries a day, UTC.
        pub max_orders_per_day: Option<i32>,
        /// No entries once the equity has lost so much since the day before.
        pub max_daily_loss: Option<super::Numeric>,
        /// Between two entries in one symbol.
        pub cooldown_seconds: Option<i32>,
        /// When the row was last changed.
        pub updated_at: String,
    }
}

/// One row per webhook: who may send alerts to it, and how they become orders.
pub mod secrets {
    pub const TABLE: &str = "webhook_configs";
    /// For `select`.
    pub const COLUMNS: &str =
        "security_token,alpaca_api_key_sealed,alpaca_api_secret_sealed,hmac_secret_sealed";
    pub const NAMES: [&str; 4] =
        ["security_token", "alpaca_api_key_sealed", "alpaca_api_secret_sealed", "hmac_secret_sealed"];
    pub const SECURITY_TOKEN: &str = "security_token";
    pub const ALPACA_API_KEY_SEALED: &str = "alpaca_api_key_sealed";
    pub const ALPACA_API_SECRET_SEALED: &str = "alpaca_api_secret_sealed";
    pub const HMAC_SECRET_SEALED: &str = "hmac_secret_sealed";

    /// These columns of a row of `webhook_configs`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// sha256: and the hash of the passphrase. A trigger hashes what is written in clear (6 to 255 characters).
        pub security_token: String,
        /// The sealed key of the owner's own account at the broker, instead of ALPACA_API_KEY.
        pub alpaca_api_key_sealed: Option<String>,
        /// Its sealed secret, instead of ALPACA_API_SECRET.
        pub alpaca_api_secret_sealed: Option<String>,
        /// The sealed key of the signature that a relay may show instead of the passphrase.
        pub hmac_secret_sealed: Option<String>,
    }
}

/// One row per webhook: who may send alerts to it, and how they become orders.
pub mod settable {
    pub const TABLE: &str = "webhook_configs";
    /// For `select`.
    pub const COLUMNS: &str = "name,description,notification_preferences,is_active,source,allowed_ips,hmac_required,freshness_seconds,act_within_seconds,rate_limit_per_minute,simulation_mode,default_order_quantity,position_sizing_method,position_size_value,alpaca_api_url";
    pub const NAMES: [&str; 15] = [
        "name",
        "description",
        "notification_preferences",
        "is_active",
        "source",
        "allowed_ips",
        "hmac_required",
        "freshness_seconds",
        "act_within_seconds",
        "rate_limit_per_minute",
        "simulation_mode",
        "default_order_quantity",
        "position_sizing_method",
        "position_size_value",
        "alpaca_api_url",
    ];
    pub const NAME: &str = "name";
    pub const DESCRIPTION: &str = "description";
    pub const NOTIFICATION_PREFERENCES: &str = "notification_preferences";
    pub const IS_ACTIVE: &str = "is_active";
    pub const SOURCE: &str = "source";
    pub const ALLOWED_IPS: &str = "allowed_ips";
    pub const HMAC_REQUIRED: &str = "hmac_required";
    pub const FRESHNESS_SECONDS: &str = "freshness_seconds";
    pub const ACT_WITHIN_SECONDS: &str = "act_within_seconds";
    pub const RATE_LIMIT_PER_MINUTE: &str = "rate_limit_per_minute";
    pub const SIMULATION_MODE: &str = "simulation_mode";
    pub const DEFAULT_ORDER_QUANTITY: &str = "default_order_quantity";
    pub const POSITION_SIZING_METHOD: &str = "position_sizing_method";
    pub const POSITION_SIZE_VALUE: &str = "position_size_value";
    pub const ALPACA_API_URL: &str = "alpaca_api_url";

    /// These columns of a row of `webhook_configs`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// For people.
        pub name: String,
        /// For people.
        pub description: Option<String>,
        /// on_success and on_failure (or onSuccess, onFailure): whether to tell; url: whom; format: slack, discord or json, guessed from the URL.
        pub notification_preferences: ::serde_json::Value,
        /// Alerts to an inactive webhook are answered 410.
        pub is_active: bool,
        /// tradingview: only its four addresses are let in, unless allowed_ips says otherwise. other: any.
        pub source: String,
        /// Addresses that are let in; an empty list: any. Not set: by the source.
        pub allowed_ips: Option<Vec<String>>,
        /// Whether the signature must be there; the passphrase alone is refused then.
        pub hmac_required: bool,
        /// An alert whose own time is older is refused; 0: not looked at.
        pub freshness_seconds: i32,
        /// An alert that could not be acted on within that time is refused: the market has moved on.
        pub act_within_seconds: i32,
        /// Alerts a minute that are let in; duplicates do not count.
        pub rate_limit_per_minute: i32,
        /// Instead of SIMULATION_MODE. False counts with an account of its own only, unless SIMULATION_MODE is false.
        pub simulation_mode: Option<bool>,
        /// Instead of DEFAULT_ORDER_QUANTITY.
        pub default_order_quantity: Option<super::Numeric>,
        /// Instead of POSITION_SIZING_METHOD: fixed, percentage or risk.
        pub position_sizing_method: Option<String>,
        /// Instead of POSITION_SIZE_VALUE.
        pub position_size_value: Option<super::Numeric>,
        /// Instead of ALPACA_API_URL; counts with an account of its own only.
        pub alpaca_api_url: Option<String>,
    }
}

/// What an owner's alerts may not exceed. What is not set does not limit; no row: no limits.
pub mod settable_limits {
    pub const TABLE: &str = "risk_limits";
    /// For `select`.
    pub const COLUMNS: &str = "kill_switch,allowed_symbols,max_order_notional,max_position_notional,max_orders_per_day,max_daily_loss,cooldown_seconds";
    pub const NAMES: [&str; 7] = [
        "kill_switch",
        "allowed_symbols",
        "max_order_notional",
        "max_position_notional",
        "max_orders_per_day",
        "max_daily_loss",
        "cooldown_seconds",
    ];
    pub const KILL_SWITCH: &str = "kill_switch";
    pub const ALLOWED_SYMBOLS: &str = "allowed_symbols";
    pub const MAX_ORDER_NOTIONAL: &str = "max_order_notional";
    pub const MAX_POSITION_NOTIONAL: &str = "max_position_notional";
    pub const MAX_ORDERS_PER_DAY: &str = "max_orders_per_day";
    pub const MAX_DAILY_LOSS: &str = "max_daily_loss";
    pub const COOLDOWN_SECONDS: &str = "cooldown_seconds";

    /// These columns of a row of `risk_limits`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// On: no order goes out, exits neither.
        pub kill_switch: bool,
        /// Entries in these only, in the broker's spelling: AAPL, BTC/USD.
        pub allowed_symbols: Option<Vec<String>>,
        /// What an entry may cost, in the account's currency.
        pub max_order_notional: Option<super::Numeric>,
        /// What a position with its open entries may be worth.
        pub max_position_notional: Option<super::Numeric>,
        /// Entries a day, UTC.
        pub max_orders_per_day: Option<i32>,
        /// No entries once the equity has lost so much since the day before.
        pub max_daily_loss: Option<super::Numeric>,
        /// Between two entries in one symbol.
        pub cooldown_seconds: Option<i32>,
    }
}

/// One row per webhook: who may send alerts to it, and how they become orders.
pub mod shown {
    pub const TABLE: &str = "webhook_configs";
    /// For `select`.
    pub const COLUMNS: &str = "id,user_id,name,description,webhook_url,notification_preferences,is_active,source,allowed_ips,hmac_required,freshness_seconds,act_within_seconds,rate_limit_per_minute,simulation_mode,default_order_quantity,position_sizing_method,position_size_value,alpaca_api_url,created_at,updated_at";
    pub const NAMES: [&str; 20] = [
        "id",
        "user_id",
        "name",
        "description",
        "webhook_url",
        "notification_preferences",
        "is_active",
        "source",
        "allowed_ips",
        "hmac_required",
        "freshness_seconds",
        "act_within_seconds",
        "rate_limit_per_minute",
        "simulation_mode",
        "default_order_quantity",
        "position_sizing_method",
        "position_size_value",
        "alpaca_api_url",
        "created_at",
        "updated_at",
    ];
    pub const ID: &str = "id";
    pub const USER_ID: &str = "user_id";
    pub const NAME: &str = "name";
    pub const DESCRIPTION: &str = "description";
    pub const WEBHOOK_URL: &str = "webhook_url";
    pub const NOTIFICATION_PREFERENCES: &str = "notification_preferences";
    pub const IS_ACTIVE: &str = "is_active";
    pub const SOURCE: &str = "source";
    pub const ALLOWED_IPS: &str = "allowed_ips";
    pub const HMAC_REQUIRED: &str = "hmac_required";
    pub const FRESHNESS_SECONDS: &str = "freshness_seconds";
    pub const ACT_WITHIN_SECONDS: &str = "act_within_seconds";
    pub const RATE_LIMIT_PER_MINUTE: &str = "rate_limit_per_minute";
    pub const SIMULATION_MODE: &str = "simulation_mode";
    pub const DEFAULT_ORDER_QUANTITY: &str = "default_order_quantity";
    pub const POSITION_SIZING_METHOD: &str = "position_sizing_method";
    pub const POSITION_SIZE_VALUE: &str = "position_size_value";
    pub const ALPACA_API_URL: &str = "alpaca_api_url";
    pub const CREATED_AT: &str = "created_at";
    pub const UPDATED_AT: &str = "updated_at";

    /// These columns of a row of `webhook_configs`.
    #[derive(Clone, Debug, ::serde::Deserialize)]
    pub struct Row {
        /// The last part of the webhook's URL.
        pub id: String,
        /// The owner.
        pub user_id: String,
        /// For people.
        pub name: String,
        /// For people.
        pub description: Option<String>,
        /// Where alerts are sent. Written by the function.
        pub webhook_url: Option<String>,
        /// on_success and on_failure (or onSuccess, onFailure): whether to tell; url: whom; format: slack, discord or json, guessed from the URL.
        pub notification_preferences: ::serde_json::Value,
        /// Alerts to an inactive webhook are answered 410.
        pub is_active: bool,
        /// tradingview: only its four addresses are let in, unless allowed_ips says otherwise. other: any.
        pub source: String,
        /// Addresses that are let in; an empty list: any. Not set: by the source.
        pub allowed_ips: Option<Vec<String>>,
        /// Whether the signature must be there; the passphrase alone is refused then.
        pub hmac_required: bool,
        /// An alert whose own time is older is refused; 0: not looked at.
        pub freshness_seconds: i32,
        /// An alert that could not be acted on within that time is refused: the market has moved on.
        pub act_within_seconds: i32,
        /// Alerts a minute that are let in; duplicates do not count.
        pub rate_limit_per_minute: i32,
        /// Instead of SIMULATION_MODE. False counts with an account of its own only, unless SIMULATION_MODE is false.
        pub simulation_mode: Option<bool>,
        /// Instead of DEFAULT_ORDER_QUANTITY.
        pub default_order_quantity: Option<super::Numeric>,
        /// Instead of POSITION_SIZING_METHOD: fixed, percentage or risk.
        pub position_sizing_method: Option<String>,
        /// Instead of POSITION_SIZE_VALUE.
        pub position_size_value: Option<super::Numeric>,
        /// Instead of ALPACA_API_URL; counts with an account of its own only.
        pub alpaca_api_url: Option<String>,
        /// When the row was made.
        pub created_at: String,
        /// When the row was last changed.
        pub updated_at: String,
    }
}

/// Ends a signal as ordered, refused or failed. False when another has it by now; then nothing changes.
pub mod receive_webhook_finish {
    pub const NAME: &str = "receive_webhook_finish";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Refusals: ?Sized, Reasons: ?Sized> {
        pub p_signal_id: &'a str,
        pub p_lease_id: &'a str,
        pub p_status: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_refusals: Option<&'a Refusals>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_reasons: Option<&'a Reasons>,
    }

    /// What it gives.
    pub type Output = bool;
}

/// Leaves a signal for a later attempt. What is no attempt does not count to those after which a signal is given up.
pub mod receive_webhook_later {
    pub const NAME: &str = "receive_webhook_later";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_signal_id: &'a str,
        pub p_lease_id: &'a str,
        pub p_after_seconds: i32,
        pub p_error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_is_attempt: Option<bool>,
    }

    /// What it gives.
    pub type Output = bool;
}

/// Takes or keeps the owner's turn and gives the oldest signal that is due, and before which none of its symbol waits, with all that its decision is made from; without one, gives the turn back. Null when another has the turn.
pub mod receive_webhook_next {
    pub const NAME: &str = "receive_webhook_next";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_user_id: &'a str,
        pub p_lease_id: &'a str,
        pub p_lease_seconds: i32,
        pub p_simulation: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_most_attempts: Option<i32>,
    }
}

/// Open orders that the broker is to be asked about, leased. Two calls at once never give the same order.
pub mod receive_webhook_open_orders {
    pub const NAME: &str = "receive_webhook_open_orders";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args {
        pub p_limit: i32,
        pub p_lease_seconds: i32,
    }
}

/// Notes an order and its account before the broker is asked; with a state, as in simulation, its outcome too. The order's id; null when another has the signal.
pub mod receive_webhook_place {
    pub const NAME: &str = "receive_webhook_place";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Order: ?Sized, Reasons: ?Sized, State: ?Sized> {
        pub p_signal_id: &'a str,
        pub p_lease_id: &'a str,
        pub p_client_order_id: &'a str,
        pub p_simulated: bool,
        pub p_order: &'a Order,
        pub p_reasons: &'a Reasons,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_state: Option<&'a State>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_account: Option<&'a str>,
    }

    /// What it gives.
    pub type Output = String;
}

/// Stores an alert once: accepted, duplicate, limited (with retry_after in seconds), inactive, or changed: the webhook is of another version than the caller verified the alert by. is_busy: somebody is at the owner's signals and will come to this one, or it is not due.
pub mod receive_webhook_record {
    pub const NAME: &str = "receive_webhook_record";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, Payload: ?Sized, Signal: ?Sized> {
        pub p_config_id: &'a str,
        pub p_payload: &'a Payload,
        pub p_signal: &'a Signal,
        pub p_content_hash: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_dedupe_key: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_price: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_alert_at: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub p_config_version: Option<&'a str>,
    }
}

/// Notes what the broker says of an order.
pub mod receive_webhook_settle {
    pub const NAME: &str = "receive_webhook_settle";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a, State: ?Sized> {
        pub p_order_id: &'a str,
        pub p_state: &'a State,
    }

    /// What it gives.
    pub type Output = ();
}

/// Owners with signals that nobody is at, the longest waiting first.
pub mod receive_webhook_waiting {
    pub const NAME: &str = "receive_webhook_waiting";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args {
        pub p_limit: i32,
    }
}

/// Gives the turn back though signals may be left.
pub mod receive_webhook_yield {
    pub const NAME: &str = "receive_webhook_yield";

    /// The arguments; those that are None have defaults.
    #[derive(::serde::Serialize)]
    pub struct Args<'a> {
        pub p_user_id: &'a str,
        pub p_lease_id: &'a str,
    }

    /// What it gives.
    pub type Output = ();
}
