//! docs/errors.md lists each code that the functions can answer, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn rust_files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// Codes set by `.code("…")`; the kinds' own come from `Kind::ALL`, the shim's from its source.
fn codes_in_code(root: &Path) -> BTreeSet<String> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let krate = entry.unwrap().path();
        // The command and the parser answer no requests.
        if !krate.ends_with("cli") && !krate.ends_with("eva-dts") {
            rust_files(&krate.join("src"), &mut sources);
        }
    }
    let mut codes: BTreeSet<String> =
        ironferry::Kind::ALL.iter().map(|kind| kind.code().to_owned()).collect();
    for source in &sources {
        let shipped = source.split("#[cfg(test)]").next().unwrap_or_default();
        let shipped: String = shipped.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        codes.extend(
            shipped.split(".code(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned),
        );
    }
    let shim = fs::read_to_string(root.join("supabase/functions/_shared/serve.ts")).unwrap();
    codes.extend(shim.split("failure(").skip(1).filter_map(|rest| rest.split('"').nth(1)).map(str::to_owned));
    codes.retain(|code| code.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'));
    codes
}

#[test]
fn the_table_of_codes_is_complete_and_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/errors.md")).unwrap();
    let listed: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, codes_in_code(&root), "docs/errors.md on the left, the code on the right");
}
