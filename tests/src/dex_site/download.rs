//! One capture, as it is.

use serde_json::json;

use super::answer::{Reply, html, json, reply};
use super::asked::Asked;
use super::sessions::Session;
use super::{Shared, lock};

pub(super) fn raw(shared: &Shared, asked: &Asked, session: &Session, id: &str) -> Reply {
    if asked.field("dexId") != id {
        let said = json!({ "message": "The dexId field is required.", "errors": { "dexId": ["The dexId field is required."] } });
        return json(422, &said);
    }
    let capture = {
        let accounts = lock(&shared.accounts);
        let account = session.account.as_ref().and_then(|email| accounts.get(email));
        let mut captures = account.into_iter().flat_map(|account| &account.captures);
        captures.find(|capture| capture.dex_id.to_string() == id).cloned()
    };
    let Some(capture) = capture else {
        return html(404, "<html><title>Not Found</title></html>");
    };
    *lock(&shared.stats).downloads.entry(capture.dex_id).or_default() += 1;
    reply(200, "text/plain; charset=UTF-8", capture.bytes())
}
