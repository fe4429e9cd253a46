//! A broker that moves no money: fills near the last price that an alert named, with slippage and now
//! and then in two parts. The same order always fares the same.

use ironferry::{Context, Result};
use order_engine::{Account, Decimal, Order, OrderType, Side, TimeInForce, Trail, round_price};
use sha2::{Digest as _, Sha256};

use crate::placed::{Leg, Placed, State};
use crate::store::Book;

/// A market order fills up to so many hundredths of a percent off the price.
const MOST_SLIPPAGE: u8 = 5;
/// One order of so many fills in two parts.
const SPLIT: u8 = 4;
/// A day order is gone after that; there is no exchange calendar here.
const DAY_SECONDS: i64 = 86_400;

pub(crate) struct Simulator {
    equity: Decimal,
    price: Decimal,
}

impl Simulator {
    pub(crate) fn new(cx: &Context, last_price: Option<Decimal>) -> Result<Self> {
        // Where no alert ever named a price, one is made up.
        let made_up = cx.setting("SIMULATION_PRICE", Decimal::ONE_HUNDRED)?;
        let equity = cx.setting("SIMULATION_EQUITY", Decimal::from(100_000))?;
        Ok(Self { equity, price: last_price.unwrap_or(made_up) })
    }

    pub(crate) fn account(&self, book: Option<&Book>) -> Account {
        let nothing = Book::default();
        let book = book.unwrap_or(&nothing);
        let equity = self.equity + book.realised + book.unrealised;
        Account {
            equity,
            last_equity: self.equity + book.realised - book.realised_today,
            buying_power: (equity - book.invested).max(Decimal::ZERO),
            blocked: false,
            shorting_enabled: true,
        }
    }

    pub(crate) fn submit(&self, client_order_id: &str, order: &Order) -> State {
        let chance = Sha256::digest(client_order_id);
        let (luck, split) = (chance[0], chance[1]);
        let mut state = match order.order_type {
            OrderType::Market => {
                let price = round_price(order.symbol.class, slipped(self.price, order.side, luck));
                filled(order.quantity, price, split, !order.quantity.fract().is_zero())
            }
            OrderType::Limit => {
                match order.limit_price.filter(|limit| reaches(self.price, *limit, order.side)) {
                    Some(limit) => filled(order.quantity, limit, split, !order.quantity.fract().is_zero()),
                    None if matches!(order.time_in_force, TimeInForce::Ioc | TimeInForce::Fok) => {
                        State::of("canceled")
                    }
                    None => State::of("new"),
                }
            }
            OrderType::Stop | OrderType::StopLimit | OrderType::TrailingStop => State::of("new"),
        };
        state.broker_order_id = Some(format!("simulated-{client_order_id}"));
        let leg = |suffix: &str, role, order_type, limit_price, stop_price| Leg {
            client_order_id: format!("{client_order_id}-{suffix}"),
            role,
            order_type,
            quantity: order.quantity,
            limit_price,
            stop_price,
            state: State::of(if state.filled_quantity.is_zero() { "held" } else { "new" }),
        };
        let stop =
            order.bracket.stop_loss.map(|price| leg("sl", "stop_loss", OrderType::Stop, None, Some(price)));
        let target = order
            .bracket
            .take_profit
            .map(|price| leg("tp", "take_profit", OrderType::Limit, Some(price), None));
        state.legs = stop.into_iter().chain(target).collect();
        state
    }

    /// What the last price does to an order that stands.
    pub(crate) fn find(&self, order: &Placed, parent_filled: bool) -> State {
        let is_leg = matches!(order.role.as_str(), "stop_loss" | "take_profit");
        let as_it_is = State {
            filled_quantity: order.filled_quantity,
            filled_avg_price: order.filled_avg_price,
            ..State::of(&order.status)
        };
        if is_leg && !parent_filled {
            return as_it_is;
        }
        let whole = |price: Decimal| State {
            filled_quantity: order.quantity,
            filled_avg_price: Some(average(order, price)),
            ..State::of("filled")
        };
        let luck = Sha256::digest(&order.client_order_id)[0];
        let crosses = |stop: Decimal| !reaches(self.price, stop, order.side) || self.price == stop;
        let is_hit = match order.order_type {
            // The second part, or one that was never told of.
            OrderType::Market => true,
            OrderType::Limit => {
                !order.filled_quantity.is_zero()
                    || order.limit_price.is_some_and(|limit| reaches(self.price, limit, order.side))
            }
            OrderType::Stop => order.stop_price.is_some_and(crosses),
            OrderType::StopLimit => {
                order.stop_price.is_some_and(crosses)
                    && order.limit_price.is_some_and(|limit| reaches(self.price, limit, order.side))
            }
            // It follows from where it began; the way in between is not known here.
            OrderType::TrailingStop => trailing_stop(order).is_some_and(crosses),
        };
        if is_hit {
            let price = match order.order_type {
                OrderType::Limit | OrderType::StopLimit => order.limit_price.unwrap_or(self.price),
                _ if !order.filled_quantity.is_zero() => order.filled_avg_price.unwrap_or(self.price),
                _ => slipped(self.price, order.side, luck).round_dp(4),
            };
            return whole(price);
        }
        if order.time_in_force == TimeInForce::Day && order.age_seconds > DAY_SECONDS {
            return State { status: "expired".into(), ..as_it_is };
        }
        if order.status == "pending" || is_leg {
            State { status: "new".into(), ..as_it_is }
        } else {
            as_it_is
        }
    }
}

/// Whether the market is at this limit or better.
fn reaches(market: Decimal, limit: Decimal, side: Side) -> bool {
    match side {
        Side::Buy => market <= limit,
        Side::Sell => market >= limit,
    }
}

/// Against whoever orders.
fn slipped(price: Decimal, side: Side, luck: u8) -> Decimal {
    let share = Decimal::new(i64::from(luck % (MOST_SLIPPAGE + 1)), 4);
    match side {
        Side::Buy => price * (Decimal::ONE + share),
        Side::Sell => price * (Decimal::ONE - share),
    }
}

fn filled(quantity: Decimal, price: Decimal, split: u8, fractional: bool) -> State {
    let half = (quantity / Decimal::TWO).round_dp(if fractional { 9 } else { 0 });
    let in_part = split.is_multiple_of(SPLIT) && half > Decimal::ZERO && half < quantity;
    State {
        filled_quantity: if in_part { half } else { quantity },
        filled_avg_price: Some(price),
        ..State::of(if in_part { "partially_filled" } else { "filled" })
    }
}

/// The average over what was filled before and what is filled now.
fn average(order: &Placed, price: Decimal) -> Decimal {
    let before = order.filled_quantity * order.filled_avg_price.unwrap_or(price);
    ((before + (order.quantity - order.filled_quantity) * price) / order.quantity).round_dp(12)
}

fn trailing_stop(order: &Placed) -> Option<Decimal> {
    let from = order.reference_price?;
    let trail = match (order.trail_price, order.trail_percent) {
        (Some(price), _) => Trail::Price(price),
        (None, Some(percent)) => Trail::Percent(percent),
        (None, None) => return None,
    };
    let distance = match trail {
        Trail::Price(price) => price,
        Trail::Percent(percent) => from * percent / Decimal::ONE_HUNDRED,
    };
    Some(match order.side {
        Side::Buy => from + distance,
        Side::Sell => from - distance,
    })
}
