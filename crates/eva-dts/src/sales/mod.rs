//! What was sold between captures: differences of the counters that run since initialisation.
//!
//! A machine's captures go in, in whatever order they came; intervals come out. Interval counters
//! ("since reset") play no part: anybody who reads a machine may reset them.
//!
//! - **Nothing is invented.** A first capture, a line that is new and a board that was swapped in
//!   are where counting begins, not sales.
//! - **Nothing is lost that can be known.** A line that one capture lacks is counted up to the next
//!   that has it. A capture that arrives late splits its interval; the total stays what it was.
//! - **Nothing unsound counts.** A capture whose checksum does not match, or that was cut off, is
//!   named and left out; the next sound one covers its time.

mod counter;
mod snapshot;
mod track;

pub use snapshot::{Counter, Flaw, Key, Line, Snapshot};

use crate::amount::Amount;
use crate::order;
use track::Tracks;

/// What a machine sold, interval by interval. Borrows the snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sales<'a> {
    /// One from each sound capture to the next.
    pub intervals: Vec<Interval<'a>>,
    /// Captures that do not count, and why.
    pub quarantined: Vec<(Key, Flaw)>,
    /// Captures that came again under the same number.
    pub duplicates: Vec<Key>,
}

/// The time between two captures of a machine that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval<'a> {
    /// The older capture.
    pub from: Key,
    /// The newer one.
    pub to: Key,
    /// What became of the counters meanwhile.
    pub continuity: Continuity,
    /// What was sold, by selection and counter; lines that sold nothing are left out.
    pub sales: Vec<Sale<'a>>,
}

/// What one counter gained in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale<'a> {
    /// The selection; `None` for the machine as a whole.
    pub selection: Option<&'a str>,
    /// Which counter.
    pub counter: Counter,
    /// How many, and for how much. `None` where the file has no such number.
    pub sold: Amount,
}

/// Whether counters ran on between two captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Continuity {
    /// They ran on; some may have wrapped.
    Continuous,
    /// They began again at zero: what they show was sold since. What was sold before, after the older
    /// capture, is lost.
    Reinitialised,
    /// They fell by less than half and EA4 is as it was: a memory from before was restored. Counting
    /// begins there.
    RolledBack,
    /// Another serial number (ID101): the counters of another board. Counting begins there.
    BoardChanged,
}

impl Continuity {
    /// The name in snake case, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Continuity::Continuous => "continuous",
            Continuity::Reinitialised => "reinitialised",
            Continuity::RolledBack => "rolled_back",
            Continuity::BoardChanged => "board_changed",
        }
    }
}

/// What a machine sold between its captures, given in any order.
///
/// Over a window of a machine's captures the result is that part of the result over all of them, as
/// long as each line of the window is in its first capture. So a capture that arrives, late or not,
/// needs only its sound neighbours: `sales(&[before, it, after])` gives the intervals that replace
/// the one from `before` to `after`.
///
/// ```
/// use eva_dts::{Counter, Key, Snapshot, parse, sales};
///
/// let capture = |vends: u32| format!("DXS*ABC1234567*VA*V0/6*1\r\nST*001*0001\r\nVA1*{}*{vends}\r\nSE*3*0001\r\nDXE*1*1\r\n", vends * 250);
/// let snapshot = |hour, vends| {
///     let file = capture(vends);
///     Snapshot::of(Key { captured_at: hour * 3_600, id: hour }, &parse(file.as_bytes())[0].reading())
/// };
/// let monday = [snapshot(8, 100), snapshot(18, 160)];
/// let late = [monday[1].clone(), snapshot(12, 130), monday[0].clone()];
///
/// assert_eq!(sales(&monday).total(None, Counter::Vends).value, Some(15_000));
/// assert_eq!(sales(&late).total(None, Counter::Vends).value, Some(15_000));
/// assert_eq!(sales(&late).intervals.len(), 2);
/// ```
pub fn sales(snapshots: &[Snapshot]) -> Sales<'_> {
    let mut sales = Sales::default();
    let mut tracks = None;
    for snapshot in in_order(snapshots, &mut sales.duplicates) {
        if let Some(flaw) = snapshot.flaw {
            sales.quarantined.push((snapshot.key, flaw));
            continue;
        }
        match &mut tracks {
            None => tracks = Some(Tracks::beginning_with(snapshot)),
            Some(tracks) => sales.intervals.push(tracks.advance(snapshot)),
        }
    }
    sales
}

/// By capture time, each number once: the soundest of those that came more than once.
fn in_order<'a>(snapshots: &'a [Snapshot], duplicates: &mut Vec<Key>) -> Vec<&'a Snapshot> {
    let mut order: Vec<&Snapshot> = snapshots.iter().collect();
    // By content in the end, so that the order of arrival decides nothing.
    order::sort(&mut order, |left: &&Snapshot, right| {
        let key = |one: &Snapshot| (one.key.id, one.flaw);
        key(left).cmp(&key(right)).then_with(|| left.cmp(right))
    });
    order.dedup_by(|again, first| {
        let is_again = again.key.id == first.key.id;
        if is_again {
            duplicates.push(again.key);
        }
        is_again
    });
    order::sort(&mut order, |left, right| left.key.cmp(&right.key));
    order
}

impl Sales<'_> {
    /// What one counter gained over all intervals.
    pub fn total(&self, selection: Option<&str>, counter: Counter) -> Amount {
        let rows = self.intervals.iter().flat_map(|interval| &interval.sales);
        let rows = rows.filter(|sale| sale.selection == selection && sale.counter == counter);
        rows.fold(Amount::default(), |total, sale| total.plus(sale.sold))
    }
}

impl Amount {
    /// Both together; what neither knows is unknown.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { count: plus(self.count, other.count), value: plus(self.value, other.value) }
    }
}

fn plus(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.saturating_add(right)),
        (one, other) => one.or(other),
    }
}
