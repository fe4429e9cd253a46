//! Tries a deployed function: does the module that was uploaded answer, and does it take the service key?

use std::time::Duration;

use anyhow::Result;

use crate::commands::shims::Shim;
use crate::remote::{Method, Remote, RemoteError, Reply};

/// The SDK answers it for every function, with the module's name and the digest of its source.
const ROUTE: &str = ".ironferry/module";
/// A first call starts a worker.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Workers of the version before answer for a moment.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(2);

/// Returns what is wrong with the function, or `None`.
pub(super) async fn look(remote: &Remote, shim: &Shim) -> Result<Option<String>> {
    let remote = remote.clone().patient_for(ANSWER_WITHIN);
    let mut problem = None;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        problem = once(&remote, shim).await;
        if problem.is_none() {
            break;
        }
    }
    Ok(problem)
}

async fn once(remote: &Remote, shim: &Shim) -> Option<String> {
    let takes_key = shim.secrets.iter().any(|name| name == "SERVICE_API_KEY");
    match remote.function(Method::GET, &format!("{}/{ROUTE}", shim.name), None).await {
        Ok(reply) if reply.is_success() => other_module(shim, &reply),
        // A function for users and webhooks knows no service key; the SDK's own refusal proves the module.
        Ok(reply) if !takes_key && reply.json["code"] == "MISSING_SECRET" => None,
        Ok(reply) => Some(reply.problem()),
        Err(RemoteError::KeyRefused { .. }) if !takes_key => None,
        Err(RemoteError::KeyRefused { key, .. }) => Some(format!(
            "{key} was refused: the function has another one (ferry doctor, supabase secrets list)"
        )),
        Err(error) => Some(error.to_string()),
    }
}

/// Says which module answers, unless it is the one that was uploaded.
fn other_module(shim: &Shim, reply: &Reply) -> Option<String> {
    let said = reply.json.as_str().and_then(|text| text.strip_prefix("ironferry module ")).map(str::trim);
    let wanted = shim.source().map(|source| format!("{} {source}", shim.name));
    match said {
        Some(module) if Some(module) == wanted.as_deref() => None,
        Some(module) => Some(format!(
            "module `{module}` answers, and `{}` was uploaded",
            wanted.as_deref().unwrap_or("none")
        )),
        None => Some("something else than an Ironferry module answers".to_owned()),
    }
}
