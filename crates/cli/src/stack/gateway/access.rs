//! Who may pass the gateway: the rules of the hosted platform for keys and tokens.

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::stack::keys::{self, Keys};

/// Why a request does not pass, in the words of the hosted gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Refusal {
    fn unauthorized(body: Value) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, body }
    }
}

/// Decides about `/rest/v1`: the token that the REST server gets to see.
///
/// The `apikey` says which project is called and is the caller's role where there is no user's token
/// besides it. `in_query` is the value of the `apikey` query parameter.
pub(crate) fn rest_token(
    headers: &HeaderMap,
    in_query: Option<&str>,
    keys: &Keys,
) -> Result<String, Refusal> {
    let bearer = bearer(headers);
    let shown = header(headers, "apikey")
        .or(in_query)
        // Old clients show a legacy key as token only. A user's token alone is not enough.
        .or_else(|| bearer.filter(|token| *token == keys.anon || *token == keys.service_role));
    let Some(shown) = shown else {
        return Err(Refusal::unauthorized(json!({
            "message": "No API key found in request",
            "hint": "No `apikey` request header or url param was found.",
        })));
    };
    let Some(role_token) = token_of_key(shown, keys) else {
        return Err(Refusal::unauthorized(json!({
            "message": "Invalid API key",
            "hint": "Double check your Supabase `anon` or `service_role` API key.",
        })));
    };
    Ok(match bearer {
        // The new keys are no tokens: where a client sends one as such, its role is meant.
        Some(token) => token_of_key(token, keys).unwrap_or_else(|| token.to_owned()),
        None => role_token,
    })
}

/// The legacy token of a key's role; none when the key is not the project's.
fn token_of_key(key: &str, keys: &Keys) -> Option<String> {
    if key == keys.publishable || key == keys.anon {
        Some(keys.anon.clone())
    } else if key == keys.secret || key == keys.service_role {
        Some(keys.service_role.clone())
    } else {
        None
    }
}

/// Decides about `/functions/v1/<name>` of a function with this `verify_jwt`.
pub(crate) fn function_call(
    verify_jwt: bool,
    method: &Method,
    headers: &HeaderMap,
    keys: &Keys,
) -> Result<(), Refusal> {
    // A browser sends no credentials with its question whether it may call.
    if !verify_jwt || method == Method::OPTIONS {
        return Ok(());
    }
    let is_new_key = |key: &str| key == keys.publishable || key == keys.secret;
    let refuse =
        |code: &str, message: &str| Err(Refusal::unauthorized(json!({"code": code, "message": message})));
    match (bearer(headers), header(headers, "apikey")) {
        (Some(token), _) if is_new_key(token) || keys.verify(token).is_ok() => Ok(()),
        (Some(token), _) => refuse(
            match keys::algorithm(token).as_deref() {
                None => "UNAUTHORIZED_INVALID_JWT_FORMAT",
                Some("HS256") => "UNAUTHORIZED_LEGACY_JWT",
                Some("ES256" | "RS256") => "UNAUTHORIZED_ASYMMETRIC_JWT",
                Some(_) => "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM",
            },
            "Invalid JWT",
        ),
        (None, Some(key)) if is_new_key(key) => Ok(()),
        (None, _) => refuse("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"),
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header(headers, "authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn new_keys_become_their_roles_token() {
        let keys = Keys::generate();
        let token = |key: &str| rest_token(&headers(&[("apikey", key)]), None, &keys);
        assert_eq!(token(&keys.publishable), Ok(keys.anon.clone()));
        assert_eq!(token(&keys.secret), Ok(keys.service_role.clone()));
        assert_eq!(token(&keys.anon), Ok(keys.anon.clone()));
        assert_eq!(rest_token(&HeaderMap::new(), Some(&keys.secret), &keys), Ok(keys.service_role.clone()));
    }

    #[test]
    fn a_users_token_passes_beside_a_key_and_not_alone() {
        let keys = Keys::generate();
        let user = format!("Bearer {}", keys.user_jwt("u", &json!({})));
        let with_key = headers(&[("apikey", &keys.publishable), ("authorization", &user)]);
        assert_eq!(rest_token(&with_key, None, &keys), Ok(user[7..].to_owned()));
        let alone = rest_token(&headers(&[("authorization", &user)]), None, &keys);
        assert_eq!(alone.expect_err("refused").body["message"], "No API key found in request");
    }

    #[test]
    fn a_new_key_sent_as_token_means_its_role() {
        let keys = Keys::generate();
        let bearer = format!("Bearer {}", keys.secret);
        let both = headers(&[("apikey", &keys.secret), ("authorization", &bearer)]);
        assert_eq!(rest_token(&both, None, &keys), Ok(keys.service_role.clone()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let keys = Keys::generate();
        let refusal =
            rest_token(&headers(&[("apikey", "sb_secret_guess")]), None, &keys).expect_err("refused");
        assert_eq!((refusal.status.as_u16(), &refusal.body["message"]), (401, &json!("Invalid API key")));
    }

    #[test]
    fn verify_jwt_takes_tokens_and_bare_keys_and_nothing_else() {
        let keys = Keys::generate();
        let call = |verify, pairs: &[(&'static str, &str)]| {
            function_call(verify, &Method::POST, &headers(pairs), &keys)
        };
        let bearer = |token: &str| format!("Bearer {token}");
        assert!(call(false, &[]).is_ok());
        assert!(call(true, &[("apikey", &keys.publishable)]).is_ok());
        assert!(call(true, &[("authorization", &bearer(&keys.anon))]).is_ok());
        assert!(call(true, &[("authorization", &bearer(&keys.user_jwt("u", &json!({}))))]).is_ok());
        let refused = |pairs: &[(&'static str, &str)]| {
            let refusal = call(true, pairs).expect_err("refused");
            assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
            refusal.body["code"].as_str().expect("a code").to_owned()
        };
        assert_eq!(refused(&[]), "UNAUTHORIZED_NO_AUTH_HEADER");
        assert_eq!(refused(&[("apikey", "sb_publishable_guess")]), "UNAUTHORIZED_NO_AUTH_HEADER");
        assert_eq!(refused(&[("authorization", "Bearer a.b.c")]), "UNAUTHORIZED_INVALID_JWT_FORMAT");
        let expired = bearer(&keys.user_jwt("u", &json!({"exp": 1})));
        assert_eq!(
            refused(&[("authorization", &expired), ("apikey", &keys.publishable)]),
            "UNAUTHORIZED_ASYMMETRIC_JWT"
        );
        let other_project = bearer(&Keys::generate().anon);
        assert_eq!(refused(&[("authorization", &other_project)]), "UNAUTHORIZED_LEGACY_JWT");
        // {"alg":"none"}
        let unsigned = [("authorization", "Bearer eyJhbGciOiJub25lIn0.e30.")];
        assert_eq!(refused(&unsigned), "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM");
        assert!(function_call(true, &Method::OPTIONS, &HeaderMap::new(), &keys).is_ok());
    }
}
