//! Tokens as Tradovate makes them: JWTs of some 215 characters. Their signatures are made up.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use time::OffsetDateTime;

/// What every token's signature begins with: a search for it finds any of them.
pub const MARK: &str = "c2lnbmF0dXJlLW1hZGUtdXA";

/// A token of this session that ends so many seconds from now.
#[must_use]
pub fn jwt(session: &str, seconds: i64) -> String {
    let exp = OffsetDateTime::now_utc().unix_timestamp() + seconds;
    let claims = json!({ "sub": "1234567", "exp": exp, "jti": session, "phs": "-1234567890" });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = format!("{MARK}{}", "x".repeat(86 - MARK.len()));
    format!("{}.{}.{signature}", part(&json!({ "kid": "4", "alg": "EdDSA" })), part(&claims))
}

/// The 22 accounts of a small operation: three main accounts and their sub-accounts of both kinds.
#[must_use]
pub fn accounts() -> Vec<String> {
    let main = ["136189", "266668", "272045"];
    let mut names: Vec<String> = main.iter().map(|number| format!("APEX_{number}")).collect();
    for (number, performance) in main.into_iter().zip([7, 6, 5]) {
        names.extend((1..=performance).map(|sequence| format!("PAAPEX{number}{sequence:07}")));
    }
    names.push("APEX13618900000118".to_owned());
    names
}
