//! Whatever the bytes, the parser ends, does not panic, and keeps what it read.

use eva_dts::{CrcStatus, Oddity, crc16, parse};
use proptest::prelude::*;

fn capture(lines: &[String]) -> Vec<u8> {
    let lines_joined = lines.join("\r\n");
    let body = if lines.is_empty() {
        "ST*001*0001\r\n".to_owned()
    } else {
        format!("ST*001*0001\r\n{lines_joined}\r\n")
    };
    let (crc, count) = (crc16(body.as_bytes()), lines.len() + 3);
    format!("DXS*TST0000001*VA*V0/6*1\r\n{body}G85*{crc:04X}\r\nSE*{count}*0001\r\nDXE*1*1\r\n").into_bytes()
}

fn line() -> impl Strategy<Value = String> {
    let element =
        prop_oneof!["[0-9]{0,10}", "[ -)+-~]{0,12}", Just("4294967295".to_owned()), Just(String::new())];
    let id = prop_oneof!["PA[1-8]", "[A-Z]{2}[0-9]", Just("MA5*TEMP".to_owned()), Just("EA2".to_owned())];
    (id, prop::collection::vec(element, 0..12))
        .prop_map(|(id, elements)| format!("{id}*{}", elements.join("*")))
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        for dump in parse(&bytes) {
            let _ = dump.report();
        }
    }

    #[test]
    fn any_text_of_segments_is_read_and_its_checksum_holds(lines in prop::collection::vec(line(), 0..60)) {
        let file = capture(&lines);
        let dumps = parse(&file);
        prop_assert_eq!(dumps.len(), 1);
        let report = dumps[0].report();
        prop_assert_eq!(report.crc.status, CrcStatus::Valid);
        prop_assert_eq!(report.segments, lines.len() + 5);
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_is_read(lines in prop::collection::vec(line(), 1..30), cut in 0.0..1.0_f64) {
        let file = capture(&lines);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let end = (file.len() as f64 * cut) as usize;
        for dump in parse(&file[..end]) {
            let report = dump.report();
            let whole = file[..end].windows(3).any(|window| window == b"SE*");
            prop_assert!(whole || report.warnings.iter().any(|warning| warning.oddity == Oddity::Truncated));
        }
    }

    #[test]
    fn the_order_of_the_segments_does_not_change_the_totals(seed in any::<prop::sample::Index>()) {
        let mut lines: Vec<String> =
            ["ID1*SERIAL*MODEL", "ID4*1*1978*EUR", "VA1*500*5", "CA2*300*3", "DA2*200*2", "EA3*1*261121*0930"]
                .map(String::from)
                .into();
        let straight = parse(&capture(&lines))[0].report();
        let count = lines.len();
        lines.rotate_left(seed.index(count));
        let turned = parse(&capture(&lines))[0].report();
        prop_assert_eq!(straight.totals, turned.totals);
        prop_assert_eq!((straight.identity, straight.currency), (turned.identity, turned.currency));
    }
}

#[test]
fn a_file_of_very_many_products_or_dumps_is_read_in_one_go() {
    let products: Vec<String> = (0..100_000).map(|number| format!("PA1*{number}*100")).collect();
    let file = capture(&products);
    let report = parse(&file)[0].report();
    assert_eq!((report.segments, report.products.len()), (100_005, 10_000), "no machine has so many");
    assert!(report.warnings.iter().any(|warning| warning.oddity == Oddity::TooMany));

    let dumps = capture(&["VA1*1*1".to_owned()]).repeat(20_000);
    assert_eq!(parse(&dumps).len(), 20_000);
}
