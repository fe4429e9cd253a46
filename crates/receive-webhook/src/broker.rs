//! The broker port: the same questions for Alpaca and for the simulator.

use std::time::Duration;

use ironferry::{Context, Result};
use order_engine::{Account, Decimal, Order, Position, Symbol};

use crate::alpaca::Alpaca;
use crate::placed::{Placed, State};
use crate::simulator::Simulator;
use crate::store::Task;

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
