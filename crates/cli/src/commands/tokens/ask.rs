//! Calls of the function, and those commands that need several.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use token_manager::types::{ListReply, RotateReply};

use super::{Common, report};
use crate::commands::paint;
use crate::remote::{Method, Place, Remote, block_on};

/// Tokens a page.
const PAGE: usize = 1_000;

#[derive(clap::Args)]
pub(in crate::commands) struct ListArguments {
    /// Only those of this main account, e.g. APEX_136189
    #[arg(long, value_name = "ACCOUNT")]
    main: Option<String>,
    /// Only those that end within so many minutes, or have ended
    #[arg(long, value_name = "MINUTES")]
    expiring_within: Option<u32>,
    /// Those that are no longer active too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    common: Common,
}

/// Calls the function. POST, as nothing between us and it then keeps the answer.
pub(super) async fn ask(remote: &Remote, action: &str, body: Option<&Value>) -> Result<Value> {
    let reply = remote.function(Method::POST, &format!("token-manager?action={action}"), body).await?;
    Ok(reply.success()?)
}

/// An answer as the type that it should be.
pub(super) fn told<T: DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer).context("token-manager answered in an unexpected shape")
}

/// An action with one more parameter.
pub(super) fn with(action: &str, name: &str, value: &(impl ToString + ?Sized)) -> String {
    format!("{action}&{name}={}", utf8_percent_encode(&value.to_string(), NON_ALPHANUMERIC))
}

pub(super) fn list(arguments: &ListArguments, place: &Place) -> Result<ExitCode> {
    let ListArguments { main, expiring_within, all, common } = arguments;
    let mut action = format!("list&limit={PAGE}&all={all}");
    if let Some(main) = main {
        action = with(&action, "main_account", main);
    }
    if let Some(minutes) = expiring_within {
        action = with(&action, "expiring_within", &(u64::from(*minutes) * 60));
    }
    let remote = Remote::find(&common.target, place)?;
    let tokens = block_on(async {
        let mut tokens = Vec::new();
        let mut next = action.clone();
        loop {
            let page: ListReply = told(ask(&remote, &next, None).await?)?;
            tokens.extend(page.tokens);
            match page.next_after {
                Some(last) => next = with(&action, "after", &last),
                None => return Ok(tokens),
            }
        }
    })?;
    if common.json {
        paint::line(format!("{:#}", json!({ "success": true, "tokens": tokens })));
    } else {
        report::list(&tokens);
    }
    Ok(ExitCode::SUCCESS)
}

/// Call after call, until none is left that can be sealed again.
pub(super) fn rotate_key(common: &Common, place: &Place) -> Result<ExitCode> {
    let remote = Remote::find(&common.target, place)?;
    let all = block_on(async {
        let mut rotated = 0;
        loop {
            let mut reply: RotateReply = told(ask(&remote, "rotate-key", None).await?)?;
            rotated += reply.rotated;
            // What no key opens comes again at each call; a call that seals nothing is the last one.
            if !reply.has_more || reply.rotated == 0 {
                reply.rotated = rotated;
                return Ok(reply);
            }
        }
    })?;
    if common.json {
        paint::line(format!("{:#}", json!(all)));
        return Ok(if all.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    Ok(report::rotated(&all))
}
