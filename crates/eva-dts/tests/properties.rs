//! Whatever the bytes, the parser ends, does not panic, and keeps what it read.

mod support;

use eva_dts::{CrcStatus, Key, Oddity, Snapshot, parse, sales};
use proptest::prelude::*;
use support::capture;

fn file(lines: &[String]) -> Vec<u8> {
    capture(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

fn line() -> impl Strategy<Value = String> {
    let element =
        prop_oneof!["[0-9]{0,10}", "[ -)+-~]{0,12}", Just("4294967295".to_owned()), Just(String::new())];
    let id = prop_oneof![
        "PA[1-8]",
        "[A-Z]{2}[0-9]",
        "CA1[0-9]",
        "[A-Z]{2}",
        Just("MA5*TEMP".to_owned()),
        Just("EA2".to_owned()),
        Just("LA1*0*10".to_owned())
    ];
    (id, prop::collection::vec(element, 0..12))
        .prop_map(|(id, elements)| format!("{id}*{}", elements.join("*")))
        // These are the envelope's own.
        .prop_filter("no part of an envelope", |line| !line.starts_with("ST*") && !line.starts_with("SE*"))
}

/// Everything that can be asked of a file.
fn exercise(file: &[u8]) {
    for (id, dump) in (0..).zip(parse(file)) {
        let reading = dump.reading();
        let _ =
            (reading.has_errors(), dump.segments().iter().map(|segment| segment.raw().len()).sum::<usize>());
        let snapshot = Snapshot::of(Key { captured_at: 0, id }, &reading);
        assert!(sales(&[snapshot.clone(), snapshot]).intervals.is_empty(), "the same capture twice");
        assert_eq!(reading.clone().into_owned(), reading);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        exercise(&bytes);
    }

    #[test]
    fn any_bytes_that_look_like_lines_are_read(bytes in prop::collection::vec(
        prop::sample::select(b"DXS*TEPACAVAM0123456789^<>-\r\n\0 ".as_slice()), 0..2_000)) {
        exercise(&bytes);
    }

    #[test]
    fn any_text_of_segments_is_read_and_its_checksum_holds(lines in prop::collection::vec(line(), 0..60)) {
        let file = file(&lines);
        exercise(&file);
        let dumps = parse(&file);
        prop_assert_eq!(dumps.len(), 1);
        let report = dumps[0].report();
        prop_assert_eq!(report.crc.status, CrcStatus::Valid);
        prop_assert_eq!(report.segments, lines.len() + 5);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_read(lines in prop::collection::vec(line(), 1..30), cut in any::<prop::sample::Index>()) {
        let file = file(&lines);
        let file = &file[..cut.index(file.len())];
        exercise(file);
        let has_end = file.windows(3).any(|window| window == b"SE*");
        for dump in parse(file) {
            let is_told = dump.warnings().iter().any(|warning| warning.oddity == Oddity::Truncated);
            prop_assert!(has_end || (is_told && dump.is_truncated()));
        }
    }

    #[test]
    fn a_byte_that_changed_is_always_found(
        lines in prop::collection::vec("(VA1|PA2|ID1)(\\*[0-9A-F]{1,8}){1,6}", 1..30),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"0123456789ABCDEF*".as_slice()),
    ) {
        let mut file = file(&lines);
        let start = file.windows(3).position(|window| window == b"ST*").unwrap() + 3;
        let end = file.windows(4).rposition(|window| window == b"G85*").unwrap();
        let at = start + at.index(end - start);
        prop_assume!(!matches!(file[at], b'\r' | b'\n') && file[at] != byte);
        file[at] = byte;
        // A burst of up to 16 bits is; a lost byte shifts all that follows, and slips by once in 65,536.
        prop_assert_ne!(parse(&file)[0].crc().status, CrcStatus::Valid);
    }

    #[test]
    fn a_line_feed_that_is_lost_is_no_loss(lines in prop::collection::vec("VA1(\\*[0-9]{1,8}){1,6}", 1..30), at in any::<prop::sample::Index>()) {
        let mut file = file(&lines);
        let feeds: Vec<usize> = (0..file.len()).filter(|at| file[*at] == b'\n').collect();
        file.remove(feeds[at.index(feeds.len())]);
        prop_assert_eq!(parse(&file)[0].crc().status, CrcStatus::Valid);
    }

    #[test]
    fn line_ends_change_nothing(lines in prop::collection::vec(line(), 0..30), end in prop::sample::select(vec!["\n", "\r", "\r\r\n"])) {
        let right = file(&lines);
        let other = String::from_utf8(right.clone()).unwrap().replace("\r\n", end);
        let (right, other) = (parse(&right)[0].report(), parse(other.as_bytes())[0].report());
        prop_assert_eq!(right.crc, other.crc);
        prop_assert_eq!((right.totals, right.products, right.events), (other.totals, other.products, other.events));
    }

    #[test]
    fn the_order_of_the_segments_does_not_change_the_totals(seed in any::<prop::sample::Index>()) {
        let mut lines =
            ["ID1*SERIAL*MODEL", "ID4*1*1978*EUR", "VA1*500*5", "CA2*300*3", "DA2*200*2", "EA3*1*261121*0930", "EA7*1*9", "CA5*1*7"];
        let straight = parse(&capture(&lines))[0].report();
        let count = lines.len();
        lines.rotate_left(seed.index(count));
        let turned = parse(&capture(&lines))[0].report();
        prop_assert_eq!(straight.totals, turned.totals);
        prop_assert_eq!((straight.identity, straight.currency), (turned.identity, turned.currency));
        prop_assert_eq!((straight.reads, straight.power_outages), (turned.reads, turned.power_outages));
    }
}

#[test]
fn a_file_of_very_many_products_or_dumps_is_read_in_one_go() {
    let products: Vec<String> = (0..100_000).map(|number| format!("PA1*{number}*100")).collect();
    let report = parse(&file(&products))[0].report();
    assert_eq!((report.segments, report.products.len()), (100_005, 10_000), "no machine has so many");
    assert!(report.warnings.iter().any(|warning| warning.oddity == Oddity::TooMany));

    let dumps = capture(&["VA1*1*1"]).repeat(20_000);
    assert_eq!(parse(&dumps).len(), 20_000);
}
