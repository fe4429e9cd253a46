//! The checksum: G85.
//!
//! CRC-16/ARC over the bytes from the `S` of `ST*` up to the line end before `G85*`, sent as four
//! hexadecimal digits. Line ends count as CRLF, whatever became of them on the way.

use ::crc::{CRC_16_ARC, Crc as Algorithm, Digest, Table};

static ARC: Algorithm<u16, Table<1>> = Algorithm::<u16, Table<1>>::new(&CRC_16_ARC);

/// What controllers send that never compute it.
const PLACEHOLDER: u16 = 0x2321;

/// The verdict on a dump's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum CrcStatus {
    /// It matches.
    Valid,
    /// It matches with its bytes swapped, as early equipment sends it.
    ValidSwapped,
    /// It matches when the last line end is left out (NECTA).
    ValidNoFinalCrlf,
    /// It is the constant `2321` of controllers that do not compute it, and does not match.
    Placeholder,
    /// It does not match: a byte was lost or changed.
    Mismatch,
    /// There is none, or nothing that it could cover.
    #[default]
    Absent,
}

impl CrcStatus {
    /// The name in snake case, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            CrcStatus::Valid => "valid",
            CrcStatus::ValidSwapped => "valid_swapped",
            CrcStatus::ValidNoFinalCrlf => "valid_no_final_crlf",
            CrcStatus::Placeholder => "placeholder",
            CrcStatus::Mismatch => "mismatch",
            CrcStatus::Absent => "absent",
        }
    }
}

/// A dump's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Crc {
    /// The verdict.
    pub status: CrcStatus,
    /// What the file says.
    pub sent: Option<u16>,
    /// What its bytes give.
    pub computed: Option<u16>,
}

/// CRC-16/ARC of some bytes: `crc16(b"123456789") == 0xBB3D`.
pub fn crc16(bytes: &[u8]) -> u16 {
    ARC.checksum(bytes)
}

/// Judges the bytes between `ST*` and `G85*`, the latter's value beside them.
pub(crate) fn judge(covered: Option<&[u8]>, sent: Option<u16>) -> Crc {
    let (Some(covered), Some(sent)) = (covered, sent) else {
        return Crc { status: CrcStatus::Absent, sent, computed: None };
    };
    let (without_end, computed) = both(covered);
    let status = if sent == computed {
        CrcStatus::Valid
    } else if sent == computed.swap_bytes() {
        CrcStatus::ValidSwapped
    } else if sent == without_end {
        CrcStatus::ValidNoFinalCrlf
    } else if sent == PLACEHOLDER {
        CrcStatus::Placeholder
    } else {
        CrcStatus::Mismatch
    };
    Crc { status, sent: Some(sent), computed: Some(computed) }
}

/// The checksum without and with the last line end.
fn both(covered: &[u8]) -> (u16, u16) {
    let mut digest: Digest<'_, u16, Table<1>> = ARC.digest();
    let mut lines = covered.split_inclusive(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        digest.update(text);
        if lines.peek().is_some() {
            digest.update(b"\r\n");
        }
    }
    let without_end = digest.clone().finalize();
    digest.update(b"\r\n");
    (without_end, digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"ST*001*0001\r\nID1*A*B\r\n";

    #[test]
    fn it_is_crc_16_arc() {
        assert_eq!(crc16(b"123456789"), 0xBB3D);
    }

    #[test]
    fn each_verdict_is_reached() {
        let right = crc16(LINES);
        let short = crc16(&LINES[..LINES.len() - 2]);
        let status = |covered, sent| judge(covered, sent).status;
        assert_eq!(status(Some(LINES), Some(right)), CrcStatus::Valid);
        assert_eq!(status(Some(LINES), Some(right.swap_bytes())), CrcStatus::ValidSwapped);
        assert_eq!(status(Some(LINES), Some(short)), CrcStatus::ValidNoFinalCrlf);
        assert_eq!(status(Some(LINES), Some(PLACEHOLDER)), CrcStatus::Placeholder);
        assert_eq!(status(Some(LINES), Some(right ^ 1)), CrcStatus::Mismatch);
        assert_eq!(status(Some(LINES), None), CrcStatus::Absent);
        assert_eq!(status(None, Some(right)), CrcStatus::Absent);
    }

    #[test]
    fn line_ends_do_not_matter() {
        let unix = b"ST*001*0001\nID1*A*B\n";
        assert_eq!(judge(Some(unix), Some(crc16(LINES))).status, CrcStatus::Valid);
    }
}
