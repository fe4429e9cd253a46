//! The collection of one company as an endpoint of its own.
//!
//! `collect` is that; `credentials` saves the login it needs; `caller` tells whose company it is.
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

mod caller;
mod collect;
mod credentials;

use dex_collector::credentials::KEYS;
use ironferry::seal::reseal;
use ironferry::{Context, Error, Request, Response, Result};

pub use collect::{Batching, Reply};
pub use credentials::NewLogin;

ironferry::export!(handle);

/// `POST /collect-bulk?limit=&offset=` collects, `PUT /collect-bulk/credentials` saves a login,
/// `POST /collect-bulk/rotate-key` seals logins again.
/// The long path is the one that `SITE_URL` callers use.
pub async fn handle(request: Request, cx: Context) -> Result<Response> {
    match (request.method().as_str(), request.route()) {
        ("POST", "/" | "/api/dex/collect-bulk") => collect::collect(&request, &cx).await,
        ("PUT", "/credentials") => credentials::save(&request, &cx).await,
        ("POST", "/rotate-key") => reseal(&cx, KEYS, "collect-bulk").await,
        (_, "/" | "/api/dex/collect-bulk" | "/rotate-key") => Err(Error::method_not_allowed("POST")),
        (_, "/credentials") => Err(Error::method_not_allowed("PUT")),
        _ => Err(Error::not_found()),
    }
}
