//! How much: sums over the machine. VA1 to VA3, CA2 to CA4, CA7 to CA10, CA14 to CA17, CA22, DA2 to
//! DA6, DA9, DA10, the same of DB, TA2.

use crate::amount::{Amount, Both, Count, Minor};
use crate::fields::{Fields, Places};
use crate::warning::Oddity;

/// Sums over the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// VA101–04, all paid vends.
    pub vends: Both<Amount>,
    /// VA105–08, discounts that the machine gave.
    pub discounts: Both<Amount>,
    /// VA109–12, surcharges.
    pub surcharges: Both<Amount>,
    /// VA2, test vends.
    pub test_vends: Both<Amount>,
    /// VA3, free vends.
    pub free_vends: Both<Amount>,
    /// CA2, sales by cash.
    pub cash_sales: Both<Amount>,
    /// DA2, sales by cashless device 1.
    pub cashless_1_sales: Both<Amount>,
    /// DB2, sales by cashless device 2.
    pub cashless_2_sales: Both<Amount>,
    /// TA201–04, sales by vend token.
    pub token_sales: Both<Amount>,
    /// TA205–08, sales by value token.
    pub value_token_sales: Both<Amount>,
    /// CA3, cash taken in.
    pub cash_in: Both<CashIn>,
    /// CA4, cash given out.
    pub cash_out: Both<CashOut>,
    /// CA701–04, discounts to cash buyers.
    pub cash_discounts: Both<Amount>,
    /// CA705–08, surcharges on cash.
    pub cash_surcharges: Both<Amount>,
    /// CA8, overpaid and kept.
    pub overpay: Both<Option<Minor>>,
    /// CA9, worth of the vends while change was short.
    pub exact_change_vends: Both<Option<Minor>>,
    /// CA1001–02, coins filled in by hand.
    pub cash_filled: Both<Option<Minor>>,
    /// CA1003–04, bills filled in by hand.
    pub bills_filled: Both<Option<Minor>>,
    /// CA16, credited by the machine to the coin mechanism.
    pub credited: Both<Option<Minor>>,
    /// CA1501, worth of the coins in the tubes.
    pub tube_value: Option<Minor>,
    /// CA2201, worth of the bills in the recycler.
    pub recycler_value: Option<Minor>,
    /// The rest of DA: what else cashless device 1 did.
    pub cashless_1: Cashless,
    /// The rest of DB: what else cashless device 2 did.
    pub cashless_2: Cashless,
}

/// Cash taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CashIn {
    /// All of it.
    pub total: Option<Minor>,
    /// Coins to the cash box.
    pub cash_box: Option<Minor>,
    /// Coins to the tubes.
    pub tubes: Option<Minor>,
    /// In bills: CA309 and CA310, or else CA304 and CA308. These old North American machines write in
    /// whole dollars; where the sum of the parts says so, they are turned into minor units.
    pub bills: Option<Minor>,
    /// Bills to the recycler.
    pub recycler: Option<Minor>,
}

/// Cash given out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CashOut {
    /// Coins, as change and by hand.
    pub dispensed: Option<Minor>,
    /// Coins by hand alone.
    pub manual: Option<Minor>,
    /// Bills, as change and by hand.
    pub bills_dispensed: Option<Minor>,
    /// Bills by hand alone.
    pub bills_manual: Option<Minor>,
    /// Bills from the recycler to the cash box.
    pub recycler_emptied: Option<Minor>,
}

/// What a cashless device did beside selling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cashless {
    /// DA3, taken from cards.
    pub debited: Both<Option<Minor>>,
    /// DA4, put on cards.
    pub credited: Both<Option<Minor>>,
    /// DA501–04, discounts.
    pub discounts: Both<Amount>,
    /// DA505–08, surcharges.
    pub surcharges: Both<Amount>,
    /// DA6, given on top of what was put on cards.
    pub incentive: Both<Option<Minor>>,
    /// DA9, overpaid and kept.
    pub overpay: Both<Option<Minor>>,
    /// DA10, vends paid partly in cash; the value is the cashless part.
    pub mixed: Both<Amount>,
}

/// A tube of the coin mechanism (CA17, or CA15 where that is all there is).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoinTube {
    /// CA1701, the coin's number in the mechanism.
    pub coin: Option<u64>,
    /// CA1702, what one is worth.
    pub value: Option<Minor>,
    /// CA1703, how many are in it, as far as the mechanism knows.
    pub coins: Option<Count>,
    /// CA1704, how many were put in by hand.
    pub inserted: Option<Count>,
    /// CA1705, how many were taken out by hand.
    pub dispensed: Option<Count>,
    /// CA1706: it is full.
    pub is_full: bool,
}

/// No coin in use is worth more minor units: some firmware sends garbage for what it has no coin for.
const DEAREST_COIN: Minor = 20_000;

/// A denomination of bills (CA14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// CA1401, what one is worth.
    pub value: Option<Minor>,
    /// CA1402 and CA1404, how many were accepted, the returned ones included.
    pub accepted: Both<Option<Count>>,
    /// CA1403 and CA1405, how many went to the stacker.
    pub stacked: Both<Option<Count>>,
}

/// VA, CA2, DA2, TA2: value first, since initialisation first.
const VALUE_FIRST: Places = [2, 1, 4, 3];

impl Totals {
    /// Reads a segment, if it is of this kind.
    pub(crate) fn read(&mut self, fields: &mut Fields<'_, '_>) -> bool {
        match fields.segment().id() {
            b"VA1" => {
                self.vends = fields.amounts(VALUE_FIRST);
                self.discounts = fields.amounts([6, 5, 8, 7]);
                self.surcharges = fields.amounts([9, 10, 11, 12]);
            }
            b"VA2" => self.test_vends = fields.amounts(VALUE_FIRST),
            b"VA3" => self.free_vends = fields.amounts(VALUE_FIRST),
            b"TA2" => {
                self.token_sales = fields.amounts(VALUE_FIRST);
                self.value_token_sales = fields.amounts([6, 5, 8, 7]);
            }
            b"DA2" => self.cashless_1_sales = fields.amounts(VALUE_FIRST),
            b"DB2" => self.cashless_2_sales = fields.amounts(VALUE_FIRST),
            [b'D', b'A', ..] => return self.cashless_1.read(fields),
            [b'D', b'B', ..] => return self.cashless_2.read(fields),
            [b'C', b'A', ..] => return self.read_cash(fields),
            _ => return false,
        }
        true
    }

    fn read_cash(&mut self, fields: &mut Fields<'_, '_>) -> bool {
        match fields.segment().id() {
            b"CA2" => self.cash_sales = fields.amounts(VALUE_FIRST),
            b"CA3" => {
                self.cash_in = Both {
                    since_init: cash_in(fields, [5, 6, 7, 8, 10, 12]),
                    since_reset: cash_in(fields, [1, 2, 3, 4, 9, 11]),
                };
            }
            b"CA4" => {
                self.cash_out = Both {
                    since_init: cash_out(fields, [3, 4, 8, 9, 10]),
                    since_reset: cash_out(fields, [1, 2, 5, 6, 7]),
                };
            }
            b"CA7" => {
                self.cash_discounts = fields.amounts([4, 2, 3, 1]);
                self.cash_surcharges = fields.amounts([8, 6, 7, 5]);
            }
            b"CA8" => self.overpay = fields.numbers(2, 1),
            b"CA9" => self.exact_change_vends = fields.numbers(2, 1),
            b"CA10" => {
                self.cash_filled = fields.numbers(2, 1);
                self.bills_filled = fields.numbers(4, 3);
            }
            b"CA15" => self.tube_value = self.tube_value.or_else(|| fields.number(1)),
            b"CA16" => self.credited = fields.numbers(2, 1),
            b"CA22" => self.recycler_value = self.recycler_value.or_else(|| fields.number(1)),
            _ => return false,
        }
        true
    }
}

impl Cashless {
    fn read(&mut self, fields: &mut Fields<'_, '_>) -> bool {
        match &fields.segment().id()[2..] {
            b"3" => self.debited = fields.numbers(1, 2),
            b"4" => self.credited = fields.numbers(1, 2),
            b"5" => {
                self.discounts = fields.amounts([4, 3, 2, 1]);
                self.surcharges = fields.amounts([8, 7, 6, 5]);
            }
            b"6" => self.incentive = fields.numbers(1, 2),
            b"9" => self.overpay = fields.numbers(2, 1),
            b"10" => self.mixed = fields.amounts([1, 2, 3, 4]),
            _ => return false,
        }
        true
    }
}

fn cash_in(
    fields: &mut Fields<'_, '_>,
    [total, cash_box, tubes, bills, bills_in_minor, recycler]: [usize; 6],
) -> CashIn {
    let (total, cash_box, tubes) = (fields.number(total), fields.number(cash_box), fields.number(tubes));
    let old_bills = fields.number(bills);
    // Firmware that fills up with zeros what it does not know is not to hide what it does.
    let bills = match fields.number(bills_in_minor) {
        Some(bills) if bills > 0 || old_bills.unwrap_or(0) == 0 => Some(bills),
        _ => old_bills.map(|bills| in_minor(bills, total, cash_box, tubes)),
    };
    CashIn { total, cash_box, tubes, bills, recycler: fields.number(recycler) }
}

/// Bills as CA304 and CA308 have them: minor units, or dollars where only so the parts make up the total.
fn in_minor(bills: u64, total: Option<Minor>, cash_box: Option<Minor>, tubes: Option<Minor>) -> Minor {
    let rest = total
        .zip(cash_box)
        .zip(tubes)
        .and_then(|((total, cash_box), tubes)| total.checked_sub(cash_box)?.checked_sub(tubes));
    match rest {
        Some(rest) if Some(rest) == bills.checked_mul(100) => rest,
        _ => bills,
    }
}

fn cash_out(
    fields: &mut Fields<'_, '_>,
    [coins, by_hand, bills, bills_by_hand, emptied]: [usize; 5],
) -> CashOut {
    CashOut {
        dispensed: fields.number(coins),
        manual: fields.number(by_hand),
        bills_dispensed: fields.number(bills),
        bills_manual: fields.number(bills_by_hand),
        recycler_emptied: fields.number(emptied),
    }
}

impl CoinTube {
    /// Reads CA17.
    pub(crate) fn of(fields: &mut Fields<'_, '_>) -> Self {
        let value = fields.number(2);
        if value.is_some_and(|value| value > DEAREST_COIN) {
            fields.warn(Oddity::Implausible, fields.segment().raw());
        }
        Self {
            coin: fields.number(1),
            value,
            coins: fields.number(3),
            inserted: fields.number(4),
            dispensed: fields.number(5),
            is_full: fields.flag(6),
        }
    }

    /// Reads CA15: `TUBE1` or `1` has the coins 0 to 7, `TUBE2` or `2` those from 8 to 15.
    pub(crate) fn of_block(fields: &mut Fields<'_, '_>) -> Vec<Self> {
        let first = match fields.raw(2) {
            None => return Vec::new(),
            Some(b"TUBE1" | b"1") => 0,
            Some(b"TUBE2" | b"2") => 8,
            Some(block) => {
                fields.warn(Oddity::NotANumber, block);
                return Vec::new();
            }
        };
        (0..8)
            .filter_map(|tube| {
                let coins = fields.number(usize::try_from(tube).ok()? + 3).filter(|coins| *coins > 0)?;
                Some(Self { coin: Some(first + tube), coins: Some(coins), ..Self::default() })
            })
            .collect()
    }
}

impl Bill {
    /// Reads CA14. One without a value stands for no denomination.
    pub(crate) fn of(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let value = fields.number(1).filter(|value| *value > 0)?;
        Some(Self { value: Some(value), accepted: fields.numbers(4, 2), stacked: fields.numbers(5, 3) })
    }
}
