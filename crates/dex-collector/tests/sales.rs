//! Captures that arrive in any order, alone or many at a time, against a database that keeps what it
//! is sent: the sales are those of all captures looked at together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dex_collector::capture::Capture;
use dex_collector::sales::{self, Around};
use dex_collector::vendor::Listed;
use proptest::prelude::*;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// One reading of a machine: what it shows for each of its selections, if it shows it.
type Shown = Vec<Option<u64>>;

fn file(shown: &[Option<u64>]) -> Vec<u8> {
    let sum: u64 = shown.iter().flatten().sum();
    let mut body = format!("ST*001*0001\r\nID1*SN1*M\r\nVA1*{}*{sum}\r\n", sum * 150);
    for (selection, count) in shown.iter().enumerate() {
        if let Some(count) = count {
            let _ = write!(body, "PA1*0{selection}*150\r\nPA2*{count}*{}\r\n", count * 150);
        }
    }
    let crc = eva_dts::crc16(body.as_bytes());
    format!("DXS*SIM0000001*VA*V0/6*1\r\n{body}G85*{crc:04X}\r\nSE*5*0001\r\nDXE*1*1\r\n").into_bytes()
}

fn capture(number: usize, shown: &[Option<u64>]) -> Capture {
    let number = i64::try_from(number).unwrap();
    let row = Listed {
        dex_id: number,
        case_serial: "CSA1".into(),
        captured_at: OffsetDateTime::from_unix_timestamp(1_795_000_000 + number * 3_600).unwrap(),
        firmware: None,
    };
    Capture::read(&row, &file(shown))
}

/// Keeps what `collect_dex_store` keeps, and gives what `collect_dex_around` gives.
#[derive(Default)]
struct Database {
    /// By time and number: the counters.
    captures: BTreeMap<(i64, i64), Value>,
    /// By the capture that ends it.
    intervals: BTreeMap<i64, Value>,
}

impl Database {
    fn around(&self, key: (i64, i64)) -> Vec<(i64, i64)> {
        let mut near: Vec<_> = self.captures.range(..key).rev().take(2).map(|(near, _)| *near).collect();
        near.reverse();
        near.extend(
            self.captures.range(key..).filter(|(near, _)| **near != key).take(2).map(|(near, _)| *near),
        );
        near
    }

    fn around_all(&self, captures: &[Capture]) -> Around {
        let mut near: Vec<_> =
            captures.iter().flat_map(|one| self.around((one.key.captured_at, one.key.id))).collect();
        near.sort_unstable();
        near.dedup();
        let rows: Vec<Value> = near
            .iter()
            .map(|key| json!({ "dex_id": key.1, "captured_at": key.0, "counters": self.captures[key] }))
            .collect();
        serde_json::from_value(json!({ "CSA1": rows })).unwrap()
    }

    fn store(&mut self, mut captures: Vec<Capture>) {
        let around = self.around_all(&captures);
        sales::add(&mut captures, around);
        for capture in &captures {
            let key = (capture.key.captured_at, capture.key.id);
            let sent = serde_json::to_value(capture).unwrap();
            let Some(sales) = sent.get("sales") else { continue };
            let near: Vec<i64> = self.around(key).iter().map(|near| near.1).collect();
            assert_eq!(sales["around"], json!(near), "it was computed from what is stored");
            for interval in sales["intervals"].as_array().unwrap() {
                self.intervals.insert(interval["to"].as_i64().unwrap(), interval.clone());
            }
            self.captures.insert(key, sales["counters"].clone());
        }
    }

    /// By capture, selection and counter.
    fn sales(&self) -> Vec<Value> {
        self.intervals.values().cloned().collect()
    }

    fn total(&self, selection: Option<&str>) -> u64 {
        let lines = self.intervals.values().flat_map(|interval| interval["sales"].as_array().unwrap());
        lines
            .filter(|line| line[0] == json!(selection) && line[1] == "vends")
            .filter_map(|line| line[2].as_u64())
            .sum()
    }
}

fn together(captures: &[Capture]) -> Database {
    let mut all = Database::default();
    all.store(captures.to_vec());
    all
}

/// What a machine shows at each of its captures. Any capture may lack a selection or lose a digit of it,
/// but no two that follow each other.
fn machine() -> impl Strategy<Value = Vec<Shown>> {
    let gains = prop::collection::vec(prop::collection::vec(0..40_u64, 3), 1..12);
    let flaws = prop::collection::vec(prop::sample::select(vec!["", "", "", "lacks", "slips"]), 12);
    (gains, flaws).prop_map(|(gains, flaws)| {
        let mut counters = [5_000_u64, 7_000, 9_000];
        let last = gains.len() - 1;
        gains
            .iter()
            .enumerate()
            .map(|(place, gained)| {
                counters.iter_mut().zip(gained).for_each(|(counter, gained)| *counter += gained);
                let mut shown: Shown = counters.iter().copied().map(Some).collect();
                // The first is where counting begins, and every flaw has a sound capture behind it.
                if place % 2 == 1 && place < last {
                    match flaws[place] {
                        "lacks" => shown[2] = None,
                        "slips" => shown[1] = shown[1].map(|counter| counter / 10),
                        _ => {}
                    }
                }
                shown
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_changes_nothing(shown in machine(), order in prop::collection::vec(any::<u32>(), 12), at_once in 1..5_usize) {
        let captures: Vec<Capture> = shown.iter().enumerate().map(|(number, shown)| capture(number, shown)).collect();
        let mut arriving: Vec<(u32, Capture)> = order.into_iter().zip(captures.clone()).collect();
        arriving.sort_by_key(|(place, capture)| (*place, capture.dex_id));
        let arriving: Vec<Capture> = arriving.into_iter().map(|(_, capture)| capture).collect();
        let mut database = Database::default();
        for call in arriving.chunks(at_once) {
            database.store(call.to_vec());
        }
        prop_assert_eq!(database.intervals.len(), captures.len() - 1);
        let whole = together(&captures);
        for selection in ["00", "01", "02"] {
            let first = shown[0][selection.parse::<usize>().unwrap()].unwrap();
            let last = shown[shown.len() - 1][selection.parse::<usize>().unwrap()].unwrap();
            prop_assert_eq!(database.total(Some(selection)), last - first, "{}", selection);
            prop_assert_eq!(whole.total(Some(selection)), last - first);
        }
    }

    #[test]
    fn in_order_it_does_not_matter_how_many_come_at_once(shown in machine(), at_once in 1..5_usize) {
        let captures: Vec<Capture> = shown.iter().enumerate().map(|(number, shown)| capture(number, shown)).collect();
        let mut database = Database::default();
        for call in captures.chunks(at_once) {
            database.store(call.to_vec());
        }
        prop_assert_eq!(database.sales(), together(&captures).sales());
    }
}

#[test]
fn what_is_wrong_with_a_capture_is_said_and_it_sells_nothing() {
    let read = |file: &[u8]| {
        let row = Listed {
            dex_id: 1,
            case_serial: "CSA1".into(),
            captured_at: OffsetDateTime::UNIX_EPOCH,
            firmware: None,
        };
        Capture::read(&row, file).flaw
    };
    let sound = file(&[Some(7)]);
    let text = String::from_utf8(sound.clone()).unwrap();
    assert_eq!(read(&sound), None);
    assert_eq!(read(text.replace("PA2*7", "PA2*8").as_bytes()), Some("mismatch"));
    assert_eq!(read(&sound[..sound.len() - 36]), Some("truncated"));
    assert_eq!(read(b"<html>Not found</html>"), Some("no_counters"));
    assert_eq!(read(b""), Some("no_counters"));
}
