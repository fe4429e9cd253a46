//! What is written is what is read: a machine is made up, written down with its lines in any order
//! of groups, with noise between them and any line ends, and must come back number by number.
#![no_main]

use arbitrary::Arbitrary;
use eva_dts::{Amount, Both, CrcStatus, Reading, crc16, parse};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Machine {
    vends: Counters,
    cash: Counters,
    cashless: Counters,
    tubes: Vec<(u8, u16, Option<u16>)>,
    products: Vec<Product>,
    events: Vec<(u8, u16, u16, bool)>,
    noise: Vec<(u8, Noise)>,
    order: u64,
    line_end: u8,
    is_wrapped: bool,
    preamble: u8,
}

/// Count and value since initialisation, since reset; `None` is an empty element.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Counters([Option<u32>; 4]);

#[derive(Arbitrary, Debug)]
struct Product {
    price: Option<u16>,
    vends: Counters,
    tests: Option<Counters>,
    payments: Vec<(bool, u8, Counters)>,
    /// Its payments stand at the end of the file, not behind it.
    is_paid_elsewhere: bool,
    padding: u8,
}

#[derive(Arbitrary, Debug)]
enum Noise {
    Unknown(u8, Vec<u8>),
    Vendor(Vec<u8>),
    Broken(Vec<u8>),
}

const LINE_ENDS: [&str; 4] = ["\r\n", "\n", "\r", "\r\r\n"];
const EVENTS: [&str; 4] = ["EGS", "EAR", "OCF", "ENF"];

impl Counters {
    fn both(self) -> Both<Amount> {
        // 4294967295 is how controllers write "never set".
        let [count, value, reset_count, reset_value] =
            self.0.map(|number| number.filter(|number| *number != u32::MAX).map(u64::from));
        Both {
            since_init: Amount { count, value },
            since_reset: Amount { count: reset_count, value: reset_value },
        }
    }

    fn count_first(self, padding: u8) -> String {
        self.0.map(|number| element(number, padding)).join("*")
    }

    fn value_first(self) -> String {
        let [count, value, reset_count, reset_value] = self.0.map(|number| element(number, 0));
        format!("{value}*{count}*{reset_value}*{reset_count}")
    }
}

/// A number as machines write it: plain, with zeros in front, with blanks around.
fn element(number: Option<u32>, padding: u8) -> String {
    match (number, padding % 4) {
        (None, _) => String::new(),
        (Some(number), 1) => format!("{number:08}"),
        (Some(number), 2) => format!("{number:>8}"),
        (Some(number), 3) => format!("{number:<8} "),
        (Some(number), _) => number.to_string(),
    }
}

/// Text that ends nothing: no star, and nothing that begins a head or a wrapper.
fn harmless(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(b' ' + byte % 95)).filter(|char| !"*<>X".contains(*char)).collect()
}

impl Product {
    fn payment(selection: usize, (is_cash, list, vends): &(bool, u8, Counters)) -> String {
        let device = if *is_cash { "CA" } else { "DA" };
        format!("PA7*{selection:03}*{device}*{list}*100*{}", vends.count_first(0))
    }

    fn lines(&self, selection: usize) -> Vec<String> {
        let price = element(self.price.map(u32::from), self.padding);
        let mut lines = vec![
            format!("PA1*{selection:03}*{price}"),
            format!("PA2*{}", self.vends.count_first(self.padding)),
        ];
        lines.extend(self.tests.map(|tests| format!("PA3*{}", tests.count_first(0))));
        if !self.is_paid_elsewhere {
            lines.extend(self.payments.iter().map(|payment| Self::payment(selection, payment)));
        }
        lines
    }
}

impl Machine {
    /// Its lines in groups that may stand in any order.
    fn groups(&self) -> Vec<Vec<String>> {
        let mut groups = vec![
            vec!["ID1*SN1*MODEL".to_owned()],
            vec!["ID4*2*1978*EUR".to_owned()],
            vec![format!("VA1*{}", self.vends.value_first())],
            vec![format!("CA2*{}", self.cash.value_first())],
            vec![format!("DA2*{}", self.cashless.value_first())],
        ];
        for (coin, value, coins) in &self.tubes {
            groups.push(vec![format!("CA17*{coin:02}*{value}*{}", element(coins.map(u32::from), 0))]);
        }
        for (code, reset, init, is_active) in &self.events {
            let code = EVENTS[usize::from(*code) % EVENTS.len()];
            groups.push(vec![format!("EA2*{code}*{reset}*{init}**{}", u8::from(*is_active))]);
        }
        for (number, product) in self.products.iter().enumerate() {
            groups.push(product.lines(number));
            if product.is_paid_elsewhere {
                groups.extend(product.payments.iter().map(|one| vec![Product::payment(number, one)]));
            }
        }
        groups
    }

    fn lines(&self) -> Vec<String> {
        let mut groups = self.groups();
        let mut state = self.order;
        for place in (1..groups.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            groups.swap(place, (state >> 33) as usize % (place + 1));
        }
        let mut lines: Vec<String> = groups.into_iter().flatten().collect();
        for (place, noise) in &self.noise {
            let line = match noise {
                Noise::Unknown(id, text) => {
                    format!("Z{}{}*{}", (b'A' + id % 26) as char, id % 10, harmless(text))
                }
                Noise::Vendor(text) => format!("MA5*{}", harmless(text).replace('*', "")),
                Noise::Broken(text) => format!("#{}*1", harmless(text)),
            };
            lines.insert(usize::from(*place) % (lines.len() + 1), line);
        }
        lines
    }

    fn file(&self, lines: &[String], end: &str) -> String {
        let body: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let crc = crc16(format!("ST*001*0001\r\n{body}").as_bytes());
        let mut file = "MC5*READER*1\r\n".repeat(usize::from(self.preamble % 3));
        file.push_str(if self.is_wrapped { "<000|daa|1>" } else { "" });
        file.push_str("DXS*TST0000001*VA*V0/6*1\r\nST*001*0001\r\n");
        file.push_str(&body);
        file.push_str(&format!("G85*{crc:04X}\r\nSE*{}*0001\r\nDXE*1*1\r\n", lines.len() + 3));
        file.push_str(if self.is_wrapped { "<AAAA|BBBB>\r\n" } else { "" });
        file.replace("\r\n", end)
    }

    /// Compares what was read with what was written.
    fn check(&self, reading: &Reading<'_>) {
        assert_eq!(reading.crc.status, CrcStatus::Valid);
        assert!(!reading.is_truncated);
        assert_eq!(reading.identity.serial.as_deref(), Some("SN1"));
        let totals = &reading.totals;
        let written = [self.vends, self.cash, self.cashless].map(Counters::both);
        assert_eq!([totals.vends, totals.cash_sales, totals.cashless_1_sales], written);
        assert_eq!(reading.coin_tubes.len(), self.tubes.len());
        let coins: u64 = self.tubes.iter().filter_map(|tube| tube.2).map(u64::from).sum();
        assert_eq!(reading.coin_tubes.iter().filter_map(|tube| tube.coins).sum::<u64>(), coins);
        assert_eq!(reading.events.len(), self.events.len());
        assert_eq!(reading.products.len(), self.products.len());
        for read in &reading.products {
            let written = &self.products[read.selection.parse::<usize>().unwrap()];
            assert_eq!(read.price, written.price.map(u64::from));
            assert_eq!(read.vends, written.vends.both());
            assert_eq!(read.test_vends, written.tests.map(Counters::both).unwrap_or_default());
            let payments = |sum: fn(&Amount) -> Option<u64>| -> (u64, u64) {
                let read = read.payments.iter().filter_map(|one| sum(&one.vends.since_init)).sum();
                let written = written.payments.iter().filter_map(|one| sum(&one.2.both().since_init)).sum();
                (read, written)
            };
            for (read, written) in [payments(|one| one.count), payments(|one| one.value)] {
                assert_eq!(read, written);
            }
            assert_eq!(read.payments.len(), written.payments.len());
        }
    }
}

fuzz_target!(|machine: Machine| {
    let lines = machine.lines();
    let end = LINE_ENDS[usize::from(machine.line_end) % LINE_ENDS.len()];
    let file = machine.file(&lines, end);
    let dumps = parse(file.as_bytes());
    assert_eq!(dumps.len(), 1);
    let reading = dumps[0].reading();
    machine.check(&reading);

    // Whatever ends its lines, it is the same machine; the warnings' lines differ.
    let other = machine.file(&lines, "\r\n");
    let other = parse(other.as_bytes())[0].report();
    assert_eq!((reading.totals, reading.products), (other.totals, other.products));
    assert_eq!((reading.events, reading.errors), (other.events, other.errors));
    assert_eq!(reading.temperatures, other.temperatures);
});
