//! Which keys a worker has, for `ferry secrets rotate`: workers of several generations answer for some minutes
//! after a secret was changed, and only they know what they were started with.

use http::HeaderValue;

use crate::{Context, Response, Result};

/// Below each function's name. No function has a path of its own that begins with a dot.
pub(crate) const ROUTE: &str = "/.ironferry/keys";

/// For services: that this worker takes the key that was shown, and of each ring, a line of its name and the ids
/// of its keys, the one that seals first: `TOKEN_ENCRYPTION_KEYS k2 k1`. Plain text is the smallest code.
pub(crate) fn answer(cx: &Context) -> Result<Response> {
    cx.require_service()?;
    let text = cx.host().secrets().rings();
    Ok(Response::new(200, HeaderValue::from_static("text/plain"), text))
}
