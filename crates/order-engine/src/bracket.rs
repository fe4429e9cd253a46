//! The stop loss and take profit that go out with an entry.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::price::round_price;
use crate::risk::{Code, Refusal};
use crate::{AssetClass, Side, Signal};

/// Both make a bracket order, one of them a one-triggers-other, none a simple order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bracket {
    /// The stop price of the leg that ends a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Decimal>,
    /// The limit price of the leg that takes a gain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<Decimal>,
}

impl Bracket {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.stop_loss.is_none() && self.take_profit.is_none()
    }
}

/// The least distance between the stop loss and the price of the entry.
const CENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// The bracket of an entry at this price, where a price is known: a buyer's stop loss is below it and
/// the take profit above, a short seller's the other way round.
pub(crate) fn bracket(
    signal: &Signal,
    class: AssetClass,
    side: Side,
    price: Option<Decimal>,
) -> Result<Bracket, Refusal> {
    let wrong = |message: String| Err(Refusal::new(Code::BracketInvalid, message));
    let bracket = Bracket {
        stop_loss: signal.stop_loss.map(|price| round_price(class, price)),
        take_profit: signal.take_profit.map(|price| round_price(class, price)),
    };
    if bracket.is_empty() {
        return Ok(bracket);
    }
    if class == AssetClass::Crypto {
        return wrong("the broker takes no stop loss or take profit with an order for coins".into());
    }
    if [bracket.stop_loss, bracket.take_profit].contains(&Some(Decimal::ZERO)) {
        return wrong("a leg's price is below the smallest increment".into());
    }
    // Is `a` on the losing side of `b`, by a cent at least?
    let below = |a: Decimal, b: Decimal| match side {
        Side::Buy => a + CENT <= b,
        Side::Sell => a >= b + CENT,
    };
    let (low, high) = if side == Side::Buy { ("below", "above") } else { ("above", "below") };
    if let (Some(stop), Some(target)) = (bracket.stop_loss, bracket.take_profit)
        && !below(stop, target)
    {
        return wrong(format!("the stop loss {stop} must be {low} the take profit {target}"));
    }
    let Some(price) = price else { return Ok(bracket) };
    if let Some(stop) = bracket.stop_loss
        && !below(stop, price)
    {
        return wrong(format!("the stop loss {stop} must be {low} the price {price}"));
    }
    if let Some(target) = bracket.take_profit
        && !below(price, target)
    {
        return wrong(format!("the take profit {target} must be {high} the price {price}"));
    }
    Ok(bracket)
}
