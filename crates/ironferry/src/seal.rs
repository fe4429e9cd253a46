//! Encryption at rest: XChaCha20-Poly1305 under a ring of keys, so that keys can be replaced
//! while rows sealed with the old one are still read.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

pub use crate::reseal::reseal;
use crate::{Context, Error, Result, Secret};

const NONCE_BYTES: usize = 24;

/// Keys by id. The first one seals, any of them opens.
pub struct KeyRing(Vec<Key>);

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
    bytes: Vec<u8>,
}

impl KeyRing {
    /// Reads a ring from the named secret: `id:base64,id:base64`, each key 32 bytes.
    pub fn from_secret(cx: &Context, name: &'static str) -> Result<Self> {
        Self::parse(cx.require_secret(name)?).ok_or_else(|| {
            Error::internal(format!("{name} must be `id:base64 of 32 bytes`, several separated by commas"))
                .code("INVALID_SETTING")
        })
    }

    /// Reads a ring; `None` when it has no key or one that is malformed.
    pub fn parse(text: &Secret) -> Option<Self> {
        let keys = text
            .expose()
            .split(',')
            .map(|entry| {
                let (id, key) = entry.trim().split_once(':')?;
                let named = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
                let bytes = STANDARD.decode(key).ok()?;
                let cipher = XChaCha20Poly1305::new_from_slice(&bytes).ok()?;
                named.then(|| Key { id: id.to_owned(), cipher, bytes })
            })
            .collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// The id of the key that seals.
    pub fn sealing_id(&self) -> &str {
        &self.0[0].id
    }

    /// What two equal texts share under the key that seals, and what tells nothing else of them:
    /// HMAC-SHA-256, 43 characters of base64url. To see whether a sealed text has changed.
    pub fn fingerprint(&self, text: &Secret) -> String {
        // Under a key of its own, so that the one that encrypts has no other use.
        let key = hmac(&self.0[0].bytes, b"ironferry fingerprint");
        URL_SAFE_NO_PAD.encode(hmac(&key, text.expose().as_bytes()))
    }

    /// Seals a text for one place, e.g. `user_credentials/<company>/password`: a row moved to
    /// another place does not open. The form is `v1.<key id>.<base64url of nonce and ciphertext>`.
    pub fn seal(&self, cx: &Context, place: &str, text: &Secret) -> Result<String> {
        let Key { id, cipher, .. } = &self.0[0];
        let nonce: [u8; NONCE_BYTES] = cx.random();
        let payload = Payload { msg: text.expose().as_bytes(), aad: place.as_bytes() };
        let sealed = cipher
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| Error::internal("the value cannot be sealed"))?;
        Ok(format!("v1.{id}.{}", URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat())))
    }

    /// Opens what [`KeyRing::seal`] made for the same place.
    pub fn open(&self, place: &str, sealed: &str) -> Result<Secret> {
        let mut parts = sealed.splitn(3, '.');
        let (Some("v1"), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(unreadable("it is not in the sealed form"));
        };
        let Key { cipher, .. } = self
            .0
            .iter()
            .find(|known| known.id == id)
            .ok_or_else(|| unreadable("its key is not in the ring"))?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| unreadable("it is not base64url"))?;
        let (nonce, ciphertext) =
            body.split_at_checked(NONCE_BYTES).ok_or_else(|| unreadable("it is cut off"))?;
        let payload = Payload { msg: ciphertext, aad: place.as_bytes() };
        let text = cipher
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| unreadable("it was changed, or sealed for another place or by another key"))?;
        String::from_utf8(text).map(Secret::new).map_err(|_| unreadable("it is not text"))
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn unreadable(why: &'static str) -> Error {
    Error::internal("a sealed value cannot be read").code("SEAL_BROKEN").source(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str) -> KeyRing {
        KeyRing::parse(&Secret::new(text)).expect("a ring")
    }

    #[test]
    fn a_fingerprint_tells_equal_texts_and_depends_on_the_key_that_seals() {
        let (one, two) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        let text = Secret::new("a token");
        let first = ring(&format!("a:{one}")).fingerprint(&text);
        assert_eq!(first.len(), 43);
        assert_eq!(first, ring(&format!("b:{one},a:{two}")).fingerprint(&text), "the id has no part in it");
        assert_ne!(first, ring(&format!("a:{two},b:{one}")).fingerprint(&text));
        assert_ne!(first, ring(&format!("a:{one}")).fingerprint(&Secret::new("a token.")));
        assert_eq!(ring(&format!("b:{one},a:{two}")).sealing_id(), "b");
    }
}
