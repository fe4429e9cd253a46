//! What is understood of a dump: its segments turned into types, in one pass and in any order.

use crate::amount::{Both, Count};
use crate::clock::Moment;
use crate::crc::{Crc, CrcStatus};
use crate::dump::Dump;
use crate::event::{Event, Reads, Service};
use crate::fields::Fields;
use crate::identity::{Currency, Identity};
use crate::order;
use crate::product::{Product, Products};
use crate::segment::Segment;
use crate::text::Text;
use crate::totals::{Bill, CoinTube, Totals};
use crate::vendor::{Card, Column, Temperature, Vendor};
use crate::warning::{Oddity, Warning, Warnings};

/// All that is understood of a dump, borrowing the file. Money is in minor units of
/// [`Currency::decimals`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Which machine, and what is in it.
    pub identity: Identity<'a>,
    /// How amounts are to be read.
    pub currency: Currency<'a>,
    /// Sums over the machine.
    pub totals: Totals,
    /// Its selections, in the order of the file.
    pub products: Vec<Product<'a>>,
    /// Its coin tubes.
    pub coin_tubes: Vec<CoinTube>,
    /// Bills by denomination.
    pub bills: Vec<Bill>,
    /// What happened (EA1, EA2).
    pub events: Vec<Event<'a>>,
    /// Who read it, and when (EA3).
    pub reads: Reads<'a>,
    /// When it was initialised (EA4). Some machines change this without losing their counters.
    pub initialised_at: Option<Moment>,
    /// When its prices were set (EA5).
    pub prices_set_at: Option<Moment>,
    /// When it was serviced (EA6).
    pub services: Vec<Service<'a>>,
    /// Power outages (EA7, or CA5 of old machines).
    pub power_outages: Both<Option<Count>>,
    /// Temperatures (MA5).
    pub temperatures: Vec<Temperature<'a>>,
    /// The maker's clock (MA5).
    pub vendor_clock: Option<Moment>,
    /// Cashless sales by column (MA5).
    pub cards: Vec<Card<'a>>,
    /// Columns and their motors (MA5).
    pub columns: Vec<Column<'a>>,
    /// Codes of the faults that are active: EA2 with its flag set, and MA5*ERROR.
    pub errors: Vec<Text<'a>>,
    /// The checksum.
    pub crc: Crc,
    /// What is odd, by line.
    pub warnings: Vec<Warning<'a>>,
    /// How many segments there are.
    pub segments: usize,
    /// The end is missing: neither SE nor DXE came.
    pub is_truncated: bool,
}

/// A reading that is independent of its file, to be kept. As JSON it is what the rustdoc of the
/// crate shows.
pub type Report = Reading<'static>;

impl<'a> Reading<'a> {
    pub(crate) fn of(dump: &Dump<'a>) -> Self {
        let mut reader = Reader::default();
        reader.warnings.0.extend_from_slice(dump.warnings());
        for segment in dump.segments() {
            reader.read(*segment);
        }
        let mut reading = reader.finish();
        reading.crc = dump.crc();
        reading.segments = dump.segment_count();
        reading.is_truncated = dump.is_truncated();
        reading
    }

    /// Whether somebody should look: a fault is active, the checksum does not match, or the end of
    /// the dump is missing. Other warnings are peculiarities of makers and do not count.
    pub fn has_errors(&self) -> bool {
        self.crc.status == CrcStatus::Mismatch || self.is_truncated || !self.errors.is_empty()
    }
}

/// No machine has more events, tubes or bills.
const MOST: usize = 10_000;

#[derive(Default)]
struct Reader<'a> {
    reading: Reading<'a>,
    products: Products<'a>,
    vendor: Vendor<'a>,
    /// Tubes as CA15 tells them: without their values, and only for want of CA17.
    tube_blocks: Vec<CoinTube>,
    warnings: Warnings<'a>,
    /// Identifiers that come once, and came, as `short` has them.
    seen: Vec<u32>,
    /// The segment before belongs to a product.
    is_behind_product: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self, segment: Segment<'a>) {
        let is_behind_product = std::mem::take(&mut self.is_behind_product);
        match segment.id() {
            [b'P', b'A', _] => {
                self.products.read(&mut Fields::of(segment, &mut self.warnings));
                self.is_behind_product = true;
            }
            b"LA1" | b"LS" | b"LE" => self.products.read(&mut Fields::of(segment, &mut self.warnings)),
            b"EA2" => {
                self.is_behind_product = is_behind_product;
                let behind =
                    self.products.open().filter(|_| is_behind_product).map(|product| &product.selection);
                let event = Event::counted(&mut Fields::of(segment, &mut self.warnings), behind);
                self.event(event, segment);
            }
            b"EA1" => {
                let event = Event::timed(&mut Fields::of(segment, &mut self.warnings));
                self.event(event, segment);
            }
            b"MA5" => self.vendor.read(segment, &mut self.warnings),
            b"CA14" | b"CA15" | b"CA17" | b"EA6" => self.repeating(segment),
            _ => self.single(segment),
        }
    }

    fn event(&mut self, event: Option<Event<'a>>, segment: Segment<'a>) {
        let Some(event) = event else { return };
        if self.reading.events.len() >= MOST {
            return self.warnings.push(segment.line(), Oddity::TooMany, segment.raw());
        }
        if event.is_fault() {
            self.reading.errors.push(event.code.clone());
        }
        self.reading.events.push(event);
    }

    fn repeating(&mut self, segment: Segment<'a>) {
        let reading = &mut self.reading;
        let tubes = reading.coin_tubes.len() + self.tube_blocks.len();
        if tubes + reading.bills.len() + reading.services.len() >= MOST {
            return self.warnings.push(segment.line(), Oddity::TooMany, segment.raw());
        }
        let fields = &mut Fields::of(segment, &mut self.warnings);
        match segment.id() {
            b"CA14" => reading.bills.extend(Bill::of(fields)),
            b"CA17" => reading.coin_tubes.push(CoinTube::of(fields)),
            b"CA15" => {
                reading.totals.read(fields);
                self.tube_blocks.extend(CoinTube::of_block(fields));
            }
            _ => reading.services.push(Service::of(fields)),
        }
    }

    /// Segments that come once. The first one counts: a second is a dump that was written twice, or
    /// two that ran into each other.
    fn single(&mut self, segment: Segment<'a>) {
        let reading = &mut self.reading;
        let fields = &mut Fields::of(segment, &mut self.warnings);
        let Some(id) = short(segment.id()) else { return };
        if self.seen.contains(&id) {
            return fields.warn(Oddity::Repeated, segment.raw());
        }
        match segment.id() {
            b"ID4" => reading.currency = Currency::of(fields),
            b"EA3" => {
                reading.reads =
                    Reads { with_reset: fields.number(1).or(reading.reads.with_reset), ..Reads::of(fields) }
            }
            b"CA6" => reading.reads.with_reset = reading.reads.with_reset.or_else(|| fields.number(1)),
            b"EA4" => reading.initialised_at = fields.moment(1),
            b"EA5" => reading.prices_set_at = fields.moment(1),
            // CA5 and CA6 are what EA7 and EA3 were before 6.0; where both are, the new ones count.
            b"EA7" => reading.power_outages = fields.numbers(2, 1),
            b"CA5" if reading.power_outages == Both::default() => {
                reading.power_outages = fields.numbers(2, 1);
            }
            _ if reading.identity.read(fields) || reading.totals.read(fields) => {}
            _ => return,
        }
        self.seen.push(id);
    }

    fn finish(mut self) -> Reading<'a> {
        let mut reading = self.reading;
        reading.products = self.products.finish(&mut self.warnings);
        if reading.coin_tubes.is_empty() {
            reading.coin_tubes = self.tube_blocks;
        }
        reading.temperatures = self.vendor.temperatures;
        reading.vendor_clock = self.vendor.clock;
        reading.cards = self.vendor.cards;
        reading.columns = self.vendor.columns;
        reading.errors.extend(self.vendor.faults);
        reading.warnings = self.warnings.0;
        order::sort(&mut reading.warnings, |left, right| left.line.cmp(&right.line));
        reading
    }
}

/// An identifier as a number, which is faster to look for than text. All that mean anything here have
/// at most four letters.
fn short(id: &[u8]) -> Option<u32> {
    (id.len() <= 4).then(|| id.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}
