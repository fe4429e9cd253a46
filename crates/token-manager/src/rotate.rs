//! Seals tokens again under the first key of the ring, batch by batch, while everything goes on.
//!
//! Which ones are left follows from the rows themselves, so a call that ends early, or dies, is
//! continued by the next one.

use ironferry::{Context, Response, Result};
use serde_json::{Value, json};

use crate::Caller;
use crate::database::{self, Outdated};
use crate::types::RotateReply;
use crate::vault::Vault;

/// A call ends before its caller or the platform loses patience.
const SECONDS: i64 = 50;
/// Accounts that a reply names as unreadable.
const NAMED: usize = 100;

pub(crate) async fn answer(cx: &Context, caller: &Caller) -> Result<Response> {
    let vault = Vault::open(cx)?;
    let started = cx.now();
    let mut reply =
        RotateReply { success: true, key_id: vault.key_id().to_owned(), ..RotateReply::default() };
    let mut after = String::new();
    loop {
        let batch = database::outdated(cx, vault.key_id(), &after).await?;
        let Some(last) = batch.last() else { break };
        after.clone_from(&last.account_name);
        let tokens = seal_again(cx, &vault, batch, &mut reply)?;
        if !tokens.is_empty() {
            reply.rotated += database::store_rotated(cx, caller, &tokens).await?;
        }
        if (cx.now() - started).whole_seconds() >= SECONDS {
            reply.has_more = true;
            break;
        }
    }
    reply.message = format!("{} tokens sealed under key {}", reply.rotated, reply.key_id);
    let fields = json!({
        "key_id": reply.key_id, "rotated": reply.rotated, "unreadable": reply.unreadable.len(), "has_more": reply.has_more,
    });
    cx.info("token_manager.rotated", fields);
    Response::json(200, &reply)
}

fn seal_again(
    cx: &Context,
    vault: &Vault,
    batch: Vec<Outdated>,
    reply: &mut RotateReply,
) -> Result<Vec<Value>> {
    let mut tokens = Vec::with_capacity(batch.len());
    for Outdated { account_name, access_token, fingerprint } in batch {
        match vault.unseal(&account_name, &access_token) {
            Ok(token) => {
                let sealed = vault.seal(cx, &account_name, &token)?;
                tokens.push(json!({
                    "account_name": account_name, "old_token": access_token, "old_fingerprint": fingerprint,
                    "access_token": sealed.access_token, "fingerprint": sealed.fingerprint,
                }));
            }
            Err(error) => {
                cx.warn(
                    "token_manager.unreadable",
                    json!({ "account": account_name, "error": error.chain() }),
                );
                if reply.unreadable.len() < NAMED {
                    reply.unreadable.push(account_name);
                }
            }
        }
    }
    Ok(tokens)
}
