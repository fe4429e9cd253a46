//! A body as named pieces of text. Numbers stay as they were written: a price that went through a
//! floating point number is another price.

use std::collections::BTreeMap;

use ironferry::{Error, Raw, Result};

/// A JSON object whose values are still text.
pub(crate) type Object = BTreeMap<String, Raw>;

/// More is no alert.
const MOST_FIELDS: usize = 100;
const DEEPEST: usize = 4;

/// Reads a body of `application/json`, or `text/plain` that holds JSON: TradingView calls an alert text
/// whenever it does not recognise it.
pub(crate) fn object(content_type: Option<&str>, body: &[u8]) -> Result<Object> {
    let kind = content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if !(kind.is_empty() || kind == "text/plain" || kind.ends_with("json")) {
        return Err(Error::unsupported_media_type("send application/json or text/plain"));
    }
    // Editors on Windows begin a file with a mark.
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    ironferry::from_json(body).map_err(|problem| {
        let hint =
            if body.windows(2).any(|pair| pair == b"{{") { "; a placeholder was not filled in" } else { "" };
        Error::bad_request(format!("the body is not a JSON object: {problem}{hint}")).code("INVALID_JSON")
    })
}

/// A value with the way to it: `strategy.order.action`.
pub(crate) struct Field<'a> {
    pub(crate) path: String,
    pub(crate) raw: &'a str,
}

/// All values that are no objects; objects within are opened.
pub(crate) struct Fields(Vec<(String, Raw)>);

impl Fields {
    pub(crate) fn of(object: Object) -> Result<Self> {
        let mut fields = Vec::new();
        open(object, "", 0, &mut fields)?;
        Ok(Self(fields))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.0.iter().map(|(path, raw)| Field { path: path.clone(), raw: raw.get() })
    }

    /// As one flat JSON object, without those that hold a secret. What repeats the secret elsewhere is
    /// blotted out.
    pub(crate) fn payload(&self, secret: Option<&str>) -> String {
        let mut text = String::from("{");
        for field in self.iter().filter(|field| !is_secret(&field.path)) {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&quoted(&field.path));
            text.push(':');
            match secret.filter(|secret| field.raw.starts_with('"') && field.raw.contains(*secret)) {
                Some(secret) => text.push_str(&field.raw.replace(secret, "[redacted]")),
                None => text.push_str(field.raw),
            }
        }
        text.push('}');
        text
    }
}

/// A text as JSON, which any text has.
pub(crate) fn quoted(text: &str) -> String {
    ironferry::to_json(text).unwrap_or_default()
}

fn open(object: Object, above: &str, depth: usize, fields: &mut Vec<(String, Raw)>) -> Result<()> {
    for (name, raw) in object {
        let path = if above.is_empty() { name } else { format!("{above}.{name}") };
        if raw.get().starts_with('{') && depth < DEEPEST {
            let inner: Object = raw
                .read()
                .map_err(|problem| Error::bad_request(format!("{path}: {problem}")).code("INVALID_JSON"))?;
            open(inner, &path, depth + 1, fields)?;
        } else {
            fields.push((path, raw));
        }
        if fields.len() > MOST_FIELDS {
            return Err(Error::bad_request(format!("an alert has no more than {MOST_FIELDS} fields"))
                .code("INVALID_PAYLOAD"));
        }
    }
    Ok(())
}

/// The letters and digits of a name, so that `strategy.order.action`, `strategy_order_action` and
/// `strategyOrderAction` are one.
pub(crate) fn plain(path: &str) -> String {
    path.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Names under which senders show who they are.
pub(crate) const SECRETS: [&str; 9] = [
    "passphrase",
    "webhookpassphrase",
    "secret",
    "webhooksecret",
    "password",
    "token",
    "securitytoken",
    "apikey",
    "authtoken",
];

pub(crate) fn is_secret(path: &str) -> bool {
    // Also within an object: `auth.passphrase`.
    let last = plain(path.rsplit('.').next().unwrap_or(path));
    SECRETS.contains(&last.as_str()) || SECRETS.contains(&plain(path).as_str())
}

/// The text of a value: strings without their quotes, numbers as written. `None` for what stands for
/// nothing: `null`, an empty string, TradingView's `NaN`.
pub(crate) fn text(raw: &str) -> Option<String> {
    let text = if raw.starts_with('"') {
        ironferry::from_json(raw.as_bytes()).unwrap_or_default()
    } else {
        raw.to_owned()
    };
    let text = text.trim();
    let nothing = text.is_empty()
        || ["null", "nan", "na", "n/a", "none"].iter().any(|none| text.eq_ignore_ascii_case(none));
    (!nothing).then(|| text.to_owned())
}
