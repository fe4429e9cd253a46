//! Accounts: a login and the captures behind it.

use time::OffsetDateTime;

use crate::captures::{Capture, Family, Machine};

/// A customer of the site.
#[derive(Clone, Debug)]
pub struct Account {
    /// The login.
    pub email: String,
    /// Its password.
    pub password: String,
    /// What the list shows.
    pub captures: Vec<Capture>,
}

impl Account {
    /// An account with these captures.
    #[must_use]
    pub fn new(email: &str, password: &str, captures: Vec<Capture>) -> Self {
        Self { email: email.to_owned(), password: password.to_owned(), captures }
    }

    /// An account with so many machines, each read so many times, the last time just now.
    #[must_use]
    pub fn synthetic(number: u32, machines: u32, readings: u32, now: OffsetDateTime) -> Self {
        let families = [Family::Cola, Family::Snack, Family::Coffee, Family::Old];
        let mut captures = Vec::new();
        for machine_number in 0..machines {
            let machine =
                Machine::new(families[(number + machine_number) as usize % 4], number * 100 + machine_number);
            for reading in 0..readings {
                let created = now - time::Duration::hours(i64::from(readings - reading));
                captures.push(Capture {
                    dex_id: i64::from(number) * 1_000_000 + i64::from(machine_number * 1_000 + reading),
                    serial: machine.serial(),
                    created,
                    body: machine.read(reading, created),
                });
            }
        }
        Self::new(&format!("operator-{number}@example.com"), "let me in", captures)
    }
}
