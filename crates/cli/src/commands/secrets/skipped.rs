//! Settings that are not pushed, each with the reason: what no function asks for, and what the platform refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, ensure};

/// How many secrets a project may have, besides those that the platform sets itself.
const MOST: usize = 100;
const LONGEST_NAME: usize = 256;
const LARGEST_VALUE: usize = 48 * 1_024;
/// Names that begin like this are the platform's own.
const RESERVED: &str = "SUPABASE_";
/// Those of them that it sets for every function.
const SET_BY_THE_PLATFORM: [&str; 7] = [
    "SUPABASE_URL",
    "SUPABASE_DB_URL",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_PUBLISHABLE_KEYS",
    "SUPABASE_SECRET_KEYS",
    "SUPABASE_JWKS",
];

/// Why a setting is not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    SetByThePlatform,
    Reserved,
    Unasked,
    Empty,
    NameTooLong,
    TooLarge(usize),
}

impl Reason {
    /// The reason for a setting that is kept under this name; none for one that can be pushed.
    pub(super) fn of(name: &str, value: Option<&str>, asked: &BTreeSet<String>) -> Option<Self> {
        match value {
            _ if SET_BY_THE_PLATFORM.contains(&name) => Some(Self::SetByThePlatform),
            _ if !asked.contains(name) => Some(Self::Unasked),
            _ if is_reserved(name) => Some(Self::Reserved),
            None => Some(Self::Empty),
            _ if name.len() > LONGEST_NAME => Some(Self::NameTooLong),
            Some(value) if value.len() > LARGEST_VALUE => Some(Self::TooLarge(value.len())),
            Some(_) => None,
        }
    }

    /// Whether a function asks for the setting and will not get it.
    pub(super) fn is_wrong(self) -> bool {
        matches!(self, Self::Reserved | Self::NameTooLong | Self::TooLarge(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetByThePlatform => f.write_str("the platform sets it itself"),
            Self::Reserved => f.write_str(
                "the platform refuses names that begin with SUPABASE_: the page of the function has another name for it",
            ),
            Self::Unasked => f.write_str("no function asks for it"),
            Self::Empty => f.write_str("it is empty"),
            Self::NameTooLong => write!(f, "the platform takes names of at most {LONGEST_NAME} characters"),
            Self::TooLarge(bytes) => {
                write!(f, "it has {bytes} bytes, and the platform takes at most {LARGEST_VALUE} (48 KiB)")
            }
        }
    }
}

/// Whether the platform keeps this name to itself.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Refuses to set more secrets than the platform takes. `there` are those that it has.
pub(super) fn check_count(there: &BTreeMap<String, String>, new: &[&str]) -> Result<()> {
    let own = there.keys().map(String::as_str).filter(|name| !is_reserved(name));
    let count = own.chain(new.iter().copied()).collect::<BTreeSet<_>>().len();
    ensure!(
        count <= MOST,
        "the project would have {count} secrets, and the platform takes {MOST}: nothing was pushed. Take away what no \
         function asks for (supabase secrets unset NAME)"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_pushed_has_its_reason() {
        let long = "N".repeat(257);
        let asked = ["A_KEY", "EMPTY", "SUPABASE_ENABLED", "SUPABASE_URL", &long].map(str::to_owned).into();
        let large = "x".repeat(48 * 1_024 + 1);
        for (name, value, reason) in [
            ("A_KEY", Some("x"), None),
            ("A_KEY", Some(&large[1..]), None),
            ("A_KEY", Some(&*large), Some(Reason::TooLarge(49_153))),
            (&*long, Some("x"), Some(Reason::NameTooLong)),
            ("SUPABASE_ENABLED", Some("false"), Some(Reason::Reserved)),
            ("SUPABASE_URL", Some("https://a.test"), Some(Reason::SetByThePlatform)),
            ("EMPTY", None, Some(Reason::Empty)),
            ("MISSPELT", Some("x"), Some(Reason::Unasked)),
        ] {
            assert_eq!(Reason::of(name, value, &asked), reason, "{name}");
        }
    }

    #[test]
    fn a_hundred_secrets_are_counted_without_those_of_the_platform() {
        let mut there: BTreeMap<_, _> = (0..99).map(|number| (format!("N{number}"), String::new())).collect();
        there.insert("SUPABASE_URL".to_owned(), String::new());
        assert!(check_count(&there, &["NEW", "N1"]).is_ok());
        let refused = check_count(&there, &["NEW", "NEWER"]).expect_err("one too many").to_string();
        assert!(refused.contains("101"), "{refused}");
    }
}
