//! A project's database, for the commands that operate it: where it is, and how to connect to it.
//!
//! `address` reads connection strings, `tls` honours their `sslmode`, `programs` runs pg_dump and
//! its siblings. A password never stands on a command line, ours or a child's.

mod address;
pub(crate) mod programs;
mod tls;

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

pub use address::{Address, SslMode};

use crate::remote::{Place, RemoteError, Source, Variables};

/// A database that is far away takes part of that.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Which database a command works on.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Target {
    /// The database: postgresql://user@host/name, without a password [default: DATABASE_URL or
    /// SUPABASE_DB_URL of the environment or of .env, or the running local stack's]
    #[arg(long, global = true, value_name = "URL", help_heading = "Which database")]
    pub db_url: Option<String>,
    /// Take the database of `ferry up`, whatever else is set
    #[arg(long, global = true, conflicts_with = "db_url", help_heading = "Which database")]
    pub local: bool,
    /// Accept a password in a URL on the command line, where every user of this machine can read it
    #[arg(long, global = true, help_heading = "Which database")]
    pub password_in_url: bool,
}

/// A database and where its address was found.
#[derive(Clone)]
pub struct Database {
    address: Address,
    found: String,
}

/// Without the password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({}, {})", self.address, self.found)
    }
}

impl Database {
    /// Finds the database that the command line, the environment, `.env` or a running local stack
    /// names, in this order. Nothing is sent yet.
    ///
    /// # Errors
    /// When none of them names one, or it cannot be understood: wrong usage.
    pub fn find(target: &Target, place: &Place) -> Result<Self, RemoteError> {
        let mut set = Variables::of(place);
        if let Some(url) = &target.db_url {
            return Self::named(url, target.password_in_url, &mut set);
        }
        if !target.local {
            for name in ["DATABASE_URL", "SUPABASE_DB_URL"] {
                if let Some((url, source)) = set.get(name)? {
                    return Self::of(&url, format!("{name} ({source})"), &mut set);
                }
            }
        }
        let running = place.stack.as_ref().and_then(crate::stack::state::Folder::running);
        match running {
            Some(state) => Ok(Self {
                address: Address::parse(&state.db_url)
                    .map_err(|reason| RemoteError::Setting(format!("the local stack's database: {reason}")))?,
                found: format!("{}", Source::LocalStack),
            }),
            None if target.local => Err(RemoteError::Setting(
                "no local stack is running; `ferry up --detach` starts one".to_owned(),
            )),
            None => Err(RemoteError::Setting(
                "which database? Give --db-url, or set DATABASE_URL or SUPABASE_DB_URL in the environment or in .env \
                 of the project, or start a local stack with `ferry up --detach`"
                    .to_owned(),
            )),
        }
    }

    /// A database that the command line names: by URL, or as `env:NAME` by a variable that holds one.
    ///
    /// # Errors
    /// When it cannot be understood, or has a password that nobody insisted on: wrong usage.
    pub fn from_argument(argument: &str, password_in_url: bool, place: &Place) -> Result<Self, RemoteError> {
        Self::named(argument, password_in_url, &mut Variables::of(place))
    }

    fn named(argument: &str, password_in_url: bool, set: &mut Variables<'_>) -> Result<Self, RemoteError> {
        if let Some(name) = argument.strip_prefix("env:") {
            let (url, source) = set.get(name)?.ok_or_else(|| {
                RemoteError::Setting(format!("{name} is set neither in the environment nor in .env"))
            })?;
            return Self::of(&url, format!("{name} ({source})"), set);
        }
        let found = Self::of(argument, "the command line".to_owned(), set)?;
        let has_password = Address::parse(argument).is_ok_and(|address| address.password.is_some());
        if has_password && !password_in_url {
            return Err(RemoteError::Setting(
                "a password on the command line can be read by every user of this machine: put the URL in DATABASE_URL, \
                 or the password alone in PGPASSWORD, or insist with --password-in-url"
                    .to_owned(),
            ));
        }
        Ok(found)
    }

    fn of(url: &str, found: String, set: &mut Variables<'_>) -> Result<Self, RemoteError> {
        let mut address = Address::parse(url)
            .map_err(|reason| RemoteError::Setting(format!("the database of {found}: {reason}")))?;
        for name in ["PGPASSWORD", "SUPABASE_DB_PASSWORD"] {
            if address.password.is_none() {
                address.password = set.get(name)?.map(|(password, _)| password);
            }
        }
        Ok(Self { address, found })
    }

    /// A database by its whole address, password and all. For tests and for our own servers.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn at(url: &str) -> Result<Self> {
        let address = Address::parse(url).map_err(anyhow::Error::msg)?;
        Ok(Self { address, found: "given".to_owned() })
    }

    /// Its address, password included.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Connects; the connection ends with the client.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or its certificate is not what `sslmode` asks for.
    pub async fn connect(&self) -> Result<Client> {
        let config = self.address.config(CONNECT_WITHIN);
        let connecting = config.connect(tls::connector(&self.address)?);
        let (client, connection) = tokio::time::timeout(CONNECT_WITHIN, connecting)
            .await
            .map_err(|_| anyhow::anyhow!("no answer within {} s", CONNECT_WITHIN.as_secs()))
            .and_then(|connected| connected.map_err(explain))
            .with_context(|| format!("{self} ({}) cannot be reached", self.found))?;
        tokio::spawn(async move {
            // What goes wrong, the client's calls report.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// Connects for work that needs one session: the pooler's transaction mode has none.
    ///
    /// # Errors
    /// As [`Database::connect`]; wrong usage when the address is that of the pooler's transaction mode.
    pub async fn connect_session(&self) -> Result<Client> {
        if self.address.is_transaction_pooler() {
            let reason = format!(
                "{self} is the pooler in transaction mode, which cannot be dumped or restored through: take port 5432, \
                 the pooler's session mode or the database itself"
            );
            return Err(RemoteError::Setting(reason).into());
        }
        self.connect().await
    }
}

/// What a query is given, each value with its type.
pub(crate) type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A query's rows, without a prepared statement: behind the pooler's transaction mode another client may
/// have the connection by then, or one of the same name be there already.
pub(crate) async fn ask_all(
    client: &Client,
    query: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    client.query_typed(query, parameters).await
}

/// Its only row.
///
/// # Errors
/// When it fails, or has none.
pub(crate) async fn ask_one(client: &Client, query: &str, parameters: Parameters<'_>) -> Result<Row> {
    let rows = ask_all(client, query, parameters).await?;
    rows.into_iter().next().context("the database gave no row")
}

/// The driver says "error performing TLS handshake" and keeps the reason to itself.
fn explain(error: tokio_postgres::Error) -> anyhow::Error {
    match std::error::Error::source(&error) {
        Some(source) => anyhow::anyhow!("{error}: {source}"),
        None => error.into(),
    }
}
