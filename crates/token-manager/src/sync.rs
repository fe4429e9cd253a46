//! Brings the database in line with Redis.

use futures_util::future::try_join;
use ironferry::{Context, Level, Request, Response, Result, Secret};
use serde_json::json;
use time::OffsetDateTime;

use crate::database::{self, SealedRow, SyncRow};
use crate::scan::{Entry, Held, Scan};
use crate::types::{Skipped, SyncReply};
use crate::vault::Vault;
use crate::{Caller, accepted, account, expiry, value, waits};

/// Keys that a reply names as passed over.
const WARNINGS: usize = 20;

pub(crate) async fn answer(request: &Request, cx: &Context, caller: Caller) -> Result<Response> {
    let sync = Sync { vault: Vault::open(cx)?, reader: Reader::of(cx)? };
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
    let Reader { skipped, warnings, .. } = sync.reader;
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
    reader: Reader,
}

impl Sync {
    /// Reads a batch while the one before it is on its way to the database.
    async fn transfer(&mut self, cx: &Context, sync_id: &str) -> Result<()> {
        let Self { vault, reader } = self;
        // Whether most tokens of the last batch were new to the database: then they are sent at once.
        let mut mostly_new = false;
        let mut batch = reader.next(cx, vault).await?;
        while let Some(read) = batch {
            let staging = stage(cx, vault, sync_id, read, mostly_new);
            (mostly_new, batch) = try_join(staging, reader.next(cx, vault)).await?;
        }
        Ok(())
    }
}

/// A row and its token, which is sealed when it is needed: in most syncs, most are known.
type Read = (SyncRow, Secret);

async fn stage(
    cx: &Context,
    vault: &Vault,
    sync_id: &str,
    read: Vec<Read>,
    mostly_new: bool,
) -> Result<bool> {
    let (mut rows, tokens): (Vec<SyncRow>, Vec<Secret>) = read.into_iter().unzip();
    if mostly_new {
        for (row, token) in rows.iter_mut().zip(&tokens) {
            row.access_token = Some(vault.lock(cx, &row.account_name, token)?);
        }
        database::stage(cx, sync_id, &rows).await?;
        // Nothing tells any more; a sync that begins like a first one goes on like one.
        return Ok(true);
    }
    let needed = database::stage(cx, sync_id, &rows).await?;
    let mut sealed = Vec::with_capacity(needed.len());
    for (row, token) in needed.iter().filter_map(|place| Some((rows.get(*place)?, tokens.get(*place)?))) {
        let access_token = vault.lock(cx, &row.account_name, token)?;
        sealed.push(SealedRow { redis_key: &row.redis_key, fingerprint: &row.fingerprint, access_token });
    }
    if !sealed.is_empty() {
        database::add_tokens(cx, sync_id, &sealed).await?;
    }
    Ok(sealed.len() * 2 > rows.len())
}

/// Reads keys, and counts those that hold no token.
struct Reader {
    scan: Scan,
    skipped: u64,
    warnings: Vec<Skipped>,
}

impl Reader {
    fn of(cx: &Context) -> Result<Self> {
        Ok(Self { scan: Scan::of(cx)?, skipped: 0, warnings: Vec::new() })
    }

    async fn next(&mut self, cx: &Context, vault: &Vault) -> Result<Option<Vec<Read>>> {
        let Some(entries) = self.scan.next().await? else { return Ok(None) };
        let now = cx.now();
        let mut rows = Vec::with_capacity(entries.len());
        for Entry { key, held } in entries {
            match row(vault, &key, held, now) {
                Ok(row) => rows.push(row),
                Err(reason) => self.skip(key, reason),
            }
        }
        Ok(Some(rows))
    }

    fn skip(&mut self, key: String, reason: &str) {
        self.skipped += 1;
        if self.warnings.len() < WARNINGS {
            self.warnings.push(Skipped { key, reason: reason.to_owned() });
        }
    }
}

fn row(vault: &Vault, key: &str, held: Held, now: OffsetDateTime) -> Result<Read, &'static str> {
    let (value, life) = match held {
        Held::Value(value, life) => (value, life),
        Held::Other(reason) => return Err(reason),
    };
    let (name, key_type) = account::of_key(key).ok_or("the key names no account")?;
    let found = value::read(&value)?;
    let ends = [expiry::of_jwt(&found.token), found.expires_at, expiry::of_ttl(life, now)];
    let row = SyncRow {
        redis_key: key.to_owned(),
        account_name: name.to_owned(),
        main_account: account::main_account(name),
        key_type: key_type.name(),
        access_token: None,
        fingerprint: vault.fingerprint(&found.token),
        token_length: found.token.expose().len(),
        expires_at: expiry::earliest(ends).map(expiry::text),
        ttl_seconds: (life >= 0).then_some(life / 1_000),
    };
    Ok((row, found.token))
}
