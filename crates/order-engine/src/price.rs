//! Prices in the increments that the exchange takes.

use rust_decimal::Decimal;
use rust_decimal::prelude::RoundingStrategy;

use crate::{AssetClass, Side};

/// Coins and fractions of shares have at most nine decimals.
pub(crate) const QUANTITY_DECIMALS: u32 = 9;

/// Rule 612: two decimals from a dollar on, four below. Coins have nine.
fn decimals(class: AssetClass, price: Decimal) -> u32 {
    match class {
        AssetClass::Crypto => 9,
        _ if price >= Decimal::ONE => 2,
        _ => 4,
    }
}

/// A stop or target price, to the nearest increment.
pub fn round_price(class: AssetClass, price: Decimal) -> Decimal {
    price.round_dp_with_strategy(decimals(class, price), RoundingStrategy::MidpointAwayFromZero).normalize()
}

/// A limit price: never worse than what was asked for.
pub fn round_limit(class: AssetClass, side: Side, price: Decimal) -> Decimal {
    let strategy = match side {
        Side::Buy => RoundingStrategy::ToZero,
        Side::Sell => RoundingStrategy::AwayFromZero,
    };
    price.round_dp_with_strategy(decimals(class, price), strategy).normalize()
}

/// A quantity, never more than asked for: whole, or with nine decimals.
pub(crate) fn round_quantity(quantity: Decimal, fractional: bool) -> Decimal {
    let decimals = if fractional { QUANTITY_DECIMALS } else { 0 };
    quantity.round_dp_with_strategy(decimals, RoundingStrategy::ToZero).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_keep_to_the_increments() {
        let price = |text: &str| text.parse::<Decimal>().expect("a number");
        for (asked, nearest, buy, sell) in [
            ("290.123", "290.12", "290.12", "290.13"),
            ("290.125", "290.13", "290.12", "290.13"),
            ("1", "1", "1", "1"),
            ("0.12345", "0.1235", "0.1234", "0.1235"),
            ("0.99999", "1", "0.9999", "1"),
            ("150.00", "150", "150", "150"),
        ] {
            let class = AssetClass::UsEquity;
            assert_eq!(round_price(class, price(asked)), price(nearest), "{asked}");
            assert_eq!(round_limit(class, Side::Buy, price(asked)), price(buy), "{asked}");
            assert_eq!(round_limit(class, Side::Sell, price(asked)), price(sell), "{asked}");
        }
        let coin = price("0.0000123456789");
        assert_eq!(round_limit(AssetClass::Crypto, Side::Buy, coin), price("0.000012345"));
    }

    #[test]
    fn quantities_are_cut_and_never_rounded_up() {
        let quantity = |text: &str| text.parse::<Decimal>().expect("a number");
        assert_eq!(round_quantity(quantity("3.99"), false), quantity("3"));
        assert_eq!(round_quantity(quantity("0.9999999999"), true), quantity("0.999999999"));
    }
}
