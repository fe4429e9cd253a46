//! The routes below `/.ironferry/` that the SDK answers for every function, so that `ferry` can ask a worker
//! about itself. No function has a path of its own that begins with a dot.

use http::HeaderValue;

use crate::{Context, Error, Response, Result};

const PREFIX: &str = "/.ironferry/";

/// The setting in which the shim names the module: its name and the digest of its source.
pub(crate) const MODULE: &str = "IRONFERRY_MODULE";

/// Answers a reserved route for a caller with a service key; `None` where the route belongs to the function.
/// The text is plain because that is the smallest code:
/// - `module`: the module and the digest of its source, `ironferry module cache 4b73b9d3…`. `ferry deploy` proves
///   with it that the version it uploaded runs and takes the service key.
/// - `keys`: a line for each key ring with the ids of its keys, the sealing key first:
///   `TOKEN_ENCRYPTION_KEYS k2 k1`. `ferry secrets rotate` needs it: after a secret changes, workers with the old
///   and the new value answer side by side for some minutes.
pub(crate) fn answer(cx: &Context, route: &str) -> Option<Result<Response>> {
    let name = route.strip_prefix(PREFIX)?;
    Some(cx.require_service().and_then(|()| {
        let secrets = cx.host().secrets();
        let text = match name {
            "keys" => secrets.rings(),
            "module" => {
                let module = secrets.get(MODULE).map_or("unknown", |module| module.expose());
                format!("ironferry module {module}\n")
            }
            _ => return Err(Error::not_found()),
        };
        Ok(Response::new(200, HeaderValue::from_static("text/plain"), text))
    }))
}
