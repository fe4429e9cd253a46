//! The database of a project, for commands that may do without one and hand its address on.

use anyhow::Result;
use tokio_postgres::Client;

use super::variables::Variables;
use super::{Place, RemoteError};
use crate::database::{Address, Database};

/// In the order in which they are looked for.
const NAMES: [&str; 2] = ["DATABASE_URL", "SUPABASE_DB_URL"];
/// Where its password is, when the address has none.
const PASSWORDS: [&str; 2] = ["PGPASSWORD", "SUPABASE_DB_PASSWORD"];

/// Which database a command asks.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DatabaseTarget {
    /// The database, without a password [default: DATABASE_URL or SUPABASE_DB_URL of the environment or
    /// .env, or a running local stack]
    #[arg(long, value_name = "URL", help_heading = "Which database")]
    pub db_url: Option<String>,
    /// Accept a password in a URL on the command line, where every user of this machine can read it
    #[arg(long, help_heading = "Which database")]
    pub password_in_url: bool,
}

impl DatabaseTarget {
    /// The address, with its password: not to be printed.
    ///
    /// # Errors
    /// When nothing names a database, or a password stands on the command line: wrong usage.
    pub fn find(&self, place: &Place) -> Result<String, RemoteError> {
        let found = self.look_for(place)?;
        found.ok_or_else(|| {
            RemoteError::Setting(
                "which database? Give --db-url, or set DATABASE_URL in the environment or in .env of the \
                 project, or start a local stack with `ferry up --detach`"
                    .to_owned(),
            )
        })
    }

    /// As [`DatabaseTarget::find`], where doing without a database is no mistake.
    ///
    /// # Errors
    /// When `.env` cannot be understood, or a password stands on the command line.
    pub fn look_for(&self, place: &Place) -> Result<Option<String>, RemoteError> {
        let stack = || place.stack.as_ref().and_then(|folder| Some(folder.running()?.db_url));
        Ok(self.named(place)?.or_else(stack))
    }

    /// The database that is named, and never a local stack's: a hosted project's keys have no place there.
    ///
    /// # Errors
    /// As [`DatabaseTarget::look_for`].
    pub fn named(&self, place: &Place) -> Result<Option<String>, RemoteError> {
        let mut set = Variables::of(place);
        let Some(url) = self.written(&mut set)? else { return Ok(None) };
        let lacks_password = Address::parse(&url).is_ok_and(|address| address.password.is_none());
        if lacks_password && let Ok(mut whole) = url::Url::parse(url.trim()) {
            for name in PASSWORDS {
                if let Some((password, _)) = set.get(name)? {
                    let _ = whole.set_password(Some(&password));
                    return Ok(Some(whole.into()));
                }
            }
        }
        Ok(Some(url))
    }

    fn written(&self, set: &mut Variables<'_>) -> Result<Option<String>, RemoteError> {
        if let Some(url) = &self.db_url {
            let has_password = Address::parse(url).is_ok_and(|address| address.password.is_some());
            if has_password && !self.password_in_url {
                return Err(RemoteError::Setting(
                    "a password on the command line can be read by every user of this machine: put the URL in \
                     DATABASE_URL, or the password alone in PGPASSWORD, or insist with --password-in-url"
                        .to_owned(),
                ));
            }
            return Ok(Some(url.clone()));
        }
        for name in NAMES {
            if let Some((url, _)) = set.get(name)? {
                return Ok(Some(url));
            }
        }
        Ok(None)
    }
}

/// Connects; the connection ends with the client.
///
/// # Errors
/// When the address cannot be understood or nobody answers there.
pub async fn connect(url: &str) -> Result<Client> {
    Database::at(url)?.connect().await
}
