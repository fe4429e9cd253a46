//! What an alert says, and what it wants done to the position.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::risk::{Code, Refusal};
use crate::{OrderType, Side, Symbol, TimeInForce, Trail};

/// The verb of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Buys, to open or to cover.
    Buy,
    /// Sells what is held; to open a short position only together with a market position of short.
    Sell,
    /// Opens long.
    Long,
    /// Opens short.
    Short,
    /// Closes whatever is held.
    Exit,
}

/// What the strategy holds after the order: `{{strategy.market_position}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarketPosition {
    /// More than nothing.
    Long,
    /// Less than nothing.
    Short,
    /// Nothing.
    Flat,
}

/// An alert, read. Numbers are above zero and below 10¹².
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// What is traded.
    pub symbol: Symbol,
    /// The verb.
    pub action: Action,
    /// What the strategy holds afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market_position: Option<MarketPosition>,
    /// How much it holds then, without a sign: `{{strategy.market_position_size}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market_position_size: Option<Decimal>,
    /// The kind of order.
    #[serde(default)]
    pub order_type: OrderType,
    /// Shares or coins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Decimal>,
    /// What the price was when the alert went off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Decimal>,
    /// Of limit and stop-limit orders; the price where it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<Decimal>,
    /// Of stop and stop-limit orders; the price where it is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Decimal>,
    /// Where a loss ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Decimal>,
    /// Where a gain is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<Decimal>,
    /// Of trailing stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<Trail>,
    /// How long the order stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_in_force: Option<TimeInForce>,
}

/// What is to be done to the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Open or enlarge: buying is long, selling short.
    Entry(Side),
    /// Close: all of it, or as much as the alert says.
    Exit {
        /// The side that closes it.
        side: Side,
        /// All, whatever quantity the alert names.
        whole: bool,
    },
    /// Close all of it, and then open the opposite.
    Turn(Side),
}

/// What the alert wants, given what is held: above zero long, below zero short.
pub fn wanted(signal: &Signal, held: Decimal) -> Result<Wanted, Refusal> {
    use Action::{Buy, Exit, Long, Sell, Short};
    let closes = if held.is_sign_negative() { Side::Buy } else { Side::Sell };
    let open = |side: Side| {
        let against = !held.is_zero() && closes == side;
        if against { Wanted::Turn(side) } else { Wanted::Entry(side) }
    };
    let close = |side: Side, whole: bool| {
        if held.is_zero() || closes != side {
            let message = "there is no position to close; to sell short, send market_position short";
            return Err(Refusal::new(Code::NothingToExit, message));
        }
        Ok(Wanted::Exit { side, whole })
    };
    let contradiction = || {
        let message = "action and market_position contradict each other";
        Err(Refusal::new(Code::Contradiction, message))
    };
    let is_short = held.is_sign_negative() && !held.is_zero();
    match (signal.market_position, signal.action) {
        (Some(MarketPosition::Flat), Long | Short)
        | (Some(MarketPosition::Long), Short)
        | (Some(MarketPosition::Short), Long) => contradiction(),
        (Some(MarketPosition::Flat), _) | (None, Exit) => close(closes, true),
        (Some(_), Exit) => close(closes, false),
        (Some(MarketPosition::Long), Buy | Long) | (None, Long) => Ok(open(Side::Buy)),
        (Some(MarketPosition::Short), Sell | Short) | (None, Short) => Ok(open(Side::Sell)),
        (None, Buy) if !is_short => Ok(Wanted::Entry(Side::Buy)),
        (Some(MarketPosition::Short) | None, Buy) => close(Side::Buy, false),
        (Some(MarketPosition::Long) | None, Sell) => close(Side::Sell, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AssetClass, Symbol};

    fn signal(action: Action, market_position: Option<MarketPosition>) -> Signal {
        Signal {
            symbol: Symbol { name: "AAPL".into(), class: AssetClass::UsEquity },
            action,
            market_position,
            market_position_size: None,
            order_type: OrderType::Market,
            quantity: None,
            price: None,
            limit_price: None,
            stop_price: None,
            stop_loss: None,
            take_profit: None,
            trail: None,
            time_in_force: None,
        }
    }

    #[test]
    fn the_pair_of_action_and_position_says_what_is_wanted() {
        use Action::{Buy, Exit, Long, Sell, Short};
        use MarketPosition as Is;
        use Side as To;
        let exit = |side, whole| Ok(Wanted::Exit { side, whole });
        let nothing = Err(Code::NothingToExit);
        let contradiction = Err(Code::Contradiction);
        for (action, after, held, expected) in [
            (Buy, None, 0, Ok(Wanted::Entry(To::Buy))),
            (Buy, None, 5, Ok(Wanted::Entry(To::Buy))),
            (Buy, None, -5, exit(To::Buy, false)),
            (Sell, None, 5, exit(To::Sell, false)),
            (Sell, None, 0, nothing),
            (Sell, None, -5, nothing),
            (Buy, Some(Is::Long), 0, Ok(Wanted::Entry(To::Buy))),
            (Buy, Some(Is::Long), -5, Ok(Wanted::Turn(To::Buy))),
            (Sell, Some(Is::Long), 5, exit(To::Sell, false)),
            (Sell, Some(Is::Short), 0, Ok(Wanted::Entry(To::Sell))),
            (Sell, Some(Is::Short), 5, Ok(Wanted::Turn(To::Sell))),
            (Buy, Some(Is::Short), -5, exit(To::Buy, false)),
            (Sell, Some(Is::Flat), 5, exit(To::Sell, true)),
            (Buy, Some(Is::Flat), -5, exit(To::Buy, true)),
            (Buy, Some(Is::Flat), 0, nothing),
            (Long, None, 0, Ok(Wanted::Entry(To::Buy))),
            (Long, None, -5, Ok(Wanted::Turn(To::Buy))),
            (Short, None, 0, Ok(Wanted::Entry(To::Sell))),
            (Short, None, 5, Ok(Wanted::Turn(To::Sell))),
            (Exit, None, -5, exit(To::Buy, true)),
            (Exit, None, 0, nothing),
            (Long, Some(Is::Flat), 5, contradiction),
            (Short, Some(Is::Long), 5, contradiction),
            (Long, Some(Is::Short), 5, contradiction),
        ] {
            let got = wanted(&signal(action, after), Decimal::from(held)).map_err(|refusal| refusal.code);
            assert_eq!(got, expected, "{action:?} {after:?} {held}");
        }
    }
}
