//! Folders of captures: the one that ships with the project, and any other.

use std::path::Path;

use anyhow::{Context as _, Result};
use time::{Duration, OffsetDateTime};

use super::{Capture, Family, Machine, Spoil};

/// The captures that ship with the project: ten machines of four makers, three readings each over
/// two days, some of them spoiled in the ways that happen.
#[must_use]
pub fn shipped() -> Vec<Capture> {
    let first = OffsetDateTime::from_unix_timestamp(1_767_258_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut captures = Vec::new();
    for number in 0..10_u32 {
        let family = Family::ALL[number as usize % Family::ALL.len()];
        for reading in 0..3_u32 {
            let created = first + Duration::hours(i64::from(reading * 16 + number));
            let dex_id = i64::from(500_000 + number * 100 + reading);
            let capture = Capture::of(Machine::new(family, number), reading, dex_id, created);
            captures.push(match (number, reading) {
                (0, 2) => capture.spoiled(Spoil::LostByte),
                (4, 1) => capture.spoiled(Spoil::UnixLines),
                (5, 1) => capture.spoiled(Spoil::Truncated),
                (7, 1) => capture.spoiled(Spoil::NotText),
                (8, 2) => capture.spoiled(Spoil::Doubled),
                _ => capture,
            });
        }
    }
    captures
}

/// Reads a folder of `<case serial>_<dex id>.dex`. A file does not say when it was made; its id
/// grows with time, so that the last one was made just now and the first two days ago.
pub fn from_folder(folder: &Path, now: OffsetDateTime) -> Result<Vec<Capture>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut captures = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((serial, id)) = name.strip_suffix(".dex").and_then(|stem| stem.rsplit_once('_')) else {
            continue;
        };
        let Ok(dex_id) = id.parse() else { continue };
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        captures.push(Capture { dex_id, serial: serial.to_owned(), created: now, body: bytes.into() });
    }
    captures.sort_by_key(|capture| capture.dex_id);
    let step = Duration::hours(47) / i32::try_from(captures.len()).unwrap_or(i32::MAX).max(1);
    for (capture, place) in captures.iter_mut().rev().zip(1..) {
        capture.created = now - step * place;
    }
    Ok(captures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_folder_is_what_the_builder_makes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
        let kept = from_folder(&folder, OffsetDateTime::UNIX_EPOCH).unwrap();
        let made = shipped();
        assert_eq!(kept.len(), made.len());
        for (kept, made) in kept.iter().zip(&made) {
            assert_eq!((kept.dex_id, &kept.serial), (made.dex_id, &made.serial));
            let name = format!("{}_{}.dex", made.serial, made.dex_id);
            assert!(kept.bytes() == made.bytes(), "{name}: run the make-captures binary");
        }
    }

    #[test]
    fn the_shipped_folder_has_each_verdict() {
        let mut verdicts: Vec<&str> = shipped()
            .iter()
            .filter_map(|capture| Some(eva_dts::parse(&capture.bytes()).pop()?.report().crc.status.name()))
            .collect();
        verdicts.sort_unstable();
        verdicts.dedup();
        let all = ["absent", "mismatch", "placeholder", "valid", "valid_no_final_crlf", "valid_swapped"];
        assert_eq!(verdicts, all);
    }
}
