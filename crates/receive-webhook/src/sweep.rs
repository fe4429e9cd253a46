//! The safety net, called by pg_cron: signals whose worker ended without a word, open orders until
//! their end, notifications that did not get through.

use ironferry::{Context, Error, Response, Result, outbox};
use serde_json::json;

use crate::broker::{Broker, Failure, LOST_AFTER_SECONDS};
use crate::placed::State;
use crate::store::{self, OpenOrder};
use crate::{SENDER, act};

/// Owners a sweep. Each has up to 200 signals.
const OWNERS: i32 = 50;
/// Orders a sweep: Alpaca lets in 200 requests a minute.
const ORDERS: i32 = 150;

/// `POST /receive-webhook/sweep`. Answers 202 at once and works on.
pub(crate) fn run(cx: &Context) -> Result<Response> {
    cx.require_service()?;
    let behind = cx.clone();
    cx.wait_until(async move { sweep(&behind).await });
    Response::json(202, &json!({ "success": true, "request_id": cx.request_id() }))
}

async fn sweep(cx: &Context) {
    let owners = store::waiting(cx, OWNERS).await.unwrap_or_else(|error| noted(cx, &error));
    for owner in &owners {
        act::run(cx, owner).await;
    }
    let orders = store::open_orders(cx, ORDERS).await.unwrap_or_else(|error| noted(cx, &error));
    let mut closed = 0;
    for order in &orders {
        match reconcile(cx, order).await {
            Ok(is_final) => closed += u32::from(is_final),
            Err(error) => {
                let fields = json!({ "order": order.order.order_id, "error": error.chain() });
                cx.warn("receive_webhook.reconcile_failed", fields);
            }
        }
    }
    outbox::deliver(cx, SENDER, None).await;
    cx.info(
        "receive_webhook.swept",
        json!({ "owners": owners.len(), "orders": orders.len(), "closed": closed }),
    );
}

fn noted<T: Default>(cx: &Context, error: &Error) -> T {
    cx.warn("receive_webhook.sweep_failed", json!({ "error": error.chain() }));
    T::default()
}

/// Asks the broker how an order stands, and notes it. Whether it has come to its end.
async fn reconcile(cx: &Context, open: &OpenOrder) -> Result<bool> {
    let OpenOrder { order, about } = open;
    let broker = Broker::of_order(cx, order, about.last_price)?;
    let state = match broker.find(cx, order, about.parent_filled.unwrap_or(false)).await {
        Ok(Some(state)) => state,
        // Its signal is still being acted on: it may be on its way.
        Ok(None) if about.signal_open || order.age_seconds < LOST_AFTER_SECONDS => return Ok(false),
        Ok(None) if broker.is_of(order) => State::of("lost"),
        // Its webhook was removed or has other keys: it may be open at an account that nobody can ask any more.
        Ok(None) => {
            cx.warn("receive_webhook.order_out_of_reach", json!({ "order": order.order_id }));
            State { filled_quantity: order.filled_quantity, ..State::of(&order.status) }
        }
        Err(Failure::Wait(_)) => return Ok(false),
        Err(Failure::Unknown(why)) => {
            return Err(Error::unavailable("the broker does not answer").source(why));
        }
        Err(Failure::Refused { code, message }) => {
            return Err(Error::bad_gateway(format!("the broker refuses: {message} ({code})")));
        }
    };
    store::settle(cx, &order.order_id, &state).await?;
    Ok(state.is_final())
}
