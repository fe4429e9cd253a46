//! The database of a project over Postgres' own protocol: which one, and a connection to it.
//!
//! `sslmode` means what it means to libpq: `require` encrypts, `verify-ca` and `verify-full` also look at
//! the certificate, with the authorities of `sslrootcert` or else the system's. A hosted project's
//! certificate is signed by the platform's own authority, which its dashboard gives away.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use super::variables::Variables;
use super::{Place, RemoteError};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// In the order in which they are looked for; the first is the platform's own name.
const NAMES: [&str; 2] = ["SUPABASE_DB_URL", "DATABASE_URL"];

/// Which database a command asks.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DatabaseTarget {
    /// The database [default: SUPABASE_DB_URL or DATABASE_URL of the environment or .env, or a running local stack]
    #[arg(long, value_name = "URL", help_heading = "Which database")]
    pub db_url: Option<String>,
}

impl DatabaseTarget {
    /// The address, with its password: not to be printed.
    ///
    /// # Errors
    /// When nothing names a database: wrong usage.
    pub fn find(&self, place: &Place) -> Result<String, RemoteError> {
        let found = self.look_for(place)?;
        found.ok_or_else(|| {
            RemoteError::Setting(
                "which database? Give --db-url, or set SUPABASE_DB_URL in the environment or in .env of the \
                 project, or start a local stack with `ferry up --detach`"
                    .to_owned(),
            )
        })
    }

    /// As [`DatabaseTarget::find`], where doing without a database is no mistake.
    ///
    /// # Errors
    /// When `.env` cannot be understood.
    pub fn look_for(&self, place: &Place) -> Result<Option<String>, RemoteError> {
        if let Some(url) = &self.db_url {
            return Ok(Some(url.clone()));
        }
        let mut set = Variables::of(place);
        for name in NAMES {
            if let Some((url, _)) = set.get(name)? {
                return Ok(Some(url));
            }
        }
        Ok(place.stack.as_ref().and_then(|folder| Some(folder.running()?.db_url)))
    }
}

/// Connects; the connection ends with the client.
///
/// # Errors
/// When the address cannot be understood or nobody answers there in 10 s.
pub async fn connect(url: &str) -> Result<Client> {
    let (address, tls) = prepare(url)?;
    let connecting = tokio_postgres::connect(&address, tls);
    let (client, connection) = tokio::time::timeout(CONNECT_WITHIN, connecting)
        .await
        .context("the database does not answer")?
        .context("connecting to the database")?;
    tokio::spawn(async move {
        // What goes wrong, the client's calls report.
        let _ = connection.await;
    });
    Ok(client)
}

/// Takes out of the address what is ours to do.
fn prepare(url: &str) -> Result<(String, MakeRustlsConnect)> {
    // Its own message would quote the address, and with it the password.
    let Ok(mut address) = Url::parse(url) else { bail!("the database's address is no URL") };
    if !matches!(address.scheme(), "postgres" | "postgresql") {
        bail!("the database's address begins with postgresql://");
    }
    let (mut verify, mut authority, mut kept) = (false, None, Vec::new());
    for (name, value) in address.query_pairs().into_owned() {
        match (name.as_str(), value.as_str()) {
            ("sslmode", "verify-ca" | "verify-full") => {
                verify = true;
                kept.push((name, "require".to_owned()));
            }
            ("sslmode", "allow") => kept.push((name, "prefer".to_owned())),
            ("sslrootcert", _) => authority = Some(value),
            // The platform's own addition, for its pooler.
            ("pgbouncer", _) => {}
            _ => kept.push((name, value)),
        }
    }
    address.set_query(None);
    if !kept.is_empty() {
        address.query_pairs_mut().extend_pairs(kept);
    }
    let tls = if verify { verifying(authority.as_deref())? } else { encrypting()? };
    Ok((address.into(), MakeRustlsConnect::new(tls)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn verifying(authority: Option<&str>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(file) => {
            for certificate in
                CertificateDer::pem_file_iter(file).with_context(|| format!("reading {file}"))?
            {
                roots.add(certificate.with_context(|| format!("reading {file}"))?)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn encrypting() -> Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let trusting = Arc::new(Trusting(provider()));
    Ok(config.dangerous().with_custom_certificate_verifier(trusting).with_no_client_auth())
}

/// Takes any certificate, as libpq does with `sslmode=require`; signatures are still checked.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_knows_of_an_address_is_understood_and_a_password_is_not_told() {
        for query in ["", "?sslmode=verify-full", "?sslmode=require&pgbouncer=true", "?sslmode=allow"] {
            let (address, _) =
                prepare(&format!("postgresql://u:p@db.test:6543/postgres{query}")).expect(query);
            assert!(address.parse::<tokio_postgres::Config>().is_ok(), "{address}");
        }
        let told = prepare("postgresql://u:topsecret@db.test:wrong/x").err().expect("refused").to_string();
        assert!(!told.contains("topsecret"), "{told}");
        assert!(prepare("postgresql://db.test/x?sslmode=verify-ca&sslrootcert=/nowhere.pem").is_err());
    }
}
