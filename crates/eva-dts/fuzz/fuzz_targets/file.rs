//! Any bytes as a file: reading ends, does not panic, and what it says holds together.
#![no_main]

use eva_dts::{Key, Snapshot, parse, sales};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let dumps = parse(file);
    assert!(!dumps.is_empty());
    let kept: usize = dumps.iter().flat_map(|dump| dump.segments()).map(|segment| segment.raw().len()).sum();
    assert!(kept <= file.len(), "no byte is in two segments");
    for (id, dump) in (0..).zip(&dumps) {
        let reading = dump.reading();
        let lines = file.len() as u32 + 1;
        assert!(reading.warnings.iter().all(|warning| (1..=lines).contains(&warning.line)));
        let json = serde_json::to_string(&reading).expect("a reading is JSON");
        assert!(!json.contains("\\u0000"), "no database takes a zero byte");
        let snapshot = Snapshot::of(Key { captured_at: 0, id }, &reading);
        let again = Snapshot { key: Key { captured_at: 300, id: id + 1 }, ..snapshot.clone() };
        let captures = [snapshot, again];
        assert!(sales(&captures).intervals.iter().all(|interval| interval.sales.is_empty()));
        assert_eq!(dump.report(), reading);
    }
});
