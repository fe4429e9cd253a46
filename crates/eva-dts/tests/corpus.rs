//! Real files, from the folder that `DEX_CORPUS` names. Other people's machines: none is committed.

use std::fs;
use std::path::{Path, PathBuf};

use eva_dts::{CrcStatus, parse};

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
        if path.is_dir() {
            found.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|kind| ["dex", "daa", "eva_dts"].iter().any(|known| kind == *known))
        {
            found.push((path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_is_read_and_its_machine_told() {
    let Some(folder) = corpus() else { return };
    for (name, file) in files(&folder) {
        let dumps = parse(&file);
        let report = dumps[0].report();
        println!(
            "{name}: {} dumps, {:?}, {:?}, {} products, {} warnings",
            dumps.len(),
            report.identity.serial,
            report.crc.status,
            report.products.len(),
            report.warnings.len()
        );
        assert!(report.segments > 5, "{name}");
    }
}

#[test]
fn the_sums_of_the_products_are_the_machines_totals() {
    let Some(folder) = corpus() else { return };
    let (mut files_seen, mut values_differ) = (0, 0);
    for (name, file) in files(&folder.join("cantaloupe")) {
        let report = parse(&file)[0].report();
        let sum = |part: fn(&eva_dts::Amount) -> Option<u64>| -> u64 {
            report.products.iter().filter_map(|product| part(&product.vends.since_init)).sum()
        };
        assert_eq!(Some(sum(|one| one.count)), report.totals.vends.since_init.count, "{name}");
        values_differ += usize::from(Some(sum(|one| one.value)) != report.totals.vends.since_init.value);
        files_seen += 1;
    }
    assert!(files_seen > 20 && values_differ <= 1, "{values_differ} of {files_seen} differ");
}

#[test]
fn the_known_verdicts_are_reached() {
    let Some(folder) = corpus() else { return };
    let verdict = |name: &str| {
        let found = files(&folder).into_iter().find(|(known, _)| known == name).unwrap();
        parse(&found.1)[0].crc().status
    };
    assert_eq!(verdict("CSA200204452_23062970.dex"), CrcStatus::Mismatch);
    assert_eq!(verdict("rhea-luce.dex"), CrcStatus::ValidSwapped);
    assert_eq!(verdict("necta.daa"), CrcStatus::Valid);
    assert_eq!(verdict("CSA200202660_23062962.dex"), CrcStatus::Placeholder);
    let (_, combined) = files(&folder).into_iter().find(|(name, _)| name == "lanmark7-Combined.dex").unwrap();
    assert_eq!(parse(&combined).len(), 5);
}

#[test]
fn a_byte_that_was_lost_is_found_where_it_was() {
    let Some(folder) = corpus() else { return };
    let mut file = fs::read(folder.join("cantaloupe/CSA200204452_23062970.dex")).unwrap();
    let at = file.windows(7).position(|window| window == b"SEL03*,").unwrap() + 6;
    file.insert(at, b'7');
    assert_eq!(parse(&file)[0].crc().status, CrcStatus::Valid);
}
