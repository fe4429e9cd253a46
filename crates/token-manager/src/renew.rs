//! Renews tokens before they end, and gives Redis the new ones.

use std::collections::VecDeque;

use bytes::Bytes;
use ironferry::{Context, Level, Request, Response, Result, Secret};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::database::{self, Claim};
use crate::redis::{Answer, Command, Redis, command};
use crate::tradovate::{self, Outcome};
use crate::types::{FailedRenewal, RenewReply};
use crate::vault::Vault;
use crate::{Caller, accepted, expiry, waits};

/// Tokens that end within this time are renewed.
const WITHIN_SECONDS: u32 = 900;
/// Tradovate takes 10 calls of `/auth/` a minute; a login by somebody else shall have room.
const PER_MINUTE: u32 = 8;

pub(crate) async fn answer(request: &Request, cx: &Context, caller: Caller) -> Result<Response> {
    let vault = Vault::open(cx)?;
    let within = cx.setting("TOKEN_RENEW_WITHIN_SECONDS", WITHIN_SECONDS)?;
    let within = request.query_or("within", within)?;
    let per_minute = cx.setting("TOKEN_RENEW_PER_MINUTE", PER_MINUTE)?;
    let account = request.query("account").filter(|account| !account.trim().is_empty());
    let waits = waits(request)?;
    let claims = database::claim_renewals(cx, within, per_minute, account.as_deref()).await?;
    let reply = RenewReply {
        success: true,
        waiting: claims.waiting,
        message: claims.reason.unwrap_or_default(),
        paused_until: claims.paused_until,
        ..RenewReply::default()
    };
    let renewal = Renewal { cx: cx.clone(), caller, vault, left: claims.tokens.into(), reply };
    if waits {
        return Response::json(200, &renewal.run().await?);
    }
    let background = cx.clone();
    cx.wait_until(async move {
        if let Err(error) = renewal.run().await {
            let fields = json!({ "code": error.as_code(), "error": error.chain() });
            background.log(Level::Error, "token_manager.renewal_broke_off", fields);
        }
    });
    accepted(cx, "Renewal started")
}

struct Renewal {
    cx: Context,
    caller: Caller,
    vault: Vault,
    left: VecDeque<Claim>,
    reply: RenewReply,
}

impl Renewal {
    /// One after the other: Tradovate punishes bursts.
    async fn run(mut self) -> Result<RenewReply> {
        while let Some(claim) = self.left.pop_front() {
            let old = match self.vault.unseal(&claim.account_name, &claim.access_token) {
                Ok(token) => token,
                Err(error) => {
                    self.fail(&claim, error.to_string()).await?;
                    continue;
                }
            };
            match tradovate::renew(&self.cx, &old).await? {
                Outcome::Renewed { token, expires_at } => self.keep(&claim, &old, &token, expires_at).await?,
                Outcome::Refused(why) => self.fail(&claim, why).await?,
                Outcome::Pause { seconds, reason } => {
                    self.pause(&claim, seconds, reason).await?;
                    break;
                }
            }
        }
        let reply = &mut self.reply;
        if reply.message.is_empty() {
            reply.message = format!("Renewed {} tokens of {} accounts", reply.renewed, reply.accounts.len());
        }
        let fields = json!({
            "renewed": reply.renewed, "accounts": reply.accounts.len(), "failed": reply.failed.len(),
            "waiting": reply.waiting, "paused_until": reply.paused_until,
        });
        self.cx.info("token_manager.renewed", fields);
        Ok(self.reply)
    }

    async fn keep(
        &mut self,
        claim: &Claim,
        old: &Secret,
        token: &Secret,
        expires_at: Option<OffsetDateTime>,
    ) -> Result<()> {
        let ends = expires_at.map(expiry::text);
        let mut tokens: Vec<Value> = Vec::with_capacity(claim.accounts.len());
        for account in &claim.accounts {
            let sealed = self.vault.seal(&self.cx, account, token)?;
            let mut row = json!({
                "account_name": account, "access_token": sealed.access_token, "fingerprint": sealed.fingerprint,
                "token_length": sealed.token_length,
            });
            if let Some(ends) = &ends {
                row["expires_at"] = ends.as_str().into();
            }
            tokens.push(row);
        }
        database::store_renewed(&self.cx, &self.caller, &claim.fingerprint, &tokens).await?;
        self.reply.renewed += 1;
        self.reply.accounts.extend(claim.accounts.iter().cloned());
        // The database has it: Redis that is away is no reason to fail.
        match self.write_to_redis(&claim.redis_keys, old, token, expires_at).await {
            Ok(written) => self.reply.redis_keys_written += written,
            Err(error) => {
                let fields =
                    json!({ "account": claim.account_name, "code": error.as_code(), "error": error.chain() });
                self.cx.warn("token_manager.redis_not_written", fields);
            }
        }
        Ok(())
    }

    /// Puts the new token where the old one still is, so that those who read Redis have it too, and the
    /// next sync finds it there. Keys that hold JSON are somebody else's to write.
    async fn write_to_redis(
        &self,
        keys: &[String],
        old: &Secret,
        token: &Secret,
        expires_at: Option<OffsetDateTime>,
    ) -> Result<u64> {
        if keys.is_empty() || !self.cx.setting("TOKEN_RENEW_TO_REDIS", true)? {
            return Ok(0);
        }
        let mut redis = Redis::of(&self.cx)?;
        let reads: Vec<Command> = keys.iter().map(|key| command(["GET", key])).collect();
        let held = redis.pipeline(&reads).await?;
        let holds_old = |held: &Answer| matches!(held, Answer::Text(text) if text == old.expose().as_bytes());
        let keys: Vec<&String> =
            keys.iter().zip(&held).filter(|(_, held)| holds_old(held)).map(|(key, _)| key).collect();
        let life = expires_at.map(|end| (end - self.cx.now()).whole_milliseconds().max(1).to_string());
        let writes: Vec<Command> = keys
            .iter()
            .map(|key| {
                // XX: a key that somebody removes at this moment stays away.
                let mut set = command(["SET", key, token.expose(), "XX"]);
                if let Some(life) = &life {
                    set.extend([Bytes::from_static(b"PX"), Bytes::copy_from_slice(life.as_bytes())]);
                }
                set
            })
            .collect();
        if writes.is_empty() {
            return Ok(0);
        }
        let answers = redis.pipeline(&writes).await?;
        let written: Vec<String> = keys
            .into_iter()
            .zip(answers)
            .filter(|(_, answer)| matches!(answer, Answer::Text(text) if text == b"OK"))
            .map(|(key, _)| key.clone())
            .collect();
        database::renewed_in_redis(&self.cx, &written, &self.vault.fingerprint(token)).await?;
        Ok(written.len() as u64)
    }

    async fn fail(&mut self, claim: &Claim, why: String) -> Result<()> {
        database::renewal_failed(&self.cx, &self.caller, &claim.fingerprint, &why).await?;
        self.cx.warn("token_manager.renewal_failed", json!({ "account": claim.account_name, "reason": why }));
        self.reply.failed.push(FailedRenewal { account_name: claim.account_name.clone(), reason: why });
        Ok(())
    }

    async fn pause(&mut self, claim: &Claim, seconds: u32, reason: &str) -> Result<()> {
        let mut release: Vec<&str> = vec![&claim.fingerprint];
        release.extend(self.left.iter().map(|claim| claim.fingerprint.as_str()));
        self.reply.waiting += release.len() as u64;
        let until = database::pause_renewals(&self.cx, seconds, reason, &release).await?;
        self.cx.warn("token_manager.renewals_paused", json!({ "until": until, "reason": reason }));
        reason.clone_into(&mut self.reply.message);
        self.reply.paused_until = Some(until);
        Ok(())
    }
}
