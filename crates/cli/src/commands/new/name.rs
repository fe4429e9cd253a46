//! What a function may be called.

use std::path::Path;

use anyhow::Result;

use crate::commands::Misuse;

/// It is part of names in Postgres, which are cut at 63 bytes.
const LONGEST: usize = 40;
/// Words of Rust, and what Cargo or the platform mean something else by.
const TAKEN: &[&str] = &[
    "alloc",
    "as",
    "async",
    "await",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "union",
    "unsafe",
    "use",
    "wasm",
    "where",
    "while",
    "yield",
];

/// # Errors
/// When the name cannot be one, or is taken: wrong usage.
pub(super) fn check(name: &str, project: &Path) -> Result<()> {
    let refuse = |why: String| Err(Misuse(why).into());
    if !is_well_formed(name) {
        return refuse(format!(
            "{name:?} cannot be a function's name: words of small letters and digits with hyphens between them, \
             a letter first, {LONGEST} characters at the most; like collect-dex"
        ));
    }
    if TAKEN.contains(&name) {
        return refuse(format!("{name} is a word of Rust or Cargo and cannot be a function's name"));
    }
    let places = ["crates", "supabase/functions", "tests/functions"];
    if let Some(taken) =
        places.iter().map(|place| format!("{place}/{name}")).find(|path| project.join(path).exists())
    {
        return refuse(format!("{taken} exists already"));
    }
    let lock = std::fs::read_to_string(project.join("Cargo.lock")).unwrap_or_default();
    if lock
        .lines()
        .any(|line| line.strip_prefix("name = ").is_some_and(|known| known.trim_matches('"') == name))
    {
        return refuse(format!("{name} is the name of a crate that the project uses"));
    }
    let config = std::fs::read_to_string(project.join("supabase/config.toml")).unwrap_or_default();
    if config.lines().any(|line| line.trim() == format!("[functions.{name}]")) {
        return refuse(format!("supabase/config.toml has [functions.{name}] already"));
    }
    Ok(())
}

fn is_well_formed(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_hyphens() {
        for good in ["a", "collect-dex", "v2-sync", "health"] {
            assert!(is_well_formed(good), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "Collect",
            "collect_dex",
            "2fast",
            "é",
            "../x",
            "a b",
            "_shared",
            &"a".repeat(41),
        ] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
