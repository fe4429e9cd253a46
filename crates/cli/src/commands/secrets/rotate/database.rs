//! What the database knows of a rotation: the key that its jobs show, calls under way, and what is sealed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio_postgres::Client;

use crate::commands::Misuse;
use crate::remote::connect;

/// Texts of a ring that are sealed under one key.
pub(super) struct Sealed {
    /// What to POST for sealing them again: `collect-bulk/rotate-key`.
    pub(super) reseal: String,
    pub(super) key_id: String,
    pub(super) texts: i64,
}

/// Calls end within ten seconds; one that was lost is given up after three minutes.
const DRAIN_WITHIN: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_millis(500);

/// Takes the database for this rotation, until the connection ends.
pub(super) async fn lock(url: &str) -> Result<Client> {
    let client = connect(url).await?;
    let lock = "select pg_try_advisory_lock(hashtext('ferry secrets rotate'))";
    let is_ours: bool = client.query_one(lock, &[]).await.context("taking the lock")?.get(0);
    ensure!(is_ours, "another `ferry secrets rotate` is at it");
    Ok(client)
}

/// What is sealed under which keys of a ring.
pub(super) async fn sealed(url: &str, ring: &str) -> Result<Vec<Sealed>> {
    let client = connect(url).await?;
    let known = "select to_regprocedure('private.sealed_counts(text)') is not null";
    if !client.query_one(known, &[]).await?.get::<_, bool>(0) {
        bail!(Misuse(
            "the database has no private.sealed_counts: apply the migrations first (ferry deploy)".to_owned()
        ));
    }
    let counts = "select reseal, coalesce(key_id, ''), sum(texts)::bigint from private.sealed_counts($1) group by 1, 2";
    let rows = client.query(counts, &[&ring]).await.context("counting what is sealed")?;
    if rows.is_empty() {
        bail!(Misuse(format!(
            "private.sealed_columns knows nothing that {ring} seals, so nobody could tell when its old key is unused: \
             add the columns by a migration (docs/deploy.md)"
        )));
    }
    let rows = rows.iter().map(|row| Sealed { reseal: row.get(0), key_id: row.get(1), texts: row.get(2) });
    Ok(rows.filter(|sealed| sealed.texts > 0).collect())
}

/// Waits until no call is queued or under way that was made with another key than this one. Who reads the Vault
/// from now on shows it.
pub(super) async fn drain(url: &str, key: &str) -> Result<()> {
    let client = connect(url).await?;
    let known = "select to_regclass('net.http_request_queue') is not null, \
                 to_regclass('private.function_calls') is not null, clock_timestamp()::text";
    let known = client.query_one(known, &[]).await?;
    let (has_queue, has_ledger, since): (bool, bool, String) = (known.get(0), known.get(1), known.get(2));
    let queued = "select count(*) from net.http_request_queue \
                  where headers ? 'X-Service-Key' and headers ->> 'X-Service-Key' <> $1";
    let open = "select count(*) from private.function_calls \
                where answered_at is null and called_at <= $1::text::timestamptz";
    let start = Instant::now();
    loop {
        let mut left = 0_i64;
        if has_queue {
            left += client
                .query_one(queued, &[&key])
                .await
                .context("looking at pg_net's queue")?
                .get::<_, i64>(0);
        }
        if has_ledger {
            client.execute("select private.function_calls_settle()", &[]).await.context("settling calls")?;
            left += client.query_one(open, &[&since]).await.context("looking at calls")?.get::<_, i64>(0);
        }
        if left == 0 {
            return Ok(());
        }
        ensure!(
            start.elapsed() < DRAIN_WITHIN,
            "{left} calls with the old key are still under way: run again to go on"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
