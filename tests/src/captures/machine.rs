//! Machines and their readings.

use time::OffsetDateTime;

use super::envelope;

/// How a machine writes its audits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A drinks machine with the maker's own MA5 segments, coin tubes and door events.
    Cola,
    /// A snack machine whose controller never computes its checksum, with cashless sales.
    Snack,
    /// A coffee machine whose files a tool wraps, with sales by price list.
    Coffee,
    /// Equipment from before version 6, which swaps the checksum's bytes.
    Old,
}

/// A machine; its number decides everything about it.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    family: Family,
    number: u32,
}

/// A selection's counters at one reading.
struct Selection {
    name: String,
    price: u32,
    vends: u32,
    cashless: u32,
    since_reset: u32,
}

impl Machine {
    /// The machine of this family and number.
    #[must_use]
    pub fn new(family: Family, number: u32) -> Self {
        Self { family, number }
    }

    /// Its serial.
    #[must_use]
    pub fn serial(self) -> String {
        let letters = match self.family {
            Family::Cola => "SIM10",
            Family::Snack => "SIM20",
            Family::Coffee => "SIM30",
            Family::Old => "0040",
        };
        format!("{letters}{:05}", self.number)
    }

    /// Its audit file at one reading; counters grow with the reading's number.
    #[must_use]
    pub fn read(self, reading: u32, at: OffsetDateTime) -> Vec<u8> {
        let selections = self.selections(reading);
        let mut segments = self.identity(at);
        segments.extend(totals(&selections));
        for selection in &selections {
            segments.extend(self.product(selection));
        }
        segments.extend(self.rest(reading, at));
        match self.family {
            Family::Cola => envelope("SIM0000010", "V0/6", &segments),
            Family::Snack => placeholder(&envelope("SIM0000020", "V0/6", &segments)),
            Family::Coffee => wrapped(&envelope("SIM0000030", "V0/6", &segments)),
            Family::Old => envelope("SIM0000040", "V1/1", &segments),
        }
    }

    fn selections(self, reading: u32) -> Vec<Selection> {
        (0..8 + self.number % 5)
            .map(|index| {
                // Some sell well, some hardly; nothing here is meant to look random.
                let pace = 1 + (self.number * 7 + index * 3) % 6;
                let before = 40 + self.number * 11 + index * 5;
                Selection {
                    name: if self.family == Family::Old {
                        format!("{:02}", index + 1)
                    } else {
                        format!("{}", 10 + index)
                    },
                    price: 100 + 25 * (index % 6),
                    vends: before + pace * reading,
                    cashless: if self.family == Family::Old { 0 } else { (before + pace * reading) / 3 },
                    since_reset: pace,
                }
            })
            .collect()
    }

    fn identity(self, at: OffsetDateTime) -> Vec<String> {
        let serial = self.serial();
        let (date, time) = clock(at);
        let currency = if self.family == Family::Old { "ID4*2*0039*EUR" } else { "ID4*2*1978*EUR" };
        vec![
            format!(
                "ID1*{serial}*MODEL-{:?}*0100*HALL {}**A{:04}*6*1",
                self.family, self.number, self.number
            ),
            currency.to_owned(),
            format!("ID5*{date}*{time}"),
            format!("CB1*CB{:06}*BOARD*0212", self.number),
        ]
    }

    fn product(self, selection: &Selection) -> Vec<String> {
        let Selection { name, price, vends, cashless, since_reset } = selection;
        let mut lines = vec![
            format!("PA1*{name}*{price}*DRINK ^2A^{name}*12"),
            format!("PA2*{vends}*{}*{since_reset}*{}", vends * price, since_reset * price),
        ];
        if self.family == Family::Coffee {
            let cash = vends - cashless;
            lines.push(format!(
                "PA7*{name}*CA*0*{price}*{cash}*{}*{since_reset}*{}",
                cash * price,
                since_reset * price
            ));
            lines.push(format!("PA7*{name}*DA*1*{price}*{cashless}*{}*0*0", cashless * price));
        }
        lines
    }

    fn rest(self, reading: u32, at: OffsetDateTime) -> Vec<String> {
        let (date, time) = clock(at);
        let fault = u32::from(self.number % 4 == 1 && reading == 2);
        let mut lines = vec![
            "CA15*4250".to_owned(),
            format!("CA17*00*10*{}*0*0*0", 20 + self.number),
            format!("CA17*01*50*{}*0*0*0", 15 + reading),
            format!("EA2*EGS*{}*{}**0", reading % 2, 12 + reading),
            format!("EA2*EJB*{fault}*{fault}**{fault}"),
            format!("EA3*{}*{date}*{time}*SIM***{}*{}", 30 + reading, 30 + reading, 30 + reading),
        ];
        if self.family == Family::Cola {
            lines.push("MA5*TEMP*45*C*DC".to_owned());
            lines.push(format!("MA5*TIME*1*{date}*{time}*0"));
        }
        lines
    }
}

/// VA1, CA2, DA2 and CA3 as the sums of the selections.
fn totals(selections: &[Selection]) -> Vec<String> {
    let sum = |part: fn(&Selection) -> u32| -> u32 { selections.iter().map(part).sum() };
    let vends = (sum(|one| one.vends * one.price), sum(|one| one.vends));
    let reset = (sum(|one| one.since_reset * one.price), sum(|one| one.since_reset));
    let cashless = (sum(|one| one.cashless * one.price), sum(|one| one.cashless));
    let cash = (vends.0 - cashless.0, vends.1 - cashless.1);
    vec![
        format!("VA1*{}*{}*{}*{}", vends.0, vends.1, reset.0, reset.1),
        format!("CA2*{}*{}*{}*{}", cash.0, cash.1, reset.0, reset.1),
        format!("DA2*{}*{}*0*0", cashless.0, cashless.1),
        format!(
            "CA3*{0}*{1}*{2}*0*{3}*{4}*{5}*0",
            reset.0,
            reset.0 / 2,
            reset.0 / 2,
            cash.0,
            cash.0 / 2,
            cash.0 / 2
        ),
        "CA4*0*0*0*0".to_owned(),
    ]
}

fn clock(at: OffsetDateTime) -> (String, String) {
    let date = format!("{:02}{:02}{:02}", at.year() % 100, u8::from(at.month()), at.day());
    (date, format!("{:02}{:02}", at.hour(), at.minute()))
}

/// Writes the constant that stands for "not computed".
fn placeholder(file: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(file);
    let at = text.find("G85*").unwrap_or(text.len() - 4) + 4;
    format!("{}2321{}", &text[..at], &text[at + 4..]).into_bytes()
}

/// What a reading tool puts around a file.
fn wrapped(file: &[u8]) -> Vec<u8> {
    [b"<000|Operations|SIM Reader|20260101|090000|daa|00001>".as_slice(), file].concat()
}
