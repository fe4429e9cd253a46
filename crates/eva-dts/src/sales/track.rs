//! A machine's counters through its captures, and what became of them in between.

use std::collections::BTreeMap;

use super::counter::{Fall, Followed, wrapped};
use super::snapshot::{Counter, Key, Snapshot};
use super::{Continuity, Interval, Sale};
use crate::amount::Amount;
use crate::clock::Moment;

/// Where each counter stands, and what the machine last said of itself.
pub(super) struct Tracks<'a> {
    at: Key,
    serial: Option<&'a str>,
    initialised_at: Option<Moment>,
    lines: BTreeMap<(Option<&'a str>, Counter), Track>,
}

/// Count and value of a line.
#[derive(Clone, Copy, Default)]
struct Track {
    count: Option<Followed>,
    value: Option<Followed>,
}

impl Track {
    fn advance(&mut self, new: Amount, fall: Fall) -> Amount {
        Amount {
            count: advance(&mut self.count, new.count, fall),
            value: advance(&mut self.value, new.value, fall),
        }
    }
}

fn advance(followed: &mut Option<Followed>, new: Option<u64>, fall: Fall) -> Option<u64> {
    let new = new?;
    if let Some(followed) = followed {
        return Some(followed.advance(new, fall));
    }
    // A line that was not there before: how much of it is new, nobody knows.
    *followed = Some(Followed::from(new));
    None
}

impl<'a> Tracks<'a> {
    pub(super) fn beginning_with(first: &'a Snapshot) -> Self {
        let mut tracks = Self {
            at: first.key,
            serial: first.serial.as_deref(),
            initialised_at: first.initialised_at,
            lines: BTreeMap::new(),
        };
        tracks.follow(first, Fall::Alone);
        tracks
    }

    /// Goes on to the next sound capture.
    pub(super) fn advance(&mut self, next: &'a Snapshot) -> Interval<'a> {
        let continuity = self.judge(next);
        let from = self.at;
        let sales = match continuity {
            Continuity::Continuous => self.follow(next, Fall::Alone),
            Continuity::Reinitialised => self.follow(next, Fall::ToZero),
            Continuity::RolledBack => self.follow(next, Fall::Back),
            Continuity::BoardChanged => {
                *self = Self::beginning_with(next);
                Vec::new()
            }
        };
        self.at = next.key;
        self.serial = next.serial.as_deref().or(self.serial);
        self.initialised_at = next.initialised_at.or(self.initialised_at);
        Interval { from, to: next.key, continuity, sales }
    }

    fn follow(&mut self, next: &'a Snapshot, fall: Fall) -> Vec<Sale<'a>> {
        let mut sales = Vec::new();
        for line in &next.lines {
            let selection = line.selection.as_deref();
            let track = self.lines.entry((selection, line.counter)).or_default();
            let sold = track.advance(line.total, fall);
            if sold.count.unwrap_or(0) != 0 || sold.value.unwrap_or(0) != 0 {
                sales.push(Sale { selection, counter: line.counter, sold });
            }
        }
        sales
    }

    /// One counter that falls may be a slip of a capture without a checksum. When most of those
    /// fall that stood above zero, it is the machine; EA4 alone proves nothing, since some machines
    /// change it at every power-on.
    fn judge(&self, next: &Snapshot) -> Continuity {
        if let (Some(before), Some(now)) = (self.serial, next.serial.as_deref())
            && before != now
        {
            return Continuity::BoardChanged;
        }
        let (mut ran_on, mut fell, mut fell_by_half) = (0_usize, 0_usize, 0_usize);
        for line in &next.lines {
            let Some(track) = self.lines.get(&(line.selection.as_deref(), line.counter)) else { continue };
            for (old, new) in [(track.count, line.total.count), (track.value, line.total.value)] {
                let (Some(old), Some(new)) = (old.map(Followed::value), new) else { continue };
                if old == 0 {
                    continue;
                }
                let has_run_on = new >= old || wrapped(old, new).is_some();
                ran_on += usize::from(has_run_on);
                fell += usize::from(!has_run_on);
                fell_by_half += usize::from(!has_run_on && new < old / 2);
            }
        }
        let is_initialised_anew =
            self.initialised_at.zip(next.initialised_at).is_some_and(|(before, now)| before != now);
        if fell <= ran_on {
            Continuity::Continuous
        } else if is_initialised_anew || fell_by_half * 2 >= fell {
            Continuity::Reinitialised
        } else {
            Continuity::RolledBack
        }
    }
}
