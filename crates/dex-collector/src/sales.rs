//! What a capture adds to the sales of its machine: the intervals that it makes, or splits when it comes
//! late. `eva_dts::sales` computes them; here is what it has to look at, and what is stored.

use std::collections::BTreeMap;

use eva_dts::{Amount, Continuity, Counter, Date, Key, Line, Moment, Snapshot, Time, order};
use serde::{Deserialize, Serialize};

use crate::capture::Capture;

/// Sound captures to each side of one that bear on its intervals. The second tells a slip of one
/// capture from a counter that was set back, and has the selections that the first lacks.
/// `private.dex_around` has the same number.
const TO_EACH_SIDE: usize = 2;

/// A line of counters: selection (none for the machine as a whole), counter, count, value.
type Row<Name> = (Option<String>, Name, Option<u64>, Option<u64>);

/// The counters of a sound capture as they are stored, `dex_captures.counters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counters {
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initialised_at: Option<Moment>,
    lines: Vec<Row<&'static str>>,
}

/// What `collect_dex_store` is told of a sound capture's sales.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sales {
    /// The captures that were looked at. The database stores nothing when it has others by now.
    around: Vec<i64>,
    counters: Counters,
    /// The intervals that end with the capture or with one that was looked at behind it.
    intervals: Vec<Interval>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Interval {
    from: i64,
    to: i64,
    continuity: &'static str,
    sales: Vec<Row<&'static str>>,
}

/// A stored capture as `collect_dex_around` gives it.
#[derive(Clone, Debug, Deserialize)]
pub struct Neighbour {
    dex_id: i64,
    captured_at: i64,
    counters: StoredCounters,
}

#[derive(Clone, Debug, Deserialize)]
struct StoredCounters {
    serial: Option<String>,
    initialised_at: Option<String>,
    lines: Vec<Row<String>>,
}

/// The captures that are stored around others, by the serial of the machine.
pub type Around = BTreeMap<String, Vec<Neighbour>>;

/// Orders the captures of a call by time and adds their sales, given what is stored around them. Each
/// takes those before it in the call for stored.
pub fn add(captures: &mut [Capture], around: Around) {
    order::sort(captures, |left, right| left.key.cmp(&right.key));
    // By serial.
    let mut machines: Vec<(String, Vec<Snapshot>)> = around
        .into_iter()
        .map(|(serial, stored)| (serial, stored.into_iter().map(Snapshot::from).collect()))
        .collect();
    for capture in captures {
        let Some(snapshot) = capture.snapshot.take() else { continue };
        let place = machines.binary_search_by(|(serial, _)| serial.cmp(&capture.case_serial));
        let place = place.unwrap_or_else(|place| {
            machines.insert(place, (capture.case_serial.clone(), Vec::new()));
            place
        });
        capture.sales = Some(of(snapshot, &mut machines[place].1));
    }
}

/// The sales of a capture among those that are known of its machine, where it takes its place.
fn of(snapshot: Snapshot, known: &mut Vec<Snapshot>) -> Sales {
    let key = snapshot.key;
    let counters = Counters::from(&snapshot);
    let place = known.partition_point(|other| other.key < key);
    known.insert(place, snapshot);
    let from = place.saturating_sub(TO_EACH_SIDE);
    let window = &known[from..known.len().min(place + 1 + TO_EACH_SIDE)];
    let computed = eva_dts::sales(window);
    Sales {
        around: window.iter().map(|other| other.key.id).filter(|id| *id != key.id).collect(),
        counters,
        intervals: computed.intervals.iter().filter(|part| part.to >= key).map(Interval::from).collect(),
    }
}

/// When a capture was made, as collections order them: microseconds, as Postgres has them.
pub fn key(captured_at: time::OffsetDateTime, dex_id: i64) -> Key {
    Key {
        captured_at: captured_at.unix_timestamp() * 1_000_000 + i64::from(captured_at.microsecond()),
        id: dex_id,
    }
}

impl From<&Snapshot> for Counters {
    fn from(snapshot: &Snapshot) -> Self {
        let lines = snapshot.lines.iter();
        Self {
            serial: snapshot.serial.clone(),
            initialised_at: snapshot.initialised_at,
            lines: lines.map(|line| row(line.selection.as_deref(), line.counter, line.total)).collect(),
        }
    }
}

impl From<&eva_dts::Interval<'_>> for Interval {
    fn from(part: &eva_dts::Interval<'_>) -> Self {
        let sales = part.sales.iter();
        Self {
            from: part.from.id,
            to: part.to.id,
            continuity: Continuity::name(part.continuity),
            sales: sales.map(|sale| row(sale.selection, sale.counter, sale.sold)).collect(),
        }
    }
}

fn row(selection: Option<&str>, counter: Counter, amount: Amount) -> Row<&'static str> {
    (selection.map(str::to_owned), counter.name(), amount.count, amount.value)
}

impl From<Neighbour> for Snapshot {
    fn from(stored: Neighbour) -> Self {
        let StoredCounters { serial, initialised_at, lines } = stored.counters;
        Self {
            key: Key { captured_at: stored.captured_at, id: stored.dex_id },
            flaw: None,
            serial,
            initialised_at: initialised_at.as_deref().and_then(moment),
            lines: lines
                .into_iter()
                .filter_map(|(selection, counter, count, value)| {
                    let counter = COUNTERS.into_iter().find(|known| known.name() == counter)?;
                    Some(Line { selection, counter, total: Amount { count, value } })
                })
                .collect(),
        }
    }
}

const COUNTERS: [Counter; 8] = [
    Counter::Vends,
    Counter::Cash,
    Counter::Cashless,
    Counter::Token,
    Counter::Free,
    Counter::Test,
    Counter::CashBox,
    Counter::Bills,
];

/// Reads what a [`Moment`] is written as: `2026-11-21`, `2026-11-21T14:30` or `2026-11-21T14:30:00`.
fn moment(iso: &str) -> Option<Moment> {
    let mut numbers = iso.split(['-', 'T', ':']).map(str::parse::<u16>);
    let mut next = || numbers.next()?.ok();
    let date = Date { year: next()?, month: next()?.try_into().ok()?, day: next()?.try_into().ok()? };
    let mut next = || u8::try_from(next()?).ok();
    let time = next().zip(next()).map(|(hour, minute)| Time { hour, minute, second: next() });
    Some(Moment { date, time })
}
