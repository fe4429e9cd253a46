//! Who calls: a service that shows a key, or a user who shows a JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use crate::host::Signature;
use crate::{Context, Error, Request, Result, Secret, from_json};

pub(crate) const APIKEY: HeaderName = HeaderName::from_static("apikey");
pub(crate) const X_SERVICE_KEY: HeaderName = HeaderName::from_static("x-service-key");

/// What the request shows, kept from its headers and read when it is asked for.
pub(crate) struct Credentials {
    service_key: Option<HeaderValue>,
    api_key: Option<HeaderValue>,
    authorization: Option<HeaderValue>,
}

impl Credentials {
    pub(crate) fn of(request: &Request) -> Self {
        let header = |name| request.headers().get(name).cloned();
        Self {
            service_key: header(X_SERVICE_KEY),
            api_key: header(APIKEY),
            authorization: header(AUTHORIZATION),
        }
    }

    pub(crate) fn service_key(&self) -> Option<Secret> {
        text(self.service_key.as_ref()).map(Secret::new)
    }

    fn api_key(&self) -> Option<Secret> {
        text(self.api_key.as_ref()).map(Secret::new)
    }

    pub(crate) fn bearer(&self) -> Option<Secret> {
        let (scheme, token) = text(self.authorization.as_ref())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
    }
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok().map(str::trim)
}

pub(crate) fn require_service(cx: &Context) -> Result<()> {
    let shown = cx.credentials();
    if let Some(key) = shown.service_key() {
        let configured = cx.require_secret("SERVICE_API_KEY")?;
        // Several keys, comma-separated, overlap while one replaces the other. Each is compared,
        // so that the time does not tell which one matched.
        let matched = configured
            .expose()
            .split(',')
            .fold(false, |matched, known| Secret::new(known.trim()).matches(key.expose()) | matched);
        return if matched { Ok(()) } else { Err(refused("the service key is wrong")) };
    }
    let known = &cx.host().secrets().service_keys;
    let matched = [shown.api_key(), shown.bearer()]
        .iter()
        .flatten()
        .flat_map(|key| known.iter().map(|known| known.matches(key.expose())))
        .fold(false, |matched, one| matched | one);
    if matched { Ok(()) } else { Err(refused("a service key is required")) }
}

fn refused(message: &'static str) -> Error {
    Error::unauthorized(message).code("INVALID_SERVICE_KEY")
}

/// A user of the project, as the verified JWT says.
#[derive(Clone, Debug, Deserialize)]
pub struct User {
    /// `auth.users.id`, a UUID.
    #[serde(rename = "sub")]
    pub id: String,
    /// The Postgres role: `authenticated`.
    pub role: String,
    /// The e-mail address, where there is one.
    #[serde(default)]
    pub email: Option<String>,
    /// What the back end wrote about the user. The user cannot change it, unlike `user_metadata`,
    /// which is not read here so that nobody authorises by it.
    #[serde(default)]
    pub app_metadata: Value,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
}

/// The legacy JWT secret. The platform's own name for it begins with `SUPABASE_`, and such names cannot be set.
const JWT_SECRET: &str = "JWT_SECRET";
/// HS256 needs 256 bits (RFC 7518, 3.2); the platform demands as many characters.
const SHORTEST_SECRET: usize = 32;

/// Clocks of two machines differ by some seconds.
const LEEWAY_SECONDS: i64 = 30;

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

pub(crate) async fn require_user(cx: &Context) -> Result<User> {
    let token = cx.credentials().bearer().ok_or_else(|| no_user("a user's token is required"))?;
    let (signed, signature) = token.expose().rsplit_once('.').ok_or_else(malformed)?;
    let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
    let header: Header = decode(header)?;
    let user: User = decode(claims)?;
    let signature = BASE64.decode(signature).map_err(|_| malformed())?;

    let signature = Signature {
        jwk: find_key(cx, &header)?,
        algorithm: header.alg,
        message: Bytes::copy_from_slice(signed.as_bytes()),
        signature: signature.into(),
    };
    if !cx.host().verify(signature).await? {
        return Err(no_user("the token's signature is wrong"));
    }
    let now = cx.now().unix_timestamp();
    if user.exp + LEEWAY_SECONDS <= now {
        return Err(no_user("the token has expired").code("TOKEN_EXPIRED"));
    }
    if user.nbf.is_some_and(|from| from > now + LEEWAY_SECONDS) {
        return Err(no_user("the token is not valid yet"));
    }
    if user.role != "authenticated" {
        return Err(no_user("the token is not a user's"));
    }
    Ok(user)
}

/// Returns the key for the header's algorithm, as a JWK. The algorithm decides the type of the key: `HS256` is
/// checked with a shared secret only, `ES256` and `RS256` with a public key only, and nothing else is checked at all.
fn find_key(cx: &Context, header: &Header) -> Result<String> {
    let key_type = match header.alg.as_str() {
        "ES256" => "EC",
        "RS256" => "RSA",
        "HS256" => "oct",
        _ => return Err(no_user("the token's algorithm is not accepted")),
    };
    let legacy = legacy_secret(cx)?;
    // A project that still signs with its legacy secret has no published keys.
    let jwks: Value = cx
        .secret("SUPABASE_JWKS")
        .and_then(|text| from_json(text.expose().as_bytes()).ok())
        .unwrap_or_default();
    let published = jwks["keys"].as_array().map_or(&[][..], Vec::as_slice);
    if legacy.is_none() && published.is_empty() {
        return Err(no_keys());
    }
    if let ("oct", Some(secret)) = (key_type, legacy) {
        return Ok([r#"{"kty":"oct","k":""#, &BASE64.encode(secret.expose()), r#""}"#].concat());
    }
    let is_named = |key: &Value| match (&header.kid, key["kid"].as_str()) {
        (Some(wanted), Some(known)) => wanted == known,
        _ => true,
    };
    published
        .iter()
        .find(|key| key["kty"] == key_type && is_named(key))
        .and_then(|key| crate::to_json(key).ok())
        .ok_or_else(|| no_user("the token's key is not known"))
}

/// `JWT_SECRET`, with which a legacy project signs by HS256. A public key in its place would let everybody sign.
fn legacy_secret(cx: &Context) -> Result<Option<&Secret>> {
    let secret = cx.secret(JWT_SECRET);
    let is_public =
        |text: &str| ["-----BEGIN", "{", "ssh-"].iter().any(|start| text.trim().starts_with(start));
    match secret.map(Secret::expose) {
        Some(text) if text.len() < SHORTEST_SECRET || is_public(text) => {
            let told =
                "JWT_SECRET must be the project's legacy JWT secret: at least 32 characters, and no key file";
            Err(Error::internal(told).code("INVALID_SETTING"))
        }
        _ => Ok(secret),
    }
}

fn no_keys() -> Error {
    let told = "no key is configured on the server to verify users' tokens: switch the project to JWT signing keys \
                (dashboard, Project Settings, JWT Keys), or set the secret JWT_SECRET to its legacy JWT secret";
    Error::internal(told).code("MISSING_SECRET")
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T> {
    let json = BASE64.decode(part).map_err(|_| malformed())?;
    from_json(&json).map_err(|_| malformed())
}

fn malformed() -> Error {
    no_user("the token is malformed")
}

fn no_user(message: &'static str) -> Error {
    Error::unauthorized(message).code("INVALID_TOKEN")
}
