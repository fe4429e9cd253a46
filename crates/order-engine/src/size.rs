//! How much.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::risk::{Code, Refusal};
use crate::{Signal, Situation};

/// How the quantity of an entry is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizing {
    /// Where nothing is held, as much as the strategy holds; else the alert's quantity; where it names neither,
    /// the default quantity times the value.
    #[default]
    Fixed,
    /// So many percent of the equity.
    Percentage,
    /// As much as loses so many percent of the equity when the stop loss is hit.
    Risk,
}

impl FromStr for Sizing {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.trim().to_ascii_lowercase().as_str() {
            "fixed" => Ok(Sizing::Fixed),
            "percentage" | "percent" => Ok(Sizing::Percentage),
            "risk" => Ok(Sizing::Risk),
            _ => Err(()),
        }
    }
}

/// The quantity of an entry before it is cut to what the exchange takes, and how it came about.
pub(crate) fn entry(
    signal: &Signal,
    situation: &Situation<'_>,
    price: Option<Decimal>,
) -> Result<(Decimal, String), Refusal> {
    let Situation { settings, usage, position, .. } = *situation;
    let equity = situation.account.equity;
    match settings.sizing {
        Sizing::Fixed => {
            // A reversing order is as large as both positions: the one that it closes, which is closed by now, too.
            let is_flat = position.quantity.is_zero() && !usage.is_entering;
            if let Some(size) = signal.market_position_size.filter(|_| is_flat) {
                return Ok((size, format!("quantity {size}, which the strategy holds")));
            }
            if let Some(quantity) = signal.quantity {
                return Ok((quantity, format!("quantity {quantity} from the alert")));
            }
            let quantity = product(settings.default_quantity, settings.size_value)?;
            Ok((quantity, format!("fixed quantity {quantity}")))
        }
        Sizing::Percentage => {
            let price = price.ok_or_else(|| unknown_price("sizing by percentage"))?;
            let money = percent(equity, settings.size_value)?;
            let reason = format!("{} % of equity {equity} at {price}", settings.size_value);
            Ok((quotient(money, price)?, reason))
        }
        Sizing::Risk => {
            let price = price.ok_or_else(|| unknown_price("sizing by risk"))?;
            let stop = signal.stop_loss.ok_or_else(|| {
                Refusal::new(Code::SizeUnknown, "sizing by risk needs a stop_loss in the alert")
            })?;
            let distance = (price - stop).abs();
            if distance.is_zero() {
                return Err(Refusal::new(Code::SizeUnknown, "the stop loss is at the price itself"));
            }
            let money = percent(equity, settings.size_value)?;
            let reason =
                format!("{} % of equity {equity} at risk over {distance} a share", settings.size_value);
            Ok((quotient(money, distance)?, reason))
        }
    }
}

pub(crate) fn unknown_price(what: &str) -> Refusal {
    Refusal::new(
        Code::PriceUnknown,
        format!("{what} needs a price, and neither the alert nor the position has one"),
    )
}

/// What so much costs.
pub(crate) fn product(a: Decimal, b: Decimal) -> Result<Decimal, Refusal> {
    a.checked_mul(b).ok_or_else(too_large)
}

fn quotient(a: Decimal, b: Decimal) -> Result<Decimal, Refusal> {
    a.checked_div(b).ok_or_else(too_large)
}

fn percent(of: Decimal, value: Decimal) -> Result<Decimal, Refusal> {
    quotient(product(of, value)?, Decimal::ONE_HUNDRED)
}

fn too_large() -> Refusal {
    Refusal::new(Code::SizeUnknown, "the numbers are too large to reckon with")
}
