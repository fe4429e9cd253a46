//! An owner's limits: `GET` and `PUT /receive-webhook/limits`. What is not named stays as it is; null
//! takes a limit away.

use http::HeaderValue;
use ironferry::{Context, Error, Request, Response, Result};
use serde_json::value::RawValue;

use crate::body::{self, Object};
use crate::manage::{Owner, set, unfit};

const COLUMNS: &str = "user_id,kill_switch,allowed_symbols,max_order_notional,max_position_notional,\
    max_orders_per_day,max_daily_loss,cooldown_seconds,updated_at";
const SETTABLE: [&str; 7] = [
    "kill_switch",
    "allowed_symbols",
    "max_order_notional",
    "max_position_notional",
    "max_orders_per_day",
    "max_daily_loss",
    "cooldown_seconds",
];

/// `/receive-webhook/limits`
pub(crate) async fn route(request: &Request, cx: &Context) -> Result<Response> {
    let owner = Owner::of(request, cx).await?;
    let user_id = owner.user_id()?;
    match request.method().as_str() {
        "GET" => {}
        "PUT" | "PATCH" => change(request, cx, &owner, user_id).await?,
        _ => return Err(Error::method_not_allowed("GET, PUT, PATCH")),
    }
    let limits = row(cx, &owner, user_id).await?;
    let limits = limits.as_deref().map_or("null", RawValue::get);
    let body = format!(r#"{{"success":true,"limits":{limits}}}"#);
    Ok(Response::new(200, HeaderValue::from_static("application/json"), body))
}

async fn row(cx: &Context, owner: &Owner, user_id: &str) -> Result<Option<Box<RawValue>>> {
    owner.db(cx).from("risk_limits").select(COLUMNS).eq("user_id", user_id).fetch_optional().await
}

async fn change(request: &Request, cx: &Context, owner: &Owner, user_id: &str) -> Result<()> {
    let mut input: Object = body::object(request.header("content-type"), request.body())?;
    if let Some(name) = input.keys().find(|name| !SETTABLE.contains(&name.as_str())) {
        let message = format!("{name}: there is no such limit; there are {}", SETTABLE.join(", "));
        return Err(Error::bad_request(message).code("INVALID_PAYLOAD"));
    }
    if input.is_empty() {
        return Ok(());
    }
    let table = owner.db(cx).from("risk_limits");
    let query = if row(cx, owner, user_id).await?.is_some() {
        table.update(&input).eq("user_id", user_id)
    } else {
        set(&mut input, "user_id", &user_id.into())?;
        table.insert(&input)
    };
    query.execute().await.map_err(unfit)
}
