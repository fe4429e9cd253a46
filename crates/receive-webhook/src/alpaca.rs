//! Alpaca's trading API, version 2, paper and live: <https://docs.alpaca.markets/reference>. All numbers
//! are text there.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use ironferry::{Context, Error, FetchOptions, Result, Secret, outbound};
use order_engine::{Account, AssetClass, Decimal, Order, OrderType, Position, Symbol, Trail};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::broker::Failure;
use crate::config::{self, OwnAccount};
use crate::placed::{Leg, Placed, State};
use crate::verify;

const PAPER: &str = "https://paper-api.alpaca.markets";
/// It answers in well under a second; an order is looked up after that.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// Where it names no time: 200 requests a minute are let in.
const WAIT: Duration = Duration::from_secs(20);

pub(crate) struct Alpaca {
    /// 16 digits of the hash of its key.
    pub(crate) account_id: String,
    url: String,
    key: Secret,
    secret: Secret,
}

#[derive(Deserialize)]
#[allow(clippy::struct_excessive_bools)] // Alpaca's own
struct AccountReply {
    equity: Decimal,
    last_equity: Decimal,
    buying_power: Decimal,
    #[serde(default)]
    trading_blocked: bool,
    #[serde(default)]
    account_blocked: bool,
    #[serde(default)]
    trade_suspended_by_user: bool,
    #[serde(default)]
    shorting_enabled: bool,
}

#[derive(Deserialize)]
struct PositionReply {
    qty: Decimal,
    #[serde(default)]
    side: String,
    #[serde(default)]
    current_price: Option<Decimal>,
}

#[derive(Deserialize)]
struct OrderReply {
    id: String,
    client_order_id: String,
    status: String,
    #[serde(default)]
    filled_qty: Option<Decimal>,
    #[serde(default)]
    filled_avg_price: Option<Decimal>,
    #[serde(default)]
    qty: Option<Decimal>,
    #[serde(rename = "type", default)]
    order_type: OrderType,
    #[serde(default)]
    limit_price: Option<Decimal>,
    #[serde(default)]
    stop_price: Option<Decimal>,
    #[serde(default)]
    legs: Option<Vec<OrderReply>>,
}

#[derive(Default, Deserialize)]
struct ErrorReply {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    message: String,
}

impl Alpaca {
    /// With the owner's own account where there is one, else with the operator's.
    pub(crate) fn new(cx: &Context, config_id: Option<&str>, own: Option<&OwnAccount>) -> Result<Self> {
        let new = |url: &str, key: Secret, secret: Secret| Self {
            account_id: verify::hex(&Sha256::digest(key.expose())[..8]),
            url: url.trim_end_matches('/').trim_end_matches("/v2").to_owned(),
            key,
            secret,
        };
        if let (
            Some(id),
            Some(OwnAccount {
                alpaca_api_key_sealed: Some(key),
                alpaca_api_secret_sealed: Some(secret),
                alpaca_api_url,
            }),
        ) = (config_id, own)
        {
            let url = alpaca_api_url.as_deref().unwrap_or(PAPER);
            outbound::guard(cx, url)?;
            let key = config::open(cx, id, "alpaca_api_key", key)?;
            return Ok(new(url, key, config::open(cx, id, "alpaca_api_secret", secret)?));
        }
        let url = cx.secret("ALPACA_API_URL").map_or(PAPER, Secret::expose);
        let key = cx.require_secret("ALPACA_API_KEY")?.clone();
        Ok(new(url, key, cx.require_secret("ALPACA_API_SECRET")?.clone()))
    }

    pub(crate) async fn account(&self, cx: &Context) -> Result<Account, Failure> {
        let reply: AccountReply = self.ask(cx, Method::GET, "/v2/account", None).await?;
        Ok(Account {
            equity: reply.equity,
            last_equity: reply.last_equity,
            buying_power: reply.buying_power,
            blocked: reply.trading_blocked || reply.account_blocked || reply.trade_suspended_by_user,
            shorting_enabled: reply.shorting_enabled,
        })
    }

    pub(crate) async fn position(
        &self,
        cx: &Context,
        symbol: &Symbol,
        last_price: Option<Decimal>,
    ) -> Result<Position, Failure> {
        // Pairs have no slash in a path.
        let path = format!("/v2/positions/{}", symbol.name.replace('/', ""));
        let reply: PositionReply = match self.ask(cx, Method::GET, &path, None).await {
            Err(Failure::Refused { code, .. }) if code == "404" || code == "40410000" => {
                return Ok(Position { quantity: Decimal::ZERO, last_price });
            }
            reply => reply?,
        };
        let size = reply.qty.abs();
        let is_short = reply.side == "short" || reply.qty.is_sign_negative();
        Ok(Position {
            quantity: if is_short { -size } else { size },
            last_price: reply.current_price.or(last_price),
        })
    }

    pub(crate) async fn submit(
        &self,
        cx: &Context,
        client_order_id: &str,
        order: &Order,
    ) -> Result<State, Failure> {
        let body = body(client_order_id, order);
        match self.ask::<OrderReply>(cx, Method::POST, "/v2/orders", Some(&body)).await {
            Ok(reply) => Ok(reply.into()),
            // It is there: an earlier request arrived after all.
            Err(Failure::Refused { message, .. }) if message.contains("client_order_id must be unique") => {
                Err(Failure::Unknown(message))
            }
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn find(&self, cx: &Context, order: &Placed) -> Result<Option<State>, Failure> {
        let path = match &order.broker_order_id {
            Some(id) => format!("/v2/orders/{id}?nested=true"),
            None => {
                format!("/v2/orders:by_client_order_id?client_order_id={}&nested=true", order.client_order_id)
            }
        };
        match self.ask::<OrderReply>(cx, Method::GET, &path, None).await {
            Ok(reply) => Ok(Some(reply.into())),
            Err(Failure::Refused { code, .. }) if code == "404" || code == "40410000" => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) async fn cancel(&self, cx: &Context, order: &Placed) -> Result<(), Failure> {
        let Some(id) = &order.broker_order_id else { return Ok(()) };
        match self.fetch(cx, Method::DELETE, &format!("/v2/orders/{id}"), None).await {
            // Not cancelable any more, or not there: how it stands tells. Whoever may not cancel is told so.
            Err(Failure::Refused { code, .. }) if code.starts_with("422") || code.starts_with("404") => {
                Ok(())
            }
            reply => reply.map(drop),
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        cx: &Context,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let reply = self.fetch(cx, method, path, body).await?;
        // A success that cannot be read may be one.
        ironferry::from_json(&reply)
            .map_err(|problem| Failure::Unknown(format!("Alpaca answered something else: {problem}")))
    }

    async fn fetch(
        &self,
        cx: &Context,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Bytes, Failure> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("apca-api-key-id", self.key.expose())
            .header("apca-api-secret-key", self.secret.expose())
            .header(CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Bytes::new, |body| ironferry::to_json(body).unwrap_or_default().into()))
            .map_err(|_| Failure::Refused {
                code: "SETTING".into(),
                message: "ALPACA_API_URL or its key is malformed".into(),
            })?;
        let options = FetchOptions {
            timeout: ANSWER_WITHIN,
            max_body: 1_000_000,
            follow_redirects: false,
            ..FetchOptions::default()
        };
        let reply =
            cx.fetch_with(request, options).await.map_err(|error| Failure::Unknown(error.to_string()))?;
        let status = reply.status();
        if status.is_success() {
            return Ok(reply.into_body());
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Wait(wait(cx, &reply)));
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT || status.is_redirection() {
            return Err(Failure::Unknown(format!("Alpaca answered {}", status.as_u16())));
        }
        let error: ErrorReply = ironferry::from_json(reply.body()).unwrap_or_default();
        let code = if error.code == 0 { status.as_u16().to_string() } else { error.code.to_string() };
        let message = if error.message.is_empty() {
            format!("Alpaca answered {}", status.as_u16())
        } else {
            error.message
        };
        Err(Failure::Refused { code, message })
    }
}

/// `Retry-After` in seconds, or `X-Ratelimit-Reset`, the second at which the window ends.
fn wait(cx: &Context, reply: &http::Response<Bytes>) -> Duration {
    let number = |name: &str| reply.headers().get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let seconds =
        number("retry-after").or_else(|| Some(number("x-ratelimit-reset")? - cx.now().unix_timestamp()));
    seconds.map_or(WAIT, |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0).clamp(1, 120)))
}

fn body(client_order_id: &str, order: &Order) -> Value {
    let mut body = json!({
        "symbol": order.symbol.name,
        "qty": order.quantity,
        "side": order.side,
        "type": order.order_type,
        "time_in_force": order.time_in_force,
        "client_order_id": client_order_id,
    });
    let mut set = |name: &str, value: Option<Decimal>| {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    };
    set("limit_price", order.limit_price);
    set("stop_price", order.stop_price);
    match order.trail {
        Some(Trail::Price(price)) => set("trail_price", Some(price)),
        Some(Trail::Percent(percent)) => set("trail_percent", Some(percent)),
        None => {}
    }
    if order.symbol.class == AssetClass::UsEquity && !order.bracket.is_empty() {
        let both = order.bracket.stop_loss.is_some() && order.bracket.take_profit.is_some();
        body["order_class"] = if both { "bracket" } else { "oto" }.into();
        if let Some(stop) = order.bracket.stop_loss {
            body["stop_loss"] = json!({ "stop_price": stop });
        }
        if let Some(target) = order.bracket.take_profit {
            body["take_profit"] = json!({ "limit_price": target });
        }
    }
    body
}

impl From<OrderReply> for State {
    fn from(reply: OrderReply) -> Self {
        let leg = |one: OrderReply| Leg {
            client_order_id: one.client_order_id.clone(),
            role: if one.stop_price.is_some() { "stop_loss" } else { "take_profit" },
            order_type: one.order_type,
            quantity: one.qty.unwrap_or_default(),
            limit_price: one.limit_price,
            stop_price: one.stop_price,
            state: one.into(),
        };
        State {
            status: reply.status,
            broker_order_id: Some(reply.id),
            filled_quantity: reply.filled_qty.unwrap_or_default(),
            filled_avg_price: reply.filled_avg_price,
            error_code: None,
            error_message: None,
            legs: reply
                .legs
                .unwrap_or_default()
                .into_iter()
                .filter(|one| one.qty.is_some())
                .map(leg)
                .collect(),
        }
    }
}

/// What an owner enters as the address of an account.
pub(crate) fn check_url(cx: &Context, url: &str) -> Result<()> {
    outbound::guard(cx, url)
        .map(drop)
        .map_err(|error| Error::bad_request(format!("alpaca_api_url: {error}")).code("URL_REFUSED"))
}
