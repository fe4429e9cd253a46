//! Saves the login of a company's DEX site. It is tried first, so that a typing error shows at once.

use dex_collector::credentials::Login;
use dex_collector::store::Wish;
use dex_collector::vendor::Session;
use dex_collector::{Budget, store};
use ironferry::{Context, Error, Request, Response, Result, Secret};
use serde::Deserialize;
use serde_json::json;

use crate::caller::Caller;

/// The body of `PUT /collect-bulk/credentials`.
#[derive(Deserialize)]
pub struct NewLogin {
    /// The e-mail address.
    pub username: Secret,
    /// The password.
    pub password: Secret,
    /// Where to log in.
    #[serde(default = "cantaloupe")]
    pub site_url: String,
}

fn cantaloupe() -> String {
    "https://dashboard.cantaloupe.online".to_owned()
}

pub(crate) async fn save(request: &Request, cx: &Context) -> Result<Response> {
    let caller = Caller::of(request, cx, Wish::Change).await?;
    let NewLogin { username, password, site_url } = request.json()?;
    if username.expose().is_empty() || password.expose().is_empty() {
        return Err(Error::bad_request("`username` and `password` must not be empty").code("INVALID_JSON"));
    }
    let login = Login { username, password };
    let status = match Session::login(cx, &Budget::new(cx)?, &site_url, &login).await {
        Ok(_) => "valid",
        Err(error) if error.as_code() == "LOGIN_REFUSED" => {
            return Err(Error::bad_request("the DEX site refuses this login").code("LOGIN_REFUSED"));
        }
        // A wrong URL is the caller's; a site that is down is not.
        Err(error) if error.as_code() == "URL_REFUSED" => return Err(error),
        Err(_) => "unchecked",
    };
    let sealed = login.seal(cx, &caller.company_id)?;
    let user_id = caller.user_id.as_deref();
    store::save_login(cx, &caller.company_id, user_id, &sealed, &site_url, status).await?;
    Response::json(200, &json!({ "success": true, "validation_status": status }))
}
