//! Sealing: each token for its account, so that a row copied to another account does not open.

use ironferry::seal::KeyRing;
use ironferry::{Context, Error, Result, Secret};

/// The secret that holds the key ring.
const KEYS: &str = "TOKEN_ENCRYPTION_KEYS";

/// The ring that seals and opens tokens.
pub(crate) struct Vault(KeyRing);

/// A token as `tradovate_tokens` holds it.
pub(crate) struct Sealed {
    pub(crate) access_token: String,
    pub(crate) fingerprint: String,
    /// Characters.
    pub(crate) token_length: usize,
}

impl Vault {
    /// The ring of `TOKEN_ENCRYPTION_KEYS`: `id:base64 of 32 bytes`, several separated by commas.
    pub(crate) fn open(cx: &Context) -> Result<Self> {
        KeyRing::from_secret(cx, KEYS).map(Self)
    }

    pub(crate) fn seal(&self, cx: &Context, account: &str, token: &Secret) -> Result<Sealed> {
        Ok(Sealed {
            access_token: self.lock(cx, account, token)?,
            fingerprint: self.0.fingerprint(token),
            token_length: token.expose().len(),
        })
    }

    /// The ciphertext alone.
    pub(crate) fn lock(&self, cx: &Context, account: &str, token: &Secret) -> Result<String> {
        self.0.seal(cx, &place(account), token)
    }

    pub(crate) fn unseal(&self, account: &str, sealed: &str) -> Result<Secret> {
        self.0.open(&place(account), sealed).map_err(|error| {
            Error::internal("the stored token cannot be read: check TOKEN_ENCRYPTION_KEYS, or store it again")
                .code("TOKEN_UNREADABLE")
                .source(error)
        })
    }

    pub(crate) fn fingerprint(&self, token: &Secret) -> String {
        self.0.fingerprint(token)
    }

    /// The key that seals.
    pub(crate) fn key_id(&self) -> &str {
        self.0.sealing_id()
    }
}

fn place(account: &str) -> String {
    format!("tradovate_tokens/{account}")
}
