//! Synthetic audit files: machines of several makers whose counters grow from reading to reading.
//! The same machine and reading give the same bytes. No real machine is behind them.

mod machine;
mod spoil;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use time::{Duration, OffsetDateTime};

pub use machine::{Family, Machine};
pub use spoil::Spoil;

/// A file for a site to serve.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The site's number of it.
    pub dex_id: i64,
    /// The machine's serial.
    pub serial: String,
    /// When it was made, UTC.
    pub created: OffsetDateTime,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Wraps segments into an envelope with the right count and checksum.
#[must_use]
pub fn envelope(communication_id: &str, version: &str, segments: &[String]) -> Vec<u8> {
    let mut body = String::from("ST*001*0001\r\n");
    for segment in segments {
        body.push_str(segment);
        body.push_str("\r\n");
    }
    let crc = eva_dts::crc16(body.as_bytes());
    let crc = if version == "V1/1" { crc.swap_bytes() } else { crc };
    let mut file = format!("DXS*{communication_id}*VA*{version}*1\r\n{body}");
    let _ = write!(file, "G85*{crc:04X}\r\nSE*{}*0001\r\nDXE*1*1\r\n", segments.len() + 3);
    file.into_bytes()
}

/// The captures that ship with the project: 9 machines of 4 makers, 3 readings each over two days,
/// some of them spoiled in the ways that happen.
#[must_use]
pub fn shipped() -> Vec<Capture> {
    let first = OffsetDateTime::from_unix_timestamp(1_767_258_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let families = [Family::Cola, Family::Snack, Family::Coffee, Family::Old];
    let mut captures = Vec::new();
    for number in 0..9_u32 {
        let machine = Machine::new(families[number as usize % families.len()], number);
        for reading in 0..3_u32 {
            let created = first + Duration::hours(i64::from(reading * 16 + number));
            let spoil = match (number, reading) {
                (1, 2) => Some(Spoil::LostByte),
                (2, 1) => Some(Spoil::Truncated),
                (4, 1) => Some(Spoil::UnixLines),
                (6, 2) => Some(Spoil::NotText),
                _ => None,
            };
            let body = machine.read(reading, created);
            captures.push(Capture {
                dex_id: i64::from(500_000 + number * 100 + reading),
                serial: machine.serial(),
                created,
                body: spoil.map_or_else(|| body.clone(), |spoil| spoil.apply(&body)),
            });
        }
    }
    captures
}

/// Reads a folder of `<case serial>_<dex id>.dex`. The files say when they were made by their
/// order alone: ids grow with time, so they are spread over the last two days.
pub fn from_folder(folder: &Path, now: OffsetDateTime) -> Result<Vec<Capture>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut captures = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((serial, id)) = name.strip_suffix(".dex").and_then(|stem| stem.split_once('_')) else {
            continue;
        };
        let Ok(dex_id) = id.parse() else { continue };
        let body = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        captures.push(Capture { dex_id, serial: serial.to_owned(), created: now, body });
    }
    captures.sort_by_key(|capture| capture.dex_id);
    let count = i32::try_from(captures.len()).unwrap_or(i32::MAX).max(1);
    let step = Duration::hours(47) / count;
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
            assert_eq!(kept.body, made.body, "{}: run the make-captures binary", kept.dex_id);
        }
    }

    #[test]
    fn a_reading_has_the_invariants_of_real_ones() {
        for family in [Family::Cola, Family::Snack, Family::Coffee, Family::Old] {
            let machine = Machine::new(family, 7);
            let mut before = 0;
            for reading in 0..4 {
                let file = machine.read(reading, OffsetDateTime::UNIX_EPOCH);
                let report = eva_dts::parse(&file)[0].report();
                let vends = |part: fn(&eva_dts::Amount) -> Option<u64>| -> Option<u64> {
                    Some(report.products.iter().filter_map(|one| part(&one.vends.since_init)).sum())
                };
                assert_eq!(vends(|one| one.count), report.totals.vends.since_init.count);
                assert_eq!(vends(|one| one.value), report.totals.vends.since_init.value);
                let value = report.totals.vends.since_init.value.unwrap();
                assert!(value > before, "counters grow");
                before = value;
                assert!(report.warnings.is_empty(), "{family:?}: {:?}", report.warnings);
            }
        }
    }
}
