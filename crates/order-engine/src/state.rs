//! What a decision is made from besides the signal.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::Sizing;

/// The broker's account.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Account {
    /// What everything is worth.
    pub equity: Decimal,
    /// The same at the close of the day before.
    pub last_equity: Decimal,
    /// What may be bought for.
    pub buying_power: Decimal,
    /// The broker or the owner has closed it for trading.
    #[serde(default)]
    pub blocked: bool,
    /// Whether shares may be sold short.
    #[serde(default)]
    pub shorting_enabled: bool,
}

/// What is held of the symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Position {
    /// Above zero long, below zero short.
    pub quantity: Decimal,
    /// What the price was last.
    #[serde(default)]
    pub last_price: Option<Decimal>,
}

/// The owner's limits. What is not set does not limit.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Limits {
    /// Nothing goes out, exits neither.
    pub kill_switch: bool,
    /// Entries in these only.
    pub allowed_symbols: Option<Vec<String>>,
    /// An entry costs no more.
    pub max_order_notional: Option<Decimal>,
    /// A position with its open entries is worth no more.
    pub max_position_notional: Option<Decimal>,
    /// Entries a day, UTC.
    pub max_orders_per_day: Option<u32>,
    /// No entries once so much was lost since the day before.
    pub max_daily_loss: Option<Decimal>,
    /// Between two entries in one symbol.
    pub cooldown_seconds: Option<u32>,
}

/// The day so far.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Usage {
    /// Entries since midnight, UTC.
    pub orders_today: u32,
    /// Since the last entry in the symbol.
    pub seconds_since_last: Option<u32>,
    /// What entries in the symbol that are not filled yet would cost.
    pub open_notional: Decimal,
    /// There are such entries.
    pub is_entering: bool,
}

/// How orders are made where the alert does not say.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settings {
    /// How much.
    pub sizing: Sizing,
    /// Of the sizing: a quantity or a percentage.
    pub size_value: Decimal,
    /// With fixed sizing, where the alert names no quantity.
    pub default_quantity: Decimal,
}

/// All of it.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The account.
    pub account: &'a Account,
    /// What is held of the signal's symbol.
    pub position: Position,
    /// The limits.
    pub limits: &'a Limits,
    /// The day so far.
    pub usage: &'a Usage,
    /// The settings.
    pub settings: &'a Settings,
}
