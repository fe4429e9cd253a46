//! postrust, which speaks `PostgREST`'s protocol.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::config::Config;
use super::keys::Keys;
use super::process::Spec;
use super::tools;

/// How to run the REST server against a database.
pub(crate) fn spec(state: &Path, config: &Config, keys: &Keys, port: u16, database: &str) -> Result<Spec> {
    let settings = [
        // Both names are read; the second is PostgREST's.
        ("DATABASE_URL", database.to_owned()),
        ("PGRST_DB_URI", database.to_owned()),
        ("PGRST_DB_SCHEMAS", config.schemas()),
        ("PGRST_DB_EXTRA_SEARCH_PATH", config.extra_search_path()),
        ("PGRST_DB_ANON_ROLE", "anon".to_owned()),
        ("PGRST_DB_MAX_ROWS", config.max_rows().to_string()),
        ("PGRST_DB_CHANNEL_ENABLED", "true".to_owned()),
        ("PGRST_JWT_SECRET", keys.server_jwks().to_string()),
        ("PGRST_SERVER_HOST", "127.0.0.1".to_owned()),
        ("PGRST_SERVER_PORT", port.to_string()),
        // PostgREST has no limit; this one's default is 10 MB.
        ("PGRST_MAX_BODY_SIZE", "67108864".to_owned()),
        // Without it REST is not at `/`.
        ("PGRST_COMPAT_MODE", "true".to_owned()),
        // Without it the database's own error texts are withheld.
        ("PGRST_DB_ERRORS_VERBATIM", "true".to_owned()),
        ("RUST_LOG", "warn".to_owned()),
    ];
    Ok(Spec {
        program: tools::postrust()?,
        args: Vec::new(),
        env: settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        folder: state.to_owned(),
        worker: None,
        user: None,
        stop_signal: Signal::TERM,
        patience: Duration::from_secs(3),
    })
}
