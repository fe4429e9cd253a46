//! The account, its orders and positions. Money in cents, whole shares: enough for tests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

/// An order as it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The broker's id.
    pub id: String,
    /// The caller's.
    pub client_order_id: String,
    /// What.
    pub symbol: String,
    /// `buy` or `sell`.
    pub side: String,
    /// As it was asked for.
    pub asked: Value,
    /// How it stands.
    pub status: String,
    /// So much is filled.
    pub filled: i64,
    /// At this price on average.
    pub price_cents: i64,
    /// Since when it is to be canceled.
    canceling: Option<Instant>,
}

impl Kept {
    fn is_open(&self) -> bool {
        !matches!(self.status.as_str(), "filled" | "canceled")
    }

    fn quantity(&self) -> i64 {
        self.asked["qty"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

/// An error reply.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Alpaca's own body.
    pub body: Value,
}

fn refusal(status: u16, code: u64, message: &str) -> Refusal {
    Refusal { status, body: json!({ "code": code, "message": message }) }
}

pub(super) struct Book {
    pub(super) orders: Vec<Kept>,
    pub(super) buying_power_cents: i64,
    pub(super) fills_at_once: bool,
    pub(super) cancels_within: Duration,
    held: BTreeMap<String, i64>,
}

/// What everything costs here.
const PRICE_CENTS: i64 = 10_000;

impl Default for Book {
    fn default() -> Self {
        Self {
            orders: Vec::new(),
            buying_power_cents: 20_000_000,
            fills_at_once: true,
            cancels_within: Duration::from_millis(50),
            held: BTreeMap::new(),
        }
    }
}

impl Book {
    pub(super) fn place(&mut self, asked: &Value) -> Result<Value, Refusal> {
        self.end_canceled();
        let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let (symbol, side, client_order_id) = (text("symbol"), text("side"), text("client_order_id"));
        if symbol.is_empty() || !matches!(side.as_str(), "buy" | "sell") {
            return Err(refusal(422, 40_010_001, "invalid side or symbol"));
        }
        if client_order_id.len() > 48 {
            return Err(refusal(422, 40_010_001, "client_order_id must be no more than 48 characters"));
        }
        let Ok(quantity) = text("qty").parse::<i64>() else {
            return Err(refusal(422, 42_210_000, "qty must be a whole number here"));
        };
        for name in ["limit_price", "stop_price"] {
            let price = text(name);
            if price.split_once('.').is_some_and(|(_, decimals)| decimals.len() > 2) {
                let message = format!(
                    "invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria"
                );
                return Err(refusal(422, 42_210_000, &message));
            }
        }
        let held = self.held.get(&symbol).copied().unwrap_or(0);
        let cost = quantity * PRICE_CENTS;
        if side == "buy" && held >= 0 && cost > self.buying_power_cents {
            let dollars = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
            return Err(Refusal {
                status: 403,
                body: json!({
                    "buying_power": dollars(self.buying_power_cents), "code": 40_310_000,
                    "cost_basis": dollars(cost), "message": "insufficient buying power",
                }),
            });
        }
        // What open orders would sell is held for them.
        let is_held = |order: &&Kept| order.is_open() && order.symbol == symbol && order.side == "sell";
        let for_orders: i64 =
            self.orders.iter().filter(is_held).map(|order| order.quantity() - order.filled).sum();
        if side == "sell" && held > 0 && quantity > held - for_orders {
            let available = held - for_orders;
            return Err(Refusal {
                status: 403,
                body: json!({
                    "available": available.to_string(), "code": 40_310_000, "existing_qty": held.to_string(),
                    "held_for_orders": for_orders.to_string(), "symbol": symbol,
                    "message": format!(
                        "insufficient qty available for order (requested: {quantity}, available: {available})"
                    ),
                }),
            });
        }
        // The last check: an order that was placed already may be refused for what it did itself.
        if self.orders.iter().any(|order| order.client_order_id == client_order_id) {
            return Err(refusal(422, 40_010_001, "client_order_id must be unique"));
        }
        let number = self.orders.len() + 1;
        let kept = Kept {
            id: format!("61e69015-8549-4bfd-b9c3-{number:012}"),
            client_order_id: client_order_id.clone(),
            symbol,
            side,
            status: "accepted".to_owned(),
            filled: 0,
            price_cents: 0,
            canceling: None,
            asked: asked.clone(),
        };
        let reply = json(&kept, true);
        self.orders.push(kept);
        if self.fills_at_once && text("type") == "market" {
            // After the reply, as at the exchange.
            self.fill(&client_order_id, quantity, PRICE_CENTS);
        }
        Ok(reply)
    }

    pub(super) fn fill(&mut self, client_order_id: &str, quantity: i64, price_cents: i64) {
        let Some(order) = self.orders.iter_mut().find(|order| order.client_order_id == client_order_id)
        else {
            return;
        };
        let asked = order.quantity();
        let before = order.filled * order.price_cents;
        order.filled += quantity;
        order.price_cents = (before + quantity * price_cents) / order.filled;
        let status = if order.filled < asked { "partially_filled" } else { "filled" };
        status.clone_into(&mut order.status);
        let signed = if order.side == "buy" { quantity } else { -quantity };
        *self.held.entry(order.symbol.clone()).or_default() += signed;
    }

    pub(super) fn read(&mut self, method: &Method, path: &str, query: &str) -> Result<Value, Refusal> {
        self.end_canceled();
        let missing = |message: &str| refusal(404, 40_410_000, message);
        if path == "/v2/account" {
            return Ok(json!({
                "id": "e6fe16f3-64a4-4921-8928-cadf02f92f98", "status": "ACTIVE", "currency": "USD",
                "equity": "100000", "last_equity": "100000", "shorting_enabled": true, "trading_blocked": false,
                "buying_power": (self.buying_power_cents / 100).to_string(),
            }));
        }
        if let Some(symbol) = path.strip_prefix("/v2/positions/") {
            return match self.held.get(symbol) {
                None | Some(0) => Err(missing("position does not exist")),
                Some(held) => Ok(json!({
                    "symbol": symbol, "qty": held.to_string(), "side": if *held > 0 { "long" } else { "short" },
                    "current_price": "100", "avg_entry_price": "100",
                })),
            };
        }
        let by_client = query.split('&').find_map(|pair| pair.strip_prefix("client_order_id="));
        let wanted = match path.strip_prefix("/v2/orders") {
            Some(":by_client_order_id") => {
                self.orders.iter_mut().find(|one| Some(one.client_order_id.as_str()) == by_client)
            }
            Some(id) => self.orders.iter_mut().find(|one| one.id == id.trim_start_matches('/')),
            None => return Err(missing("endpoint not found.")),
        };
        let order = wanted.ok_or_else(|| missing("order not found"))?;
        if *method == Method::DELETE {
            if !order.is_open() {
                return Err(refusal(
                    422,
                    42_210_000,
                    &format!("order is already in \"{}\" state", order.status),
                ));
            }
            "pending_cancel".clone_into(&mut order.status);
            order.canceling.get_or_insert_with(Instant::now);
        }
        Ok(json(order, false))
    }

    /// A request to cancel takes its time, and an order may be filled meanwhile.
    fn end_canceled(&mut self) {
        let within = self.cancels_within;
        let is_due = |order: &&mut Kept| {
            order.is_open() && order.canceling.is_some_and(|since| since.elapsed() >= within)
        };
        for order in self.orders.iter_mut().filter(is_due) {
            "canceled".clone_into(&mut order.status);
        }
    }
}

fn json(order: &Kept, is_new: bool) -> Value {
    let filled = if is_new { 0 } else { order.filled };
    json!({
        "id": order.id, "client_order_id": order.client_order_id, "created_at": "2026-11-21T14:30:00.942282Z",
        "symbol": order.symbol, "asset_class": "us_equity", "notional": null, "qty": order.asked["qty"],
        "filled_qty": filled.to_string(),
        "filled_avg_price": (filled > 0).then(|| format!("{}.{:02}", order.price_cents / 100, order.price_cents % 100)),
        "order_class": order.asked["order_class"].as_str().unwrap_or(""), "order_type": order.asked["type"],
        "type": order.asked["type"], "side": order.side, "time_in_force": order.asked["time_in_force"],
        "limit_price": order.asked["limit_price"], "stop_price": order.asked["stop_price"],
        "status": if is_new { "accepted" } else { &order.status }, "extended_hours": false, "legs": null,
    })
}
