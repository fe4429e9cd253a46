//! Stores tokens that a caller brings.

use ironferry::{Context, Error, Request, Response, Result, Secret};
use serde_json::{Map, Value};

use crate::database::{self, StoredRow};
use crate::types::{StoreReply, StoreRequest, TokenData};
use crate::vault::Vault;
use crate::{Caller, account, expiry, value};

/// Tokens a call.
const MOST: usize = 1_000;
/// As the table allows, in bytes.
const LARGEST_METADATA: usize = 8_000;
/// Texts that are shorter may be in a token by chance.
const SHORTEST_PART: usize = 12;

pub(crate) async fn answer(request: &Request, cx: &Context, caller: &Caller) -> Result<Response> {
    let StoreRequest { tokens } = request.json()?;
    if tokens.is_empty() || tokens.len() > MOST {
        return Err(
            Error::bad_request(format!("`tokens` must have 1 to {MOST} entries")).code("INVALID_JSON")
        );
    }
    let vault = Vault::open(cx)?;
    let rows = tokens.into_iter().enumerate().map(|(index, token)| {
        row(cx, &vault, token).map_err(|problem| match problem {
            Problem::Given(why) => Error::bad_request(format!("tokens[{index}]: {why}")).code("INVALID_JSON"),
            Problem::Ours(error) => error,
        })
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let stored = database::store(cx, caller, &rows).await?;
    let message = format!("Stored {} tokens", stored.tokens_stored);
    Response::json(200, &StoreReply { success: true, message, ..stored })
}

enum Problem {
    /// The caller's.
    Given(&'static str),
    Ours(Error),
}

impl From<&'static str> for Problem {
    fn from(why: &'static str) -> Self {
        Problem::Given(why)
    }
}

fn row(cx: &Context, vault: &Vault, token: TokenData) -> Result<StoredRow, Problem> {
    let TokenData { account_name, access_token, main_account, token_type, expires_at, metadata } = token;
    if !account::is_name(&account_name) {
        return Err("`account_name` must have 1 to 128 characters and no blanks".into());
    }
    let main_account = main_account.unwrap_or_else(|| account::main_account(&account_name));
    if !account::is_name(&main_account) {
        return Err("`main_account` must have 1 to 128 characters and no blanks".into());
    }
    let token_type = token_type.unwrap_or_else(|| "bearer".to_owned());
    if !matches!(token_type.as_str(), "bearer" | "auth") {
        return Err("`token_type` must be bearer or auth".into());
    }
    value::is_token(access_token.expose())?;
    let told = match &expires_at {
        None => None,
        Some(text) => Some(expiry::parse(text).ok_or("`expires_at` must be an RFC 3339 time")?),
    };
    let metadata = metadata.map_or_else(|| Ok(Map::new()), |metadata| harmless(metadata, &access_token))?;
    let sealed = vault.seal(cx, &account_name, &access_token).map_err(Problem::Ours)?;
    Ok(StoredRow {
        account_name,
        main_account,
        token_type,
        access_token: sealed.access_token,
        fingerprint: sealed.fingerprint,
        token_length: sealed.token_length,
        expires_at: expiry::earliest([expiry::of_jwt(&access_token), told]).map(expiry::text),
        metadata: metadata.into(),
    })
}

/// Metadata is not sealed: it must not repeat the token. Earlier clients sent its beginning as
/// `token_preview`, which is dropped.
fn harmless(mut metadata: Map<String, Value>, token: &Secret) -> Result<Map<String, Value>, &'static str> {
    metadata.remove("token_preview");
    let metadata = Value::Object(metadata);
    if repeats(&metadata, token.expose()) {
        return Err("`metadata` must not hold the token or a part of it");
    }
    if ironferry::to_json(&metadata).map_or(usize::MAX, |text| text.len()) > LARGEST_METADATA {
        return Err("`metadata` is larger than 8 kB");
    }
    let Value::Object(metadata) = metadata else { return Err("`metadata` must be an object") };
    Ok(metadata)
}

fn repeats(value: &Value, token: &str) -> bool {
    match value {
        Value::String(text) => {
            let text = text.trim_end_matches(['.', '…']);
            text.contains(token) || text.len() >= SHORTEST_PART && token.contains(text)
        }
        Value::Array(values) => values.iter().any(|value| repeats(value, token)),
        Value::Object(members) => members.iter().any(|(name, value)| name == token || repeats(value, token)),
        _ => false,
    }
}
