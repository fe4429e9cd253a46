//! Connection strings: `postgresql://user@host:5432/postgres?sslmode=require`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use url::Url;

/// What is asked of the transport, as libpq understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// No encryption.
    Disable,
    /// Encryption where the server offers it.
    Prefer,
    /// Encryption, whoever the server is.
    Require,
    /// Encryption, with a certificate of an authority that is trusted.
    VerifyCa,
    /// The same, and the certificate is for this host.
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// A connection string, taken apart. Not printed whole: it holds a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(crate) password: Option<String>,
    pub(super) name: String,
    pub(super) ssl_mode: SslMode,
    pub(super) root_certificate: Option<PathBuf>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.name)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self}, sslmode {})", self.ssl_mode.as_str())
    }
}

impl Address {
    /// Takes a URL apart. Without `sslmode`, other machines must encrypt; hosted databases do.
    ///
    /// # Errors
    /// Says what is wrong, without the URL: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
        let url = url.ok_or("it is no URL like postgresql://postgres@db.abc.supabase.co:5432/postgres")?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let text = |text: &str| decoded(text).map_err(|_| "it has a %xx that is no UTF-8".to_owned());
        let host = text(url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let user = Some(text(url.username())?).filter(|user| !user.is_empty());
        let name = Some(text(url.path().trim_start_matches('/'))?).filter(|name| !name.is_empty());
        let is_near = is_this_machine(&host);
        let mut address = Self {
            port: url.port().unwrap_or(5432),
            password: url.password().map(text).transpose()?.filter(|password| !password.is_empty()),
            name: name.unwrap_or_else(|| "postgres".to_owned()),
            user: user.unwrap_or_else(|| "postgres".to_owned()),
            ssl_mode: if is_near { SslMode::Prefer } else { SslMode::Require },
            root_certificate: None,
            host,
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "sslmode" => {
                    address.ssl_mode = SslMode::parse(&value)
                        .ok_or("sslmode can be disable, prefer, require, verify-ca or verify-full")?;
                }
                "sslrootcert" => address.root_certificate = Some(PathBuf::from(&*value)),
                // A hint to other drivers: transaction mode.
                "pgbouncer" | "application_name" | "connect_timeout" | "connection_limit" => {}
                other => return Err(format!("it has the parameter {other}, which ferry does not know")),
            }
        }
        Ok(address)
    }

    /// The project whose database it is, where the address tells: `db.<project>.supabase.co`, or the pooler's user.
    pub(crate) fn project(&self) -> Option<&str> {
        let direct = || self.host.strip_prefix("db.")?.strip_suffix(".supabase.co");
        let pooled = || self.user.split_once('.').map(|(_, project)| project);
        if self.host.ends_with(".pooler.supabase.com") { pooled() } else { direct() }
    }

    /// The same URL without its password, for arguments: every user of the machine can read those.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn without_password(url: &str) -> Result<String, String> {
        let mut url = Url::parse(url.trim()).map_err(|_| "it is no URL".to_owned())?;
        url.set_password(None).map_err(|()| "it has no host".to_owned())?;
        Ok(url.into())
    }

    /// Supabase's pooler gives a session a query on this port.
    pub(super) fn is_transaction_pooler(&self) -> bool {
        self.port == 6543
    }

    /// For the driver.
    pub(super) fn config(&self, connect_within: Duration) -> Config {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).user(&self.user).dbname(&self.name);
        config.application_name("ferry").connect_timeout(connect_within);
        config.ssl_mode(match self.ssl_mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        if let Some(password) = &self.password {
            config.password(password);
        }
        config
    }

    /// For programs of PostgreSQL: the environment, which other users cannot read.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut set = vec![
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.name.clone()),
            ("PGSSLMODE", self.ssl_mode.as_str().to_owned()),
            ("PGAPPNAME", "ferry".to_owned()),
            ("PGCONNECT_TIMEOUT", "15".to_owned()),
        ];
        set.extend(self.password.clone().map(|password| ("PGPASSWORD", password)));
        let certificate = self.root_certificate.as_ref().map(|path| path.display().to_string());
        set.extend(certificate.map(|path| ("PGSSLROOTCERT", path)));
        set
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosted_database_is_encrypted_unless_told_otherwise() {
        let mode = |url: &str| Address::parse(url).expect("an address").ssl_mode;
        assert_eq!(mode("postgresql://postgres@db.abc.supabase.co/postgres"), SslMode::Require);
        assert_eq!(mode("postgresql://postgres@127.0.0.1:54322/postgres"), SslMode::Prefer);
        assert_eq!(mode("postgres://a@b.test/c?sslmode=verify-full"), SslMode::VerifyFull);
        assert_eq!(mode("postgres://a@[::1]/c?sslmode=disable"), SslMode::Disable);
    }

    #[test]
    fn letters_that_were_escaped_are_themselves_again() {
        let address = Address::parse("postgresql://postgres.abc:p%40ss%2Fword@pooler.test:6543/my%20data")
            .expect("an address");
        assert_eq!(address.password.as_deref(), Some("p@ss/word"));
        assert_eq!(address.to_string(), "postgres.abc@pooler.test:6543/my data");
        assert!(address.is_transaction_pooler());
        let printed = format!("{address:?} {address}");
        assert_eq!(address.project(), None);
        let hosted = |url: &str| Address::parse(url).expect("an address").project().map(str::to_owned);
        assert_eq!(hosted("postgresql://postgres@db.abc.supabase.co/postgres").as_deref(), Some("abc"));
        let pooled = "postgresql://postgres.abc@aws-0-eu.pooler.supabase.com/postgres";
        assert_eq!(hosted(pooled).as_deref(), Some("abc"));
        assert!(!printed.contains("p@ss") && !printed.contains("%40ss"), "{printed}");
    }

    #[test]
    fn what_is_no_address_is_told_without_repeating_it() {
        for url in [
            "host=a password=secret",
            "mysql://u:secret@h/d",
            "postgresql:///d",
            "postgres://u:secret@h/d?sslmode=never",
            "postgres://u:secret@h/d?options=x",
        ] {
            let reason = Address::parse(url).expect_err("it is refused");
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
