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

/// The statements of a dump, less what belongs to pg_dump's session.
pub(super) fn statements(dump: &str, members: &[Member]) -> String {
    let mut text = String::with_capacity(dump.len());
    for line in dump.lines() {
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
    for member in members {
        text = replace_name(&text, &member.name, &member.becomes);
    }
    while text.contains("\n\n\n") {
        text = text.replace("\n\n\n", "\n\n");
    }
    text.trim().to_owned() + "\n"
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
    fn a_name_is_replaced_only_where_it_stands_alone() {
        let text = "a public.citext, b public.citext_pattern_ops, c xpublic.citext, d public.citext[]";
        let wanted =
            "a extensions.citext, b public.citext_pattern_ops, c xpublic.citext, d extensions.citext[]";
        assert_eq!(replace_name(text, "public.citext", "extensions.citext"), wanted);
    }
}
