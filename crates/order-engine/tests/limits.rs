//! No decision breaks a limit, whatever comes in.

use order_engine::{
    Account, Action, AssetClass, Decimal, Intent, Limits, MarketPosition, OrderType, Outcome, Position,
    Settings, Side, Signal, Situation, Sizing, Symbol, TimeInForce, Trail, Usage, decide,
};
use proptest::prelude::*;
use proptest::{option, sample};

/// Up to 10¹² with up to 12 decimals: the most that the parser lets in.
fn amount() -> impl Strategy<Value = Decimal> {
    (1i64..1_000_000, 0u32..=12, 0u32..=6)
        .prop_map(|(digits, scale, power)| Decimal::new(digits, scale) * Decimal::from(10u64.pow(power)))
}

fn money() -> impl Strategy<Value = Decimal> {
    (1i64..10_000_000_000, 0u32..=4).prop_map(|(digits, scale)| Decimal::new(digits, scale))
}

fn signal() -> impl Strategy<Value = Signal> {
    let symbols = sample::select(vec!["AAPL", "BTCUSD", "EURUSD", "MSFT"]);
    let actions = sample::select(vec![Action::Buy, Action::Sell, Action::Long, Action::Short, Action::Exit]);
    let after =
        option::of(sample::select(vec![MarketPosition::Long, MarketPosition::Short, MarketPosition::Flat]));
    let types = sample::select(vec![
        OrderType::Market,
        OrderType::Limit,
        OrderType::Stop,
        OrderType::StopLimit,
        OrderType::TrailingStop,
    ]);
    let times = option::of(sample::select(vec![
        TimeInForce::Day,
        TimeInForce::Gtc,
        TimeInForce::Ioc,
        TimeInForce::Fok,
    ]));
    let numbers = [0; 7].map(|_| option::of(amount()));
    (symbols, actions, after, types, times, numbers, option::of(amount().prop_map(Trail::Percent))).prop_map(
        |(symbol, action, market_position, order_type, time_in_force, numbers, trail)| {
            let [quantity, market_position_size, price, limit_price, stop_price, stop_loss, take_profit] =
                numbers;
            Signal {
                symbol: Symbol::parse(symbol, None).expect("a symbol"),
                action,
                market_position,
                market_position_size,
                order_type,
                quantity,
                price,
                limit_price,
                stop_price,
                stop_loss,
                take_profit,
                trail,
                time_in_force,
            }
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let allowed = option::of(Just(vec!["AAPL".to_owned(), "BTC/USD".to_owned()]));
    (
        prop::bool::weighted(0.1),
        allowed,
        option::of(money()),
        option::of(money()),
        option::of(0u32..20),
        option::of(money()),
        option::of(0u32..100),
    )
        .prop_map(|(kill_switch, allowed_symbols, order, position, orders, loss, cooldown)| Limits {
            kill_switch,
            allowed_symbols,
            max_order_notional: order,
            max_position_notional: position,
            max_orders_per_day: orders,
            max_daily_loss: loss,
            cooldown_seconds: cooldown,
        })
}

fn account() -> impl Strategy<Value = Account> {
    (money(), money(), money(), prop::bool::weighted(0.1), any::<bool>()).prop_map(
        |(equity, last_equity, buying_power, blocked, shorting_enabled)| Account {
            equity,
            last_equity,
            buying_power,
            blocked,
            shorting_enabled,
        },
    )
}

fn position() -> impl Strategy<Value = Position> {
    (option::of((amount(), any::<bool>())), option::of(amount())).prop_map(|(held, last_price)| Position {
        // The broker knows nine decimals.
        quantity: held.map_or(Decimal::ZERO, |(quantity, short)| {
            let quantity = quantity.round_dp(9);
            if short { -quantity } else { quantity }
        }),
        last_price,
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    (0u32..20, option::of(0u32..100), option::of(money())).prop_map(
        |(orders_today, seconds_since_last, open)| Usage {
            is_entering: open.is_some(),
            orders_today,
            seconds_since_last,
            open_notional: open.unwrap_or_default(),
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let sizings = sample::select(vec![Sizing::Fixed, Sizing::Percentage, Sizing::Risk]);
    (sizings, amount(), amount()).prop_map(|(sizing, size_value, default_quantity)| Settings {
        sizing,
        size_value,
        default_quantity,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_decision_breaks_a_limit(
        signal in signal(), limits in limits(), account in account(), position in position(),
        usage in usage(), settings in settings(),
    ) {
        let situation = Situation { account: &account, position, limits: &limits, usage: &usage, settings: &settings };
        let decision = decide(&signal, &situation);
        prop_assert_eq!(&decision, &decide(&signal, &situation));
        let order = match decision.outcome {
            Outcome::Refuse(refusals) => {
                prop_assert!(!refusals.is_empty());
                return Ok(());
            }
            Outcome::Place(order) => *order,
        };
        prop_assert!(!limits.kill_switch && !account.blocked);
        prop_assert!(order.quantity > Decimal::ZERO && order.quantity.scale() <= 9);
        prop_assert_eq!(&order.symbol, &signal.symbol);
        prop_assert!(order.symbol.class != AssetClass::Forex);
        let held = position.quantity;
        if order.intent != Intent::Entry {
            prop_assert!(order.quantity <= held.abs(), "an exit never turns the position");
            prop_assert_eq!(order.side, if held > Decimal::ZERO { Side::Sell } else { Side::Buy });
            return Ok(());
        }

        prop_assert!(held.is_zero() || (held > Decimal::ZERO) == (order.side == Side::Buy));
        if let Some(allowed) = &limits.allowed_symbols {
            prop_assert!(allowed.contains(&order.symbol.name));
        }
        if order.side == Side::Sell {
            prop_assert!(order.symbol.class == AssetClass::UsEquity && account.shorting_enabled);
        }
        prop_assert!(limits.max_orders_per_day.is_none_or(|most| usage.orders_today < most));
        prop_assert!(limits.max_daily_loss.is_none_or(|most| account.last_equity - account.equity < most));
        if let (Some(wait), Some(since)) = (limits.cooldown_seconds, usage.seconds_since_last) {
            prop_assert!(since >= wait);
        }
        let value = order.reference_price.and_then(|price| price.checked_mul(order.quantity));
        if let Some(value) = value {
            prop_assert!(value <= account.buying_power);
        }
        if let Some(most) = limits.max_order_notional {
            prop_assert!(value.is_some_and(|value| value <= most));
        }
        if let Some(most) = limits.max_position_notional {
            let at = position.last_price.unwrap_or_default();
            prop_assert!(held.is_zero() || position.last_price.is_some());
            prop_assert!(value.is_some_and(|value| value + held.abs() * at + usage.open_notional <= most));
        }
    }

    #[test]
    fn no_order_has_what_the_broker_does_not_take(
        signal in signal(), account in account(), position in position(), settings in settings(),
    ) {
        let situation = Situation {
            account: &account, position, limits: &Limits::default(), usage: &Usage::default(), settings: &settings,
        };
        let Outcome::Place(order) = decide(&signal, &situation).outcome else { return Ok(()) };
        let crypto = order.symbol.class == AssetClass::Crypto;
        let fraction = !order.quantity.fract().is_zero();
        let simple = order.order_type == OrderType::Market && order.bracket.is_empty();
        prop_assert!(crypto || !fraction || (simple && order.time_in_force == TimeInForce::Day));
        if crypto {
            prop_assert!(matches!(order.time_in_force, TimeInForce::Gtc | TimeInForce::Ioc));
            prop_assert!(order.bracket.is_empty());
            prop_assert!(matches!(order.order_type, OrderType::Market | OrderType::Limit | OrderType::StopLimit));
        }
        let (limit, stop, trail) = (order.limit_price.is_some(), order.stop_price.is_some(), order.trail.is_some());
        let expected = match order.order_type {
            OrderType::Market => (false, false, false),
            OrderType::Limit => (true, false, false),
            OrderType::Stop => (false, true, false),
            OrderType::StopLimit => (true, true, false),
            OrderType::TrailingStop => (false, false, true),
        };
        prop_assert_eq!((limit, stop, trail), expected);
        if !crypto {
            for price in [order.limit_price, order.stop_price, order.bracket.stop_loss, order.bracket.take_profit] {
                let Some(price) = price else { continue };
                prop_assert!(price > Decimal::ZERO);
                prop_assert!(price.normalize().scale() <= if price >= Decimal::ONE { 2 } else { 4 }, "{}", price);
            }
        }
    }
}
