//! `ferry cache import`: the JSON files of an older cache become entries.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::Misuse;
use super::super::paint::Tone;
use super::super::table::{Cell, Column, Table};
use super::{Import, ask, data, encoded};
use crate::remote::{Method, Remote};

/// A file that is to be taken over.
struct Found {
    path: PathBuf,
    kind: String,
    content: Result<(Value, String), String>,
}

pub(super) async fn import(remote: &Remote, import: &Import) -> Result<ExitCode> {
    let found = find(&import.folder)?;
    let mut table = Table::new([
        Column::left("File").elastic(),
        Column::left("Type"),
        Column::left("Fetched"),
        Column::left(""),
    ])
    .empty("There are no .json files in this folder.");
    let mut failed = false;
    for Found { path, kind, content } in found {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (fetched, said) = match content {
            Err(reason) => {
                failed = true;
                (String::new(), Cell::from(reason).tone(Tone::Bad))
            }
            Ok((_, fetched)) if import.dry_run => (fetched, Cell::from("would be saved")),
            Ok((content, fetched)) => {
                let path =
                    format!("/{}/{}?last_fetch={}", encoded(&import.into), encoded(&kind), encoded(&fetched));
                let said = match ask(remote, Method::PUT, &path, Some(&content)).await {
                    Ok(saved) => {
                        let (said, tone) = data::outcome(&saved);
                        Cell::from(said).tone(tone)
                    }
                    // One file that is refused says nothing of the next; no connection does.
                    Err(error @ crate::remote::RemoteError::Refused { .. }) => {
                        failed = true;
                        Cell::from(error.to_string()).tone(Tone::Bad)
                    }
                    Err(error) => return Err(error.into()),
                };
                (fetched, said)
            }
        };
        table.row([name.into(), kind.into(), fetched.into(), said]);
    }
    table.print();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn find(folder: &Path) -> Result<Vec<Found>> {
    let misuse = |error: std::io::Error| Misuse(format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(misuse)? {
        let path = entry.map_err(misuse)?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            let kind = kind_of(&path);
            let content = read(&path);
            found.push(Found { path, kind, content });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// `strava_cache.json` is the type strava.
fn kind_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let stem = stem.strip_suffix("_cache").or(stem.strip_suffix("-cache")).unwrap_or(&stem);
    stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(50).collect()
}

/// The content and when it was fetched.
fn read(path: &Path) -> Result<(Value, String), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let content: Value = serde_json::from_str(&text).map_err(|error| format!("no JSON: {error}"))?;
    if !content.is_object() {
        return Err("no JSON object".to_owned());
    }
    let said = ["last_fetch", "timestamp", "last_updated", "last_saved"]
        .iter()
        .find_map(|field| when(content[*field].as_str()?));
    let fetched = said.or_else(|| {
        let changed = path.metadata().and_then(|about| about.modified()).ok()?;
        Some(OffsetDateTime::from(changed))
    });
    let fetched = fetched.unwrap_or_else(OffsetDateTime::now_utc).format(&Rfc3339);
    Ok((content, fetched.map_err(|error| error.to_string())?))
}

/// A time stamp; one without a zone, as Python writes it, is in UTC.
fn when(text: &str) -> Option<OffsetDateTime> {
    let text = text.replacen(' ', "T", 1);
    OffsetDateTime::parse(&text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_after_their_files() {
        assert_eq!(kind_of(Path::new("/x/strava_cache.json")), "strava");
        assert_eq!(kind_of(Path::new("Fundraising Data.json")), "fundraising_data");
    }

    #[test]
    fn times_are_read_as_python_and_javascript_write_them() {
        for text in
            ["2025-10-01T12:00:00.123456", "2025-10-01T12:00:00.123456Z", "2025-10-01 14:00:00.123456+02:00"]
        {
            assert_eq!(when(text).map(OffsetDateTime::unix_timestamp), Some(1_759_320_000), "{text}");
        }
        assert_eq!(when("yesterday"), None);
    }
}
