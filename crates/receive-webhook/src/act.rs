//! Acts on an owner's signals, one after the other, in the order in which they came.
//!
//! Whoever stored a signal tries to take the owner's turn; one of them gets it and goes on until no
//! signal is left. Should it end without a word, its lease ends, and the next alert or the sweep goes
//! on. An order is noted before the broker is asked, under an id that follows from the signal's: what
//! was asked for twice is placed once.

use std::time::Duration;

use ironferry::{Context, Result, outbox};
use order_engine::{Intent, Order, OrderType, Outcome, Situation, Usage, decide};
use serde_json::{Value, json};

use crate::broker::{self, Asked, Broker, Failure};
use crate::placed::{Placed, State};
use crate::store::{self, Task};
use crate::{SENDER, config};

/// A request may use 2 s of CPU; a signal takes some milliseconds.
const MOST_SIGNALS: usize = 200;
/// A free worker lives for 150 s.
const LONGEST: Duration = Duration::from_mins(1);
const CHANGED: &str = "the webhook had another account or mode when its order was noted";
const TURNING: &str = "the opposite position is being closed";

/// Acts until no signal is left, another has the turn, or the budget is spent: then the sweep goes on.
pub(crate) async fn run(cx: &Context, user_id: &str) {
    let lease = cx.uuid();
    match work(cx, user_id, &lease).await {
        Ok(0) => {}
        Ok(_) => outbox::deliver(cx, SENDER, Some(user_id)).await,
        Err(error) => {
            cx.warn("receive_webhook.interrupted", json!({ "user": user_id, "error": error.chain() }));
            // Better that another goes on at once than when the lease ends.
            let _ = store::give_up_turn(cx, user_id, &lease).await;
        }
    }
}

/// How many signals were taken up.
async fn work(cx: &Context, user_id: &str, lease: &str) -> Result<usize> {
    let simulation = config::simulation(cx)?;
    let started = cx.now();
    for taken in 0..MOST_SIGNALS {
        let Some(task) = store::next(cx, user_id, lease, simulation).await? else { return Ok(taken) };
        if let Err(error) = act(cx, &task, lease).await {
            let error = error.chain();
            cx.warn("receive_webhook.attempt_failed", json!({ "signal": task.signal_id, "error": error }));
            store::later(cx, &task, lease, backoff(task.attempts), &error, true).await?;
        }
        if cx.now() - started > LONGEST {
            break;
        }
    }
    store::give_up_turn(cx, user_id, lease).await?;
    Ok(MOST_SIGNALS)
}

async fn act(cx: &Context, task: &Task, lease: &str) -> Result<()> {
    Acting { cx, task, lease, broker: Broker::of(cx, task)? }.act().await
}

/// Between two attempts: 2 s, 4 s … a minute.
fn backoff(attempts: u32) -> u64 {
    (1 << attempts.min(6)).min(60)
}

/// `client_order_id`, at most 48 characters and the same at each attempt.
fn order_id(signal_id: &str, intent: Intent) -> String {
    let digits: String = signal_id.chars().filter(|letter| *letter != '-').collect();
    match intent {
        Intent::Turn => format!("if-{digits}-t"),
        Intent::Entry | Intent::Exit => format!("if-{digits}"),
    }
}

/// One signal that is acted on.
pub(crate) struct Acting<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) task: &'a Task,
    lease: &'a str,
    pub(crate) broker: Broker,
}

impl Acting<'_> {
    async fn act(&self) -> Result<()> {
        for order in &self.task.orders {
            if order.role != "turn" {
                return self.resume(order).await;
            }
            if !order.closed {
                return self.wait_for(order).await;
            }
            if !self.broker.is_of(order) {
                return self.end("refused", "CONFIG_CHANGED", CHANGED).await;
            }
            if order.filled_quantity < order.quantity {
                return self.end("failed", "TURN_FAILED", "the opposite position could not be closed").await;
            }
        }
        if let Some((code, message)) = self.too_late() {
            return self.end("refused", code, &message).await;
        }
        if self.is_clear(&|open| self.is_superseded(open)).await? { self.decide().await } else { Ok(()) }
    }

    fn too_late(&self) -> Option<(&'static str, String)> {
        if !self.task.is_active {
            let message = "the webhook was switched off before it could be acted on";
            return Some(("CONFIG_INACTIVE", message.into()));
        }
        let (age, within) = (self.task.age_seconds, self.task.act_within_seconds?);
        let message = || format!("it waited for {age} s, {within} s are allowed: the market has moved on");
        (age > within).then(|| ("SIGNAL_EXPIRED", message()))
    }

    async fn decide(&self) -> Result<()> {
        let Self { cx, task, broker, .. } = self;
        let account = match broker.account(cx, task).await {
            Ok(account) => account,
            Err(failure) => return self.not_now(failure).await,
        };
        let position = match broker.position(cx, &task.signal.symbol, task).await {
            Ok(position) => position,
            Err(failure) => return self.not_now(failure).await,
        };
        let settings = config::settings(cx, &task.config)?;
        let is_entering = task.open_orders.iter().any(|open| open.role == "entry" && broker.is_of(open));
        let usage = Usage { is_entering, ..task.usage.clone() };
        let situation = Situation {
            account: &account,
            position,
            limits: &task.limits,
            usage: &usage,
            settings: &settings,
        };
        let decision = decide(&task.signal, &situation);
        match decision.outcome {
            Outcome::Place(order) => self.place(&order, &decision.reasons).await,
            Outcome::Refuse(refusals) => {
                let refusals: Vec<Value> = refusals.iter().map(store::refusal).collect();
                self.finish("refused", &refusals, &decision.reasons).await
            }
        }
    }

    async fn place(&self, order: &Order, reasons: &[String]) -> Result<()> {
        let Self { cx, task, lease, broker } = self;
        if order.intent != Intent::Entry
            // What is to be closed must not be held by the stop losses and targets of its entry.
            && !self.is_clear(&|open| open.side == order.side && open.role != "entry").await?
        {
            return Ok(());
        }
        let client_order_id = order_id(&task.signal_id, order.intent);
        let mut arguments = store::Place {
            p_signal_id: &task.signal_id,
            p_lease_id: lease,
            p_client_order_id: &client_order_id,
            p_simulated: task.simulated,
            p_order: order,
            p_reasons: reasons,
            p_state: None,
            p_account: broker.account_id(),
        };
        if let Broker::Simulator(simulator) = broker {
            // Nothing outside is asked, so all of it is one transaction.
            let state = simulator.submit(&client_order_id, order);
            arguments.p_state = Some(&state);
            if store::place(cx, &arguments).await?.is_some() && order.intent == Intent::Turn {
                self.later(0, TURNING, true).await?;
            }
            return Ok(());
        }
        match store::place(cx, &arguments).await? {
            Some(order_id) => self.submit(&order_id, &client_order_id, order).await,
            // The lease was lost: whoever has it goes on.
            None => Ok(()),
        }
    }

    /// Asks the broker, and notes what it said.
    async fn submit(&self, order_id: &str, client_order_id: &str, order: &Order) -> Result<()> {
        let cx = self.cx;
        match broker::submit_surely(cx, &self.broker, client_order_id, order).await {
            Asked::Placed(state) => {
                store::settle(cx, order_id, &state).await?;
                if order.intent == Intent::Turn {
                    return self.later(1, TURNING, true).await;
                }
                self.finish("ordered", &[], &[]).await?;
                if order.order_type == OrderType::Market && !state.is_final() {
                    self.watch(order_id, client_order_id, order, state).await?;
                }
                Ok(())
            }
            Asked::Refused { code, message } => {
                let refused = State {
                    error_code: Some(code.clone()),
                    error_message: Some(message.clone()),
                    ..State::of("refused")
                };
                store::settle(cx, order_id, &refused).await?;
                self.end("failed", "BROKER_REFUSED", &format!("{message} ({code})")).await
            }
            Asked::Later(seconds, why) => {
                self.later(seconds.max(backoff(self.task.attempts)), &why, true).await
            }
        }
    }

    /// A market order is filled in a moment: whoever is told of it shall not wait for the sweep.
    async fn watch(&self, order_id: &str, client_order_id: &str, order: &Order, state: State) -> Result<()> {
        let mut placed = Placed::of(order_id, client_order_id, order, &state);
        for wait in [300, 900, 1_800] {
            self.cx.sleep(Duration::from_millis(wait)).await;
            let Ok(Some(state)) = self.broker.find(self.cx, &placed, false).await else { return Ok(()) };
            store::settle(self.cx, order_id, &state).await?;
            if state.is_final() {
                return Ok(());
            }
            placed.status = state.status;
        }
        Ok(())
    }

    /// An order of this signal is noted, and its maker ended without a word.
    async fn resume(&self, order: &Placed) -> Result<()> {
        if order.status == "refused" {
            return self.end("failed", "BROKER_REFUSED", "the broker refused the order").await;
        }
        if order.status == "lost" {
            return self.end("failed", "ORDER_LOST", "the order never arrived at the broker").await;
        }
        if order.status != "pending" {
            return self.finish("ordered", &[], &[]).await;
        }
        if self.find(order).await?.is_some() { self.finish("ordered", &[], &[]).await } else { Ok(()) }
    }

    /// The opposite position is being closed.
    async fn wait_for(&self, order: &Placed) -> Result<()> {
        let Some(state) = self.find(order).await? else { return Ok(()) };
        self.later(if state.is_final() { 0 } else { 5 }, TURNING, true).await
    }

    /// How a noted order stands; none when it is not known and the signal is dealt with.
    async fn find(&self, order: &Placed) -> Result<Option<State>> {
        let broker = Broker::of_order(self.cx, order, self.task.last_price)?;
        match broker.find(self.cx, order, false).await {
            Ok(Some(state)) => {
                store::settle(self.cx, &order.order_id, &state).await?;
                return Ok(Some(state));
            }
            Ok(None) => self.send(&broker, order).await?,
            Err(failure) => self.not_now(failure).await?,
        }
        Ok(None)
    }

    /// A noted order that never arrived is sent, unless something speaks against it by now.
    async fn send(&self, broker: &Broker, order: &Placed) -> Result<()> {
        let stop = if self.task.limits.kill_switch {
            Some(("KILL_SWITCH", "the kill switch is on".to_owned()))
        } else if self.broker.is_of(order) {
            self.too_late()
        } else {
            Some(("CONFIG_CHANGED", CHANGED.to_owned()))
        };
        let Some((code, message)) = stop else {
            return self.submit(&order.order_id, &order.client_order_id, &order.order()).await;
        };
        // At another account it may stand.
        if broker.is_of(order) {
            store::settle(self.cx, &order.order_id, &State::of("lost")).await?;
        }
        self.end("refused", code, &message).await
    }

    pub(crate) async fn not_now(&self, failure: Failure) -> Result<()> {
        let (seconds, why) = match failure {
            Failure::Refused { code, message } => {
                return self.end("failed", "BROKER_REFUSED", &format!("{message} ({code})")).await;
            }
            Failure::Wait(wait) => (wait.as_secs(), "the broker asks to slow down".to_owned()),
            Failure::Unknown(why) => (backoff(self.task.attempts), why),
        };
        self.later(seconds, &why, true).await
    }

    pub(crate) async fn later(&self, seconds: u64, why: &str, is_attempt: bool) -> Result<()> {
        store::later(self.cx, self.task, self.lease, seconds, why, is_attempt).await?;
        Ok(())
    }

    async fn end(&self, status: &str, code: &str, message: &str) -> Result<()> {
        self.finish(status, &[json!({ "code": code, "message": message })], &[]).await
    }

    async fn finish(&self, status: &str, refusals: &[Value], reasons: &[String]) -> Result<()> {
        let noted =
            store::finish(self.cx, &self.task.signal_id, self.lease, status, refusals, reasons).await?;
        if !noted {
            self.cx.warn(
                "receive_webhook.lease_lost",
                json!({ "signal": self.task.signal_id, "status": status }),
            );
        }
        Ok(())
    }
}
