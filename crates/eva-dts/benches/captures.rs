//! How fast captures are read: `cargo bench -p eva-dts`. `scripts/bench dex` compares with wasm and
//! JavaScript.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use eva_dts::{Dump, Key, Snapshot, crc16, parse, sales};

fn main() {
    divan::main();
}

/// The synthetic captures that ship with the project.
fn captures() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "dex"));
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs a piece of work over all captures, told as bytes and captures a second.
fn over_all<T>(bencher: Bencher<'_, '_>, work: impl Fn(&[u8]) -> T) {
    let captures = captures();
    bencher
        .counter(BytesCount::new(captures.iter().map(Vec::len).sum::<usize>()))
        .counter(ItemsCount::new(captures.len()))
        .bench_local(|| {
            for capture in &captures {
                black_box(work(black_box(capture)));
            }
        });
}

#[divan::bench]
fn checksum(bencher: Bencher<'_, '_>) {
    over_all(bencher, crc16);
}

#[divan::bench]
fn parse_lines(bencher: Bencher<'_, '_>) {
    over_all(bencher, |capture| parse(capture).len());
}

#[divan::bench]
fn parse_and_check(bencher: Bencher<'_, '_>) {
    over_all(bencher, |capture| parse(capture).iter().map(Dump::crc).collect::<Vec<_>>());
}

#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    over_all(bencher, |capture| parse(capture).iter().map(|dump| dump.reading().segments).sum::<usize>());
}

#[divan::bench]
fn report(bencher: Bencher<'_, '_>) {
    over_all(bencher, |capture| parse(capture).iter().map(|dump| dump.report().segments).sum::<usize>());
}

#[cfg(feature = "serde")]
#[divan::bench]
fn report_as_json(bencher: Bencher<'_, '_>) {
    over_all(bencher, |capture| serde_json::to_vec(&parse(capture)[0].report()).unwrap());
}

#[divan::bench]
fn sales_of_two(bencher: Bencher<'_, '_>) {
    over_all(bencher, |capture| {
        let one = Snapshot::of(Key { captured_at: 0, id: 1 }, &parse(capture)[0].reading());
        let other = Snapshot { key: Key { captured_at: 300, id: 2 }, ..one.clone() };
        sales(&[one, other]).intervals.len()
    });
}
