//! Who calls, and so which company is meant.

use dex_collector::store::{self, Wish};
use ironferry::{Context, Error, Request, Result};

/// A service names the company; a user has one.
pub(crate) struct Caller {
    pub(crate) company_id: String,
    /// The user, where it is one.
    pub(crate) user_id: Option<String>,
}

impl Caller {
    /// With `X-Service-Key`, the company of `X-Company-ID`; else that of the user's JWT.
    pub(crate) async fn of(request: &Request, cx: &Context, wish: Wish) -> Result<Self> {
        if !cx.shows_service_key() {
            let user = cx.require_user().await?;
            let company_id = store::company_of_caller(cx, wish).await?;
            return Ok(Self { company_id, user_id: Some(user.id) });
        }
        cx.require_service()?;
        let company_id = request.header("x-company-id").ok_or_else(|| {
            Error::bad_request("the X-Company-ID header is missing").code("MISSING_COMPANY_ID")
        })?;
        if !is_uuid(company_id) {
            return Err(
                Error::bad_request("the X-Company-ID header is not a UUID").code("INVALID_COMPANY_ID")
            );
        }
        Ok(Self { company_id: company_id.to_owned(), user_id: None })
    }
}

pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
