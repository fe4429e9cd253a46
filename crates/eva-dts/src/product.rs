//! What sells: the selections and their counters. PA1 to PA8, LA1, LS, LE.
//!
//! PA1 opens a selection; PA2 to PA6 and PA8 behind it are its own. PA7 and LA1 name theirs and may
//! stand anywhere.

use std::collections::BTreeMap;

use crate::amount::{Amount, Both, Count, Minor};
use crate::clock::Moment;
use crate::fields::{Fields, Places};
use crate::segment::Segment;
use crate::text::Text;
use crate::warning::{Oddity, Warnings};

/// A selection of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product<'a> {
    /// PA101, as text: `010` and `10` are two.
    pub selection: Text<'a>,
    /// PA102, price.
    pub price: Option<Minor>,
    /// PA103, name.
    pub name: Option<Text<'a>>,
    /// PA104, how many fit.
    pub capacity: Option<Count>,
    /// PA105, how many there are after filling.
    pub standard_level: Option<Count>,
    /// PA106, how many are filled in as a rule.
    pub standard_quantity: Option<Count>,
    /// PA107 is 1: the column is missing. Where all of them are, none is: NECTA's coffee machines mark
    /// every selection, and sell.
    pub is_missing: bool,
    /// PA108, how many there are.
    pub level: Option<Count>,
    /// PA109, fewer than this is a reason to fill.
    pub minimum_level: Option<Count>,
    /// PA201–04, paid vends.
    pub vends: Both<Amount>,
    /// PA205–08, discounts.
    pub discounts: Both<Amount>,
    /// PA209–12, surcharges.
    pub surcharges: Both<Amount>,
    /// PA3, test vends.
    pub test_vends: Both<Amount>,
    /// PA4, free vends.
    pub free_vends: Both<Amount>,
    /// PA5, sold out.
    pub sold_out: Option<SoldOut>,
    /// PA7, paid vends by means of payment and price list. Since 6.1 it supersedes PA2.
    pub payments: Vec<Payment<'a>>,
    /// PA8, vends paid partly in cash; the value is the cash part.
    pub mixed: Both<Amount>,
    /// LA1, paid vends by price list, counts alone. Before 6.1.
    pub price_lists: Vec<PriceList<'a>>,
}

/// When a selection was last sold out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SoldOut {
    /// PA501 and PA502. Of some machines the last sale.
    pub at: Option<Moment>,
    /// PA503, how often it was asked for in vain.
    pub presses: Option<Count>,
}

/// Vends of a selection by one means of payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payment<'a> {
    /// PA702: CA cash, DA cashless 1, DB cashless 2, TA token.
    pub device: Text<'a>,
    /// PA703, the price list.
    pub price_list: Option<Text<'a>>,
    /// PA704, the price.
    pub price: Option<Minor>,
    /// PA705–PA708.
    pub vends: Both<Amount>,
}

/// Vends of a selection at one price list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceList<'a> {
    /// LA101: 0 is cash as a rule, 1 and more are for cards.
    pub list: Text<'a>,
    /// LA103, the price.
    pub price: Option<Minor>,
    /// LA104 and LA105.
    pub vends: Both<Option<Count>>,
}

/// PA2, PA3, PA4, PA8: count first, since initialisation first.
const COUNT_FIRST: Places = [1, 2, 3, 4];
/// No machine has so many selections: their names have six characters.
const MOST: usize = 10_000;

/// The products as they are being read.
#[derive(Default)]
pub(crate) struct Products<'a> {
    list: Vec<Product<'a>>,
    /// Their PA1.
    heads: Vec<Segment<'a>>,
    /// The segments since the last PA1 belong to its product.
    is_open: bool,
    /// Which parts of the open product came, a bit each.
    seen: u8,
    /// What names its product and is not of the open one.
    elsewhere: Vec<(Text<'a>, Elsewhere<'a>)>,
}

enum Elsewhere<'a> {
    Payment(Payment<'a>),
    PriceList(PriceList<'a>),
}

impl<'a> Products<'a> {
    /// The product that the segments belong to that come now.
    pub(crate) fn open(&self) -> Option<&Product<'a>> {
        self.list.last().filter(|_| self.is_open)
    }

    /// Reads a segment of PA, LA or L.
    pub(crate) fn read(&mut self, fields: &mut Fields<'a, '_>) {
        match fields.segment().id() {
            b"PA1" => self.begin(fields),
            [b'P', b'A', part @ (b'2'..=b'5' | b'8')] => self.part(*part, fields),
            b"PA7" => self.payment(fields),
            b"LA1" => self.price_list(fields),
            b"LS" | b"LE" => self.is_open = false,
            _ => {}
        }
    }

    fn begin(&mut self, fields: &mut Fields<'a, '_>) {
        self.is_open = false;
        let Some(selection) = fields.text(1) else {
            return fields.warn(Oddity::NoProduct, fields.segment().raw());
        };
        if self.list.len() >= MOST {
            return fields.warn(Oddity::TooMany, fields.segment().raw());
        }
        self.is_open = true;
        self.seen = 0;
        self.heads.push(fields.segment());
        self.list.push(Product {
            selection,
            price: fields.number(2),
            name: fields.text(3),
            capacity: fields.number(4),
            standard_level: fields.number(5),
            standard_quantity: fields.number(6),
            is_missing: fields.flag(7),
            level: fields.number(8),
            minimum_level: fields.number(9),
            ..Product::default()
        });
    }

    fn part(&mut self, part: u8, fields: &mut Fields<'a, '_>) {
        let Some(product) = self.list.last_mut().filter(|_| self.is_open) else {
            return fields.warn(Oddity::NoProduct, fields.segment().raw());
        };
        // A part that comes twice is the next product's, whose PA1 was lost.
        let bit = 1 << (part - b'1');
        if self.seen & bit != 0 {
            return fields.warn(Oddity::Repeated, fields.segment().raw());
        }
        self.seen |= bit;
        match part {
            b'2' => {
                product.vends = fields.amounts(COUNT_FIRST);
                product.discounts = fields.amounts([5, 6, 7, 8]);
                product.surcharges = fields.amounts([9, 10, 11, 12]);
            }
            b'3' => product.test_vends = fields.amounts(COUNT_FIRST),
            b'4' => product.free_vends = fields.amounts(COUNT_FIRST),
            b'5' => {
                let sold_out = SoldOut { at: fields.moment(1), presses: fields.number(3) };
                product.sold_out = (sold_out != SoldOut::default()).then_some(sold_out);
            }
            _ => product.mixed = fields.amounts(COUNT_FIRST),
        }
    }

    fn payment(&mut self, fields: &mut Fields<'a, '_>) {
        let payment = Payment {
            device: fields.text(2).unwrap_or_default(),
            price_list: fields.text(3),
            price: fields.number(4),
            vends: fields.amounts([5, 6, 7, 8]),
        };
        let named = fields.text(1);
        match self.list.last_mut().filter(|_| self.is_open) {
            Some(product) if named.as_ref().is_none_or(|named| *named == product.selection) => {
                product.payments.push(payment);
            }
            _ => self.put_elsewhere(named, Elsewhere::Payment(payment), fields),
        }
    }

    fn price_list(&mut self, fields: &mut Fields<'a, '_>) {
        let list = PriceList {
            list: fields.text(1).unwrap_or_default(),
            price: fields.number(3),
            vends: fields.numbers(5, 4),
        };
        self.put_elsewhere(fields.text(2), Elsewhere::PriceList(list), fields);
    }

    fn put_elsewhere(&mut self, named: Option<Text<'a>>, what: Elsewhere<'a>, fields: &mut Fields<'a, '_>) {
        match named {
            Some(selection) if self.elsewhere.len() < MOST => self.elsewhere.push((selection, what)),
            Some(_) => fields.warn(Oddity::TooMany, fields.segment().raw()),
            None => fields.warn(Oddity::NoProduct, fields.segment().raw()),
        }
    }

    /// Brings home what named its product.
    ///
    /// Some machines list payments before their products, or of products that they do not list.
    pub(crate) fn finish(mut self, warnings: &mut Warnings<'a>) -> Vec<Product<'a>> {
        if self.list.iter().all(|product| product.is_missing) {
            self.list.iter_mut().for_each(|product| product.is_missing = false);
        }
        if self.elsewhere.is_empty() && self.is_ascending() {
            return self.list;
        }
        let mut places = BTreeMap::new();
        for (place, product) in self.list.iter().enumerate() {
            if places.insert(product.selection.clone(), place).is_some() {
                let head = self.heads[place];
                warnings.push(head.line(), Oddity::RepeatedProduct, head.raw());
            }
        }
        for (selection, what) in self.elsewhere {
            let place = *places.entry(selection).or_insert_with_key(|selection| {
                self.list.push(Product { selection: selection.clone(), ..Product::default() });
                self.list.len() - 1
            });
            match what {
                Elsewhere::Payment(payment) => self.list[place].payments.push(payment),
                Elsewhere::PriceList(list) => self.list[place].price_lists.push(list),
            }
        }
        self.list
    }

    /// Whether each selection is greater than the one before, as most machines number them: then
    /// none is there twice.
    fn is_ascending(&self) -> bool {
        let key = |product: &Product<'a>| (product.selection.len(), product.selection.clone());
        self.list.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
    }
}
