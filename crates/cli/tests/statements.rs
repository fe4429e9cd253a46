//! The hosted platform refuses UPDATE and DELETE without WHERE, so nothing that we send lacks it.

use std::path::{Path, PathBuf};

/// The folders with statements. `supabase/tests/11-where-clauses.sql` reads the functions of the
/// database; tests set up their data as role `postgres`, which is not bound by the rule.
const FOLDERS: &[&str] = &["crates/*/src", "scripts", "supabase/functions"];

#[test]
fn every_update_and_delete_in_the_repository_has_a_where() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in FOLDERS {
        match folder.split_once("/*/") {
            Some((parent, child)) => {
                for entry in root.join(parent).read_dir().expect("a folder").flatten() {
                    find_files(&entry.path().join(child), &mut files);
                }
            }
            None => find_files(&root.join(folder), &mut files),
        }
    }
    let found: Vec<String> = files
        .iter()
        .filter_map(|path| Some((path, std::fs::read_to_string(path).ok()?)))
        .flat_map(|(path, text)| {
            let each = unconditional(&text);
            each.into_iter().map(move |statement| format!("{}: {statement}", path.display()))
        })
        .collect();
    assert!(files.len() > 200, "only {} files were read", files.len());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn statements_without_where_are_found() {
    for text in [
        "update a set b = 1",
        "UPDATE only public.a AS x\n SET b = 1; select 1 where true",
        "run(\"delete from a\"); // where",
        "with gone as (delete from a returning 1) select 1; where",
        "execute format('update %I.%I set b = 1', c, d) ;",
    ] {
        assert_eq!(unconditional(text).len(), 1, "{text}");
    }
    for text in [
        "update a set b = 1 where true",
        "delete from a\n using c\n where a.d = c.d",
        "insert into a values (1) on conflict (b) do update set b = 2",
        "select 1 for update; set x = 1",
        "// an update of the set of machines",
    ] {
        assert_eq!(unconditional(text), Vec::<String>::new(), "{text}");
    }
}

/// Returns the statements that lack a WHERE. One ends at its semicolon, its closing quotation mark, or the
/// parenthesis that holds it.
fn unconditional(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let starts = lower.match_indices("update").chain(lower.match_indices("delete")).map(|(start, _)| start);
    starts
        .filter(|start| !lower[..*start].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
        .map(|start| statement(&lower[start..]))
        .filter(|statement| {
            let words: Vec<&str> = statement.split_whitespace().collect();
            changes_rows(&words) && !words.contains(&"where")
        })
        .map(str::to_owned)
        .collect()
}

fn statement(text: &str) -> &str {
    let mut depth = 0;
    for (index, letter) in text.char_indices() {
        match letter {
            ';' | '"' | '`' => return &text[..index],
            '(' => depth += 1,
            ')' if depth == 0 => return &text[..index],
            ')' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// `update [only] NAME [[as] ALIAS] set …` or `delete from …`.
fn changes_rows(words: &[&str]) -> bool {
    match words {
        ["delete", "from", ..] => true,
        ["update", "only", rest @ ..] | ["update", rest @ ..] => {
            let Some(set) = rest.iter().take(4).position(|word| *word == "set") else { return false };
            let named = matches!(rest[..set], [_] | [_, _] | [_, "as", _]);
            named && rest[set..].iter().take(8).any(|word| word.contains('='))
        }
        _ => false,
    }
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_files(&path, files);
        } else if path.extension().is_none_or(|extension| {
            ["rs", "sql", "ts", "sh", "txt", "toml"].iter().any(|known| extension == *known)
        }) {
            files.push(path);
        }
    }
}
