//! Fills the Vault with what the database's cron jobs need to reach the functions.

use anyhow::{Context as _, Result};

use tokio_postgres::Client;

use super::postgres;

/// Creates or updates the secrets of a local stack, where the Vault exists.
pub(crate) async fn fill(admin_url: &str, secrets: &[(&str, &str)]) -> Result<()> {
    set(&postgres::connect(admin_url).await?, secrets, "Set by ferry up").await?;
    Ok(())
}

/// Creates or updates the secrets, where the Vault exists. Gives the names of those that changed.
pub(crate) async fn set(admin: &Client, secrets: &[(&str, &str)], note: &str) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    let exists = admin.query_one("select to_regclass('vault.decrypted_secrets') is not null", &[]).await?;
    if !exists.get::<_, bool>(0) {
        return Ok(changed);
    }
    for (name, secret) in secrets {
        let known = admin
            .query_opt(
                "select id::text, decrypted_secret = $2 from vault.decrypted_secrets where name = $1",
                &[name, secret],
            )
            .await?;
        let done = match known {
            None => admin.execute("select vault.create_secret($1, $2, $3)", &[secret, name, &note]).await,
            Some(row) if row.get::<_, Option<bool>>(1) == Some(true) => continue,
            Some(row) => {
                let id: &str = row.get(0);
                admin.execute("select vault.update_secret($1::text::uuid, $2)", &[&id, secret]).await
            }
        };
        done.with_context(|| format!("setting the Vault secret {name}"))?;
        changed.push((*name).to_owned());
    }
    Ok(changed)
}
