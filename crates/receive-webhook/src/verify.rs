//! Who sent it. Only what comes out of here is let into the database.

use std::net::IpAddr;

use hmac::{Hmac, Mac as _};
use ironferry::{Context, Error, Request, Result, Secret};
use sha2::{Digest as _, Sha256};
use time::Duration;

use crate::body::{self, Fields, is_secret, text};
use crate::config::{self, Config};

/// Where TradingView's alerts come from.
pub(crate) const TRADINGVIEW: [&str; 4] = ["52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7"];

/// Between the clock of a relay and ours.
const SIGNATURE_AGE: i64 = 300;

/// A body whose sender is not known.
pub(crate) struct Unverified<'a> {
    pub(crate) request: &'a Request,
    pub(crate) config: Config,
}

/// A body whose sender has shown the webhook's passphrase or signature.
pub(crate) struct Verified {
    pub(crate) config: Config,
    pub(crate) fields: Fields,
    /// What was shown in the body, so that it is stored nowhere.
    pub(crate) shown: Option<Secret>,
}

impl Unverified<'_> {
    /// 401 unless the sender is let in; 410 when the webhook is inactive, which only its senders learn.
    pub(crate) fn verify(self, cx: &Context) -> Result<Verified> {
        let Self { request, config } = self;
        let address = request.client_address(cx);
        if !is_allowed(&config, address) {
            let seen = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
            return Err(Error::unauthorized("alerts from this address are not accepted")
                .source(format!("sent from {seen}")));
        }
        let fields = Fields::of(body::object(request.header("content-type"), request.body())?)?;
        let in_body = fields.iter().find(|field| is_secret(&field.path)).and_then(|field| text(field.raw));
        let shown = in_body.map(Secret::new);
        if request.header("x-webhook-signature").is_some() {
            signature(cx, &config, request)?;
        } else if config.hmac_required {
            return Err(Error::unauthorized("this webhook takes signed alerts only"));
        } else {
            let in_url = request.query("token").map(Secret::new);
            passphrase(cx, &config, in_url.as_ref().or(shown.as_ref()))?;
        }
        if !config.is_active {
            return Err(Error::gone("this webhook is switched off").code("CONFIG_INACTIVE"));
        }
        Ok(Verified { config, fields, shown })
    }
}

/// How a passphrase is stored.
pub(crate) fn hashed(passphrase: &str) -> Secret {
    Secret::new(format!("sha256:{}", hex(&Sha256::digest(passphrase))))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn passphrase(cx: &Context, config: &Config, shown: Option<&Secret>) -> Result<()> {
    let shown =
        shown.ok_or_else(|| Error::unauthorized("a passphrase is required, in the body or as ?token="))?;
    // Hashes have one length, so the time of comparing them tells nothing.
    let shown = hashed(shown.expose());
    let own = config.security_token.matches(shown.expose());
    // One for all webhooks, as the alerts of the earlier system show it.
    let common =
        cx.secret("WEBHOOK_PASSPHRASE").is_some_and(|common| hashed(common.expose()).matches(shown.expose()));
    if own | common { Ok(()) } else { Err(Error::unauthorized("Invalid passphrase")) }
}

/// `X-Webhook-Signature: sha256=<hex>` of the body, or of `<timestamp>.<body>` with
/// `X-Webhook-Timestamp` in seconds.
fn signature(cx: &Context, config: &Config, request: &Request) -> Result<()> {
    let wrong = || Error::unauthorized("the signature is wrong");
    let sealed = config.hmac_secret_sealed.as_deref().ok_or_else(wrong)?;
    let key = config::open(cx, &config.id, "hmac_secret", sealed)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).map_err(|_| wrong())?;
    if let Some(timestamp) = request.header("x-webhook-timestamp") {
        let sent: i64 = timestamp.parse().map_err(|_| wrong())?;
        if (cx.now().unix_timestamp() - sent).abs() > SIGNATURE_AGE {
            return Err(Error::unauthorized("the signature is too old"));
        }
        mac.update(timestamp.as_bytes());
        mac.update(b".");
    }
    mac.update(request.body());
    let expected = Secret::new(hex(&mac.finalize().into_bytes()));
    let shown = request.header("x-webhook-signature").unwrap_or("");
    let shown = shown.strip_prefix("sha256=").unwrap_or(shown).to_ascii_lowercase();
    if expected.matches(&shown) { Ok(()) } else { Err(wrong()) }
}

fn is_allowed(config: &Config, address: Option<IpAddr>) -> bool {
    let is = |one: &str| address.is_some() && one.parse().ok() == address;
    match &config.allowed_ips {
        Some(list) => list.is_empty() || list.iter().any(|one| is(one)),
        None => config.source != "tradingview" || TRADINGVIEW.iter().any(|one| is(one)),
    }
}

/// Alerts of another time are not acted on: 409 `SIGNAL_STALE`.
pub(crate) fn is_fresh(cx: &Context, config: &Config, sent_at: Option<time::OffsetDateTime>) -> Result<()> {
    let Some(sent_at) = sent_at.filter(|_| config.freshness_seconds > 0) else { return Ok(()) };
    let age = cx.now() - sent_at;
    let stale = |message: String| Err(Error::conflict(message).code("SIGNAL_STALE"));
    if age > Duration::seconds(config.freshness_seconds.into()) {
        return stale(format!(
            "the alert is {} s old, {} s are accepted; send {{{{timenow}}}} as its time",
            age.whole_seconds(),
            config.freshness_seconds
        ));
    }
    // Clocks differ.
    if age < Duration::seconds(-60) {
        return stale(format!("the alert's time is {} s ahead", -age.whole_seconds()));
    }
    Ok(())
}
