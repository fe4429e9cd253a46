//! All of it together: an alert and the situation in, an order or the reasons against it out.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::bracket::bracket;
use crate::price::{round_limit, round_price, round_quantity};
use crate::risk::{self, Code, Refusal};
use crate::signal::{Wanted, wanted};
use crate::{
    AssetClass, Bracket, Intent, Order, OrderType, Side, Signal, Situation, TimeInForce, Trail, size,
};

/// What becomes of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The order, or why there is none.
    pub outcome: Outcome,
    /// How it came about, in words.
    pub reasons: Vec<String>,
}

/// An order or the reasons against it, one at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// To be placed.
    Place(Box<Order>),
    /// Not to be placed.
    Refuse(Vec<Refusal>),
}

/// Decides. The same arguments always give the same decision.
pub fn decide(signal: &Signal, situation: &Situation<'_>) -> Decision {
    let mut reasons = Vec::new();
    let outcome = match draft(signal, situation, &mut reasons) {
        Ok(order) => match risk::check(&order, situation) {
            refusals if refusals.is_empty() => Outcome::Place(Box::new(order)),
            refusals => Outcome::Refuse(refusals),
        },
        Err(refusal) => Outcome::Refuse(vec![refusal]),
    };
    Decision { outcome, reasons }
}

fn draft(signal: &Signal, situation: &Situation<'_>, reasons: &mut Vec<String>) -> Result<Order, Refusal> {
    if let Some(refusal) = risk::closed(situation, signal.symbol.class) {
        return Err(refusal);
    }
    match wanted(signal, situation.position.quantity)? {
        Wanted::Entry(side) => entry(signal, situation, side, reasons),
        Wanted::Exit { side, whole } => exit(signal, situation, side, whole, reasons),
        Wanted::Turn(side) => {
            reasons.push("the opposite position is closed first".into());
            Ok(Order {
                intent: Intent::Turn,
                ..market(signal, situation, side, situation.position.quantity.abs())
            })
        }
    }
}

fn entry(
    signal: &Signal,
    situation: &Situation<'_>,
    side: Side,
    reasons: &mut Vec<String>,
) -> Result<Order, Refusal> {
    let class = signal.symbol.class;
    let prices = Prices::of(signal, side)?;
    let reference = prices.limit.or(prices.stop).or(signal.price).or(situation.position.last_price);
    let bracket = bracket(signal, class, side, reference)?;
    let (wished, how) = size::entry(signal, situation, reference)?;
    reasons.push(how);

    let divisible = class == AssetClass::Crypto
        || (signal.order_type == OrderType::Market
            && side == Side::Buy
            && bracket.is_empty()
            && matches!(signal.time_in_force, None | Some(TimeInForce::Day)));
    let quantity = round_quantity(wished, divisible);
    if quantity <= Decimal::ZERO {
        let what = if divisible { "nothing" } else { "not one whole share" };
        return Err(Refusal::new(Code::QuantityTooSmall, format!("of {wished} {what} is left to order")));
    }
    if quantity != wished {
        reasons.push(format!("quantity {} cut to {quantity}", wished.normalize()));
    }
    Ok(Order {
        symbol: signal.symbol.clone(),
        side,
        quantity,
        order_type: signal.order_type,
        limit_price: prices.limit,
        stop_price: prices.stop,
        trail: prices.trail,
        time_in_force: time_in_force(signal, !bracket.is_empty())?,
        bracket,
        intent: Intent::Entry,
        reference_price: reference,
    })
}

/// Never more than is held, so that an exit cannot become an entry on the other side.
fn exit(
    signal: &Signal,
    situation: &Situation<'_>,
    side: Side,
    whole: bool,
    reasons: &mut Vec<String>,
) -> Result<Order, Refusal> {
    let held = situation.position.quantity.abs();
    let wished = if whole { held } else { signal.quantity.unwrap_or(held).min(held) };
    let all = wished == held;
    let class = signal.symbol.class;
    // What is held in fractions goes out as a simple day order; a part of it in whole shares.
    let fractional = class == AssetClass::Crypto || all || signal.order_type == OrderType::Market;
    let quantity = round_quantity(wished, fractional);
    if quantity <= Decimal::ZERO {
        return Err(Refusal::new(Code::QuantityTooSmall, format!("of {wished} nothing is left to order")));
    }
    reasons.push(if all { format!("closes all of {held}") } else { format!("closes {quantity} of {held}") });
    let is_fraction = class == AssetClass::UsEquity && !quantity.fract().is_zero();
    if whole || is_fraction || signal.order_type == OrderType::Market {
        return Ok(market(signal, situation, side, quantity));
    }
    let prices = Prices::of(signal, side)?;
    Ok(Order {
        order_type: signal.order_type,
        limit_price: prices.limit,
        stop_price: prices.stop,
        trail: prices.trail,
        time_in_force: time_in_force(signal, false)?,
        ..market(signal, situation, side, quantity)
    })
}

/// A market order that closes.
fn market(signal: &Signal, situation: &Situation<'_>, side: Side, quantity: Decimal) -> Order {
    let crypto = signal.symbol.class == AssetClass::Crypto;
    Order {
        symbol: signal.symbol.clone(),
        side,
        quantity,
        order_type: OrderType::Market,
        limit_price: None,
        stop_price: None,
        trail: None,
        time_in_force: if crypto { TimeInForce::Gtc } else { TimeInForce::Day },
        bracket: Bracket::default(),
        intent: Intent::Exit,
        reference_price: signal.price.or(situation.position.last_price),
    }
}

struct Prices {
    limit: Option<Decimal>,
    stop: Option<Decimal>,
    trail: Option<Trail>,
}

impl Prices {
    /// The prices that the order type needs, in the exchange's increments, and no other.
    fn of(signal: &Signal, side: Side) -> Result<Self, Refusal> {
        let class = signal.symbol.class;
        let invalid = |message: &str| Refusal::new(Code::OrderTypeInvalid, message);
        let limit = |fallback: Option<Decimal>| {
            let price =
                signal.limit_price.or(fallback).ok_or_else(|| invalid("the order needs a limit price"))?;
            Some(round_limit(class, side, price))
                .filter(|price| !price.is_zero())
                .map(Some)
                .ok_or_else(|| invalid("the limit price is below the smallest increment"))
        };
        let stop = |fallback: Option<Decimal>| {
            let price =
                signal.stop_price.or(fallback).ok_or_else(|| invalid("the order needs a stop price"))?;
            Some(round_price(class, price))
                .filter(|price| !price.is_zero())
                .map(Some)
                .ok_or_else(|| invalid("the stop price is below the smallest increment"))
        };
        let none = Self { limit: None, stop: None, trail: None };
        match signal.order_type {
            OrderType::Market => Ok(none),
            OrderType::Limit => Ok(Self { limit: limit(signal.price)?, ..none }),
            OrderType::Stop if class == AssetClass::Crypto => {
                Err(invalid("coins take no stop orders, but stop-limit"))
            }
            OrderType::Stop => Ok(Self { stop: stop(signal.price)?, ..none }),
            OrderType::StopLimit => Ok(Self { limit: limit(signal.price)?, stop: stop(None)?, ..none }),
            OrderType::TrailingStop if class == AssetClass::Crypto => {
                Err(invalid("coins take no trailing stops"))
            }
            OrderType::TrailingStop => {
                let trail = signal
                    .trail
                    .ok_or_else(|| invalid("a trailing stop needs trail_percent or trail_price"))?;
                Ok(Self { trail: Some(trail), ..none })
            }
        }
    }
}

/// What the broker takes: coins stand until canceled or not at all, brackets and trailing stops for a
/// day or until canceled.
fn time_in_force(signal: &Signal, has_bracket: bool) -> Result<TimeInForce, Refusal> {
    use TimeInForce::{Day, Fok, Gtc, Ioc};
    let asked = signal.time_in_force;
    if signal.symbol.class == AssetClass::Crypto {
        return match asked {
            Some(Ioc) => Ok(Ioc),
            None | Some(Gtc | Day) => Ok(Gtc),
            Some(Fok) => Err(Refusal::new(Code::OrderTypeInvalid, "coins take gtc and ioc only")),
        };
    }
    match asked {
        Some(Ioc | Fok) if has_bracket || signal.order_type == OrderType::TrailingStop => {
            Err(Refusal::new(Code::OrderTypeInvalid, "brackets and trailing stops take day and gtc only"))
        }
        asked => Ok(asked.unwrap_or(Day)),
    }
}
