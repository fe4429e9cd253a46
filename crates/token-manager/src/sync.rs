//! Brings the database in line with Redis.

use futures_util::future::try_join;
use ironferry::{Context, Level, Request, Response, Result};
use serde_json::json;
use time::OffsetDateTime;

use crate::database::{self, SyncRow};
use crate::scan::{Entry, Held, Scan};
use crate::types::{Skipped, SyncReply};
use crate::vault::Vault;
use crate::{Caller, accepted, account, expiry, value, waits};

/// Keys that a reply names as passed over.
const WARNINGS: usize = 20;

pub(crate) async fn answer(request: &Request, cx: &Context, caller: Caller) -> Result<Response> {
    let sync = Sync { vault: Vault::open(cx)?, scan: Scan::of(cx)?, skipped: 0, warnings: Vec::new() };
    let waits = waits(request)?;
    let sync_id = database::begin_sync(cx, &caller).await?;
    if waits {
        return Response::json(200, &run(cx, sync, &sync_id).await?);
    }
    let background = cx.clone();
    cx.wait_until(async move {
        // What became of it is in the log and in `token_syncs`.
        let _ = run(&background, sync, &sync_id).await;
    });
    accepted(cx, "Sync started")
}

async fn run(cx: &Context, mut sync: Sync, sync_id: &str) -> Result<SyncReply> {
    let outcome = match sync.transfer(cx, sync_id).await {
        Ok(()) => database::finish_sync(cx, sync_id).await,
        Err(error) => Err(error),
    };
    let counts = match outcome {
        Ok(counts) => counts,
        Err(error) => {
            let fields = json!({ "sync_id": sync_id, "code": error.as_code(), "error": error.chain() });
            cx.log(Level::Error, "token_manager.sync_failed", fields);
            if let Err(second) = database::fail_sync(cx, sync_id, &error).await {
                cx.warn(
                    "token_manager.sync_left_open",
                    json!({ "sync_id": sync_id, "error": second.chain() }),
                );
            }
            return Err(error);
        }
    };
    let Sync { skipped, warnings, .. } = sync;
    let fields = json!({
        "sync_id": sync_id, "synced": counts.tokens_synced, "created": counts.created, "updated": counts.updated,
        "reactivated": counts.reactivated, "deactivated": counts.deactivated, "skipped": skipped,
        "superseded": counts.superseded,
    });
    cx.info("token_manager.synced", fields);
    if skipped > 0 {
        cx.warn("token_manager.skipped", json!({ "sync_id": sync_id, "keys": skipped, "first": warnings }));
    }
    Ok(SyncReply {
        success: true,
        message: format!("Synced {} tokens from Redis to Supabase", counts.tokens_synced),
        counts,
        skipped,
        warnings,
        sync_id: sync_id.to_owned(),
    })
}

struct Sync {
    vault: Vault,
    scan: Scan,
    skipped: u64,
    warnings: Vec<Skipped>,
}

impl Sync {
    /// Reads and seals a batch while the one before it is on its way to the database.
    async fn transfer(&mut self, cx: &Context, sync_id: &str) -> Result<()> {
        let mut rows = self.read(cx).await?;
        while let Some(read) = rows {
            let staging = database::stage(cx, sync_id, &read);
            rows = try_join(staging, self.read(cx)).await?.1;
        }
        Ok(())
    }

    async fn read(&mut self, cx: &Context) -> Result<Option<Vec<SyncRow>>> {
        let Some(entries) = self.scan.next().await? else { return Ok(None) };
        let now = cx.now();
        let mut rows = Vec::with_capacity(entries.len());
        for Entry { key, held } in entries {
            match self.row(cx, &key, held, now)? {
                Ok(row) => rows.push(row),
                Err(reason) => self.skip(key, reason),
            }
        }
        Ok(Some(rows))
    }

    fn row(
        &self,
        cx: &Context,
        key: &str,
        held: Held,
        now: OffsetDateTime,
    ) -> Result<Result<SyncRow, &'static str>> {
        let (value, life) = match held {
            Held::Value(value, life) => (value, life),
            Held::Other(reason) => return Ok(Err(reason)),
        };
        let Some((name, key_type)) = account::of_key(key) else {
            return Ok(Err("the key names no account"));
        };
        let found = match value::read(&value) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let ends = [expiry::of_jwt(&found.token), found.expires_at, expiry::of_ttl(life, now)];
        let sealed = self.vault.seal(cx, name, &found.token)?;
        Ok(Ok(SyncRow {
            redis_key: key.to_owned(),
            account_name: name.to_owned(),
            main_account: account::main_account(name),
            key_type: key_type.name(),
            access_token: sealed.access_token,
            fingerprint: sealed.fingerprint,
            token_length: sealed.token_length,
            expires_at: expiry::earliest(ends).map(expiry::text),
            ttl_seconds: (life >= 0).then_some(life / 1_000),
        }))
    }

    fn skip(&mut self, key: String, reason: &str) {
        self.skipped += 1;
        if self.warnings.len() < WARNINGS {
            self.warnings.push(Skipped { key, reason: reason.to_owned() });
        }
    }
}
