//! Logins to DEX sites, sealed at rest.

use ironferry::seal::KeyRing;
use ironferry::{Context, Error, Result, Secret};

/// The secret that holds the key ring.
pub const KEYS: &str = "CREDENTIALS_ENCRYPTION_KEYS";

/// A login in the clear; lives as long as a collection.
#[derive(Debug)]
pub struct Login {
    /// The e-mail address.
    pub username: Secret,
    /// The password.
    pub password: Secret,
}

/// A login as `user_credentials` holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// `username_encrypted`
    pub username: String,
    /// `password_encrypted`
    pub password: String,
}

impl Login {
    /// Seals the login for one company: copied to another company's row, it does not open.
    pub fn seal(&self, cx: &Context, company_id: &str) -> Result<Sealed> {
        let ring = KeyRing::from_secret(cx, KEYS)?;
        Ok(Sealed {
            username: ring.seal(cx, &place(company_id, "username"), &self.username)?,
            password: ring.seal(cx, &place(company_id, "password"), &self.password)?,
        })
    }
}

impl Sealed {
    /// Opens the login.
    pub fn open(&self, cx: &Context, company_id: &str) -> Result<Login> {
        let ring = KeyRing::from_secret(cx, KEYS)?;
        let open = |part, sealed| ring.open(&place(company_id, part), sealed);
        let login = open("username", &self.username)
            .and_then(|username| Ok(Login { username, password: open("password", &self.password)? }));
        login.map_err(|error| {
            Error::internal("the company's stored login cannot be read: save it again")
                .code("CREDENTIALS_UNREADABLE")
                .source(error)
        })
    }
}

fn place(company_id: &str, part: &str) -> String {
    format!("user_credentials/{company_id}/{part}")
}
