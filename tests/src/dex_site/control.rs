//! The site from outside: what a test in another process reads and changes. No account is needed;
//! the site listens on 127.0.0.1 only.

use std::collections::HashMap;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use super::answer::{Reply, json};
use super::asked::Asked;
use super::faults::Faults;
use super::{Shared, lock};

/// Whom a command is about; all when there is nobody.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    account: Option<String>,
}

pub(super) fn answer(shared: &Shared, asked: &Asked) -> Reply {
    let whom = || -> Result<Whom, serde_json::Error> {
        if asked.body.is_empty() { Ok(Whom::default()) } else { serde_json::from_slice(&asked.body) }
    };
    let outcome = match (&asked.method, asked.path.as_str()) {
        (&Method::GET, "/__control/stats") => Ok(json!(*lock(&shared.stats))),
        (&Method::DELETE, "/__control/stats") => {
            lock(&shared.stats).reset();
            Ok(json!({ "success": true }))
        }
        (&Method::GET, "/__control/accounts") => Ok(accounts(shared)),
        (&Method::POST, "/__control/faults") => {
            serde_json::from_slice::<HashMap<String, Faults>>(&asked.body).map(|faults| {
                lock(&shared.faults).extend(faults);
                json!({ "success": true })
            })
        }
        (&Method::DELETE, "/__control/faults") => {
            lock(&shared.faults).clear();
            Ok(json!({ "success": true }))
        }
        (&Method::POST, "/__control/expire") => whom().map(|whom| {
            shared.expire(whom.account.as_deref());
            json!({ "success": true })
        }),
        (&Method::POST, "/__control/advance") => whom().map(|whom| {
            let now = OffsetDateTime::now_utc();
            json!({ "success": true, "captures": shared.advance(whom.account.as_deref(), now) })
        }),
        _ => {
            return json(404, &json!({ "success": false, "error": "there is no such control" }));
        }
    };
    match outcome {
        Ok(said) => json(200, &said),
        Err(error) => json(400, &json!({ "success": false, "error": error.to_string() })),
    }
}

fn accounts(shared: &Shared) -> serde_json::Value {
    let accounts = lock(&shared.accounts);
    let mut said: Vec<_> = accounts
        .values()
        .map(|one| json!({ "email": one.email, "password": one.password, "captures": one.captures.len() }))
        .collect();
    said.sort_by_key(|one| one["email"].as_str().unwrap_or("").to_owned());
    json!(said)
}
