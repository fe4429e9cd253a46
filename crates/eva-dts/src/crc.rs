//! The checksum: G85.
//!
//! CRC-16/ARC over the bytes from the `S` of `ST*` up to the line end before `G85*`, sent as four
//! hexadecimal digits. Line ends count as CRLF, whatever became of them on the way.

use ::crc::{CRC_16_ARC, Crc as Algorithm, Table};

/// Sixteen bytes at a step natively. In wasm one at a step: the larger tables are 8 kB, a twentieth
/// of a function's whole module.
#[cfg(not(target_family = "wasm"))]
type Tables = Table<16>;
#[cfg(target_family = "wasm")]
type Tables = Table<1>;

static ARC: Algorithm<u16, Tables> = Algorithm::<u16, Tables>::new(&CRC_16_ARC);

/// What controllers send that never compute it.
const PLACEHOLDER: u16 = 0x2321;

/// The verdict on a dump's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// Whether the checksum vouches for the bytes.
    pub const fn is_valid(self) -> bool {
        matches!(self, CrcStatus::Valid | CrcStatus::ValidSwapped | CrcStatus::ValidNoFinalCrlf)
    }
}

/// A dump's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc {
    /// The verdict.
    pub status: CrcStatus,
    /// What the file says.
    pub sent: Option<u16>,
    /// What its bytes give, line ends counted as CRLF.
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
    let mut sums = as_it_stands(covered);
    let mut verdict = sums.verdict(sent);
    if verdict != Some(CrcStatus::Valid) {
        // Either may match by chance in one of the lesser ways; that line ends were changed on the way
        // is the likelier story.
        let crlf = with_crlf(covered);
        if let Some(better) = crlf.verdict(sent).filter(|_| crlf.whole != sums.whole) {
            (sums, verdict) = (crlf, Some(better));
        } else if verdict.is_none() {
            sums = crlf;
        }
    }
    let otherwise = if sent == PLACEHOLDER { CrcStatus::Placeholder } else { CrcStatus::Mismatch };
    Crc { status: verdict.unwrap_or(otherwise), sent: Some(sent), computed: Some(sums.whole) }
}

/// The checksum with and without the last line end.
struct Sums {
    whole: u16,
    without_end: u16,
}

impl Sums {
    fn verdict(&self, sent: u16) -> Option<CrcStatus> {
        if sent == self.whole {
            Some(CrcStatus::Valid)
        } else if sent == self.whole.swap_bytes() {
            Some(CrcStatus::ValidSwapped)
        } else if sent == self.without_end {
            Some(CrcStatus::ValidNoFinalCrlf)
        } else {
            None
        }
    }
}

fn as_it_stands(covered: &[u8]) -> Sums {
    let (text, end) = covered.split_at(covered.trim_ascii_end().len());
    let mut digest = ARC.digest();
    digest.update(text);
    let without_end = digest.clone().finalize();
    digest.update(end);
    Sums { whole: digest.finalize(), without_end }
}

/// Whatever ends a line counts as CRLF, and empty lines do not count: some tools write CRCRLF.
fn with_crlf(covered: &[u8]) -> Sums {
    let mut digest = ARC.digest();
    let mut without_end = 0;
    for line in covered.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty()) {
        digest.update(line);
        without_end = digest.clone().finalize();
        digest.update(b"\r\n");
    }
    Sums { whole: digest.finalize(), without_end }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"ST*001*0001\r\nID1*A*B\r\n";

    fn status(covered: Option<&[u8]>, sent: Option<u16>) -> CrcStatus {
        judge(covered, sent).status
    }

    #[test]
    fn it_is_crc_16_arc() {
        assert_eq!(crc16(b"123456789"), 0xBB3D);
    }

    #[test]
    fn each_verdict_is_reached() {
        let right = crc16(LINES);
        let short = crc16(&LINES[..LINES.len() - 2]);
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
        let short = crc16(&LINES[..LINES.len() - 2]);
        for ends in ["\n", "\r", "\r\r\n", "\r\n\r\n"] {
            let lines = String::from_utf8_lossy(LINES).replace("\r\n", ends);
            let covered = Some(lines.as_bytes());
            assert_eq!(status(covered, Some(crc16(LINES))), CrcStatus::Valid, "{ends:?}");
            assert_eq!(status(covered, Some(short)), CrcStatus::ValidNoFinalCrlf, "{ends:?}");
        }
    }

    #[test]
    fn a_chance_match_of_changed_line_ends_does_not_hide_the_right_one() {
        // Found by fuzzing.
        let lesser = |lines: &str, right| as_it_stands(lines.as_bytes()).verdict(right);
        let covered = (0..1_000_000_u32).find_map(|number| {
            let lines = format!("ST*001*0001\nID1*{number}\nVA1*5*1\nVA2*0*0\n");
            let right = crc16(lines.replace('\n', "\r\n").as_bytes());
            lesser(&lines, right).is_some_and(|status| status != CrcStatus::Valid).then_some((lines, right))
        });
        let (lines, right) = covered.unwrap();
        assert_eq!(status(Some(lines.as_bytes()), Some(right)), CrcStatus::Valid);
    }

    #[test]
    fn a_checksum_over_bare_line_feeds_holds_too() {
        let lines = b"ST*001*0001\nID1*A*B\n";
        assert_eq!(status(Some(lines), Some(crc16(lines))), CrcStatus::Valid);
    }
}
