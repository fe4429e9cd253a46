//! Real files, from the folder that `DEX_CORPUS` names. Other people's machines: none is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use eva_dts::{Amount, CrcStatus, Key, Oddity, Product, Reading, Snapshot, parse, sales};

fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("DEX_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: DEX_CORPUS is not set");
    }
    folder
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_list =
            path.extension().is_some_and(|kind| ["json", "tsv", "md"].iter().any(|known| kind == *known));
        if path.is_dir() {
            found.extend(files(&path));
        } else if !is_list {
            found.push((path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn file(folder: &Path, name: &str) -> Vec<u8> {
    files(folder).into_iter().find(|(known, _)| known == name).expect(name).1
}

/// The sum over all products, since initialisation.
fn sum(reading: &Reading<'_>, part: fn(&Amount) -> Option<u64>) -> u64 {
    let parts = reading.products.iter().map(|product: &Product<'_>| part(&product.vends.since_init));
    parts.flatten().sum()
}

fn has(reading: &Reading<'_>, oddity: Oddity) -> bool {
    reading.warnings.iter().any(|warning| warning.oddity == oddity)
}

#[test]
fn every_file_is_read_and_its_machine_told() {
    let Some(folder) = corpus() else { return };
    for (name, file) in files(&folder) {
        for dump in parse(&file) {
            let reading = dump.reading();
            println!(
                "{name}: {:?}, {}, {} products, {} warnings",
                reading.identity.serial,
                reading.crc.status.name(),
                reading.products.len(),
                reading.warnings.len()
            );
            assert!(reading.segments > 5, "{name}");
            assert!(reading.identity.communication_id.is_some(), "{name}");
            // No file of a real machine is so odd that any of these should come up.
            let never = [
                Oddity::NotANumber,
                Oddity::NotADate,
                Oddity::BadDecimals,
                Oddity::BadChecksum,
                Oddity::TooMany,
            ];
            assert!(!never.into_iter().any(|oddity| has(&reading, oddity)), "{name}: {:?}", reading.warnings);
        }
    }
}

#[test]
fn the_known_verdicts_are_reached() {
    let Some(folder) = corpus() else { return };
    let verdicts =
        |name: &str| -> Vec<_> { parse(&file(&folder, name)).iter().map(|dump| dump.crc().status).collect() };
    assert_eq!(verdicts("CSA200204452_23062970.dex"), [CrcStatus::Mismatch]);
    assert_eq!(verdicts("rhea-luce.dex"), [CrcStatus::ValidSwapped]);
    assert_eq!(verdicts("necta.daa"), [CrcStatus::Valid]);
    assert_eq!(verdicts("CSA200202660_23062962.dex"), [CrcStatus::Placeholder]);
    assert_eq!(verdicts("lanmark7-Test-5.dex"), [CrcStatus::Mismatch]);
    assert_eq!(verdicts("lanmark7-Test-7.dex"), [CrcStatus::Absent]);
    let combined =
        [CrcStatus::Valid, CrcStatus::Absent, CrcStatus::Absent, CrcStatus::Mismatch, CrcStatus::Valid];
    assert_eq!(verdicts("lanmark7-Combined.dex"), combined);
}

#[test]
fn a_byte_that_was_lost_is_found_where_it_was() {
    let Some(folder) = corpus() else { return };
    let mut file = file(&folder, "CSA200204452_23062970.dex");
    let at = file.windows(7).position(|window| window == b"SEL03*,").unwrap() + 6;
    file.insert(at, b'7');
    assert_eq!(parse(&file)[0].crc().status, CrcStatus::Valid);
}

#[test]
fn a_lost_byte_is_overlooked_no_more_often_than_sixteen_bits_must() {
    let Some(folder) = corpus() else { return };
    let (mut lost, mut overlooked) = (0, 0);
    for (_, file) in files(&folder) {
        let whole = parse(&file);
        if whole.len() != 1 || whole[0].crc().status != CrcStatus::Valid {
            continue;
        }
        let start = file.windows(3).position(|window| window == b"ST*").unwrap();
        let end = file.windows(4).position(|window| window == b"G85*").unwrap();
        for at in (start..end).filter(|at| !matches!(file[*at], b'\r' | b'\n')).step_by(3) {
            let damaged = [&file[..at], &file[at + 1..]].concat();
            lost += 1;
            overlooked += usize::from(parse(&damaged)[0].crc().status.is_valid());
        }
    }
    println!("{overlooked} of {lost} lost bytes overlooked");
    // Three forms of the checksum are accepted, each by chance once in 65,536.
    assert!(overlooked * 65_536 < lost * 20, "{overlooked} of {lost}");
}

#[test]
fn the_sums_of_the_products_are_the_machines_totals() {
    let Some(folder) = corpus() else { return };
    let (mut seen, mut values_differ) = (0, 0);
    for (name, file) in files(&folder.join("cantaloupe")) {
        let reading = parse(&file)[0].report();
        assert_eq!(Some(sum(&reading, |one| one.count)), reading.totals.vends.since_init.count, "{name}");
        values_differ +=
            usize::from(Some(sum(&reading, |one| one.value)) != reading.totals.vends.since_init.value);
        seen += 1;
    }
    assert!(seen > 20 && values_differ <= 1, "{values_differ} of {seen} differ");
}

#[test]
fn cash_and_cards_make_up_all_sales_of_the_rst_machines() {
    let Some(folder) = corpus() else { return };
    let mut seen = 0;
    for (name, file) in files(&folder.join("cantaloupe")) {
        let reading = parse(&file)[0].report();
        if reading.identity.communication_id.as_deref() != Some("RST7654321") {
            continue;
        }
        let totals = &reading.totals;
        let parts = [totals.cash_sales.since_init.value, totals.cashless_1_sales.since_init.value];
        assert_eq!(parts.into_iter().sum::<Option<u64>>(), totals.vends.since_init.value, "{name}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn bills_are_told_in_minor_units_where_the_file_has_both() {
    let Some(folder) = corpus() else { return };
    for (name, file) in files(&folder.join("cantaloupe")) {
        let dumps = parse(&file);
        let cash_in = dumps[0].find(b"CA3").unwrap();
        let (units, minor) = (cash_in.number(8).unwrap(), cash_in.number(10).unwrap());
        let bills = dumps[0].reading().totals.cash_in.since_init.bills;
        assert_eq!(bills, minor.or(units), "{name}");
        assert!(minor.is_none_or(|minor| Some(minor) == units.map(|units| units * 100)), "{name}");
    }
}

#[test]
fn no_machine_lists_a_selection_twice() {
    let Some(folder) = corpus() else { return };
    for (name, file) in files(&folder) {
        for dump in parse(&file) {
            let reading = dump.reading();
            let selections: BTreeSet<_> = reading.products.iter().map(|product| &product.selection).collect();
            assert_eq!(selections.len(), reading.products.len(), "{name}");
            assert!(!has(&reading, Oddity::RepeatedProduct), "{name}");
        }
    }
}

#[test]
fn line_ends_change_no_verdict_and_no_number() {
    let Some(folder) = corpus() else { return };
    for (name, file) in files(&folder) {
        let crlf =
            String::from_utf8_lossy(&file).replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
        for (dump, other) in parse(&file).iter().zip(parse(crlf.as_bytes())) {
            let (reading, other) = (dump.reading(), other.reading());
            assert_eq!(reading.crc.status, other.crc.status, "{name}");
            assert_eq!((reading.totals, reading.products), (other.totals, other.products), "{name}");
        }
    }
}

#[test]
fn every_file_can_be_cut_off_anywhere() {
    let Some(folder) = corpus() else { return };
    for (name, file) in files(&folder) {
        for end in (0..file.len()).step_by(7) {
            let dumps = parse(&file[..end]);
            let last = dumps.last().unwrap();
            let is_whole = last.find(b"SE").is_some();
            assert!(is_whole || last.reading().is_truncated, "{name} at {end}");
        }
    }
}

#[test]
fn a_machine_that_stood_still_sold_nothing() {
    let Some(folder) = corpus() else { return };
    for (name, file) in files(&folder) {
        for dump in parse(&file) {
            let once = Snapshot::of(Key { captured_at: 0, id: 1 }, &dump.reading());
            let again = Snapshot { key: Key { captured_at: 300, id: 2 }, ..once.clone() };
            let captures = [once, again];
            let sales = sales(&captures);
            assert!(sales.intervals.iter().all(|interval| interval.sales.is_empty()), "{name}");
        }
    }
}
