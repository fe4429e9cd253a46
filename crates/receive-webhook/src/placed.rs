//! An order as it is noted, and how it stands at the broker.

use order_engine::{
    AssetClass, Bracket, Decimal, Intent, Order, OrderType, Side, Symbol, TimeInForce, Trail,
};
use serde::{Deserialize, Serialize};

use crate::config::OwnAccount;

/// An order as it is noted.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Placed {
    pub(crate) order_id: String,
    pub(crate) client_order_id: String,
    #[serde(default)]
    pub(crate) broker_order_id: Option<String>,
    pub(crate) simulated: bool,
    pub(crate) role: String,
    pub(crate) symbol: String,
    pub(crate) asset_class: AssetClass,
    pub(crate) side: Side,
    pub(crate) order_type: OrderType,
    pub(crate) quantity: Decimal,
    #[serde(default)]
    pub(crate) limit_price: Option<Decimal>,
    #[serde(default)]
    pub(crate) stop_price: Option<Decimal>,
    #[serde(default)]
    pub(crate) trail_price: Option<Decimal>,
    #[serde(default)]
    pub(crate) trail_percent: Option<Decimal>,
    pub(crate) time_in_force: TimeInForce,
    #[serde(default)]
    pub(crate) stop_loss: Option<Decimal>,
    #[serde(default)]
    pub(crate) take_profit: Option<Decimal>,
    #[serde(default)]
    pub(crate) reference_price: Option<Decimal>,
    pub(crate) status: String,
    pub(crate) filled_quantity: Decimal,
    #[serde(default)]
    pub(crate) filled_avg_price: Option<Decimal>,
    pub(crate) closed: bool,
    pub(crate) age_seconds: i64,
    /// The webhook it comes from; none when that was removed.
    #[serde(default)]
    pub(crate) config_id: Option<String>,
    /// Where it was sent.
    #[serde(default)]
    pub(crate) account: Option<String>,
    /// The keys that its webhook has by now.
    #[serde(default)]
    pub(crate) own: Option<OwnAccount>,
}

impl Placed {
    /// An order that this process has placed itself.
    pub(crate) fn of(order_id: &str, client_order_id: &str, order: &Order, state: &State) -> Self {
        Self {
            order_id: order_id.to_owned(),
            client_order_id: client_order_id.to_owned(),
            broker_order_id: state.broker_order_id.clone(),
            simulated: false,
            role: String::new(),
            symbol: order.symbol.name.clone(),
            asset_class: order.symbol.class,
            side: order.side,
            order_type: order.order_type,
            quantity: order.quantity,
            limit_price: order.limit_price,
            stop_price: order.stop_price,
            trail_price: None,
            trail_percent: None,
            time_in_force: order.time_in_force,
            stop_loss: order.bracket.stop_loss,
            take_profit: order.bracket.take_profit,
            reference_price: order.reference_price,
            status: state.status.clone(),
            filled_quantity: state.filled_quantity,
            filled_avg_price: state.filled_avg_price,
            closed: state.is_final(),
            age_seconds: 0,
            config_id: None,
            account: None,
            own: None,
        }
    }

    /// As it was decided, to be sent once more.
    pub(crate) fn order(&self) -> Order {
        Order {
            symbol: Symbol { name: self.symbol.clone(), class: self.asset_class },
            side: self.side,
            quantity: self.quantity,
            order_type: self.order_type,
            limit_price: self.limit_price,
            stop_price: self.stop_price,
            trail: self.trail_price.map(Trail::Price).or(self.trail_percent.map(Trail::Percent)),
            time_in_force: self.time_in_force,
            bracket: Bracket { stop_loss: self.stop_loss, take_profit: self.take_profit },
            intent: match self.role.as_str() {
                "turn" => Intent::Turn,
                "exit" => Intent::Exit,
                _ => Intent::Entry,
            },
            reference_price: self.reference_price,
        }
    }
}

/// What the broker says of an order; what `private.order_settle` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct State {
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broker_order_id: Option<String>,
    pub(crate) filled_quantity: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filled_avg_price: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) legs: Vec<Leg>,
}

/// A stop loss or take profit that the broker placed with an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Leg {
    pub(crate) client_order_id: String,
    pub(crate) role: &'static str,
    pub(crate) order_type: OrderType,
    pub(crate) quantity: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit_price: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_price: Option<Decimal>,
    #[serde(flatten)]
    pub(crate) state: State,
}

impl State {
    /// One without fills.
    pub(crate) fn of(status: &str) -> Self {
        Self { status: status.to_owned(), ..Self::default() }
    }

    /// Whether nothing will happen to it any more.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self.status.as_str(),
            "refused" | "lost" | "filled" | "canceled" | "expired" | "replaced" | "rejected"
        )
    }
}
