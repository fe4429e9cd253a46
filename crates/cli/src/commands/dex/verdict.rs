//! Whether a file is sound.

use eva_dts::{CrcStatus, Dump, Oddity, Reading};
use serde::Serialize;

use crate::commands::paint::Tone;

/// From good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Nothing is odd.
    Ok,
    /// Something is odd; all that counts was read.
    Warnings,
    /// The checksum does not match: a byte was lost or changed.
    Damaged,
    /// The end is missing, and no checksum vouches for what came.
    Truncated,
    /// Nothing of a capture is in it.
    NotDex,
    /// It could not be read.
    Unreadable,
}

impl Verdict {
    pub(super) const ALL: [Self; 6] =
        [Self::Ok, Self::Warnings, Self::Damaged, Self::Truncated, Self::NotDex, Self::Unreadable];

    pub(super) fn of(dump: &Dump<'_>, reading: &Reading<'_>) -> Self {
        let crc = reading.crc.status;
        if !is_dex(dump) {
            Self::NotDex
        } else if reading.is_truncated && !crc.is_valid() {
            Self::Truncated
        } else if crc == CrcStatus::Mismatch {
            Self::Damaged
        } else if reading.warnings.is_empty() {
            Self::Ok
        } else {
            Self::Warnings
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warnings => "warnings",
            Self::Damaged => "damaged",
            Self::Truncated => "truncated",
            Self::NotDex => "not DEX",
            Self::Unreadable => "unreadable",
        }
    }

    pub(super) fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warnings => Tone::Warn,
            _ => Tone::Bad,
        }
    }

    /// Whether the file can be relied on.
    pub(super) fn is_good(self) -> bool {
        self <= Self::Warnings
    }
}

/// Whether there is anything of a capture: a part of the envelope, or a segment that machines send.
pub(super) fn is_dex(dump: &Dump<'_>) -> bool {
    let known = |id: &[u8]| {
        matches!(id, b"DXS" | b"ST" | b"DXE")
            || matches!(id, [b'I', b'D', b'1'..=b'9'] | [b'V' | b'P' | b'C', b'A', b'1'..=b'9', ..])
            || matches!(id, [b'E', b'A', b'1'..=b'9'] | [b'D', b'A' | b'B', b'1'..=b'9', ..] | b"MA5")
    };
    // "ST" alone might be any text's; with its star it is a segment.
    dump.segments().iter().any(|segment| known(segment.id()) && segment.raw().contains(&b'*'))
}

/// The checksum in words.
pub(super) fn crc(status: CrcStatus) -> &'static str {
    match status {
        CrcStatus::Valid => "checksum right",
        CrcStatus::ValidSwapped => "checksum right, its bytes swapped",
        CrcStatus::ValidNoFinalCrlf => "checksum right, without the last line end",
        CrcStatus::Placeholder => "checksum 2321: this maker does not compute it",
        CrcStatus::Mismatch => "checksum does not match",
        CrcStatus::Absent => "no checksum",
    }
}

/// What the envelope lacks: `G85`, `SE`.
pub(super) fn missing<'a>(reading: &'a Reading<'_>) -> Vec<&'a str> {
    let lacks = reading.warnings.iter().filter(|warning| warning.oddity == Oddity::MissingEnvelope);
    lacks.map(|warning| warning.text.as_ref()).collect()
}
