//! What a Redis key holds: a token as it is, or JSON with one in it.

use ironferry::Secret;
use serde_json::Value;
use time::OffsetDateTime;

use crate::expiry;

/// The largest token that is kept, in bytes. A Tradovate JWT has some 215.
pub(crate) const LARGEST: usize = 16_384;

/// A token and the end that JSON around it names.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) token: Secret,
    pub(crate) expires_at: Option<OffsetDateTime>,
}

/// The names under which the systems before this one kept tokens and their ends.
const TOKENS: [&str; 3] = ["access_token", "accessToken", "token"];
const ENDS: [&str; 4] = ["expires_at", "expiresAt", "expirationTime", "expiration"];

/// Reads a value, or says in a few words why there is no token in it.
pub(crate) fn read(value: &[u8]) -> Result<Found, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_| "the value is not text")?.trim();
    let found = match text.as_bytes().first() {
        None => return Err("the value is empty"),
        Some(b'{' | b'"') => of_json(text)?,
        Some(b'[') => return Err("the value is a list"),
        Some(_) => Found { token: Secret::new(text), expires_at: None },
    };
    is_token(found.token.expose())?;
    Ok(found)
}

fn of_json(text: &str) -> Result<Found, &'static str> {
    let json: Value = ironferry::from_json(text.as_bytes()).map_err(|_| "the value is broken JSON")?;
    if let Value::String(token) = json {
        return Ok(Found { token: Secret::new(token), expires_at: None });
    }
    let token = TOKENS.iter().find_map(|name| json[name].as_str()).ok_or("the JSON has no token in it")?;
    let expires_at = ENDS.iter().find_map(|name| expiry::of_value(&json[name]));
    Ok(Found { token: Secret::new(token), expires_at })
}

/// A token travels in a header: it is printable ASCII without blanks.
pub(crate) fn is_token(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("the token is empty")
    } else if text.len() > LARGEST {
        Err("the token is too large")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("the token has characters that no token has")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_a_token_or_json_with_one() {
        for value in [
            "eyJ.a.b",
            "  eyJ.a.b\n",
            "\"eyJ.a.b\"",
            r#"{"access_token":"eyJ.a.b"}"#,
            r#"{"token":"eyJ.a.b","user":7}"#,
            r#"{"accessToken":"eyJ.a.b","expirationTime":"2026-01-01T00:00:00Z"}"#,
        ] {
            assert_eq!(read(value.as_bytes()).expect(value).token.expose(), "eyJ.a.b", "{value}");
        }
        let end = read(br#"{"token":"t","expires_at":1767225600}"#).unwrap().expires_at;
        assert_eq!(end.map(OffsetDateTime::unix_timestamp), Some(1_767_225_600));
    }

    #[test]
    fn what_holds_no_token_is_told_and_not_repeated() {
        let large = "x".repeat(LARGEST + 1);
        for (value, why) in [
            (&b""[..], "the value is empty"),
            (b" \n", "the value is empty"),
            (b"\xff\xfe", "the value is not text"),
            (b"{\"token\":", "the value is broken JSON"),
            (br#"{"token":7}"#, "the JSON has no token in it"),
            (br#"{"token":""}"#, "the token is empty"),
            (b"[1]", "the value is a list"),
            (b"two words", "the token has characters that no token has"),
            (large.as_bytes(), "the token is too large"),
        ] {
            assert_eq!(read(value).err(), Some(why));
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value: Vec<u8>) {
            if let Ok(found) = read(&value) {
                prop_assert!(found.token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
