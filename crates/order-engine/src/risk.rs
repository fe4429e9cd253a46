//! Whether an order may go out.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::size::{product, unknown_price};
use crate::{AssetClass, Intent, Order, Side, Situation};

/// Why there is no order. Stable: they are stored and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// The owner has stopped all trading.
    KillSwitch,
    /// The broker has blocked the account.
    AccountBlocked,
    /// Not one of the allowed symbols.
    SymbolNotAllowed,
    /// Currency pairs are not traded.
    ForexNotTraded,
    /// Coins cannot be sold short.
    CryptoShort,
    /// The account may not sell short.
    ShortNotAllowed,
    /// Action and market position contradict each other.
    Contradiction,
    /// There is no such position.
    NothingToExit,
    /// The sizing cannot be reckoned.
    SizeUnknown,
    /// Nothing is left once the quantity is cut to what the exchange takes.
    QuantityTooSmall,
    /// A limit or a size needs a price, and there is none.
    PriceUnknown,
    /// The order type lacks its price, or is not taken for this kind of asset.
    OrderTypeInvalid,
    /// Stop loss or take profit on the wrong side, or not taken.
    BracketInvalid,
    /// The order costs more than one may.
    MaxOrderNotional,
    /// The position would be worth more than it may.
    MaxPosition,
    /// As many entries as a day may have.
    MaxOrdersPerDay,
    /// As much was lost as a day may lose.
    DailyLoss,
    /// Too soon after the last entry in the symbol.
    Cooldown,
    /// The account has not the money.
    BuyingPower,
}

/// One reason against an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A reason.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What holds before anything is reckoned: for exits too.
pub(crate) fn closed(situation: &Situation<'_>, class: AssetClass) -> Option<Refusal> {
    if situation.limits.kill_switch {
        return Some(Refusal::new(Code::KillSwitch, "the kill switch is on"));
    }
    if situation.account.blocked {
        return Some(Refusal::new(Code::AccountBlocked, "the account is blocked for trading"));
    }
    (class == AssetClass::Forex)
        .then(|| Refusal::new(Code::ForexNotTraded, "the broker does not trade currency pairs"))
}

/// All that speaks against an order. Exits only make the position smaller, so no limit holds them up.
pub(crate) fn check(order: &Order, situation: &Situation<'_>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if order.intent != Intent::Entry {
        return refusals;
    }
    let mut refuse = |code, message: String| refusals.push(Refusal { code, message });
    let Situation { account, limits, usage, .. } = *situation;
    let symbol = &order.symbol.name;

    if let Some(allowed) = &limits.allowed_symbols
        && !allowed.iter().any(|one| one.eq_ignore_ascii_case(symbol))
    {
        refuse(Code::SymbolNotAllowed, format!("{symbol} is not among the allowed symbols"));
    }
    if order.side == Side::Sell {
        if order.symbol.class == AssetClass::Crypto {
            refuse(Code::CryptoShort, "coins cannot be sold short".into());
        } else if !account.shorting_enabled {
            refuse(Code::ShortNotAllowed, "the account may not sell short".into());
        }
    }
    if let Some(most) = limits.max_orders_per_day
        && usage.orders_today >= most
    {
        refuse(Code::MaxOrdersPerDay, format!("{} of {most} orders a day are placed", usage.orders_today));
    }
    if let Some(most) = limits.max_daily_loss {
        let lost = account.last_equity - account.equity;
        if lost >= most {
            refuse(Code::DailyLoss, format!("{lost} of {most} a day is lost"));
        }
    }
    if let (Some(wait), Some(since)) = (limits.cooldown_seconds, usage.seconds_since_last)
        && since < wait
    {
        refuse(
            Code::Cooldown,
            format!("the last order in {symbol} was {since} s ago, {wait} s must lie between"),
        );
    }
    match notional(order) {
        Ok(notional) => money(notional, situation, &mut refuse),
        Err(refusal) if limits.max_order_notional.is_some() || limits.max_position_notional.is_some() => {
            refusals.push(refusal);
        }
        // The broker checks the buying power again.
        Err(_) => {}
    }
    refusals
}

fn money(notional: Decimal, situation: &Situation<'_>, refuse: &mut impl FnMut(Code, String)) {
    let Situation { account, limits, usage, position, .. } = *situation;
    if let Some(most) = limits.max_order_notional
        && notional > most
    {
        refuse(Code::MaxOrderNotional, format!("the order is worth {notional}, {most} is the most"));
    }
    if let Some(most) = limits.max_position_notional {
        let held = product(position.quantity.abs(), position.last_price.unwrap_or_default());
        let total = held.ok().and_then(|held| held.checked_add(usage.open_notional)?.checked_add(notional));
        let unpriced = !position.quantity.is_zero() && position.last_price.is_none();
        match total {
            Some(total) if !unpriced && total <= most => {}
            Some(total) if !unpriced => {
                refuse(Code::MaxPosition, format!("the position would be worth {total}, {most} is the most"));
            }
            _ => refuse(Code::PriceUnknown, "what the position is worth is not known".into()),
        }
    }
    if notional > account.buying_power {
        refuse(
            Code::BuyingPower,
            format!("the order is worth {notional}, the buying power is {}", account.buying_power),
        );
    }
}

fn notional(order: &Order) -> Result<Decimal, Refusal> {
    let price = order.reference_price.ok_or_else(|| unknown_price("a limit on money"))?;
    product(order.quantity, price)
}
