//! The keys of a local project, and the tokens made with them.
//!
//! As on a hosted project with JWT signing keys: users' tokens are ES256 and verified by the public
//! key in `SUPABASE_JWKS`; the legacy `anon` and `service_role` keys are HS256 tokens; the new
//! `sb_…` keys are no tokens at all. `PostgREST` accepts both algorithms.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, Mac as _};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::files;

/// A user's session lasts an hour on the hosted platform too.
const USER_TOKEN_SECONDS: u64 = 3600;
/// The legacy keys are tokens that are not meant to expire.
const LEGACY_KEY_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// Everything secret that one local project has. Kept in `keys.json`, readable by its owner only.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    /// `sb_publishable_…`: says which project is called, authenticates nobody.
    pub publishable: String,
    /// `sb_secret_…`: the service role.
    pub secret: String,
    /// The legacy `anon` key, an HS256 token.
    pub anon: String,
    /// The legacy `service_role` key, an HS256 token.
    pub service_role: String,
    /// What the legacy keys are signed with.
    pub jwt_secret: String,
    /// The name of the users' signing key in the key set.
    pub signing_key_id: String,
    /// The users' signing key, P-256, 32 bytes in base64url.
    pub signing_key: String,
    /// `SERVICE_API_KEY`: what cron jobs and other services show in `X-Service-Key`.
    pub service_api_key: String,
    /// `CREDENTIALS_ENCRYPTION_KEYS`: `k1:<32 bytes in base64>`.
    pub credentials_encryption_keys: String,
}

impl Keys {
    /// Reads the keys of a project, or makes them on its first start.
    ///
    /// # Errors
    /// When the file cannot be read, understood or written.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if path.exists() {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            return serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged; delete it to get new keys", path.display()));
        }
        let keys = Self::generate();
        files::write_private(path, &serde_json::to_vec_pretty(&keys)?)?;
        Ok(keys)
    }

    /// Makes new random keys.
    pub fn generate() -> Self {
        let jwt_secret = BASE64.encode(random::<36>());
        let legacy = |role: &str| {
            let now = now();
            hs256(
                &jwt_secret,
                &json!({"iss": "ferry", "role": role, "iat": now, "exp": now + LEGACY_KEY_SECONDS}),
            )
        };
        Self {
            publishable: format!("sb_publishable_{}", BASE64.encode(random::<24>())),
            secret: format!("sb_secret_{}", BASE64.encode(random::<24>())),
            anon: legacy("anon"),
            service_role: legacy("service_role"),
            signing_key_id: hex(&random::<8>()),
            signing_key: BASE64.encode(random_signing_key().to_bytes()),
            service_api_key: BASE64.encode(random::<24>()),
            credentials_encryption_keys: format!("k1:{}", STANDARD.encode(random::<32>())),
            jwt_secret,
        }
    }

    /// The key ring that functions find under this name: one key, the same at each start.
    pub fn ring(&self, name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.jwt_secret.as_bytes()).expect("any length");
        mac.update(name.as_bytes());
        format!("k1:{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// The public key set, as functions get it in `SUPABASE_JWKS`.
    pub fn jwks(&self) -> Value {
        let point = self.signing_key().verifying_key().to_encoded_point(false);
        let coordinate =
            |bytes: Option<&p256::FieldBytes>| BASE64.encode(bytes.map_or(&[][..], |bytes| bytes));
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"],
            "kid": self.signing_key_id, "x": coordinate(point.x()), "y": coordinate(point.y()),
        }]})
    }

    /// The key set that the REST server verifies with: the public one and the legacy secret.
    pub fn server_jwks(&self) -> Value {
        let mut set = self.jwks();
        if let Some(keys) = set["keys"].as_array_mut() {
            keys.push(json!({"kty": "oct", "alg": "HS256", "k": BASE64.encode(&self.jwt_secret)}));
        }
        set
    }

    /// A token of a logged-in user, valid for an hour, as the hosted Auth service would issue it.
    ///
    /// `user_id` is `auth.users.id`; `claims` is an object whose members are added to the token or
    /// replace its own, such as `{"app_metadata": {…}}` or `{"exp": 1}`.
    pub fn user_jwt(&self, user_id: &str, claims: &Value) -> String {
        let now = now();
        let mut payload = Map::from_iter([
            ("sub".to_owned(), json!(user_id)),
            ("role".to_owned(), json!("authenticated")),
            ("aud".to_owned(), json!("authenticated")),
            ("iss".to_owned(), json!("ferry")),
            ("iat".to_owned(), json!(now)),
            ("exp".to_owned(), json!(now + USER_TOKEN_SECONDS)),
            ("is_anonymous".to_owned(), json!(false)),
            ("app_metadata".to_owned(), json!({"provider": "email"})),
        ]);
        if let Value::Object(claims) = claims {
            payload.extend(claims.clone());
        }
        let head = json!({"alg": "ES256", "typ": "JWT", "kid": self.signing_key_id});
        let signed = format!("{}.{}", part(&head), part(&Value::Object(payload)));
        let signature: Signature = self.signing_key().sign(signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(signature.to_bytes()))
    }

    /// The claims of a token that one of the project's keys signed and that has not expired.
    ///
    /// # Errors
    /// Says in a few words what is wrong with the token.
    pub fn verify(&self, token: &str) -> Result<Value> {
        let (signed, signature) = token.rsplit_once('.').context("not a token")?;
        let (head, claims) = signed.split_once('.').context("not a token")?;
        let signature = BASE64.decode(signature).context("the signature is not base64url")?;
        let head: Value = decode(head)?;
        match head["alg"].as_str() {
            Some("HS256") => hmac(&self.jwt_secret, signed)
                .verify_slice(&signature)
                .map_err(|_| anyhow::anyhow!("the signature is wrong"))?,
            Some("ES256") => VerifyingKey::from(&self.signing_key())
                .verify(
                    signed.as_bytes(),
                    &Signature::from_slice(&signature).context("the signature is malformed")?,
                )
                .context("the signature is wrong")?,
            _ => bail!("the algorithm is not accepted"),
        }
        let claims: Value = decode(claims)?;
        match claims["exp"].as_u64() {
            Some(expiry) if expiry <= now() => bail!("the token has expired"),
            _ => Ok(claims),
        }
    }

    fn signing_key(&self) -> SigningKey {
        BASE64
            .decode(&self.signing_key)
            .ok()
            .and_then(|bytes| SigningKey::from_slice(&bytes).ok())
            .expect("keys.json holds the P-256 key that ferry wrote")
    }
}

/// Returns the algorithm that a token names, or none when it is not shaped like a token.
pub(crate) fn algorithm(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let head: Value = decode(parts.next()?).ok()?;
    (parts.count() == 2).then(|| head["alg"].as_str().unwrap_or_default().to_owned())
}

/// Bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn random_signing_key() -> SigningKey {
    loop {
        // Out of 2³² numbers, less than one is no P-256 key.
        if let Ok(key) = SigningKey::from_slice(&random::<32>()) {
            return key;
        }
    }
}

fn hs256(secret: &str, claims: &Value) -> String {
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    let signature = hmac(secret, &signed).finalize().into_bytes();
    format!("{signed}.{}", BASE64.encode(signature))
}

fn hmac(secret: &str, message: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac
}

fn part(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

fn decode(part: &str) -> Result<Value> {
    let json = BASE64.decode(part).context("not base64url")?;
    serde_json::from_slice(&json).context("not JSON")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_token_is_verified_by_the_public_key() {
        let keys = Keys::generate();
        let token = keys.user_jwt("8c4a", &json!({"app_metadata": {"company": 1}}));
        let claims = keys.verify(&token).expect("its own token");
        assert_eq!(claims["sub"], "8c4a");
        assert_eq!(claims["app_metadata"]["company"], 1);
        assert_eq!(keys.jwks()["keys"][0]["x"].as_str().map(str::len), Some(43));
    }

    #[test]
    fn legacy_keys_are_tokens_of_their_role() {
        let keys = Keys::generate();
        assert_eq!(keys.verify(&keys.anon).expect("anon")["role"], "anon");
        assert_eq!(keys.verify(&keys.service_role).expect("service")["role"], "service_role");
    }

    #[test]
    fn a_token_of_another_project_an_expired_one_and_an_unsigned_one_are_refused() {
        let (keys, other) = (Keys::generate(), Keys::generate());
        assert!(keys.verify(&other.user_jwt("8c4a", &json!({}))).is_err());
        assert!(keys.verify(&other.anon).is_err());
        assert!(keys.verify(&keys.user_jwt("8c4a", &json!({"exp": 1}))).is_err());
        let unsigned =
            format!("{}.{}.", part(&json!({"alg": "none"})), part(&json!({"role": "service_role"})));
        assert!(keys.verify(&unsigned).is_err());
        assert!(keys.verify("sb_secret_x").is_err());
    }

    #[test]
    fn keys_are_the_same_at_the_second_start_and_unreadable_for_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = std::env::temp_dir().join(format!("ferry-keys-{}", hex(&random::<6>())));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let path = folder.join("keys.json");
        let first = Keys::load_or_create(&path).expect("made");
        assert_eq!(Keys::load_or_create(&path).expect("read").secret, first.secret);
        let mode = std::fs::metadata(&path).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
