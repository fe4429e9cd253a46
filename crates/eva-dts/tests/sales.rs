//! What was sold between captures: stories first, then what must hold for any machine.

mod support;

use eva_dts::{Amount, Continuity, Counter, Flaw, Key, Line, Sales, Snapshot, parse, sales};
use proptest::prelude::*;
use support::{capture, sealed};

fn key(id: i64) -> Key {
    Key { captured_at: id * 300, id }
}

fn snapshot(id: i64, file: &[u8]) -> Snapshot {
    Snapshot::of(key(id), &parse(file)[0].reading())
}

fn vends(sales: &Sales<'_>) -> Option<u64> {
    sales.total(None, Counter::Vends).count
}

/// A machine with two selections, of which so many were sold for 1.00 each.
fn machine(id: i64, serial: &str, initialised: &str, sold: [u64; 2]) -> Snapshot {
    let all = sold[0] + sold[1];
    let lines = [
        format!("ID1*{serial}*MODEL"),
        format!("VA1*{}*{all}", all * 100),
        format!("EA4*{initialised}*1200"),
        "PA1*1*100".to_owned(),
        format!("PA2*{}*{}", sold[0], sold[0] * 100),
        "PA1*2*100".to_owned(),
        format!("PA2*{}*{}", sold[1], sold[1] * 100),
    ];
    snapshot(id, &capture(&lines.each_ref().map(String::as_str)))
}

fn at(id: i64, sold: [u64; 2]) -> Snapshot {
    machine(id, "SN1", "260101", sold)
}

#[test]
fn the_first_capture_is_where_counting_begins() {
    assert_eq!(sales(&[at(1, [10, 5])]), Sales::default());
}

#[test]
fn sales_are_told_by_selection_and_for_the_machine() {
    let captures = [at(1, [10, 5]), at(2, [13, 5])];
    let sales = sales(&captures);
    let rows: Vec<_> = sales.intervals[0].sales.iter().map(|sale| (sale.selection, sale.sold)).collect();
    let three = Amount { count: Some(3), value: Some(300) };
    assert_eq!(rows, [(None, three), (Some("1"), three)], "nothing is said of what sold nothing");
}

#[test]
fn cash_and_cards_are_told_apart_where_the_file_does() {
    let file = |cash: u64, card: u64| {
        let lines = [
            format!("CA2*{}*{cash}", cash * 100),
            format!("DA2*{}*{card}", card * 100),
            "PA1*7*100".to_owned(),
            format!("PA7*7*CA*0*100*{cash}*{}", cash * 100),
            format!("PA7*7*DA*1*90*{card}*{}", card * 90),
            format!("PA7*7*DA*2*80*{card}*{}", card * 80),
        ];
        capture(&lines.each_ref().map(String::as_str))
    };
    let captures = [snapshot(1, &file(10, 20)), snapshot(2, &file(11, 23))];
    let sales = sales(&captures);
    let count = |selection, counter| sales.total(selection, counter).count;
    assert_eq!((count(None, Counter::Cash), count(None, Counter::Cashless)), (Some(1), Some(3)));
    assert_eq!((count(Some("7"), Counter::Cash), count(Some("7"), Counter::Cashless)), (Some(1), Some(6)));
    assert_eq!(count(Some("7"), Counter::Vends), Some(7), "the sum of PA7, where there is no PA2");
    assert_eq!(sales.total(Some("7"), Counter::Cashless).value, Some(3 * 170));
}

#[test]
fn an_older_capture_that_comes_later_splits_its_interval() {
    let (first, late, last) = (at(1, [10, 5]), at(2, [12, 5]), at(3, [20, 9]));
    let before = [first.clone(), last.clone()];
    let after = [first, last, late];
    let (before, after) = (sales(&before), sales(&after));
    assert_eq!((before.intervals.len(), after.intervals.len()), (1, 2));
    assert_eq!((vends(&before), vends(&after)), (Some(14), Some(14)));
    assert_eq!(after.intervals[0].sales[0].sold.count, Some(2));
}

#[test]
fn the_same_capture_counts_once() {
    let captures = [at(1, [10, 5]), at(2, [12, 5]), at(2, [12, 5]), at(1, [10, 5])];
    let sales = sales(&captures);
    assert_eq!((vends(&sales), sales.intervals.len()), (Some(2), 1));
    assert_eq!(sales.duplicates, [key(1), key(2)]);
}

#[test]
fn a_capture_that_was_downloaded_damaged_gives_way_to_itself_undamaged() {
    let mut damaged = at(2, [999, 5]);
    damaged.flaw = Some(Flaw::Mismatch);
    let captures = [at(1, [10, 5]), damaged, at(2, [12, 5])];
    assert_eq!(vends(&sales(&captures)), Some(2));
}

#[test]
fn a_mismatching_checksum_is_kept_out_and_its_time_is_covered_by_the_next() {
    let lines = ["VA1*999900*9999"];
    let damaged = snapshot(2, &sealed(&lines, |crc| format!("{:04X}", crc ^ 1)));
    let captures = [at(1, [10, 5]), damaged, at(3, [14, 5])];
    let sales = sales(&captures);
    assert_eq!(sales.quarantined, [(key(2), Flaw::Mismatch)]);
    assert_eq!((sales.intervals.len(), vends(&sales)), (1, Some(4)));
    assert_eq!((sales.intervals[0].from, sales.intervals[0].to), (key(1), key(3)));
}

#[test]
fn a_capture_that_was_cut_off_is_kept_out_unless_its_checksum_came() {
    let whole = capture(&["VA1*1500*15"]);
    let upto = |text: &[u8]| {
        let at = whole.windows(text.len()).position(|window| window == text).unwrap();
        snapshot(2, &whole[..at])
    };
    assert_eq!(upto(b"0*15").flaw, Some(Flaw::Truncated));
    assert_eq!(upto(b"SE*").flaw, None);
}

#[test]
fn a_board_with_another_serial_begins_anew() {
    let captures = [
        at(1, [10, 5]),
        machine(2, "SN2", "260101", [7_000, 9_000]),
        machine(3, "SN2", "260101", [7_001, 9_000]),
    ];
    let sales = sales(&captures);
    assert_eq!(sales.intervals[0].continuity, Continuity::BoardChanged);
    assert_eq!(vends(&sales), Some(1));
}

#[test]
fn a_machine_without_a_serial_is_taken_for_the_same() {
    let captures = [at(1, [10, 5]), machine(2, "        ", "260101", [11, 5]), at(3, [12, 5])];
    assert_eq!(vends(&sales(&captures)), Some(2));
}

#[test]
fn counters_that_began_again_count_from_zero() {
    let captures = [at(1, [1_000, 500]), at(2, [3, 1]), at(3, [4, 1])];
    let sales = sales(&captures);
    assert_eq!(sales.intervals[0].continuity, Continuity::Reinitialised);
    assert_eq!(vends(&sales), Some(5));
}

#[test]
fn a_new_date_of_initialisation_alone_is_no_new_beginning() {
    let captures = [at(1, [10, 5]), machine(2, "SN1", "260301", [12, 5])];
    let sales = sales(&captures);
    assert_eq!((sales.intervals[0].continuity, vends(&sales)), (Continuity::Continuous, Some(2)));
}

#[test]
fn a_new_date_tells_a_new_beginning_from_a_restored_memory() {
    let restored = [at(1, [100, 50]), at(2, [99, 49]), at(3, [101, 50])];
    let begun = [at(1, [100, 50]), machine(2, "SN1", "260301", [99, 49])];
    let (restored, begun) = (sales(&restored), sales(&begun));
    assert_eq!((restored.intervals[0].continuity, vends(&restored)), (Continuity::RolledBack, Some(3)));
    assert_eq!((begun.intervals[0].continuity, vends(&begun)), (Continuity::Reinitialised, Some(148)));
}

#[test]
fn a_digit_that_one_capture_lost_is_no_sale() {
    let mut slip = at(2, [12, 5]);
    slip.lines[0].total.count = Some(1);
    let captures = [at(1, [10, 5]), slip, at(3, [13, 5])];
    let sales = sales(&captures);
    assert_eq!(sales.intervals[0].continuity, Continuity::Continuous);
    assert_eq!((vends(&sales), sales.total(None, Counter::Vends).value), (Some(3), Some(300)));
}

#[test]
fn a_selection_that_one_capture_lacks_is_counted_up_to_the_next() {
    let mut gap = at(2, [12, 6]);
    gap.lines.retain(|line| line.selection.as_deref() != Some("2"));
    let captures = [at(1, [10, 5]), gap, at(3, [12, 8])];
    assert_eq!(sales(&captures).total(Some("2"), Counter::Vends).count, Some(3));
}

#[test]
fn a_selection_that_is_new_begins_where_it_stands() {
    let mut before = at(1, [10, 4_711]);
    before.lines.retain(|line| line.selection.as_deref() != Some("2"));
    let captures = [before, at(2, [10, 4_711]), at(3, [10, 4_712])];
    assert_eq!(sales(&captures).total(Some("2"), Counter::Vends).count, Some(1));
}

#[test]
fn a_selection_that_is_listed_twice_counts_once() {
    let once = capture(&["PA1*1*100", "PA2*10*1000"]);
    let twice = capture(&["PA1*1*100", "PA2*11*1100", "PA1*1*100", "PA2*11*1100"]);
    let captures = [snapshot(1, &once), snapshot(2, &twice), snapshot(3, &once)];
    assert_eq!(captures[1].lines.len(), 1);
    assert_eq!(sales(&captures[..2]).total(Some("1"), Counter::Vends).count, Some(1));
}

/// Where counters come round: the standard's eight digits, six of them, registers.
const ENDS: [u64; 5] = [1 << 16, 1_000_000, 1 << 24, 100_000_000, 1 << 32];

#[derive(Clone, Debug)]
struct Counted {
    end: u64,
    start: u64,
    gains: Vec<u64>,
}

/// A machine whose counters run on, each coming round at its own end. Within the whole time none
/// gains more than a sixteenth of its range.
fn running() -> impl Strategy<Value = Vec<Counted>> {
    (2..12_usize).prop_flat_map(|captures| {
        let counter = (prop::sample::select(&ENDS[..]), any::<prop::sample::Index>(), any::<bool>())
            .prop_flat_map(move |(end, start, is_near_its_end)| {
                let range = usize::try_from(end).unwrap();
                let offset = start.index(range / 16);
                let start = if is_near_its_end { range - 1 - offset } else { offset };
                let most = end / 16 / u64::try_from(captures).unwrap();
                prop::collection::vec(prop_oneof![Just(0), 0..most], captures - 1)
                    .prop_map(move |gains| Counted { end, start: u64::try_from(start).unwrap(), gains })
            });
        prop::collection::vec(counter, 1..6)
    })
}

fn snapshots(counters: &[Counted]) -> Vec<Snapshot> {
    let captures = counters[0].gains.len() + 1;
    let shown = |counter: &Counted, capture: usize| {
        (counter.start + counter.gains[..capture].iter().sum::<u64>()) % counter.end
    };
    (0..captures)
        .map(|capture| Snapshot {
            key: key(i64::try_from(capture).unwrap()),
            lines: counters
                .iter()
                .zip(1..)
                .map(|(counter, number)| Line {
                    selection: Some(format!("{number}")),
                    counter: Counter::Vends,
                    total: Amount { count: Some(shown(counter, capture)), value: None },
                })
                .collect(),
            ..Snapshot::default()
        })
        .collect()
}

fn totals(snapshots: &[Snapshot], selections: usize) -> Vec<u64> {
    let sales = sales(snapshots);
    let total = |number: usize| sales.total(Some(&format!("{number}")), Counter::Vends).count.unwrap_or(0);
    (1..=selections).map(total).collect()
}

/// Any captures, sound or not, of any machine, consistent or not.
fn anything() -> impl Strategy<Value = Vec<Snapshot>> {
    let number = || prop_oneof![Just(None), (0..300_u64).prop_map(Some), any::<u64>().prop_map(Some)];
    let amount = (number(), number()).prop_map(|(count, value)| Amount { count, value });
    let counter = prop::sample::select(vec![Counter::Vends, Counter::Cash]);
    let line = (prop::option::of("[12]"), counter, amount).prop_map(|(selection, counter, total)| Line {
        selection,
        counter,
        total,
    });
    let flaw = prop::option::weighted(0.2, prop::sample::select(vec![Flaw::Mismatch, Flaw::Truncated]));
    let one = (0..8_i64, 0..8_i64, flaw, prop::option::of("[AB]"), prop::collection::vec(line, 0..6))
        .prop_map(|(captured_at, id, flaw, serial, lines)| Snapshot {
            key: Key { captured_at, id },
            flaw,
            serial,
            initialised_at: None,
            lines,
        });
    prop::collection::vec(one, 0..10)
}

proptest! {
    #[test]
    fn what_a_running_machine_sold_is_what_its_counters_gained(counters in running()) {
        let gained: Vec<u64> = counters.iter().map(|counter| counter.gains.iter().sum()).collect();
        prop_assert_eq!(totals(&snapshots(&counters), counters.len()), gained);
    }

    #[test]
    fn splitting_an_interval_never_changes_its_total(counters in running(), kept in prop::collection::vec(any::<bool>(), 12)) {
        let all = snapshots(&counters);
        let last = all.len() - 1;
        let some: Vec<Snapshot> = all
            .iter()
            .enumerate()
            .filter(|(place, _)| *place == 0 || *place == last || kept[*place])
            .map(|(_, snapshot)| snapshot.clone())
            .collect();
        prop_assert_eq!(totals(&some, counters.len()), totals(&all, counters.len()));
    }

    #[test]
    fn a_late_capture_changes_its_own_interval_alone(counters in running(), late in any::<prop::sample::Index>()) {
        let all = snapshots(&counters);
        prop_assume!(all.len() > 2);
        let late = 1 + late.index(all.len() - 2);
        let mut without = all.clone();
        without.remove(late);
        let (whole, before) = (sales(&all), sales(&without));
        prop_assert_eq!(&whole.intervals[..late - 1], &before.intervals[..late - 1]);
        prop_assert_eq!(&whole.intervals[late + 1..], &before.intervals[late..]);
        // The two new intervals need the neighbours alone.
        let neighbours = sales(&all[late - 1..=late + 1]);
        prop_assert_eq!(&whole.intervals[late - 1..=late], &neighbours.intervals[..]);
    }

    #[test]
    fn the_order_of_arrival_never_changes_the_result(captures in anything(), seed in any::<u64>()) {
        let mut shuffled = captures.clone();
        // A shuffle that proptest can shrink.
        let mut state = seed;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(place, usize::try_from(state >> 33).unwrap() % (place + 1));
        }
        prop_assert_eq!(sales(&captures), sales(&shuffled));
    }

    #[test]
    fn arriving_twice_changes_nothing(counters in running()) {
        let once = snapshots(&counters);
        let twice = [once.clone(), once.clone()].concat();
        prop_assert_eq!(sales(&twice).intervals, sales(&once).intervals);
    }

    #[test]
    fn no_machine_sells_more_than_its_counters_ever_showed(captures in anything()) {
        let sales = sales(&captures);
        for interval in &sales.intervals {
            for sale in &interval.sales {
                let shown = captures
                    .iter()
                    .flat_map(|capture| &capture.lines)
                    .filter(|line| line.counter == sale.counter && line.selection.as_deref() == sale.selection);
                let most = |part: fn(&Amount) -> Option<u64>| shown.clone().filter_map(|line| part(&line.total)).max();
                // One that came round gained up to a sixteenth of the largest register.
                let bound = |most: Option<u64>| most.unwrap_or(0).max((1 << 32) / 16);
                prop_assert!(sale.sold.count.unwrap_or(0) <= bound(most(|total| total.count)));
                prop_assert!(sale.sold.value.unwrap_or(0) <= bound(most(|total| total.value)));
            }
        }
    }
}
