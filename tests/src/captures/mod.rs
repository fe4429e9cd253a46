//! Synthetic audit files: machines of several makers whose counters grow from reading to reading.
//! The same machine and reading give the same bytes. No real machine is behind them.

mod dialects;
mod envelope;
mod folder;
mod machine;
mod sales;
mod spoil;

use bytes::Bytes;
use time::OffsetDateTime;

pub use envelope::{Checksum, envelope};
pub use folder::{from_folder, shipped};
pub use machine::{Family, Machine};
pub use spoil::Spoil;

/// A file for a site to serve.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The site's number of it.
    pub dex_id: i64,
    /// The machine's serial.
    pub serial: String,
    /// When it was made, UTC.
    pub created: OffsetDateTime,
    /// Its bytes.
    pub body: Body,
}

/// The bytes of a capture, or how to make them: ten thousand companies fit into memory that way.
#[derive(Clone, Debug)]
pub enum Body {
    /// These.
    Kept(Bytes),
    /// What this machine says at this reading.
    Reading(Machine, u32),
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Kept(bytes.into())
    }
}

impl Capture {
    /// A capture of a synthetic machine.
    #[must_use]
    pub fn of(machine: Machine, reading: u32, dex_id: i64, created: OffsetDateTime) -> Self {
        Self { dex_id, serial: machine.serial(), created, body: Body::Reading(machine, reading) }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        match &self.body {
            Body::Kept(bytes) => bytes.clone(),
            Body::Reading(machine, reading) => machine.read(*reading, self.created).into(),
        }
    }

    /// The same with something gone wrong on the way.
    #[must_use]
    pub fn spoiled(self, spoil: Spoil) -> Self {
        let bytes = spoil.apply(&self.bytes());
        Self { body: bytes.into(), ..self }
    }

    /// The machine's next one: the next reading, or the same bytes once more where there is no
    /// machine to read.
    #[must_use]
    pub fn next(&self, dex_id: i64, created: OffsetDateTime) -> Self {
        let body = match &self.body {
            Body::Kept(bytes) => Body::Kept(bytes.clone()),
            Body::Reading(machine, reading) => Body::Reading(*machine, reading + 1),
        };
        Self { dex_id, created, body, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn report(file: &[u8]) -> eva_dts::Report {
        eva_dts::parse(file)[0].report()
    }

    #[test]
    fn products_add_up_to_the_totals_as_in_real_captures() {
        for family in Family::ALL {
            for number in 0..12 {
                let report = report(&Machine::new(family, number).read(number, AT));
                let sum = |part: fn(&eva_dts::Amount) -> Option<u64>| {
                    let parts = report.products.iter();
                    Some(parts.filter_map(|one| part(&one.vends.since_init)).sum())
                };
                let all = report.totals.vends.since_init;
                assert_eq!(sum(|one| one.count), all.count, "{family:?} {number}");
                assert_eq!(sum(|one| one.value), all.value, "{family:?} {number}");
                let cash = report.totals.cash_sales.since_init.value;
                let card = report.totals.cashless_1_sales.since_init.value;
                assert_eq!(cash.unwrap() + card.unwrap_or(0), all.value.unwrap());
                // The reading tool's own lines are no segments.
                let odd = report.warnings.iter().filter(|one| !one.text.starts_with('<'));
                assert_eq!(odd.count(), 0, "{family:?}: {:?}", report.warnings);
            }
        }
    }

    #[test]
    fn counters_never_fall_from_reading_to_reading() {
        for family in Family::ALL {
            let machine = Machine::new(family, 7);
            let counts: Vec<Vec<_>> = (0..20)
                .map(|reading| {
                    let products = report(&machine.read(reading, AT)).products;
                    products.iter().map(|one| one.vends.since_init.count).collect()
                })
                .collect();
            for (before, after) in counts.iter().zip(&counts[1..]) {
                assert!(before.iter().zip(after).all(|(before, after)| before <= after));
            }
            assert!(counts[0] < counts[19], "{family:?} sells something");
        }
    }

    #[test]
    fn each_family_has_its_own_checksum() {
        let verdict = |family, number| report(&Machine::new(family, number).read(1, AT)).crc.status.name();
        assert_eq!(verdict(Family::Cola, 1), "valid");
        assert_eq!(verdict(Family::Snack, 1), "placeholder");
        assert_eq!(verdict(Family::Coffee, 1), "valid");
        assert_eq!(verdict(Family::Coffee, 2), "valid_no_final_crlf");
        assert_eq!(verdict(Family::Old, 1), "valid_swapped");
    }

    #[test]
    fn spoiled_captures_get_the_verdict_of_their_fault() {
        let capture = Capture::of(Machine::new(Family::Cola, 3), 1, 1, AT);
        let verdict = |spoil| {
            let bytes = capture.clone().spoiled(spoil).bytes();
            let dumps = eva_dts::parse(&bytes);
            (dumps.len(), dumps.last().map(|dump| dump.report().crc.status.name()))
        };
        assert_eq!(verdict(Spoil::LostByte), (1, Some("mismatch")));
        assert_eq!(verdict(Spoil::Truncated), (1, Some("absent")));
        assert_eq!(verdict(Spoil::UnixLines), (1, Some("valid")));
        assert_eq!(verdict(Spoil::NotText), (1, Some("mismatch")));
        assert_eq!(verdict(Spoil::Doubled), (2, Some("valid")));
        assert_eq!(verdict(Spoil::Empty).1.unwrap_or("absent"), "absent");
    }
}
