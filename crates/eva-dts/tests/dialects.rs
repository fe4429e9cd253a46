//! What makers and tools do to a file, each in a small synthetic one.

mod support;

use eva_dts::{CrcStatus, Oddity, Reading, parse};
use support::{capture, sealed};

fn reading(file: &[u8]) -> Reading<'_> {
    let dumps = parse(file);
    assert_eq!(dumps.len(), 1);
    dumps[0].reading()
}

fn oddities(reading: &Reading<'_>) -> Vec<(u32, Oddity)> {
    reading.warnings.iter().map(|warning| (warning.line, warning.oddity)).collect()
}

#[test]
fn a_plain_capture_has_nothing_odd() {
    let file = capture(&["ID1*SN42*MODEL-7", "VA1*12550*97*200*2", "PA1*010*150", "PA2*97*12550*2*200"]);
    let reading = reading(&file);
    assert_eq!(oddities(&reading), []);
    assert_eq!(reading.crc.status, CrcStatus::Valid);
    assert!(!reading.has_errors());
}

#[test]
fn a_tools_wrapper_is_told_and_does_not_count() {
    let mut file = b"<000|Operations|Reader 5|20261121|daa|\x11>".to_vec();
    file.extend(capture(&["VA1*500*5"]));
    file.extend(b"<AAAA|BBBB>");
    let reading = reading(&file);
    assert_eq!(oddities(&reading), [(1, Oddity::NotPrintable), (1, Oddity::Wrapper), (7, Oddity::Wrapper)]);
    assert_eq!((reading.segments, reading.crc.status), (6, CrcStatus::Valid));
    assert_eq!(reading.identity.communication_id.as_deref(), Some("TST0000001"));
}

#[test]
fn segments_in_front_of_the_dump_belong_to_it() {
    let mut file = b"MC5*READER*1\r\nMC5*READER*2\r\n".to_vec();
    file.extend(capture(&["VA1*500*5"]));
    let reading = reading(&file);
    assert_eq!(oddities(&reading), [(1, Oddity::BeforeStart)]);
    assert_eq!((reading.segments, reading.crc.status), (8, CrcStatus::Valid));
}

#[test]
fn segments_behind_the_end_are_read() {
    let mut file = capture(&["VA1*500*5"]);
    file.extend(b"CA17*0*10*59\r\n");
    let reading = reading(&file);
    assert_eq!(oddities(&reading), [(7, Oddity::AfterEnd)]);
    assert_eq!(reading.coin_tubes[0].coins, Some(59));
}

#[test]
fn what_is_padded_around_a_file_does_not_count() {
    let mut file = b"\xEF\xBB\xBF".to_vec();
    file.extend(capture(&["VA1*500*5"]));
    file.extend(b"\x1a\0\0\0\0");
    let reading = reading(&file);
    assert_eq!(oddities(&reading), [(7, Oddity::NotPrintable)]);
    assert_eq!((reading.segments, reading.crc.status), (6, CrcStatus::Valid));
}

#[test]
fn a_lost_line_feed_is_told() {
    let file = String::from_utf8(capture(&["VA1*500*5", "VA2*0*0", "VA3*0*0"])).unwrap();
    let reading = reading(file.replace("VA2*0*0\r\n", "VA2*0*0\r").leak().as_bytes());
    assert_eq!(oddities(&reading), [(4, Oddity::LineEnd)]);
    assert_eq!(reading.crc.status, CrcStatus::Valid);
}

#[test]
fn each_checksum_gets_its_verdict() {
    let lines = ["ID1*A*B", "VA1*500*5"];
    let status = |checksum: fn(u16) -> String| parse(&sealed(&lines, checksum))[0].crc().status;
    assert_eq!(status(|crc| format!("{crc:04x}")), CrcStatus::Valid);
    assert_eq!(status(|crc| format!("{:04X}", crc.swap_bytes())), CrcStatus::ValidSwapped);
    assert_eq!(status(|_| "2321".to_owned()), CrcStatus::Placeholder);
    assert_eq!(status(|crc| format!("{:04X}", crc ^ 0x40)), CrcStatus::Mismatch);
    assert_eq!(status(|_| String::new()), CrcStatus::Absent);
    assert_eq!(status(|_| "12G4".to_owned()), CrcStatus::Absent);
    assert_eq!(status(|_| "+123".to_owned()), CrcStatus::Absent);
    assert_eq!(status(|_| "12345".to_owned()), CrcStatus::Absent);

    let short = eva_dts::crc16(b"ST*001*0001\r\nID1*A*B\r\nVA1*500*5");
    assert_eq!(
        parse(&sealed(&lines, |_| format!("{short:04X}")))[0].crc().status,
        CrcStatus::ValidNoFinalCrlf
    );
}

#[test]
fn a_byte_that_was_dropped_is_a_mismatch_until_it_is_back() {
    let whole = capture(&["VA1*500*5", "MA5*SEL03*7,8,9*2788*2841"]);
    let at = whole.windows(7).position(|window| window == b"*7,8,9*").unwrap() + 1;
    let mut file = whole.clone();
    file.remove(at);
    assert_eq!(parse(&file)[0].crc().status, CrcStatus::Mismatch);
    assert!(parse(&file)[0].reading().has_errors());
    file.insert(at, b'7');
    assert_eq!(parse(&file)[0].crc().status, CrcStatus::Valid);
}

#[test]
fn a_dump_without_its_set_is_vouched_for_all_the_same() {
    let body = b"VA1*500*5\r\nPA1*1*100\r\n";
    let file = |crc: u16| {
        let mut file = b"DXS*TST0000001*VA*V0/6*1\r\n".to_vec();
        file.extend(body);
        file.extend(format!("G85*{crc:04X}\r\nSE*4*0001\r\nDXE*1*1\r\n").bytes());
        file
    };
    assert_eq!(parse(&file(eva_dts::crc16(body)))[0].crc().status, CrcStatus::Valid);
    assert_eq!(parse(&file(1))[0].crc().status, CrcStatus::Absent);
}

#[test]
fn lines_without_any_envelope_are_a_dump() {
    let reading = reading(b"ID1*SN42\nVA1*500*5");
    assert!(!reading.is_truncated && !reading.has_errors());
    assert_eq!(reading.totals.vends.since_init.count, Some(5));
    assert!(reading.warnings.iter().all(|warning| warning.oddity == Oddity::MissingEnvelope));
    assert_eq!(reading.warnings.len(), 5);
}

#[test]
fn several_dumps_in_a_file_are_several_though_one_was_cut_off_in_the_middle_of_a_line() {
    let mut file = capture(&["VA1*100*1"]);
    file.extend(b"DXS*TST0000001*VA*V0/6*1\r\nST*001*0001\r\nVA1*100*1\r\nCA2*100*1234");
    file.extend(capture(&["VA1*300*3"]));
    let dumps = parse(&file);
    let values: Vec<_> = dumps.iter().map(|dump| dump.reading().totals.vends.since_init.count).collect();
    assert_eq!(values, [Some(1), Some(1), Some(3)]);
    assert!(dumps[1].is_truncated());
    let cash = dumps[1].reading().totals.cash_sales.since_init;
    assert_eq!((cash.value, cash.count), (Some(100), None), "who knows what 1234 would have been");
}

#[test]
fn a_dump_that_lost_its_head_is_not_mixed_with_the_next() {
    let whole = capture(&["VA1*100*1", "PA1*1*100"]);
    let mut file = whole[whole.windows(3).position(|window| window == b"PA1").unwrap()..].to_vec();
    file.extend(capture(&["VA1*300*3"]));
    let dumps = parse(&file);
    assert_eq!(dumps.len(), 2);
    assert_eq!(dumps[0].reading().totals.vends.since_init.count, None);
    assert_eq!(dumps[1].crc().status, CrcStatus::Valid);
}

#[test]
fn an_element_that_reads_like_a_head_is_none() {
    let file = capture(&["EA1*DXS*260101*1200", "MA5*NOTE*DXS*1"]);
    assert_eq!(reading(&file).crc.status, CrcStatus::Valid);
}

#[test]
fn nothing_at_all_is_a_truncated_dump() {
    for file in [b"".as_slice(), b"\r\n\r\n", b"\0\0"] {
        let reading = reading(file);
        assert!(reading.is_truncated && reading.has_errors());
        assert_eq!(reading.segments, 0);
    }
}

#[test]
fn a_page_of_html_is_no_audit() {
    let reading = reading(b"<html>\n<body>Session expired</body>\nplease log in\n</html>\n");
    assert!(reading.is_truncated);
    assert!(oddities(&reading).contains(&(3, Oddity::NotASegment)));
}

#[test]
fn segments_that_nobody_knows_are_kept() {
    let file = capture(&["KH85*1*2", "@$1*x", "ST-1*5", "ZZ9*a*b"]);
    let dumps = parse(&file);
    let ids: Vec<_> = dumps[0].segments().iter().map(eva_dts::Segment::id).collect();
    assert_eq!(ids[2..6], [b"KH85".as_slice(), b"@$1", b"ST-1", b"ZZ9"]);
    assert_eq!(oddities(&dumps[0].reading()), [(4, Oddity::NotASegment), (5, Oddity::NotASegment)]);
}

#[test]
fn the_count_of_segments_is_checked_and_never_a_reason_to_refuse() {
    let file = String::from_utf8(capture(&["VA1*500*5"])).unwrap().replace("SE*4*", "SE*106*");
    let reading = reading(file.as_bytes());
    assert_eq!(oddities(&reading), [(5, Oddity::SegmentCount)]);
    assert_eq!(reading.crc.status, CrcStatus::Valid);
    assert!(!reading.has_errors());
}
