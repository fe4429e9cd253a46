//! Where keys are kept, and what is not begun.

use anyhow::{Result, ensure};
use ironferry_tests::tokens::jwt;
use ironferry_tests::vault_kv::{TOKEN, VaultKv};
use serde_json::{Value, json};

use super::{Hosted, SERVICE_KEY, SETTLE, TOKENS};

const PATH: &str = "secret/ironferry/production";

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_hashicorp_vault_keeps_is_replaced_there_and_what_cannot_be_ended_is_not_begun()
-> Result<()> {
    let mut hosted = Hosted::start("rotate-kept").await?;
    let db = hosted.lab.db().await?;
    let kept =
        json!({ "service_api_key": SERVICE_KEY, "token_encryption_keys": TOKENS, "other": { "a": [1] } });
    let store = VaultKv::start(PATH, kept).await?;
    let address = store.url();
    let place = [("VAULT_ADDR", &*address), ("VAULT_TOKEN", TOKEN)];
    let stored = json!({ "tokens": [{ "account_name": "APEX_1", "access_token": jwt("APEX_1", 4_800) }] });
    let reply = hosted.lab.as_service("POST", "/token-manager?action=store", None, stored).await?;
    ensure!(reply.status == 200, "{}", reply.json()?);

    let ring = ["TOKEN_ENCRYPTION_KEYS", "--from-vault", PATH, "--settle", SETTLE];
    let (code, said) = hosted.rotate_with(&[&ring[..], &["--dry-run"]].concat(), &place, None).await?;
    ensure!(code == Some(0) && said.contains("Step 5") && said.contains("token-manager"), "{said}");
    ensure!(hosted.management.writes().is_empty() && store.newest().1 == 3, "a dry run changes nothing");

    // A text that no key opens any more keeps its key.
    db.run("update public.tradovate_tokens set access_token = 'v1.k7.' || repeat('A', 80)").await?;
    let (code, said) = hosted.rotate_with(&ring, &place, None).await?;
    ensure!(code == Some(1) && said.contains("1 texts under key k7") && said.contains("APEX_1"), "{said}");
    let both = hosted.management.secret(ring[0]).unwrap_or_default();
    ensure!(both.starts_with("k8:") && both.ends_with(TOKENS), "both keys stay");
    db.run("delete from public.tradovate_tokens").await?;
    let (code, said) = hosted.rotate_with(&[&ring[..], &["--json"]].concat(), &place, None).await?;
    ensure!(code == Some(0), "{said}");
    let told: Value = serde_json::from_str(&said[..=said.rfind("\n}\n").unwrap_or_default() + 1])?;
    assert_eq!((&told["success"], &told["resumed"]), (&json!(true), &json!(true)), "{said}");
    let (pairs, version) = store.newest();
    let keys = pairs["token_encryption_keys"].as_str().unwrap_or_default().to_owned();
    ensure!(keys.starts_with("k8:") && both == format!("{keys},{TOKENS}"), "the new one alone is kept");
    assert_eq!((&pairs["other"], version), (&json!({ "a": [1] }), 6), "made, put first, alone");

    // Nothing is begun that could not be ended.
    hosted.lab.stack.stop_part("health").await?;
    for (arguments, environment, code, part) in [
        (&["SERVICE_API_KEY"][..], &[][..], 1, "health cannot be asked"),
        (&["SERVICE_API_KEY"], &[("SERVICE_API_KEY", SERVICE_KEY)], 2, "set in the environment"),
        (&["CREDENTIALS_ENCRYPTION_KEYS", "--from-vault", PATH], &place, 2, "is not kept in HashiCorp Vault"),
        (&["TOKEN_ENCRYPTION_KEYS"], &[], 2, "another value than the one that is kept"),
        (&["WEBHOOK_PASSPHRASE"], &[], 2, "not a secret that several values can overlap in"),
    ] {
        let writes = hosted.management.writes().len();
        let (ended, said) = hosted.rotate_with(arguments, environment, None).await?;
        assert!(ended == Some(code) && said.contains(part), "{arguments:?}: {ended:?} {said}");
        assert_eq!(hosted.management.writes().len(), writes, "{arguments:?}");
    }
    ensure!(hosted.env()?["SERVICE_API_KEY"] == SERVICE_KEY, "nothing was kept");
    drop(db);
    hosted.end(&[TOKENS, &keys]).await
}
