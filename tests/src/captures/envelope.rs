//! What every audit file is wrapped in: DXS, ST, the checksum, SE, DXE.

use std::fmt::Write as _;

/// How a controller writes its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// As the standard says.
    Right,
    /// With its two bytes swapped, as early equipment does.
    Swapped,
    /// Over all but the last line end, as NECTA does, in small letters.
    NoFinalLineEnd,
    /// The constant 2321: never computed.
    Constant,
}

/// Wraps segments into an envelope with the right count.
#[must_use]
pub fn envelope(communication_id: &str, version: &str, checksum: Checksum, segments: &[String]) -> Vec<u8> {
    let mut body = String::from("ST*001*0001\r\n");
    for segment in segments {
        body.push_str(segment);
        body.push_str("\r\n");
    }
    let bytes = body.as_bytes();
    let crc = match checksum {
        Checksum::Right => format!("{:04X}", eva_dts::crc16(bytes)),
        Checksum::Swapped => format!("{:04X}", eva_dts::crc16(bytes).swap_bytes()),
        Checksum::NoFinalLineEnd => format!("{:04x}", eva_dts::crc16(&bytes[..bytes.len() - 2])),
        Checksum::Constant => "2321".to_owned(),
    };
    let mut file = format!("DXS*{communication_id}*VA*{version}*1\r\n{body}");
    // ST, G85 and SE itself count.
    let _ = write!(file, "G85*{crc}\r\nSE*{}*0001\r\nDXE*1*1\r\n", segments.len() + 3);
    file.into_bytes()
}
