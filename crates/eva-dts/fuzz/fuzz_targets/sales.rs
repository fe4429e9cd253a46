//! What a machine sold is what its counters gained, whatever wraps, is lost, comes late or twice; and
//! any captures at all, sound or not, give the same result in any order.
#![no_main]

use arbitrary::Arbitrary;
use eva_dts::{Amount, Continuity, Counter, Date, Flaw, Key, Line, Moment, Snapshot, sales};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Input {
    Running(Running),
    Anything(Vec<Capture>),
}

/// A machine that runs on.
#[derive(Arbitrary, Debug)]
struct Running {
    counters: Vec<Counted>,
    /// What becomes of each capture on its way.
    fates: Vec<Fate>,
    order: u64,
}

/// One of its counters: how far from its end it begins, and what it gains.
#[derive(Arbitrary, Debug)]
struct Counted {
    end: u8,
    start: u16,
    gains: [u8; CAPTURES - 1],
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Fate {
    Kept,
    Lost,
    Twice,
    /// Its numbers are garbage and its checksum says so.
    Damaged,
}

const CAPTURES: usize = 9;
const ENDS: [u64; 6] = [1 << 16, 1_000_000, 1 << 24, 100_000_000, 1 << 31, 1 << 32];

impl Counted {
    fn shown(&self, capture: usize) -> u64 {
        let end = ENDS[usize::from(self.end) % ENDS.len()];
        let gained: u64 = self.gains[..capture].iter().copied().map(u64::from).sum();
        // Near enough to its end that some wrap.
        (end - 1 - u64::from(self.start) % 4_000 + gained) % end
    }

    fn gained(&self, captures: std::ops::Range<usize>) -> u64 {
        self.gains[captures].iter().copied().map(u64::from).sum()
    }
}

impl Running {
    fn fate(&self, capture: usize) -> Fate {
        self.fates.get(capture).copied().unwrap_or(Fate::Kept)
    }

    fn snapshot(&self, capture: usize) -> Snapshot {
        let is_damaged = self.fate(capture) == Fate::Damaged;
        let lines = self.counters.iter().enumerate().map(|(number, counter)| {
            let shown = if is_damaged { counter.shown(capture) / 10 } else { counter.shown(capture) };
            let total = Amount { count: Some(shown), value: None };
            Line { selection: Some(number.to_string()), counter: Counter::Vends, total }
        });
        Snapshot {
            key: Key { captured_at: capture as i64 * 300, id: capture as i64 },
            flaw: is_damaged.then_some(Flaw::Mismatch),
            lines: lines.collect(),
            ..Snapshot::default()
        }
    }

    fn check(&self) {
        let mut arrived = Vec::new();
        for capture in 0..CAPTURES {
            let times = match self.fate(capture) {
                Fate::Lost => 0,
                Fate::Twice => 2,
                Fate::Kept | Fate::Damaged => 1,
            };
            arrived.extend((0..times).map(|_| self.snapshot(capture)));
        }
        shuffle(&mut arrived, self.order);
        let sound = |capture: &usize| matches!(self.fate(*capture), Fate::Kept | Fate::Twice);
        let Some(first) = (0..CAPTURES).find(sound) else { return };
        let last = (0..CAPTURES).rfind(sound).unwrap_or(first);
        let sales = sales(&arrived);
        assert_eq!(sales.intervals.len(), (first..=last).filter(sound).count() - 1);
        assert!(sales.intervals.iter().all(|one| one.continuity == Continuity::Continuous));
        for (number, counter) in self.counters.iter().enumerate() {
            let sold = sales.total(Some(&number.to_string()), Counter::Vends).count;
            assert_eq!(sold.unwrap_or(0), counter.gained(first..last), "selection {number}");
        }
    }
}

fn shuffle(captures: &mut [Snapshot], mut state: u64) {
    for place in (1..captures.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        captures.swap(place, (state >> 33) as usize % (place + 1));
    }
}

#[derive(Arbitrary, Debug)]
struct Capture {
    at: u8,
    id: u8,
    flaw: u8,
    serial: Option<u8>,
    initialised: Option<u8>,
    lines: Vec<(Option<u8>, u8, Option<u64>, Option<u64>)>,
}

const COUNTERS: [Counter; 4] = [Counter::Vends, Counter::Cash, Counter::Cashless, Counter::Bills];

fn snapshot(capture: &Capture) -> Snapshot {
    Snapshot {
        key: Key { captured_at: capture.at.into(), id: (capture.id % 16).into() },
        flaw: match capture.flaw % 8 {
            0 => Some(Flaw::Mismatch),
            1 => Some(Flaw::Truncated),
            _ => None,
        },
        serial: capture.serial.map(|serial| format!("{}", serial % 3)),
        initialised_at: capture
            .initialised
            .map(|day| Moment { date: Date { year: 2026, month: 1, day: 1 + day % 3 }, time: None }),
        lines: capture
            .lines
            .iter()
            .map(|(selection, counter, count, value)| Line {
                selection: selection.map(|selection| format!("{}", selection % 4)),
                counter: COUNTERS[usize::from(*counter) % COUNTERS.len()],
                total: Amount { count: *count, value: *value },
            })
            .collect(),
    }
}

fn check_anything(captures: &[Capture]) {
    let forward: Vec<Snapshot> = captures.iter().map(snapshot).collect();
    let backward: Vec<Snapshot> = forward.iter().rev().cloned().collect();
    let twice = [forward.clone(), backward.clone()].concat();
    let result = sales(&forward);
    assert_eq!(result, sales(&backward));
    assert_eq!(result.intervals, sales(&twice).intervals);
    assert!(result.intervals.windows(2).all(|pair| pair[0].to == pair[1].from));
    assert!(result.intervals.iter().all(|one| one.from.captured_at <= one.to.captured_at));
    let kept = forward.iter().filter(|one| one.flaw.is_none()).count();
    assert!(result.intervals.len() <= kept.saturating_sub(1));
    // Between two captures nothing sells more than its counter showed, or a sixteenth of the widest.
    let shown = forward.iter().flat_map(|one| &one.lines);
    let most =
        shown.filter_map(|line| line.total.count.max(line.total.value)).max().unwrap_or(0).max(1 << 28);
    let sold = result.intervals.iter().flat_map(|one| &one.sales).map(|sale| sale.sold);
    assert!(sold.into_iter().all(|sold| sold.count.max(sold.value) <= Some(most)));
    for selection in [None, Some("0")] {
        let _ = result.total(selection, Counter::Vends);
    }
}

fuzz_target!(|input: Input| {
    match input {
        Input::Running(machine) => machine.check(),
        Input::Anything(captures) => check_anything(&captures),
    }
});
