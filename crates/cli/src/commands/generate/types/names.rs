//! Names of the database as names of Rust.

use std::collections::BTreeSet;

/// Words that can be written as `r#word`.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// And those that cannot.
const RESERVED: &[&str] = &["_", "crate", "self", "super"];

/// The words of a name: at what is no letter or digit, and before a capital after a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = c.is_uppercase() && before.is_lowercase();
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(last) = words.last_mut()
        {
            last.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `orderID 2` → `order_id_2`: a field, a module.
pub(super) fn snake(name: &str) -> String {
    let name = safe(words(name).join("_"));
    if RESERVED.contains(&name.as_str()) {
        return format!("{name}_");
    }
    if KEYWORDS.contains(&name.as_str()) { format!("r#{name}") } else { name }
}

/// `dex_sales` → `DexSales`: a type, a variant.
pub(super) fn camel(name: &str) -> String {
    let capital = |word: String| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    let name = safe(words(name).into_iter().map(capital).collect());
    if name == "Self" { "Self_".to_owned() } else { name }
}

/// Types that the file itself names.
const TAKEN: &[&str] = &[
    "Args",
    "Deserialize",
    "Insert",
    "None",
    "Numeric",
    "Option",
    "Output",
    "Result",
    "Row",
    "Serialize",
    "Some",
    "String",
    "Timestamp",
    "Update",
    "Vec",
];

/// The name of an enum or a composite type: `option` → `OptionType`.
pub(super) fn type_name(name: &str) -> String {
    let name = camel(name);
    if TAKEN.contains(&name.as_str()) { format!("{name}Type") } else { name }
}

/// `dex_sales` → `DEX_SALES`: a constant.
pub(super) fn screaming(name: &str) -> String {
    safe(words(name).join("_").to_uppercase())
}

/// A name begins with a letter.
fn safe(name: String) -> String {
    if name.chars().next().is_none_or(|first| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Gives each name once: the second gets `_2`.
#[derive(Default)]
pub(super) struct Unique(BTreeSet<String>);

impl Unique {
    pub(super) fn with(taken: &[&str]) -> Self {
        Self(taken.iter().map(|name| (*name).to_owned()).collect())
    }

    pub(super) fn name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_of_the_database_becomes_one_of_rust() {
        assert_eq!(
            ["type", "self", "orderID", "2fast", "a b-c", ""].map(snake),
            ["r#type", "self_", "order_id", "_2fast", "a_b_c", "_"].map(|name| if name == "_" {
                "__".to_owned()
            } else {
                name.to_owned()
            })
        );
        assert_eq!(
            ["dex_sales", "self", "in progress", "3d"].map(camel),
            ["DexSales", "Self_", "InProgress", "_3d"]
        );
        assert_eq!(screaming("last-seen At"), "LAST_SEEN_AT");
        assert_eq!(["option", "mood"].map(type_name), ["OptionType", "Mood"]);
        let mut unique = Unique::with(&["TABLE"]);
        assert_eq!(["TABLE", "id", "id"].map(|name| unique.name(name)), ["TABLE_2", "id", "id_2"]);
    }
}
