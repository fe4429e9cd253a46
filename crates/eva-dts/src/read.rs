//! From segments to a report: one arm a segment, in any order.

use std::collections::BTreeMap;

use crate::dump::Dump;
use crate::report::{
    Amount, Both, CashIn, CashOut, CoinTube, Currency, Device, Event, Payment, Product, Reads, Report,
    SoldOut, Temperature,
};
use crate::segment::Segment;
use crate::warning::{Oddity, Warning};

pub(crate) fn report(dump: &Dump<'_>) -> Report {
    let mut reader = Reader {
        report: Report {
            currency: Currency { decimals: 2, ..Currency::default() },
            crc: dump.crc(),
            warnings: dump.warnings().to_vec(),
            segments: dump.segment_count(),
            ..Report::default()
        },
        in_product: false,
        places: BTreeMap::new(),
    };
    for segment in dump.segments() {
        reader.read(segment);
    }
    reader.report
}

struct Reader {
    report: Report,
    /// The segments since the last PA1 belong to its product.
    in_product: bool,
    /// Where each selection stands among the products; a file may have very many.
    places: BTreeMap<String, usize>,
}

/// The places of count and value, since initialisation and since reset.
type Places = [usize; 4];
/// VA, CA2, DA2: value first.
const VALUE_FIRST: Places = [2, 1, 4, 3];
/// PA2–PA4: count first.
const COUNT_FIRST: Places = [1, 2, 3, 4];
/// PA7.
const PAYMENT: Places = [5, 6, 7, 8];

impl Reader {
    fn read(&mut self, segment: &Segment<'_>) {
        let id = segment.id();
        match id {
            b"PA1" => self.product(segment),
            b"PA2" | b"PA3" | b"PA4" | b"PA5" => self.product_part(segment),
            b"PA7" => self.payment(segment),
            b"PA6" | b"PA8" => {}
            b"EA2" => self.counted_event(segment),
            _ => {
                self.in_product = false;
                self.read_other(segment);
            }
        }
    }

    fn read_other(&mut self, segment: &Segment<'_>) {
        match segment.id() {
            b"DXS" => {
                self.report.identity.communication_id = text(segment, 1);
                self.report.identity.version = text(segment, 3);
            }
            b"ID1" => self.identity(segment),
            b"ID4" => self.currency(segment),
            b"ID5" => self.report.identity.clock = joined(segment, 1, 2),
            b"CB1" => self.report.identity.control_board = Some(device(segment)),
            b"BA1" => self.report.identity.bill_validator = Some(device(segment)),
            b"CA1" => self.report.identity.coin_mechanism = Some(device(segment)),
            b"DA1" => self.report.identity.cashless_1 = Some(device(segment)),
            b"DB1" => self.report.identity.cashless_2 = Some(device(segment)),
            b"VA1" => self.report.totals.vends = self.amounts(segment, VALUE_FIRST),
            b"VA2" => self.report.totals.test_vends = self.amounts(segment, VALUE_FIRST),
            b"VA3" => self.report.totals.free_vends = self.amounts(segment, VALUE_FIRST),
            b"CA2" => self.report.totals.cash_sales = self.amounts(segment, VALUE_FIRST),
            b"DA2" => self.report.totals.cashless_1_sales = self.amounts(segment, VALUE_FIRST),
            b"DB2" => self.report.totals.cashless_2_sales = self.amounts(segment, VALUE_FIRST),
            b"TA2" => self.report.totals.token_sales = self.amounts(segment, VALUE_FIRST),
            b"CA3" => self.cash_in(segment),
            b"CA4" => self.cash_out(segment),
            b"CA7" => self.report.totals.cash_discounts = self.reset_and_init(segment, 1, 2),
            b"CA8" => self.report.totals.overpay = self.reset_and_init(segment, 1, 2),
            b"CA9" => self.report.totals.exact_change_vends = self.reset_and_init(segment, 1, 2),
            b"CA10" => self.report.totals.cash_filled = self.reset_and_init(segment, 1, 2),
            b"CA15" if self.report.totals.tube_value.is_none() => {
                self.report.totals.tube_value = self.number(segment, 1);
            }
            b"CA17" => self.coin_tube(segment),
            b"EA1" => self.timed_event(segment),
            b"EA3" => self.reads(segment),
            b"EA7" => self.report.power_outages = self.reset_and_init(segment, 1, 2),
            b"MA5" => self.vendor(segment),
            _ => {}
        }
    }

    fn warn(&mut self, segment: &Segment<'_>, oddity: Oddity, text: &[u8]) {
        self.report.warnings.push(Warning::new(segment.line(), oddity, text));
    }

    fn number(&mut self, segment: &Segment<'_>, place: usize) -> Option<u64> {
        match segment.number(place) {
            Ok(value) => value,
            Err(digits) => {
                self.warn(segment, Oddity::NotANumber, digits);
                None
            }
        }
    }

    fn amounts(&mut self, segment: &Segment<'_>, places: Places) -> Both<Amount> {
        let [count_init, value_init, count_reset, value_reset] =
            places.map(|place| self.number(segment, place));
        Both {
            since_init: Amount { count: count_init, value: value_init },
            since_reset: Amount { count: count_reset, value: value_reset },
        }
    }

    fn reset_and_init(&mut self, segment: &Segment<'_>, reset: usize, init: usize) -> Both<Option<u64>> {
        Both { since_reset: self.number(segment, reset), since_init: self.number(segment, init) }
    }

    fn identity(&mut self, segment: &Segment<'_>) {
        let identity = &mut self.report.identity;
        identity.serial = text(segment, 1);
        identity.model = text(segment, 2);
        identity.build = text(segment, 3);
        identity.location = text(segment, 4);
        identity.asset = text(segment, 6);
    }

    fn currency(&mut self, segment: &Segment<'_>) {
        let decimals = self.number(segment, 1).and_then(|decimals| u8::try_from(decimals).ok());
        self.report.currency = Currency {
            decimals: decimals.filter(|decimals| *decimals <= 4).unwrap_or(2),
            numeric: text(segment, 2),
            alpha: text(segment, 3),
        };
    }

    fn cash_in(&mut self, segment: &Segment<'_>) {
        let mut part = |total, cash_box, tubes, bills, bills_in_minor| CashIn {
            total: self.number(segment, total),
            cash_box: self.number(segment, cash_box),
            tubes: self.number(segment, tubes),
            bills: self.number(segment, bills_in_minor).or(self.number(segment, bills)),
        };
        let since_reset = part(1, 2, 3, 4, 9);
        let since_init = part(5, 6, 7, 8, 10);
        self.report.totals.cash_in = Both { since_init, since_reset };
    }

    fn cash_out(&mut self, segment: &Segment<'_>) {
        let mut part = |out, by_hand| CashOut {
            dispensed: self.number(segment, out),
            manual: self.number(segment, by_hand),
        };
        self.report.totals.cash_out = Both { since_reset: part(1, 2), since_init: part(3, 4) };
    }

    fn coin_tube(&mut self, segment: &Segment<'_>) {
        let tube = CoinTube {
            coin: self.number(segment, 1),
            value: self.number(segment, 2),
            coins: self.number(segment, 3),
            is_full: segment.element(6) == Some(b"1"),
        };
        self.report.coin_tubes.push(tube);
    }

    fn product(&mut self, segment: &Segment<'_>) {
        let Some(selection) = text(segment, 1) else {
            self.in_product = false;
            self.warn(segment, Oddity::NoProduct, b"PA1");
            return;
        };
        let place = self.report.products.len();
        if self.places.insert(selection.clone(), place).is_some() {
            self.warn(segment, Oddity::RepeatedProduct, selection.as_bytes());
        }
        let product = Product {
            price: self.number(segment, 2),
            name: text(segment, 3),
            capacity: self.number(segment, 4),
            is_missing: segment.element(7) == Some(b"1"),
            selection,
            ..Product::default()
        };
        self.report.products.push(product);
        self.in_product = true;
    }

    fn product_part(&mut self, segment: &Segment<'_>) {
        if !self.in_product {
            self.warn(segment, Oddity::NoProduct, segment.id());
            return;
        }
        let amounts =
            if segment.id() == b"PA5" { Both::default() } else { self.amounts(segment, COUNT_FIRST) };
        let presses = if segment.id() == b"PA5" { self.number(segment, 3) } else { None };
        let Some(product) = self.report.products.last_mut() else {
            return;
        };
        match segment.id() {
            b"PA2" => product.vends = amounts,
            b"PA3" => product.test_vends = amounts,
            b"PA4" => product.free_vends = amounts,
            _ => {
                product.sold_out = Some(SoldOut { date: text(segment, 1), time: text(segment, 2), presses });
            }
        }
    }

    /// PA7 names its product, wherever it stands.
    fn payment(&mut self, segment: &Segment<'_>) {
        let payment = Payment {
            device: text(segment, 2).unwrap_or_default(),
            price_list: text(segment, 3),
            price: self.number(segment, 4),
            vends: self.amounts(segment, PAYMENT),
        };
        let named = text(segment, 1);
        let index = match &named {
            Some(selection) => self.places.get(selection).copied(),
            None => self.report.products.len().checked_sub(1),
        };
        let products = &mut self.report.products;
        match (index, named) {
            (Some(index), _) => products[index].payments.push(payment),
            // Some machines list payments before their products, or of products that they do not list.
            (None, Some(selection)) => {
                self.places.insert(selection.clone(), products.len());
                products.push(Product { selection, payments: vec![payment], ..Product::default() });
            }
            (None, None) => self.warn(segment, Oddity::NoProduct, b"PA7"),
        }
    }

    fn timed_event(&mut self, segment: &Segment<'_>) {
        let Some(code) = text(segment, 1) else { return };
        let minutes = self.number(segment, 4);
        self.report.events.push(Event {
            code,
            date: text(segment, 2),
            time: text(segment, 3),
            minutes,
            ..Event::default()
        });
    }

    fn counted_event(&mut self, segment: &Segment<'_>) {
        let Some(code) = text(segment, 1) else { return };
        let event = Event {
            selection: if self.in_product {
                self.report.products.last().map(|one| one.selection.clone())
            } else {
                None
            },
            count: self.reset_and_init(segment, 2, 3),
            is_active: segment.element(5) == Some(b"1"),
            minutes: self.number(segment, 6),
            code,
            ..Event::default()
        };
        if event.is_active {
            self.report.errors.push(event.code.clone());
        }
        self.report.events.push(event);
    }

    fn reads(&mut self, segment: &Segment<'_>) {
        self.report.reads = Reads {
            with_reset: self.number(segment, 1),
            this_read: joined(segment, 2, 3),
            last_read: joined(segment, 5, 6),
            all: self.number(segment, 9),
        };
    }

    /// MA5 is the maker's own: a name and whatever belongs to it.
    fn vendor(&mut self, segment: &Segment<'_>) {
        let Some(name) = text(segment, 1) else { return };
        if name == "ERROR" {
            // A zero is the absence of a fault.
            let codes = segment
                .elements()
                .skip(1)
                .map(<[u8]>::trim_ascii)
                .filter(|code| !code.is_empty() && *code != b"0");
            self.report
                .errors
                .extend(codes.map(|code| String::from_utf8_lossy(code).replace('\0', "\u{fffd}")));
        } else if name.contains("TEMP")
            && let Some(hundredths) = segment.element(2).and_then(hundredths)
        {
            self.report.temperatures.push(Temperature { name, hundredths, unit: text(segment, 3) });
        }
    }
}

/// Tenths or hundredths of a degree, which the file does not tell apart: no machine is above 100 of
/// the former, none below 1.00 of the latter.
fn hundredths(element: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(element).ok()?.trim().parse().ok()?;
    (value.abs() < 100_000).then_some(if value.abs() > 100 { value } else { value * 10 })
}

fn text(segment: &Segment<'_>, place: usize) -> Option<String> {
    segment.text(place).map(std::borrow::Cow::into_owned)
}

fn joined(segment: &Segment<'_>, first: usize, second: usize) -> Option<String> {
    let first = text(segment, first)?;
    Some(text(segment, second).map_or_else(|| first.clone(), |second| format!("{first} {second}")))
}

fn device(segment: &Segment<'_>) -> Device {
    Device { serial: text(segment, 1), model: text(segment, 2), software: text(segment, 3) }
}
