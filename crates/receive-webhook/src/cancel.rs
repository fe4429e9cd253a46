//! Clears the way: cancels what stands against a signal, and waits until that has come to its end.

use std::time::Duration;

use ironferry::Result;
use order_engine::{Action, MarketPosition, Side};

use crate::act::Acting;
use crate::broker::{Broker, Failure, LOST_AFTER_SECONDS};
use crate::placed::{Placed, State};
use crate::store;

/// Most orders are canceled in a moment; milliseconds between two looks.
const CANCEL_WAITS: [u64; 4] = [100, 300, 900, 1_800];
/// Then looked at again after so many seconds.
const CANCELED_WITHIN: u64 = 3;

impl Acting<'_> {
    /// An entry that still stands, whole or in part, when the strategy wants out or the other way: filled
    /// later, it would be a position that nobody wants.
    pub(crate) fn is_superseded(&self, open: &Placed) -> bool {
        let signal = &self.task.signal;
        open.role == "entry"
            && match (signal.market_position, signal.action) {
                (Some(MarketPosition::Flat), _) | (None, Action::Exit) => true,
                (Some(MarketPosition::Long), _) | (None, Action::Long) => open.side == Side::Sell,
                (Some(MarketPosition::Short), _) | (None, Action::Short) => open.side == Side::Buy,
                (None, Action::Buy | Action::Sell) => false,
            }
    }

    /// Whether none of the symbol's open orders at this account is one of those. Else they are canceled, and
    /// the signal is left for later: what was filled of them meanwhile changes what is to be done.
    pub(crate) async fn is_clear(&self, which: &dyn Fn(&Placed) -> bool) -> Result<bool> {
        let is_here = |order: &Placed| {
            if order.account.is_some() {
                return self.broker.is_of(order);
            }
            // In simulation, and of one that was placed before accounts were noted, its webhook tells.
            let broker = Broker::of_order(self.cx, order, self.task.last_price);
            broker.is_ok_and(|broker| broker.account_id() == self.broker.account_id())
        };
        let open = self.task.open_orders.iter().filter(|order| which(order) && is_here(order)).collect();
        match self.cancel(open).await? {
            Ok((0, true)) => return Ok(true),
            Ok((_, true)) => self.later(0, "open orders were canceled", true).await?,
            Ok((_, false)) => self.later(CANCELED_WITHIN, "open orders are being canceled", false).await?,
            Err(failure) => self.not_now(failure).await?,
        }
        Ok(false)
    }

    /// Cancels these, and gives how many have come to their end, and whether all have. A broker that was asked
    /// to cancel has only been asked: until it is done, an order may be filled, and holds what is to be sold.
    async fn cancel(&self, mut open: Vec<&Placed>) -> Result<std::result::Result<(usize, bool), Failure>> {
        for order in &open {
            if let Err(failure) = self.broker.cancel(self.cx, order).await {
                return Ok(Err(failure));
            }
        }
        let mut waits = CANCEL_WAITS.iter();
        let mut ended = 0;
        loop {
            let mut left = Vec::new();
            for order in open {
                let state = match self.broker.canceled(self.cx, order).await {
                    Ok(Some(state)) => state,
                    // It is at an account that its webhook had before.
                    Ok(None) if !self.broker.is_of(order) => continue,
                    Ok(None) if order.age_seconds < LOST_AFTER_SECONDS => {
                        left.push(order);
                        continue;
                    }
                    Ok(None) => State::of("lost"),
                    Err(failure) => return Ok(Err(failure)),
                };
                store::settle(self.cx, &order.order_id, &state).await?;
                if state.is_final() {
                    ended += 1;
                } else {
                    left.push(order);
                }
            }
            let Some(wait) = waits.next().filter(|_| !left.is_empty()) else {
                return Ok(Ok((ended, left.is_empty())));
            };
            self.cx.sleep(Duration::from_millis(*wait)).await;
            open = left;
        }
    }
}
