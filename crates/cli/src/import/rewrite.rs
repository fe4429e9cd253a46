//! Turns pg_dump's SQL into a migration: no commands of psql, no settings that outlive it, and the
//! extensions where Supabase keeps them.

/// A function, type or operator class of an extension.
pub(super) struct Member {
    /// As the dump writes it: `public.uuid_generate_v4`.
    pub(super) name: String,
    /// Where it will be: `extensions.uuid_generate_v4`.
    pub(super) becomes: String,
}

/// Settings that pg_dump makes for its own session.
const SETTINGS: [&str; 13] = [
    "SET statement_timeout = ",
    "SET lock_timeout = ",
    "SET idle_in_transaction_session_timeout = ",
    "SET transaction_timeout = ",
    "SET client_encoding = ",
    "SET standard_conforming_strings = ",
    "SET check_function_bodies = ",
    "SET xmloption = ",
    "SET client_min_messages = ",
    "SET row_security = ",
    "SET default_tablespace = ",
    "SET default_table_access_method = ",
    "SELECT pg_catalog.set_config('search_path', '', false);",
];

/// The statements of a dump, less what belongs to pg_dump's session. What stands in quotes, the body of a function
/// or a text, is not looked at: its lines are the user's, blank ones too.
pub(super) fn statements(dump: &str, members: &[Member]) -> String {
    let mut text = String::with_capacity(dump.len());
    let mut quote = Quote::None;
    for line in dump.lines() {
        let is_quoted = quote != Quote::None;
        quote = quote.after(line);
        if is_quoted {
            text.extend([line, "\n"]);
            continue;
        }
        // One blank line between statements is enough.
        if line.is_empty() && (text.is_empty() || text.ends_with("\n\n")) {
            continue;
        }
        let is_session = SETTINGS.iter().any(|setting| line.starts_with(setting));
        let is_psql = line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
        let is_comment = line == "--"
            || line.starts_with("-- Name: ")
            || line.starts_with("-- Dumped ")
            || line.starts_with("-- PostgreSQL database dump");
        if is_session
            || is_psql
            || is_comment
            || line == "CREATE SCHEMA public;"
            || line.starts_with("COMMENT ON SCHEMA public ")
        {
            continue;
        }
        match line.strip_prefix("CREATE SCHEMA ") {
            Some(name) if name.ends_with(';') => text.extend(["CREATE SCHEMA IF NOT EXISTS ", name]),
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    rename(&text, members).trim().to_owned() + "\n"
}

/// Names the members of extensions as they will be named.
pub(super) fn rename(text: &str, members: &[Member]) -> String {
    members.iter().fold(text.to_owned(), |text, member| replace_name(&text, &member.name, &member.becomes))
}

/// In which quotes a line ends.
#[derive(Clone, PartialEq, Eq)]
enum Quote {
    None,
    /// A text in `'`, a name in `"`; doubled ones end and begin at once.
    Mark(char),
    /// `$function$`, with its dollars.
    Dollars(String),
}

impl Quote {
    /// What it is behind this line.
    fn after(self, line: &str) -> Self {
        let (mut quote, mut rest, mut before) = (self, line, ' ');
        loop {
            quote = match quote {
                Self::Mark(mark) => match rest.split_once(mark) {
                    None => return Self::Mark(mark),
                    Some((_, behind)) => {
                        rest = behind;
                        Self::None
                    }
                },
                Self::Dollars(tag) => match rest.split_once(&tag) {
                    None => return Self::Dollars(tag),
                    Some((_, behind)) => {
                        rest = behind;
                        Self::None
                    }
                },
                Self::None => {
                    let Some(at) = rest.find(['\'', '"', '$', '-']) else { return Self::None };
                    let (skipped, found) = rest.split_at(at);
                    before = skipped.chars().next_back().unwrap_or(before);
                    if found.starts_with("--") {
                        return Self::None;
                    }
                    let mark = found.chars().next().unwrap_or_default();
                    let tag = (mark == '$').then(|| tag(before, found)).flatten();
                    rest = &found[tag.map_or(1, str::len)..];
                    before = mark;
                    match (tag, mark) {
                        (Some(tag), _) => Self::Dollars(tag.to_owned()),
                        (None, '\'' | '"') => Self::Mark(mark),
                        _ => Self::None,
                    }
                }
            };
        }
    }
}

/// `$$` or `$name$`, where it begins a quotation and is no part of a name or a parameter.
fn tag(before: char, text: &str) -> Option<&str> {
    let is_letter = |char: char| char.is_alphanumeric() || char == '_';
    let end = text[1..].find(|char| !is_letter(char))? + 1;
    let is_tag = text[end..].starts_with('$')
        && !is_letter(before)
        && !text[1..].starts_with(|char: char| char.is_ascii_digit());
    is_tag.then(|| &text[..=end])
}

/// Replaces a name where it stands alone, and not as a part of a longer one.
fn replace_name(text: &str, name: &str, becomes: &str) -> String {
    let is_letter = |char: char| char.is_alphanumeric() || char == '_' || char == '$' || char == '"';
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let is_alone =
            !before.ends_with(|char| is_letter(char) || char == '.') && !after.starts_with(is_letter);
        result.push_str(before);
        result.push_str(if is_alone { becomes } else { name });
        rest = after;
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_becomes_a_migration() {
        let dump = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n\
            CREATE SCHEMA public;\n\nCREATE SCHEMA shop;\n\nSET default_tablespace = '';\n\nCREATE TABLE shop.a (\n    id uuid DEFAULT public.uuid_generate_v4()\n);\n\
            CREATE FUNCTION shop.f() RETURNS void\n    AS $$\nSET search_path = x;\n-- a note\n$$;\n\\unrestrict abc\n";
        let members = [Member {
            name: "public.uuid_generate_v4".into(),
            becomes: "extensions.uuid_generate_v4".into(),
        }];
        let wanted = "CREATE SCHEMA IF NOT EXISTS shop;\n\nCREATE TABLE shop.a (\n    id uuid DEFAULT extensions.uuid_generate_v4()\n);\n\
            CREATE FUNCTION shop.f() RETURNS void\n    AS $$\nSET search_path = x;\n-- a note\n$$;\n";
        assert_eq!(statements(dump, &members), wanted);
    }

    #[test]
    fn what_stands_in_quotes_stays_letter_by_letter() {
        let quoted = "CREATE FUNCTION public.f(a$b text) RETURNS void\n    AS $_$\nSET statement_timeout = '5s';\n--\n\n\n\n\
            CREATE SCHEMA scratch;\nselect $1, '$_', $$it's$$;\n$_$;\n\n\
            COMMENT ON TABLE public.\"it's\" IS 'one\n\n\n-- Name: it''s\nSET row_security = off;\n';\n";
        assert_eq!(
            statements(&format!("-- Name: it's; Type: TABLE\n{quoted}\n\n\nSET row_security = off;\n"), &[]),
            quoted
        );
    }

    #[test]
    fn a_name_is_replaced_only_where_it_stands_alone() {
        let text = "a public.citext, b public.citext_pattern_ops, c xpublic.citext, d public.citext[]";
        let wanted =
            "a extensions.citext, b public.citext_pattern_ops, c xpublic.citext, d extensions.citext[]";
        assert_eq!(replace_name(text, "public.citext", "extensions.citext"), wanted);
    }
}
