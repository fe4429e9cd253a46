//! When a token ends: at the earliest of what its own claims, its Redis key and its owner say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ironferry::Secret;
use serde::Deserialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

/// The `exp` claim of a JWT; nothing for what is no JWT or has none. The signature is the broker's
/// affair: who can write to our Redis needs no forged tokens.
pub(crate) fn of_jwt(token: &Secret) -> Option<OffsetDateTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: Value,
    }
    let claims = token.expose().split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    of_value(&ironferry::from_json::<Claims>(&claims).ok()?.exp)
}

/// A time as JSON writes one: seconds or milliseconds since 1970, or RFC 3339.
pub(crate) fn of_value(value: &Value) -> Option<OffsetDateTime> {
    /// Larger numbers are milliseconds: as seconds they would be the year 5138.
    const SECONDS_END: i64 = 100_000_000_000;
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => {
            #[allow(clippy::cast_possible_truncation)] // a fraction of a second does not matter
            let number = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))?;
            let seconds = if number > SECONDS_END { number / 1_000 } else { number };
            OffsetDateTime::from_unix_timestamp(seconds).ok()
        }
        _ => None,
    }
}

/// An RFC 3339 time, e.g. Tradovate's `2026-01-01T00:00:00.000Z`.
pub(crate) fn parse(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// The form in which Postgres and callers get it.
pub(crate) fn text(time: OffsetDateTime) -> String {
    // It fails for years above 9999 only; such a token does not end.
    time.format(&Rfc3339).unwrap_or_else(|_| "infinity".to_owned())
}

/// What Redis says of a key's life, in milliseconds: -1 for ever, -2 gone.
pub(crate) fn of_ttl(ttl_ms: i64, now: OffsetDateTime) -> Option<OffsetDateTime> {
    (ttl_ms >= 0).then(|| now.checked_add(Duration::milliseconds(ttl_ms))).flatten()
}

/// The earliest of those that are known.
pub(crate) fn earliest<const N: usize>(ends: [Option<OffsetDateTime>; N]) -> Option<OffsetDateTime> {
    ends.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(claims: &Value) -> Secret {
        Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string())))
    }

    fn at(seconds: i64) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(seconds).ok()
    }

    #[test]
    fn a_jwt_says_when_it_ends() {
        assert_eq!(of_jwt(&jwt(&json!({ "exp": 1_767_225_600, "sub": "1" }))), at(1_767_225_600));
        assert_eq!(of_jwt(&jwt(&json!({ "exp": 1_767_225_600.75 }))), at(1_767_225_600));
        for none in [json!({}), json!({ "exp": "soon" }), json!(7), json!({ "exp": 1e300 })] {
            assert_eq!(of_jwt(&jwt(&none)), None, "{none}");
        }
        for none in ["", "opaque", "a.b.c", "..", "a.%%.c"] {
            assert_eq!(of_jwt(&Secret::new(none)), None, "{none}");
        }
    }

    #[test]
    fn times_are_seconds_milliseconds_or_text() {
        assert_eq!(of_value(&json!(1_767_225_600)), at(1_767_225_600));
        assert_eq!(of_value(&json!(1_767_225_600_000_i64)), at(1_767_225_600));
        assert_eq!(of_value(&json!("2026-01-01T00:00:00.000Z")), at(1_767_225_600));
        assert_eq!(of_value(&json!("2026-01-01T01:00:00+01:00")), at(1_767_225_600));
        assert_eq!(of_value(&json!("tomorrow")), None);
    }

    #[test]
    fn the_earlier_end_counts_and_no_end_is_none() {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(of_ttl(60_000, now), at(60));
        assert_eq!(of_ttl(0, now), at(0));
        assert_eq!((of_ttl(-1, now), of_ttl(-2, now)), (None, None));
        assert_eq!(earliest([at(60), at(30), None]), at(30));
        assert_eq!(earliest([None, None]), None);
        assert_eq!(of_ttl(i64::MAX, now), None, "further than the calendar goes");
    }
}
