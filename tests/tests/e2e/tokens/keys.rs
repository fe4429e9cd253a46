//! Encryption at rest: what a dump shows, what tampering does, and how keys are replaced.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ironferry_tests::lab::Lab;
use ironferry_tests::tokens::{MARK, jwt};
use serde_json::json;

use super::{call, done, fill, send};

fn key(id: &str, byte: u8) -> String {
    format!("{id}:{}", STANDARD.encode([byte; 32]))
}

/// A stack whose function has this ring.
async fn lab_with(story: &str, ring: &str) -> Result<Lab> {
    Lab::start(story, &[("TOKEN_ENCRYPTION_KEYS", ring)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_the_database_and_the_logs_reveal_no_token() -> Result<()> {
    let lab = Lab::start("token-dump", &[("LOG_LEVEL", "debug")]).await?;
    let tokens = fill(lab.stack.redis_url()).await?;
    done(&lab, "?action=sync").await?;
    let stored = json!({ "tokens": [{ "account_name": "STORED", "access_token": jwt("stored", 900) }] });
    ensure!(send(&lab, "POST", "?action=store", &stored.to_string()).await?.0 == 200, "stored");
    done(&lab, "?action=get&account=STORED").await?;
    // A sync that has read and not ended is in the database too.
    let db = lab.db().await?;
    let staged = "insert into public.token_syncs default values; insert into private.token_sync_rows
                  select sync.id, 'token:X', 'X', 'X', 'main', access_token, fingerprint, token_length, null, null
                  from public.token_syncs as sync, public.tradovate_tokens where sync.status = 'running' limit 1";
    db.run(staged).await?;
    let dump = Command::new("pg_dump").arg(lab.stack.admin_db_url()).output().context("pg_dump")?;
    ensure!(dump.status.success(), "pg_dump: {}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8_lossy(&dump.stdout);
    ensure!(dump.contains("PAAPEX1361890000001") && dump.contains("v1.k1."), "the dump has the sealed rows");
    let log = std::fs::read_to_string(lab.stack.log("token-manager"))?;
    for (account, token) in &tokens {
        for part in [token.as_str(), &token[40..80], MARK] {
            assert!(!dump.contains(part), "{account} is in the dump");
            assert!(!log.contains(part), "{account} is in the log");
        }
    }
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tampered_and_moved_tokens_do_not_open_and_the_error_tells_nothing() -> Result<()> {
    let lab = Lab::start("token-tamper", &[]).await?;
    let db = lab.db().await?;
    let tokens = fill(lab.stack.redis_url()).await?;
    done(&lab, "?action=sync").await?;
    for change in [
        // One character of the ciphertext.
        "overlay(access_token placing case substr(access_token, 100, 1) when 'A' then 'B' else 'A' end from 100 for 1)",
        // Another account's token.
        "(select access_token from public.tradovate_tokens where account_name = 'APEX_272045')",
        // Cut off.
        "left(access_token, 80)",
        // Under a key that nobody has.
        "regexp_replace(access_token, '^v1\\.k1', 'v1.k7')",
    ] {
        db.run("begin").await?;
        db.run(&format!(
            "update public.tradovate_tokens set access_token = {change} where account_name = 'APEX_136189'"
        ))
        .await?;
        db.run("commit").await?;
        let (status, said) = call(&lab, "?action=get&account=APEX_136189").await?;
        assert_eq!((status, said["code"].as_str()), (500, Some("TOKEN_UNREADABLE")), "{change}: {said}");
        assert!(!said.to_string().contains(&tokens[0].1[..30]), "{said}");
        // The fingerprint is what it was, so that a sync has nothing to do; without the row it does.
        db.run("delete from public.tradovate_tokens where account_name = 'APEX_136189'").await?;
        done(&lab, "?action=sync").await?;
        assert_eq!(done(&lab, "?action=get&account=APEX_136189").await?["token"], tokens[0].1.as_str());
    }
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ring_or_with_a_wrong_one_nothing_is_read_or_written() -> Result<()> {
    for (ring, code) in [("k1:c2hvcnQ=", "INVALID_SETTING"), ("", "MISSING_SECRET")] {
        let lab = lab_with("token-ring", ring).await?;
        fill(lab.stack.redis_url()).await?;
        let (status, said) = call(&lab, "?action=sync").await?;
        assert_eq!((status, said["code"].as_str()), (500, Some(code)), "{said}");
        assert!(!said.to_string().contains("c2hvcnQ"), "{said}");
        assert_eq!(lab.db().await?.count("select count(*) from public.tradovate_tokens", &[]).await?, 0);
        lab.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_takes_over_online_and_the_old_one_can_go() -> Result<()> {
    // Sealed under the old key, by a stack that has that one alone.
    let old = lab_with("token-old-key", &key("old", 1)).await?;
    let tokens = fill(old.stack.redis_url()).await?;
    let many: Vec<_> = (0..1_000)
        .map(|n| json!({ "account_name": format!("MANY_{n:04}"), "access_token": jwt("many", 900) }))
        .collect();
    ensure!(
        send(&old, "POST", "?action=store", &json!({ "tokens": many }).to_string()).await?.0 == 200,
        "stored"
    );
    done(&old, "?action=sync").await?;
    let dump = Command::new("pg_dump")
        .args(["--data-only", "--table=public.tradovate_tokens", "--table=public.token_key_mappings"])
        .arg(old.stack.admin_db_url())
        .output()?;
    old.stop().await?;

    // The new key first, the old one behind it.
    let both = lab_with("token-both-keys", &format!("{},{}", key("new", 2), key("old", 1))).await?;
    let folder = std::env::temp_dir().join(format!("ironferry-token-dump-{}.sql", std::process::id()));
    std::fs::write(&folder, dump.stdout)?;
    let restored = Command::new("psql")
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(&folder)
        .arg(both.stack.admin_db_url())
        .output()?;
    std::fs::remove_file(&folder)?;
    ensure!(restored.status.success(), "psql: {}", String::from_utf8_lossy(&restored.stderr));
    assert_eq!(
        done(&both, "?action=get&account=APEX_136189").await?["token"],
        tokens[0].1.as_str(),
        "both keys open"
    );
    let db = both.db().await?;
    db.run("update public.tradovate_tokens set access_token = left(access_token, 90) where account_name = 'MANY_0500'").await?;
    // Somebody works meanwhile.
    let busy = json!({ "tokens": [{ "account_name": "MANY_0001", "access_token": jwt("meanwhile", 900) }] })
        .to_string();
    let (rotated, stored) =
        tokio::try_join!(done(&both, "?action=rotate-key"), send(&both, "POST", "?action=store", &busy))?;
    assert_eq!(stored.0, 200);
    let again = done(&both, "?action=rotate-key").await?;
    let all = rotated["rotated"].as_u64().unwrap_or(0);
    assert!((1_020..=1_021).contains(&all), "{rotated}");
    assert_eq!((&again["rotated"], &again["unreadable"]), (&json!(0), &json!(["MANY_0500"])), "{again}");
    let keys = &done(&both, "?action=status").await?["status"]["keys"];
    assert_eq!(*keys, json!({ "new": 1_021, "old": 1 }));
    let versions =
        "select count(*) from public.tradovate_tokens where version <> 1 and account_name <> 'MANY_0001'";
    assert_eq!(db.count(versions, &[]).await?, 0, "they are the same tokens");
    assert_eq!(done(&both, "?action=get&account=APEX_136189").await?["token"], tokens[0].1.as_str());
    both.stop().await
}
