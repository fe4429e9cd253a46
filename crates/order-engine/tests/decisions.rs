//! Decisions by table: what comes out for each kind of alert.

use order_engine::{
    Account, Action, Bracket, Code, Decimal, Intent, Limits, MarketPosition, Order, OrderType, Outcome,
    Position, Settings, Side, Signal, Situation, Sizing, Symbol, TimeInForce, Trail, Usage, decide,
};

fn number(text: &str) -> Decimal {
    text.parse().expect("a number")
}

struct Case {
    signal: Signal,
    account: Account,
    position: Position,
    limits: Limits,
    usage: Usage,
    settings: Settings,
}

/// Buys 10 AAPL at 150, with an account of 100,000 and nothing held.
fn case() -> Case {
    Case {
        signal: signal("AAPL"),
        account: Account {
            equity: number("100000"),
            last_equity: number("100000"),
            buying_power: number("200000"),
            blocked: false,
            shorting_enabled: true,
        },
        position: Position::default(),
        limits: Limits::default(),
        usage: Usage::default(),
        settings: Settings {
            sizing: Sizing::Fixed,
            size_value: Decimal::ONE,
            default_quantity: Decimal::ONE,
        },
    }
}

fn signal(symbol: &str) -> Signal {
    Signal {
        symbol: Symbol::parse(symbol, None).expect("a symbol"),
        action: Action::Buy,
        market_position: None,
        market_position_size: None,
        order_type: OrderType::Market,
        quantity: Some(number("10")),
        price: Some(number("150")),
        limit_price: None,
        stop_price: None,
        stop_loss: None,
        take_profit: None,
        trail: None,
        time_in_force: None,
    }
}

impl Case {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn outcome(&self) -> Outcome {
        let situation = Situation {
            account: &self.account,
            position: self.position,
            limits: &self.limits,
            usage: &self.usage,
            settings: &self.settings,
        };
        decide(&self.signal, &situation).outcome
    }

    fn order(&self) -> Order {
        match self.outcome() {
            Outcome::Place(order) => *order,
            Outcome::Refuse(refusals) => panic!("refused: {refusals:?}"),
        }
    }

    fn refusals(&self) -> Vec<Code> {
        match self.outcome() {
            Outcome::Place(order) => panic!("placed: {order:?}"),
            Outcome::Refuse(refusals) => refusals.into_iter().map(|refusal| refusal.code).collect(),
        }
    }

    fn holds(self, quantity: &str) -> Self {
        self.with(|case| {
            case.position = Position { quantity: number(quantity), last_price: Some(number("150")) };
        })
    }
}

#[test]
fn a_plain_alert_becomes_a_market_order_for_the_day() {
    let order = case().order();
    assert_eq!((order.side, order.quantity, order.intent), (Side::Buy, number("10"), Intent::Entry));
    assert_eq!((order.order_type, order.time_in_force), (OrderType::Market, TimeInForce::Day));
    assert!(order.bracket.is_empty());
}

#[test]
fn sizes_follow_the_method() {
    for (sizing, value, quantity, stop_loss, expected) in [
        (Sizing::Fixed, "1", Some("7"), None, "7"),
        (Sizing::Fixed, "3", None, None, "3"),
        // 5 % of 100,000 is 5,000: 33.33 shares at 150.
        (Sizing::Percentage, "5", Some("7"), None, "33.333333333"),
        (Sizing::Percentage, "5", None, Some("140"), "33"),
        // 1 % at risk is 1,000; 4 a share may be lost.
        (Sizing::Risk, "1", None, Some("146"), "250"),
    ] {
        let case = case().with(|case| {
            case.settings.sizing = sizing;
            case.settings.size_value = number(value);
            case.signal.quantity = quantity.map(number);
            case.signal.stop_loss = stop_loss.map(number);
        });
        assert_eq!(case.order().quantity, number(expected), "{sizing:?} {value}");
    }
    let no_stop = case().with(|case| case.settings.sizing = Sizing::Risk);
    assert_eq!(no_stop.refusals(), [Code::SizeUnknown]);
    let no_price = case().with(|case| {
        case.settings.sizing = Sizing::Percentage;
        case.signal.price = None;
    });
    assert_eq!(no_price.refusals(), [Code::PriceUnknown]);
}

#[test]
fn from_nothing_an_entry_is_as_large_as_the_strategys_position() {
    // The strategy turns from 10 short to 10 long: an order of 20.
    let turned = || {
        case().with(|case| {
            case.signal.market_position = Some(MarketPosition::Long);
            case.signal.quantity = Some(number("20"));
            case.signal.market_position_size = Some(number("10"));
        })
    };
    let turn = turned().holds("-10").order();
    assert_eq!((turn.intent, turn.quantity), (Intent::Turn, number("10")));
    let entry = turned().order();
    assert_eq!((entry.intent, entry.quantity), (Intent::Entry, number("10")));
    // To what is held or on its way, the alert's quantity is added.
    assert_eq!(turned().holds("5").order().quantity, number("20"));
    assert_eq!(turned().with(|case| case.usage.is_entering = true).order().quantity, number("20"));
    let by_equity = turned().with(|case| {
        case.settings.sizing = Sizing::Percentage;
        case.settings.size_value = number("6");
    });
    assert_eq!(by_equity.order().quantity, number("40"));
    let untold = turned().with(|case| case.signal.market_position_size = None);
    assert_eq!(untold.order().quantity, number("20"));
}

#[test]
fn fractions_go_out_only_where_the_broker_takes_them() {
    let half = |change: fn(&mut Signal)| {
        case().with(|case| {
            case.signal.quantity = Some(number("2.5"));
            change(&mut case.signal);
        })
    };
    assert_eq!(half(|_| {}).order().quantity, number("2.5"));
    assert_eq!(half(|signal| signal.order_type = OrderType::Limit).order().quantity, number("2"));
    assert_eq!(half(|signal| signal.time_in_force = Some(TimeInForce::Gtc)).order().quantity, number("2"));
    assert_eq!(half(|signal| signal.stop_loss = Some(number("140"))).order().quantity, number("2"));
    assert_eq!(half(|signal| signal.action = Action::Short).order().quantity, number("2"));
    let coin = half(|signal| signal.symbol = Symbol::parse("BTCUSD", None).expect("a coin"));
    assert_eq!((coin.order().quantity, coin.order().time_in_force), (number("2.5"), TimeInForce::Gtc));
    let less_than_one = case().with(|case| {
        case.signal.quantity = Some(number("0.5"));
        case.signal.order_type = OrderType::Limit;
    });
    assert_eq!(less_than_one.refusals(), [Code::QuantityTooSmall]);
}

#[test]
fn each_order_type_has_its_prices_and_no_other() {
    let typed = |order_type, change: fn(&mut Signal)| {
        case().with(|case| {
            case.signal.order_type = order_type;
            change(&mut case.signal);
        })
    };
    let limit = typed(OrderType::Limit, |signal| signal.price = Some(number("150.129"))).order();
    assert_eq!((limit.limit_price, limit.stop_price), (Some(number("150.12")), None));
    let stop = typed(OrderType::Stop, |signal| signal.stop_price = Some(number("155"))).order();
    assert_eq!((stop.limit_price, stop.stop_price), (None, Some(number("155"))));
    let both = typed(OrderType::StopLimit, |signal| {
        signal.stop_price = Some(number("155"));
        signal.limit_price = Some(number("156"));
    });
    assert_eq!(
        (both.order().limit_price, both.order().stop_price),
        (Some(number("156")), Some(number("155")))
    );
    let trailing =
        typed(OrderType::TrailingStop, |signal| signal.trail = Some(Trail::Percent(number("2")))).order();
    assert_eq!((trailing.trail, trailing.limit_price), (Some(Trail::Percent(number("2"))), None));

    assert_eq!(typed(OrderType::StopLimit, |_| {}).refusals(), [Code::OrderTypeInvalid]);
    assert_eq!(typed(OrderType::TrailingStop, |_| {}).refusals(), [Code::OrderTypeInvalid]);
    assert_eq!(typed(OrderType::Limit, |signal| signal.price = None).refusals(), [Code::OrderTypeInvalid]);
    let coin = typed(OrderType::Stop, |signal| {
        signal.symbol = Symbol::parse("ETHUSD", None).expect("a coin");
        signal.stop_price = Some(number("155"));
    });
    assert_eq!(coin.refusals(), [Code::OrderTypeInvalid]);
}

#[test]
fn brackets_lie_on_the_right_side_of_the_price() {
    let legs = |action, stop: Option<&str>, target: Option<&str>| {
        case().with(|case| {
            case.signal.action = action;
            case.signal.stop_loss = stop.map(number);
            case.signal.take_profit = target.map(number);
        })
    };
    let long = legs(Action::Buy, Some("145.004"), Some("160")).order();
    assert_eq!(long.bracket, Bracket { stop_loss: Some(number("145")), take_profit: Some(number("160")) });
    assert_eq!(legs(Action::Short, Some("155"), Some("140")).order().bracket.stop_loss, Some(number("155")));
    for wrong in [
        legs(Action::Buy, Some("150"), None),
        legs(Action::Buy, Some("160"), Some("155")),
        legs(Action::Buy, None, Some("149")),
        legs(Action::Short, Some("149"), None),
        legs(Action::Short, None, Some("151")),
        legs(Action::Buy, Some("140"), None).with(|case| case.signal.symbol = signal("BTCUSD").symbol),
    ] {
        assert_eq!(wrong.refusals(), [Code::BracketInvalid]);
    }
    let hasty =
        legs(Action::Buy, Some("140"), None).with(|case| case.signal.time_in_force = Some(TimeInForce::Ioc));
    assert_eq!(hasty.refusals(), [Code::OrderTypeInvalid]);
}

#[test]
fn exits_close_what_is_held_and_no_more() {
    let sell = |quantity: Option<&str>| {
        case().with(|case| {
            case.signal.action = Action::Sell;
            case.signal.quantity = quantity.map(number);
        })
    };
    for (held, quantity, expected) in
        [("10", Some("4"), "4"), ("10", Some("15"), "10"), ("10", None, "10"), ("0.75", None, "0.75")]
    {
        let order = sell(quantity).holds(held).order();
        assert_eq!((order.side, order.quantity, order.intent), (Side::Sell, number(expected), Intent::Exit));
    }
    let flat =
        sell(Some("1")).holds("10").with(|case| case.signal.market_position = Some(MarketPosition::Flat));
    assert_eq!(flat.order().quantity, number("10"));
    assert_eq!(sell(None).refusals(), [Code::NothingToExit]);
    let cover = case().holds("-3").order();
    assert_eq!((cover.side, cover.quantity, cover.intent), (Side::Buy, number("3"), Intent::Exit));
}

#[test]
fn a_turn_closes_first() {
    let order = case().holds("-3").with(|case| case.signal.action = Action::Long).order();
    assert_eq!((order.side, order.quantity, order.intent), (Side::Buy, number("3"), Intent::Turn));
}

#[test]
fn every_limit_refuses_with_its_own_reason() {
    let limited = |change: fn(&mut Case)| case().with(change).refusals();
    assert_eq!(limited(|case| case.limits.kill_switch = true), [Code::KillSwitch]);
    assert_eq!(limited(|case| case.account.blocked = true), [Code::AccountBlocked]);
    assert_eq!(
        limited(|case| case.limits.allowed_symbols = Some(vec!["MSFT".into()])),
        [Code::SymbolNotAllowed]
    );
    assert_eq!(
        limited(|case| case.limits.max_order_notional = Some(number("1499.99"))),
        [Code::MaxOrderNotional]
    );
    assert_eq!(limited(|case| case.account.buying_power = number("1499")), [Code::BuyingPower]);
    assert_eq!(
        limited(|case| {
            case.limits.max_position_notional = Some(number("2000"));
            case.usage.open_notional = number("501");
        }),
        [Code::MaxPosition]
    );
    assert_eq!(
        limited(|case| {
            case.limits.max_orders_per_day = Some(5);
            case.usage.orders_today = 5;
        }),
        [Code::MaxOrdersPerDay]
    );
    assert_eq!(
        limited(|case| {
            case.limits.max_daily_loss = Some(number("500"));
            case.account.equity = number("99500");
        }),
        [Code::DailyLoss]
    );
    assert_eq!(
        limited(|case| {
            case.limits.cooldown_seconds = Some(60);
            case.usage.seconds_since_last = Some(59);
        }),
        [Code::Cooldown]
    );
    assert_eq!(
        limited(|case| {
            case.limits.max_order_notional = Some(number("1000"));
            case.signal.price = None;
        }),
        [Code::PriceUnknown]
    );
    let short = |symbol: &str| {
        case().with(|case| (case.signal.symbol, case.signal.action) = (signal(symbol).symbol, Action::Short))
    };
    assert_eq!(short("BTCUSD").refusals(), [Code::CryptoShort]);
    assert_eq!(
        short("AAPL").with(|case| case.account.shorting_enabled = false).refusals(),
        [Code::ShortNotAllowed]
    );
    assert_eq!(short("EURUSD").refusals(), [Code::ForexNotTraded]);
}

#[test]
fn all_reasons_are_told_at_once_and_exits_pass_all_but_the_kill_switch() {
    let strict = |case: &mut Case| {
        case.limits = Limits {
            allowed_symbols: Some(vec![]),
            max_order_notional: Some(Decimal::ONE),
            max_position_notional: Some(Decimal::ONE),
            max_orders_per_day: Some(0),
            max_daily_loss: Some(Decimal::ZERO),
            cooldown_seconds: Some(60),
            kill_switch: false,
        };
        case.usage.seconds_since_last = Some(1);
    };
    assert_eq!(case().with(strict).refusals().len(), 6);
    let exit = case().with(strict).holds("10").with(|case| case.signal.action = Action::Exit);
    assert_eq!(exit.order().quantity, number("10"));
    assert_eq!(exit.with(|case| case.limits.kill_switch = true).refusals(), [Code::KillSwitch]);
}
