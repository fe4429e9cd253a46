//! An owner's limits: `GET` and `PUT /receive-webhook/limits`. What is not named stays as it is; null
//! takes a limit away.

use http::HeaderValue;
use ironferry::{Context, Error, Raw, Request, Response, Result};

use crate::body::{self, Object};
use crate::manage::{Owner, set, unfit};
use crate::rows::{limits, settable_limits};

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
    let limits = limits.as_ref().map_or("null", Raw::get);
    let body = format!(r#"{{"success":true,"limits":{limits}}}"#);
    Ok(Response::new(200, HeaderValue::from_static("application/json"), body))
}

async fn row(cx: &Context, owner: &Owner, user_id: &str) -> Result<Option<Raw>> {
    let query = owner.db(cx).from(limits::TABLE).select(limits::COLUMNS);
    query.eq(limits::USER_ID, user_id).fetch_optional().await
}

async fn change(request: &Request, cx: &Context, owner: &Owner, user_id: &str) -> Result<()> {
    let mut input: Object = body::object(request.header("content-type"), request.body())?;
    if let Some(name) = input.keys().find(|name| !settable_limits::NAMES.contains(&name.as_str())) {
        let message =
            format!("{name}: there is no such limit; there are {}", settable_limits::NAMES.join(", "));
        return Err(Error::bad_request(message).code("INVALID_PAYLOAD"));
    }
    if input.is_empty() {
        return Ok(());
    }
    let table = owner.db(cx).from(limits::TABLE);
    let query = if row(cx, owner, user_id).await?.is_some() {
        table.update(&input).eq(limits::USER_ID, user_id)
    } else {
        set(&mut input, limits::USER_ID, &user_id.into())?;
        table.insert(&input)
    };
    query.execute().await.map_err(unfit)
}
