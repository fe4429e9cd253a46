//! While everything goes on.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::traffic::Traffic;
use super::{CREDENTIALS, FUNCTIONS, Hosted, SERVICE_KEY, SETTLE};

const VAULT: &str = "select decrypted_secret from vault.decrypted_secrets where name = 'service_api_key'";

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_replaced_while_everything_goes_on_and_no_request_is_refused() -> Result<()> {
    let mut hosted = Hosted::start("rotate").await?;
    let db = hosted.lab.db().await?;
    let traffic = Traffic::start(&hosted.lab, hosted.folder.clone()).await?;

    // Killed in three places; what is stored tells the next run where it stands.
    let service = ["SERVICE_API_KEY", "--settle", SETTLE];
    let (code, said) = hosted.rotate(&service, Some("made")).await?;
    ensure!(code.is_none(), "killed: {said}");
    let both = hosted.env()?.remove("SERVICE_API_KEY").unwrap_or_default();
    ensure!(both.starts_with(&format!("{SERVICE_KEY},ferry_1_")), "both are kept, the old one first");
    hosted.rotate(&service, Some("set the new one in the database's Vault")).await?;
    ensure!(db.text(VAULT, &[]).await?.starts_with("ferry_1_"), "jobs show the new one");
    let (code, said) = hosted.rotate(&service, None).await?;
    ensure!(code == Some(0) && said.contains("goes on with it") && said.contains("removed"), "{said}");
    let key = hosted.env()?.remove("SERVICE_API_KEY").unwrap_or_default();
    ensure!(format!("{SERVICE_KEY},{key}") == both, "it is the key that the first run made");
    assert_eq!(hosted.management.secret("SERVICE_API_KEY").as_deref(), Some(&*key));
    assert_eq!(db.text(VAULT, &[]).await?, key);

    let ring = ["CREDENTIALS_ENCRYPTION_KEYS", "--settle", SETTLE];
    let before = hosted.key_ids(ring[0]).await?;
    assert_eq!(before, "k1");
    hosted.rotate(&ring, Some("pushed the new one first")).await?;
    let (code, said) = hosted.rotate(&ring, None).await?;
    ensure!(code == Some(0) && said.contains("none is left under the old key"), "{said}");
    let keys = hosted.env()?.remove(ring[0]).unwrap_or_default();
    ensure!(keys.starts_with("k2:") && !keys.contains(','), "one key is kept");
    assert_eq!(hosted.management.secret(ring[0]).as_deref(), Some(&*keys));
    assert_eq!(hosted.key_ids(ring[0]).await?, "k2", "everything is under the new key");

    tokio::time::sleep(Duration::from_secs(1)).await;
    traffic.end().await?;
    let calls =
        "select coalesce(string_agg(distinct coalesce(status_code::text, error, 'open'), ' '), 'none')
                 from private.function_calls where called_at < now() - interval '5 seconds'";
    let begun = Instant::now();
    loop {
        db.run("select private.function_calls_settle()").await?;
        let said = db.text(calls, &[]).await?;
        if said == "200" {
            break;
        }
        // The answer to the last of them may be on its way.
        ensure!(begun.elapsed() < Duration::from_mins(1), "what became of the calls by jobs: {said}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for function in FUNCTIONS {
        let path = format!("/functions/v1/{function}/.ironferry/keys");
        for (shown, status) in [(SERVICE_KEY, 401), (&key, 200)] {
            let reply = hosted.lab.api.send("GET", &path, &[("x-service-key", shown)], "").await?;
            assert_eq!(reply.status, status, "{function}");
        }
    }
    let text = std::fs::read_to_string(hosted.folder.join(".env"))?;
    ensure!(text.starts_with("# Of the operator.\nSUPABASE_URL=") && text.contains("' # callers read it\n"));
    let untouched = Value::from(hosted.env()?["TOKEN_ENCRYPTION_KEYS"].clone());
    assert_eq!(untouched, super::TOKENS);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(hosted.folder.join(".env"))?.permissions(),
    );
    assert_eq!(mode & 0o777, 0o640);
    hosted.end(&[SERVICE_KEY, CREDENTIALS, &key, &keys]).await
}
