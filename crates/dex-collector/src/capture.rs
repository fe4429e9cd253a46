//! A downloaded capture, read and ready to be stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eva_dts::{Flaw, Key, Report, Snapshot};
use serde::Serialize;
use time::format_description::well_known::Rfc3339;

use crate::sales::{self, Sales};
use crate::vendor::Listed;

/// A row of `dex_captures`, as `collect_dex_store` takes it.
#[derive(Clone, Debug, Serialize)]
pub struct Capture {
    /// The site's number.
    pub dex_id: i64,
    /// The machine's serial.
    pub case_serial: String,
    /// When the device made it, RFC 3339.
    pub captured_at: String,
    /// The device's firmware.
    #[serde(rename = "firmware_version")]
    pub firmware: Option<String>,
    /// What was downloaded, always kept.
    pub raw_content: String,
    /// `utf-8`, or `base64` for bytes that Postgres does not take as text.
    pub raw_encoding: &'static str,
    /// What the parser read; docs/dex.md has the shape.
    #[serde(rename = "parsed_data")]
    pub parsed: Report,
    /// The verdict on the G85 checksum.
    pub crc_status: &'static str,
    /// Whether the machine reports a fault or the capture is damaged.
    pub has_errors: bool,
    /// Segments read.
    pub record_count: usize,
    /// Why sales pass it over: `mismatch`, `truncated`, `no_counters`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flaw: Option<&'static str>,
    /// What it adds to the sales of its machine, if nothing is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sales: Option<Sales>,
    /// Its place among the captures of its machine.
    #[serde(skip)]
    pub key: Key,
    /// Its counters, until `sales` is made of them; none when it has a flaw.
    #[serde(skip)]
    pub snapshot: Option<Snapshot>,
}

impl Capture {
    /// Reads what was downloaded.
    pub fn read(row: &Listed, raw: &[u8]) -> Self {
        let (raw_content, raw_encoding) = match std::str::from_utf8(raw) {
            // Postgres takes any text but one with a zero byte.
            Ok(text) if !text.contains('\0') => (text.to_owned(), "utf-8"),
            _ => (STANDARD.encode(raw), "base64"),
        };
        // A file with several dumps holds the reading that was asked for in its last one.
        let dumps = eva_dts::parse(raw);
        let reading = dumps.last().map(eva_dts::Dump::reading).unwrap_or_default();
        let key = sales::key(row.captured_at, row.dex_id);
        let snapshot = Snapshot::of(key, &reading);
        let flaw = match snapshot.flaw {
            _ if snapshot.lines.is_empty() => Some("no_counters"),
            flaw => flaw.map(Flaw::name),
        };
        Self {
            dex_id: row.dex_id,
            case_serial: row.case_serial.clone(),
            captured_at: row.captured_at.format(&Rfc3339).unwrap_or_default(),
            firmware: row.firmware.clone(),
            raw_content,
            raw_encoding,
            crc_status: reading.crc.status.name(),
            has_errors: reading.has_errors(),
            record_count: reading.segments,
            parsed: reading.into_owned(),
            flaw,
            sales: None,
            key,
            snapshot: flaw.is_none().then_some(snapshot),
        }
    }

    /// Puts its counters back, of which sales were made, so that others can be; false when it has none.
    pub fn count_again(&mut self) -> bool {
        self.snapshot = self.sales.take().map(|_| Snapshot::of(self.key, &self.parsed));
        self.snapshot.is_some()
    }
}
