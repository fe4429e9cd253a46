//! An order as the broker takes it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{Bracket, Symbol};

/// Which side of the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Buys.
    Buy,
    /// Sells.
    Sell,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }
}

/// The broker's types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderType {
    /// At once, at the price there is.
    #[default]
    Market,
    /// At this price or better.
    Limit,
    /// A market order once the price has gone so far.
    Stop,
    /// A limit order once the price has gone so far.
    StopLimit,
    /// A stop that follows the price.
    TrailingStop,
}

/// How long an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    /// Until the close.
    Day,
    /// Until canceled.
    Gtc,
    /// What can be had at once, the rest canceled.
    Ioc,
    /// All at once or nothing.
    Fok,
}

/// How far a trailing stop stays behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trail {
    /// In money.
    Price(Decimal),
    /// In percent of the price.
    Percent(Decimal),
}

/// What an order does to the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Opens or enlarges it.
    Entry,
    /// Closes it, or a part.
    Exit,
    /// Closes it, because the alert wants the opposite one. Decide again when it is closed.
    Turn,
}

/// An order that breaks no rule and no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What.
    pub symbol: Symbol,
    /// Which side.
    pub side: Side,
    /// How many shares or coins.
    pub quantity: Decimal,
    /// What kind of order.
    pub order_type: OrderType,
    /// Of limit and stop-limit orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Decimal>,
    /// Of stop and stop-limit orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Decimal>,
    /// Of trailing stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<Trail>,
    /// How long it stands.
    pub time_in_force: TimeInForce,
    /// What is placed with it once it is filled.
    #[serde(default, skip_serializing_if = "Bracket::is_empty")]
    pub bracket: Bracket,
    /// What it does to the position.
    pub intent: Intent,
    /// The price that it was judged by; none where nobody knew one and no limit asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_price: Option<Decimal>,
}
