//! Speaks to Postgres: one RPC a verb, each atomic. The SQL is in
//! `supabase/migrations/*_receive_webhook_functions.sql`, `rows` has their names and arguments. What is absent is left
//! out of the arguments and has a default there.

use ironferry::{Context, Raw, Result};
use order_engine::{Decimal, Limits, Order, Position, Refusal, Signal, Usage};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::config::{Config, Overrides};
use crate::no_config;
use crate::placed::{Placed, State};
use crate::rows::{
    admission, receive_webhook_finish, receive_webhook_later, receive_webhook_next,
    receive_webhook_open_orders, receive_webhook_place, receive_webhook_record, receive_webhook_settle,
    receive_webhook_waiting, receive_webhook_yield,
};

/// The webhook; 404 when there is none.
pub(crate) async fn config(cx: &Context, id: &str) -> Result<Config> {
    let query = cx.db().from(admission::TABLE).select(admission::COLUMNS).eq(admission::ID, id);
    query.fetch_optional().await?.ok_or_else(no_config)
}

/// An alert to store.
pub(crate) type Record<'a> = receive_webhook_record::Args<'a, Raw<&'a str>, Signal>;

/// What became of it: `accepted`, `duplicate`, `limited`, `inactive`, or `changed`: the webhook is another by now.
#[derive(Deserialize)]
pub(crate) struct Recorded {
    pub(crate) outcome: String,
    #[serde(default)]
    pub(crate) signal_id: Option<String>,
    #[serde(default)]
    pub(crate) user_id: Option<String>,
    /// Somebody is at the owner's signals and will come to this one, or it is not due.
    #[serde(default)]
    pub(crate) is_busy: bool,
    /// Seconds.
    #[serde(default)]
    pub(crate) retry_after: Option<u32>,
}

/// Stores an alert, once.
pub(crate) async fn record(cx: &Context, arguments: &Record<'_>) -> Result<Recorded> {
    cx.db().rpc(receive_webhook_record::NAME, arguments).fetch().await
}

/// A signal with all that its decision is made from.
#[derive(Deserialize)]
pub(crate) struct Task {
    pub(crate) signal_id: String,
    pub(crate) config_id: Option<String>,
    pub(crate) signal: Signal,
    pub(crate) attempts: u32,
    pub(crate) age_seconds: i64,
    pub(crate) act_within_seconds: Option<i64>,
    pub(crate) is_active: bool,
    pub(crate) simulated: bool,
    pub(crate) last_price: Option<Decimal>,
    pub(crate) config: Overrides,
    pub(crate) limits: Limits,
    pub(crate) usage: Usage,
    pub(crate) held: Option<Position>,
    pub(crate) book: Option<Book>,
    /// Orders of this signal that are noted already, the oldest first.
    pub(crate) orders: Vec<Placed>,
    /// Other open orders in the symbol.
    pub(crate) open_orders: Vec<Placed>,
}

/// What the simulated account has done so far.
#[derive(Default, Deserialize)]
pub(crate) struct Book {
    pub(crate) realised: Decimal,
    pub(crate) realised_today: Decimal,
    pub(crate) unrealised: Decimal,
    pub(crate) invested: Decimal,
}

/// Takes or keeps the owner's turn and gives the next signal; none when there is none or another has
/// the turn.
pub(crate) async fn next(
    cx: &Context,
    user_id: &str,
    lease_id: &str,
    simulation: bool,
) -> Result<Option<Task>> {
    let arguments = receive_webhook_next::Args {
        p_user_id: user_id,
        p_lease_id: lease_id,
        p_lease_seconds: i32::try_from(lease_seconds(cx)?).unwrap_or(i32::MAX),
        p_simulation: simulation,
        p_most_attempts: None,
    };
    cx.db().rpc(receive_webhook_next::NAME, &arguments).fetch().await
}

/// How long a turn lasts that nobody gives back: longer than the slowest broker with its retries.
fn lease_seconds(cx: &Context) -> Result<u32> {
    cx.setting("WEBHOOK_LEASE_SECONDS", 45)
}

/// Gives the turn back though signals may be left.
pub(crate) async fn give_up_turn(cx: &Context, user_id: &str, lease_id: &str) -> Result<()> {
    let arguments = receive_webhook_yield::Args { p_user_id: user_id, p_lease_id: lease_id };
    cx.db().rpc(receive_webhook_yield::NAME, &arguments).execute().await
}

/// An order to note, with its outcome where that is known.
pub(crate) type Place<'a> = receive_webhook_place::Args<'a, Order, [String], State>;

/// Notes an order before the broker is asked, or with its outcome. Its id; none when the lease is lost.
pub(crate) async fn place(cx: &Context, arguments: &Place<'_>) -> Result<Option<String>> {
    cx.db().rpc(receive_webhook_place::NAME, arguments).fetch().await
}

/// Notes what the broker says of an order.
pub(crate) async fn settle(cx: &Context, order_id: &str, state: &State) -> Result<()> {
    let arguments = receive_webhook_settle::Args { p_order_id: order_id, p_state: state };
    cx.db().rpc(receive_webhook_settle::NAME, &arguments).execute().await
}

/// Ends a signal: `ordered`, `refused` or `failed`. False when another has it by now.
pub(crate) async fn finish(
    cx: &Context,
    signal_id: &str,
    lease_id: &str,
    status: &str,
    refusals: &[Value],
    reasons: &[String],
) -> Result<bool> {
    let arguments = receive_webhook_finish::Args {
        p_signal_id: signal_id,
        p_lease_id: lease_id,
        p_status: status,
        p_refusals: (!refusals.is_empty()).then_some(refusals),
        p_reasons: (!reasons.is_empty()).then_some(reasons),
    };
    cx.db().rpc(receive_webhook_finish::NAME, &arguments).fetch().await
}

/// Leaves a signal for a later attempt; after ten that count as such it is given up. False when another has
/// it by now.
pub(crate) async fn later(
    cx: &Context,
    task: &Task,
    lease_id: &str,
    seconds: u64,
    why: &str,
    is_attempt: bool,
) -> Result<bool> {
    let arguments = receive_webhook_later::Args {
        p_signal_id: &task.signal_id,
        p_lease_id: lease_id,
        p_after_seconds: i32::try_from(seconds).unwrap_or(i32::MAX),
        p_error: why,
        p_is_attempt: Some(is_attempt),
    };
    cx.db().rpc(receive_webhook_later::NAME, &arguments).fetch().await
}

/// An open order that the broker is to be asked about.
pub(crate) struct OpenOrder {
    pub(crate) order: Placed,
    pub(crate) about: About,
}

/// What is known of it besides.
#[derive(Deserialize)]
pub(crate) struct About {
    pub(crate) parent_filled: Option<bool>,
    pub(crate) last_price: Option<Decimal>,
    pub(crate) signal_open: bool,
}

/// Both are fields of one object.
impl<'de> Deserialize<'de> for OpenOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let row = Raw::<&str>::deserialize(deserializer)?;
        let read = || Ok(Self { order: row.read()?, about: row.read()? });
        read().map_err(|problem: String| D::Error::custom(problem))
    }
}

/// Leases open orders that are due.
pub(crate) async fn open_orders(cx: &Context, limit: i32) -> Result<Vec<OpenOrder>> {
    let arguments = receive_webhook_open_orders::Args { p_limit: limit, p_lease_seconds: 60 };
    cx.db().rpc(receive_webhook_open_orders::NAME, &arguments).fetch().await
}

/// Owners with signals that nobody is at.
pub(crate) async fn waiting(cx: &Context, limit: i32) -> Result<Vec<String>> {
    let arguments = receive_webhook_waiting::Args { p_limit: limit };
    cx.db().rpc(receive_webhook_waiting::NAME, &arguments).fetch().await
}

/// A refusal of the engine, as it is stored.
pub(crate) fn refusal(refusal: &Refusal) -> Value {
    json!({ "code": refusal.code, "message": refusal.message })
}
