//! Synthetic captures. No real machine is behind them.

use eva_dts::crc16;

/// A whole capture of these lines, its envelope and checksum right.
pub(crate) fn capture(lines: &[&str]) -> Vec<u8> {
    sealed(lines, |crc| format!("{crc:04X}"))
}

/// A capture whose G85 is made from its checksum.
pub(crate) fn sealed(lines: &[&str], checksum: impl Fn(u16) -> String) -> Vec<u8> {
    let mut body = String::from("ST*001*0001\r\n");
    for line in lines {
        body.push_str(line);
        body.push_str("\r\n");
    }
    let (sent, count) = (checksum(crc16(body.as_bytes())), lines.len() + 3);
    format!("DXS*TST0000001*VA*V0/6*1\r\n{body}G85*{sent}\r\nSE*{count}*0001\r\nDXE*1*1\r\n").into_bytes()
}
