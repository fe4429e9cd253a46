//! Names of accounts, and what they tell.
//!
//! A main account is `APEX_136189`. Its sub-accounts are `PAAPEX1361890000001` (performance account:
//! six digits and a sequence of seven) and `APEX13618900000118` (evaluation: six digits and a sequence).

/// What kind of key a token lies under; `token_key_mappings.key_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    Main,
    SubAccount,
    Auth,
}

impl KeyType {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            KeyType::Main => "main",
            KeyType::SubAccount => "sub_account",
            KeyType::Auth => "auth",
        }
    }
}

/// Digits of a main account's number.
const MAIN_DIGITS: usize = 6;
/// As the table allows.
const LONGEST: usize = 128;

/// The main account that an account belongs to: itself, unless it is a sub-account.
pub(crate) fn main_account(account: &str) -> String {
    sub_account_number(account).map_or_else(|| account.to_owned(), |number| format!("APEX_{number}"))
}

/// The digits of the main account in a sub-account's name.
fn sub_account_number(account: &str) -> Option<&str> {
    let digits = account.strip_prefix("PAAPEX").or_else(|| account.strip_prefix("APEX"))?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    // Without a sequence behind it, `APEX136189` would be a main account in another spelling.
    (is_number && digits.len() > MAIN_DIGITS).then(|| &digits[..MAIN_DIGITS])
}

/// Whether a text can be an account's name: no blanks, no control characters, at most 128.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= LONGEST
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The account and the type of a Redis key, `token:<account>` or `auth:<account>`.
pub(crate) fn of_key(key: &str) -> Option<(&str, KeyType)> {
    let (kind, account) = key.split_once(':')?;
    if !is_name(account) {
        return None;
    }
    let key_type = match kind {
        "auth" => KeyType::Auth,
        _ if sub_account_number(account).is_some() => KeyType::SubAccount,
        _ => KeyType::Main,
    };
    Some((account, key_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_account_has_its_main_account() {
        for (account, main) in [
            ("APEX_136189", "APEX_136189"),
            ("PAAPEX1361890000001", "APEX_136189"),
            ("APEX13618900000118", "APEX_136189"),
            ("PAAPEX2720450000012", "APEX_272045"),
            ("D17158695", "D17158695"),
            ("APEX136189", "APEX136189"),
            ("PAAPEX13618", "PAAPEX13618"),
            ("APEX_13618900", "APEX_13618900"),
            ("PAAPEX13618900000O1", "PAAPEX13618900000O1"),
        ] {
            assert_eq!(main_account(account), main, "{account}");
        }
    }

    #[test]
    fn a_key_names_its_account_and_its_type() {
        assert_eq!(of_key("token:APEX_272045"), Some(("APEX_272045", KeyType::Main)));
        assert_eq!(of_key("token:PAAPEX2720450000001"), Some(("PAAPEX2720450000001", KeyType::SubAccount)));
        assert_eq!(of_key("token:APEX27204500000118"), Some(("APEX27204500000118", KeyType::SubAccount)));
        assert_eq!(of_key("auth:APEX_272045"), Some(("APEX_272045", KeyType::Auth)));
        for none in ["token:", "token", "token:TWO WORDS", "token:A\n"] {
            assert_eq!(of_key(none), None, "{none:?}");
        }
        assert!(is_name(&"ü".repeat(128)) && !is_name(&"ü".repeat(129)));
    }
}
