//! Whether two captures can be compared, and what was sold between them.

use eva_dts::{Continuity, CrcStatus, Currency, Dump, Flaw, Key, Moment, Reading, Snapshot, sales};
use serde::Serialize;

use super::changes::{self, Cash, Events, Price};
use super::sold::{self, Selection, Total};
use crate::commands::dex::verdict;

/// A capture and where it was read.
pub(super) struct Capture<'a> {
    file: String,
    /// How many the file has; this one is the last.
    captures: usize,
    /// None where nothing of a capture is in the file.
    reading: Option<Reading<'a>>,
}

impl<'a> Capture<'a> {
    pub(super) fn last(file: String, dumps: &[Dump<'a>]) -> Self {
        let captures: Vec<&Dump<'a>> = dumps.iter().filter(|dump| verdict::is_dex(dump)).collect();
        let reading = captures.last().map(|dump| dump.reading());
        Self { file, captures: captures.len(), reading }
    }

    fn side(&self) -> Side {
        let reading = self.reading.as_ref();
        Side {
            file: self.file.clone(),
            captures: self.captures,
            serial: reading.and_then(|reading| Some(reading.identity.serial.as_ref()?.to_string())),
            clock: reading.and_then(|reading| clocks(reading).into_iter().flatten().next()),
            crc: reading.map_or(CrcStatus::Absent, |reading| reading.crc.status),
        }
    }
}

/// The clocks of a machine, which may differ: one is compared with the same one only.
fn clocks(reading: &Reading<'_>) -> [Option<Moment>; 3] {
    [reading.identity.clock, reading.reads.this_read, reading.vendor_clock]
}

/// What is told of both.
#[derive(Default, Serialize)]
pub(super) struct Comparison {
    pub(super) old: Side,
    pub(super) new: Side,
    pub(super) comparable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    /// The reason, or what should be known of the result, in sentences.
    pub(super) notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) continuity: Option<&'static str>,
    /// How many counters came round from their highest number to zero.
    pub(super) wrapped: usize,
    pub(super) decimals: u8,
    pub(super) currency: Option<String>,
    /// By counter, for the machine as a whole.
    pub(super) totals: Vec<Total>,
    pub(super) selections: Vec<Selection>,
    pub(super) prices: Vec<Price>,
    /// Selections that the older capture does not have.
    pub(super) added: Vec<String>,
    /// Selections that the newer capture does not have.
    pub(super) removed: Vec<String>,
    pub(super) events: Events,
    pub(super) cash: Cash,
}

#[derive(Default, Serialize)]
pub(super) struct Side {
    pub(super) file: String,
    pub(super) captures: usize,
    pub(super) serial: Option<String>,
    pub(super) clock: Option<Moment>,
    pub(super) crc: CrcStatus,
}

/// Why two captures cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    NotDex,
    Mismatch,
    Truncated,
    OtherMachine,
    WrongOrder,
    DecimalsChanged,
}

pub(super) fn compare(old: &Capture<'_>, new: &Capture<'_>) -> Comparison {
    let mut comparison = Comparison { old: old.side(), new: new.side(), ..Comparison::default() };
    match check(old, new) {
        Ok(readings) => {
            comparison.comparable = true;
            fill(&mut comparison, readings);
        }
        Err((reason, note)) => {
            comparison.reason = Some(reason);
            comparison.notes.push(note);
        }
    }
    comparison
}

type Pair<'a> = (&'a Reading<'a>, &'a Reading<'a>);

/// What forbids to compare, said plainly.
fn check<'a>(old: &'a Capture<'a>, new: &'a Capture<'a>) -> Result<Pair<'a>, (Reason, String)> {
    let readings = [old, new].map(|capture| {
        let not_dex = || (Reason::NotDex, format!("{} is not a DEX file.", capture.file));
        capture.reading.as_ref().ok_or_else(not_dex)
    });
    let [Ok(before), Ok(after)] = readings else {
        return Err(readings.into_iter().find_map(Result::err).unwrap_or((Reason::NotDex, String::new())));
    };
    let (first, second) = snapshots(before, after);
    for (capture, flaw) in [(old, first.flaw), (new, second.flaw)] {
        let name = &capture.file;
        match flaw {
            Some(Flaw::Mismatch) => {
                let note =
                    format!("The checksum of {name} does not match: none of its numbers can be relied on.");
                return Err((Reason::Mismatch, note));
            }
            Some(Flaw::Truncated) => {
                return Err((Reason::Truncated, format!("{name} was cut off: its end is missing.")));
            }
            None => {}
        }
    }
    if let (Some(one), Some(other)) = (&first.serial, &second.serial)
        && one != other
    {
        let note = format!(
            "The serial numbers differ, {one} and {other}: this is another machine, or its board was changed. \
             Nothing can be counted between them."
        );
        return Err((Reason::OtherMachine, note));
    }
    if before.currency.decimals != after.currency.decimals {
        let decimals = |reading: &Reading<'_>| reading.currency.decimals;
        let note = format!(
            "Amounts had {} decimals and have {}: they cannot be subtracted.",
            decimals(before),
            decimals(after)
        );
        return Err((Reason::DecimalsChanged, note));
    }
    if is_wrong_order(before, after) {
        let note = format!(
            "{} is the older one of the two: the counters are lower there. Give the older capture first.",
            new.file
        );
        return Err((Reason::WrongOrder, note));
    }
    Ok((before, after))
}

fn snapshots(before: &Reading<'_>, after: &Reading<'_>) -> (Snapshot, Snapshot) {
    // When they were captured nobody knows here; the order is what the user says.
    let key = |id| Key { captured_at: id, id };
    (Snapshot::of(key(1), before), Snapshot::of(key(2), after))
}

fn continuity(before: &Reading<'_>, after: &Reading<'_>) -> Continuity {
    let (before, after) = snapshots(before, after);
    let pair = [before, after];
    sales(&pair).intervals.first().map_or(Continuity::Continuous, |interval| interval.continuity)
}

/// Counters fell, and would run on the other way round. That may be a machine that began again; then
/// its clock went on, or it began at zero. A memory that was set back is rarer than a slip of the hand.
fn is_wrong_order(before: &Reading<'_>, after: &Reading<'_>) -> bool {
    let forward = continuity(before, after);
    if forward == Continuity::Continuous || continuity(after, before) != Continuity::Continuous {
        return false;
    }
    match clock_order(before, after) {
        Some(order) => order.is_gt(),
        None => forward == Continuity::RolledBack,
    }
}

/// By the first of the machine's clocks that both captures have and that went.
fn clock_order(before: &Reading<'_>, after: &Reading<'_>) -> Option<std::cmp::Ordering> {
    let pairs = clocks(before).into_iter().zip(clocks(after));
    pairs.filter_map(|(before, after)| Some(before?.cmp(&after?))).find(|order| order.is_ne())
}

fn fill(comparison: &mut Comparison, (before, after): Pair<'_>) {
    let pair: [Snapshot; 2] = snapshots(before, after).into();
    let sales = sales(&pair);
    let Some(interval) = sales.intervals.first() else { return };
    comparison.continuity = Some(interval.continuity.name());
    comparison.wrapped = sold::wrapped(&pair, interval);
    comparison.decimals = after.currency.decimals;
    comparison.currency = alpha(&after.currency).or_else(|| alpha(&before.currency));
    (comparison.totals, comparison.selections) = sold::sold(interval, before, after);
    comparison.prices = changes::prices(before, after);
    comparison.added = changes::missing(after, before);
    comparison.removed = changes::missing(before, after);
    comparison.events = changes::events(before, after);
    comparison.cash = changes::cash(before, after, interval.continuity);
    comparison.notes = notes(before, after, interval.continuity);
}

fn alpha(currency: &Currency<'_>) -> Option<String> {
    currency.iso_alpha().map(str::to_owned)
}

fn notes(before: &Reading<'_>, after: &Reading<'_>, continuity: Continuity) -> Vec<String> {
    let mut notes = Vec::new();
    if continuity == Continuity::Continuous
        && clock_order(before, after).is_some_and(std::cmp::Ordering::is_gt)
    {
        notes.push("The machine's clock went back, though its counters ran on.".to_owned());
    }
    if continuity == Continuity::Reinitialised && clock_order(before, after).is_none() {
        notes.push(
            "If the machine did not begin again, the captures are in the wrong order: no clock tells."
                .to_owned(),
        );
    }
    let (one, other) = (&before.identity.communication_id, &after.identity.communication_id);
    if let (Some(one), Some(other)) = (one, other)
        && one != other
    {
        notes.push(format!("The communication identifier changed from {one} to {other}."));
    }
    notes
}
