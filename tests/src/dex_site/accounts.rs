//! Accounts: a login and the captures behind it.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use crate::captures::{Capture, Family, Machine};

/// A customer of the site. Sees its own captures and nobody else's.
#[derive(Clone, Debug)]
pub struct Account {
    /// The login.
    pub email: String,
    /// Its password.
    pub password: String,
    /// What the list shows.
    pub captures: Vec<Capture>,
}

/// The password of every account that is made here.
const PASSWORD: &str = "let me in";

impl Account {
    /// An account with these captures.
    #[must_use]
    pub fn new(email: &str, password: &str, captures: Vec<Capture>) -> Self {
        Self { email: email.to_owned(), password: password.to_owned(), captures }
    }

    /// An account with so many machines, each read so many times, hour by hour until now. Its
    /// captures have numbers that no other account has.
    #[must_use]
    pub fn synthetic(number: u32, machines: u32, readings: u32, now: OffsetDateTime) -> Self {
        let mut captures = Vec::new();
        for index in 0..machines {
            let family = Family::ALL[(number + index) as usize % Family::ALL.len()];
            let machine = Machine::new(family, number * 100 + index);
            for reading in 0..readings {
                let created = now - Duration::hours(i64::from(readings - reading));
                let dex_id = i64::from(number) * 1_000_000 + i64::from(index * 1_000 + reading);
                captures.push(Capture::of(machine, reading, dex_id, created));
            }
        }
        Self::new(&email(number), PASSWORD, captures)
    }

    /// Deals captures out to so many accounts, whole machines at a time.
    #[must_use]
    pub fn dealt(captures: Vec<Capture>, accounts: usize) -> Vec<Self> {
        let mut machines: BTreeMap<String, Vec<Capture>> = BTreeMap::new();
        for capture in captures {
            machines.entry(capture.serial.clone()).or_default().push(capture);
        }
        let mut dealt: Vec<Self> = (1..)
            .take(accounts.max(1))
            .map(|number| Self::new(&email(number), PASSWORD, Vec::new()))
            .collect();
        for (place, captures) in machines.into_values().enumerate() {
            dealt[place % accounts.max(1)].captures.extend(captures);
        }
        dealt
    }

    /// Every machine is read once more. Gives the number of new captures.
    pub(super) fn read_machines(&mut self, now: OffsetDateTime) -> usize {
        let mut newest: BTreeMap<&str, &Capture> = BTreeMap::new();
        for capture in &self.captures {
            let kept = newest.entry(&capture.serial).or_insert(capture);
            if (kept.created, kept.dex_id) < (capture.created, capture.dex_id) {
                *kept = capture;
            }
        }
        let highest = self.captures.iter().map(|capture| capture.dex_id).max();
        let next: Vec<Capture> = (highest.unwrap_or(0) + 1..)
            .zip(newest.into_values())
            .map(|(dex_id, last)| last.next(dex_id, now))
            .collect();
        let count = next.len();
        self.captures.extend(next);
        count
    }

    /// So many more captures of the machine that reported last, a second apart.
    pub(super) fn grow(&mut self, by: u32) {
        for _ in 0..by {
            let newest = self.captures.iter().max_by_key(|capture| (capture.created, capture.dex_id));
            let highest = self.captures.iter().map(|capture| capture.dex_id).max();
            let (Some(newest), Some(highest)) = (newest, highest) else {
                return;
            };
            let next = newest.next(highest + 1, newest.created + Duration::SECOND);
            self.captures.push(next);
        }
    }
}

fn email(number: u32) -> String {
    format!("operator-{number}@example.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_passes_adds_one_reading_a_machine_with_fresh_numbers() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let mut account = Account::synthetic(3, 2, 2, now);
        assert_eq!(account.read_machines(now), 2);
        assert_eq!(account.read_machines(now + Duration::MINUTE), 2);
        let mut ids: Vec<i64> = account.captures.iter().map(|one| one.dex_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 8);
        let machine: Vec<_> =
            account.captures.iter().filter(|one| one.serial == account.captures[0].serial).collect();
        let vends =
            |capture: &Capture| eva_dts::parse(&capture.bytes())[0].report().totals.vends.since_init.value;
        assert!(machine.windows(2).all(|pair| vends(pair[0]) <= vends(pair[1])));
        assert!(vends(machine[0]) < vends(machine[3]));
    }

    #[test]
    fn captures_are_dealt_out_by_whole_machines() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let all = Account::synthetic(1, 5, 3, now).captures;
        let accounts = Account::dealt(all, 2);
        assert_eq!(accounts[0].captures.len(), 9);
        assert_eq!(accounts[1].captures.len(), 6);
        let has = |account: &Account, serial: &str| account.captures.iter().any(|one| one.serial == serial);
        assert!(accounts[0].captures.iter().all(|one| !has(&accounts[1], &one.serial)));
    }
}
