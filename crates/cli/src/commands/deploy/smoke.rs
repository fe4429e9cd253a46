//! Tries a function that was deployed: does its module answer?

use std::time::Duration;

use anyhow::Result;

use crate::commands::shims::Shim;
use crate::remote::{Method, Remote, RemoteError};

/// Nobody has this route: only the module itself can say so, in its own words.
const ROUTE: &str = "ferry-smoke-test";
/// A first call starts a worker.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A new version is not everywhere at once.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);

/// None when it is well, else what is wrong.
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
    match remote.function(Method::GET, &format!("{}/{ROUTE}", shim.name), None).await {
        Ok(reply) if reply.status < 500 && reply.json.get("request_id").is_some() => None,
        Ok(reply) => Some(reply.problem()),
        // A function for users and webhooks knows no service key; that it refuses one is an answer.
        Err(RemoteError::KeyRefused { .. }) if !shim.secrets.iter().any(|name| name == "SERVICE_API_KEY") => {
            None
        }
        Err(RemoteError::KeyRefused { key, .. }) => Some(format!(
            "{key} was refused: the function has another one (ferry doctor, supabase secrets list)"
        )),
        Err(error) => Some(error.to_string()),
    }
}
