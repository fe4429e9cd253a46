//! The hosted platform's rules for secrets.

use std::path::Path;

use anyhow::{Result, bail};

/// The platform sets these itself.
const RESERVED: &str = "SUPABASE_";
const MAX_SECRETS: usize = 100;
const MAX_NAME_LETTERS: usize = 256;
const MAX_VALUE_BYTES: usize = 48 * 1024;

/// Refuses the secrets of a file that a hosted project would refuse, each with its name and the reason.
pub(crate) fn check(file: &Path, secrets: &[(String, String)]) -> Result<()> {
    let mut problems: Vec<String> = secrets
        .iter()
        .filter_map(|(name, value)| Some(format!("{}: {}", short(name), fault(name, value)?)))
        .collect();
    if secrets.len() > MAX_SECRETS {
        problems.push(format!("there are {} secrets; at most {MAX_SECRETS} can be set", secrets.len()));
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} has secrets that a hosted project refuses:\n  {}", file.display(), problems.join("\n  "))
}

fn fault(name: &str, value: &str) -> Option<String> {
    if name.starts_with(RESERVED) {
        return Some(format!("names that begin with {RESERVED} belong to the platform"));
    }
    let letters = name.chars().count();
    if letters > MAX_NAME_LETTERS {
        return Some(format!("the name has {letters} characters; at most {MAX_NAME_LETTERS} are allowed"));
    }
    (value.len() > MAX_VALUE_BYTES)
        .then(|| format!("the value has {} bytes; at most {MAX_VALUE_BYTES} are allowed", value.len()))
}

/// A name that is too long is shown by its beginning.
fn short(name: &str) -> String {
    let start: String = name.chars().take(40).collect();
    if start.len() < name.len() { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(secrets: &[(&str, &str)]) -> Option<String> {
        let owned: Vec<_> =
            secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check(Path::new(".env"), &owned).err().map(|error| error.to_string())
    }

    #[test]
    fn secrets_within_the_limits_are_taken() {
        let (name, value) = ("N".repeat(256), "v".repeat(48 * 1024));
        assert_eq!(refusal(&[(&name, &value), ("MY_SUPABASE_URL", "")]), None);
        let many: Vec<String> = (0..100).map(|number| format!("S{number}")).collect();
        assert_eq!(refusal(&many.iter().map(|name| (name.as_str(), "1")).collect::<Vec<_>>()), None);
    }

    #[test]
    fn each_secret_beyond_them_is_named_with_the_reason() {
        let (name, value) = ("N".repeat(257), "v".repeat(48 * 1024 + 1));
        let refusal = refusal(&[("SUPABASE_URL", "x"), (&name, "x"), ("LARGE", &value)]).expect("refused");
        assert!(
            refusal.contains("\n  SUPABASE_URL: names that begin with SUPABASE_ belong to the platform"),
            "{refusal}"
        );
        assert!(refusal.contains("NNN…: the name has 257 characters"), "{refusal}");
        assert!(refusal.contains("\n  LARGE: the value has 49153 bytes"), "{refusal}");
    }

    #[test]
    fn the_hundred_and_first_secret_is_refused() {
        let many: Vec<String> = (0..101).map(|number| format!("S{number}")).collect();
        let refusal = refusal(&many.iter().map(|name| (name.as_str(), "1")).collect::<Vec<_>>());
        assert!(refusal.is_some_and(|text| text.contains("there are 101 secrets; at most 100 can be set")));
    }
}
