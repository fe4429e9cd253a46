//! The broker port: the same questions for Alpaca and for the simulator.

use std::time::Duration;

use ironferry::{Context, Result};
use order_engine::{
    Account, AssetClass, Bracket, Decimal, Intent, Order, OrderType, Position, Side, Symbol, TimeInForce,
    Trail,
};
use serde::{Deserialize, Serialize};

use crate::alpaca::Alpaca;
use crate::config::OwnAccount;
use crate::simulator::Simulator;
use crate::store::Task;

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
    account: Option<String>,
    /// The keys that its webhook has by now.
    #[serde(default)]
    own: Option<OwnAccount>,
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

/// Why the broker did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It said no, and would again.
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
    },
    /// Too many requests of this account: not before that long.
    Wait(Duration),
    /// No answer, or none that tells whether it was done.
    Unknown(String),
}

/// What became of asking the broker for an order.
pub(crate) enum Asked {
    /// It is there.
    Placed(State),
    /// It never will be.
    Refused {
        /// The broker's code.
        code: String,
        /// Its words.
        message: String,
    },
    /// Nobody knows; ask again after so many seconds.
    Later(u64, String),
}

/// A noted order whose maker is gone and that the broker does not know is lost after that.
pub(crate) const LOST_AFTER_SECONDS: i64 = 120;
/// Longer waits are left to a later attempt.
const WAIT_HERE: Duration = Duration::from_secs(3);

/// Places an order for certain: where the answer does not tell, the order is looked up before anything
/// else, and sent again only where it is not there. The id makes sure that two of one are never placed.
pub(crate) async fn submit_surely(
    cx: &Context,
    broker: &Broker,
    client_order_id: &str,
    order: &Order,
) -> Asked {
    let placed = Placed::of("", client_order_id, order, &State::of("pending"));
    let mut why = String::new();
    for attempt in 0..3u64 {
        match broker.submit(cx, client_order_id, order).await {
            Ok(state) => return Asked::Placed(state),
            // It may have arrived earlier, and be refused for what it did itself: for the money that it took.
            Err(Failure::Refused { code, message }) => {
                return match broker.find(cx, &placed, false).await {
                    Ok(Some(state)) => Asked::Placed(state),
                    Ok(None) => Asked::Refused { code, message },
                    Err(_) => Asked::Later(1, message),
                };
            }
            Err(Failure::Wait(wait)) if wait > WAIT_HERE => {
                return Asked::Later(wait.as_secs(), "the broker asks to slow down".into());
            }
            Err(Failure::Wait(wait)) => cx.sleep(wait).await,
            Err(Failure::Unknown(reason)) => {
                why = reason;
                match broker.find(cx, &placed, false).await {
                    Ok(Some(state)) => return Asked::Placed(state),
                    Ok(None) => cx.sleep(Duration::from_millis(500 * (attempt + 1))).await,
                    Err(Failure::Wait(wait)) => return Asked::Later(wait.as_secs(), why),
                    Err(_) => return Asked::Later(1, why),
                }
            }
        }
    }
    Asked::Later(5, why)
}

/// Where orders go.
pub(crate) enum Broker {
    /// Alpaca, paper or live.
    Alpaca(Alpaca),
    /// Nowhere.
    Simulator(Simulator),
}

impl Broker {
    /// The one that a signal's orders go to.
    pub(crate) fn of(cx: &Context, task: &Task) -> Result<Self> {
        if task.simulated {
            return Ok(Broker::Simulator(Simulator::new(cx, task.last_price)?));
        }
        Alpaca::new(cx, task.config_id.as_deref(), Some(&task.config.account())).map(Broker::Alpaca)
    }

    /// The one that an order went to, unless its webhook has other keys by now.
    pub(crate) fn of_order(cx: &Context, order: &Placed, last_price: Option<Decimal>) -> Result<Self> {
        if order.simulated {
            return Ok(Broker::Simulator(Simulator::new(cx, last_price)?));
        }
        Alpaca::new(cx, order.config_id.as_deref(), order.own.as_ref()).map(Broker::Alpaca)
    }

    /// What tells one account from another; none in simulation.
    pub(crate) fn account_id(&self) -> Option<&str> {
        match self {
            Broker::Alpaca(alpaca) => Some(&alpaca.account_id),
            Broker::Simulator(_) => None,
        }
    }

    /// Whether an order was meant for this account: if it is not there, it never arrived.
    pub(crate) fn is_of(&self, order: &Placed) -> bool {
        match self {
            Broker::Simulator(_) => order.simulated,
            // Of one that was placed before accounts were noted, its webhook tells.
            Broker::Alpaca(alpaca) => match &order.account {
                Some(account) => alpaca.account_id == *account,
                None => !order.simulated && order.config_id.is_some(),
            },
        }
    }

    /// The account.
    pub(crate) async fn account(&self, cx: &Context, task: &Task) -> Result<Account, Failure> {
        match self {
            Broker::Alpaca(alpaca) => alpaca.account(cx).await,
            Broker::Simulator(simulator) => Ok(simulator.account(task.book.as_ref())),
        }
    }

    /// What is held of a symbol.
    pub(crate) async fn position(
        &self,
        cx: &Context,
        symbol: &Symbol,
        task: &Task,
    ) -> Result<Position, Failure> {
        match self {
            Broker::Alpaca(alpaca) => alpaca.position(cx, symbol, task.last_price).await,
            Broker::Simulator(_) => {
                Ok(task.held.unwrap_or(Position { last_price: task.last_price, ..Position::default() }))
            }
        }
    }

    /// Places an order under this id. Asking twice with one id never places two.
    pub(crate) async fn submit(
        &self,
        cx: &Context,
        client_order_id: &str,
        order: &Order,
    ) -> Result<State, Failure> {
        match self {
            Broker::Alpaca(alpaca) => alpaca.submit(cx, client_order_id, order).await,
            Broker::Simulator(simulator) => Ok(simulator.submit(client_order_id, order)),
        }
    }

    /// How an order stands; none when it never arrived.
    pub(crate) async fn find(
        &self,
        cx: &Context,
        order: &Placed,
        parent_filled: bool,
    ) -> Result<Option<State>, Failure> {
        match self {
            Broker::Alpaca(alpaca) => alpaca.find(cx, order).await,
            Broker::Simulator(simulator) => Ok(Some(simulator.find(order, parent_filled))),
        }
    }

    /// Asks to cancel an open order; one that is closed already is none to cancel.
    pub(crate) async fn cancel(&self, cx: &Context, order: &Placed) -> Result<(), Failure> {
        match self {
            Broker::Alpaca(alpaca) => alpaca.cancel(cx, order).await,
            Broker::Simulator(_) => Ok(()),
        }
    }

    /// How an order stands that is to be canceled; none when it never arrived.
    pub(crate) async fn canceled(&self, cx: &Context, order: &Placed) -> Result<Option<State>, Failure> {
        match self {
            Broker::Alpaca(alpaca) => alpaca.find(cx, order).await,
            Broker::Simulator(_) => {
                Ok(Some(State { filled_quantity: order.filled_quantity, ..State::of("canceled") }))
            }
        }
    }
}
