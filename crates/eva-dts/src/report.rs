//! What is understood of a dump, in types. Money is in minor units of [`Currency::decimals`].

use crate::crc::Crc;
use crate::warning::Warning;

macro_rules! data {
    ($($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq)]
            #[cfg_attr(feature = "serde", derive(serde::Serialize))]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $kind,)*
            }
        )*
    };
}

/// All that is understood of a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Report {
    /// Which machine, and what is in it.
    pub identity: Identity,
    /// How amounts are to be read.
    pub currency: Currency,
    /// Sums over the machine.
    pub totals: Totals,
    /// Its selections, in the order of the file.
    pub products: Vec<Product>,
    /// Its coin tubes.
    pub coin_tubes: Vec<CoinTube>,
    /// What happened (EA1, EA2).
    pub events: Vec<Event>,
    /// Who read it, and when (EA3).
    pub reads: Reads,
    /// Power outages (EA7), since reset and since initialisation.
    pub power_outages: Both<Option<u64>>,
    /// Temperatures (MA5).
    pub temperatures: Vec<Temperature>,
    /// Codes of the faults that are active: EA2 with its flag set, and MA5*ERROR.
    pub errors: Vec<String>,
    /// The checksum.
    pub crc: Crc,
    /// What is odd.
    pub warnings: Vec<Warning>,
    /// How many segments there are.
    pub segments: usize,
}

/// A counter since initialisation and since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Both<T> {
    /// Over the life of the machine's memory: sales are differences of this.
    pub since_init: T,
    /// Since somebody last read with reset. Informs, no more.
    pub since_reset: T,
}

/// A number of things and what they are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Amount {
    /// How many.
    pub count: Option<u64>,
    /// Worth, in minor units.
    pub value: Option<u64>,
}

data! {
    /// Which machine it is, and what is in it.
    pub struct Identity {
        /// ID101, serial number.
        pub serial: Option<String>,
        /// ID102, model.
        pub model: Option<String>,
        /// ID103, build.
        pub build: Option<String>,
        /// ID104, location.
        pub location: Option<String>,
        /// ID106, asset number.
        pub asset: Option<String>,
        /// DXS01, three letters of the manufacturer and seven digits.
        pub communication_id: Option<String>,
        /// DXS03, version of the standard: `V0/6` for 6.0 and later, `V1/1` before.
        pub version: Option<String>,
        /// CB1.
        pub control_board: Option<Device>,
        /// BA1.
        pub bill_validator: Option<Device>,
        /// CA1.
        pub coin_mechanism: Option<Device>,
        /// DA1.
        pub cashless_1: Option<Device>,
        /// DB1.
        pub cashless_2: Option<Device>,
        /// ID501, ID502: the machine's own clock, as it writes it. Often wrong by hours.
        pub clock: Option<String>,
    }

    /// A device in the machine.
    pub struct Device {
        /// Serial number.
        pub serial: Option<String>,
        /// Model.
        pub model: Option<String>,
        /// Software revision.
        pub software: Option<String>,
    }

    /// How amounts are to be read.
    pub struct Currency {
        /// ID401, digits behind the decimal point; 2 when the file does not say.
        pub decimals: u8,
        /// ID402, `1` and ISO 4217 or `0` and a telephone code, as written.
        pub numeric: Option<String>,
        /// ID403, three letters as a rule.
        pub alpha: Option<String>,
    }

    /// Sums over the machine.
    pub struct Totals {
        /// VA1, all paid vends.
        pub vends: Both<Amount>,
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
        /// TA2, sales by token.
        pub token_sales: Both<Amount>,
        /// CA3, cash taken in.
        pub cash_in: Both<CashIn>,
        /// CA4, cash given out.
        pub cash_out: Both<CashOut>,
        /// CA7, discounts to cash buyers.
        pub cash_discounts: Both<Option<u64>>,
        /// CA8, overpaid and kept.
        pub overpay: Both<Option<u64>>,
        /// CA9, vends while change was short.
        pub exact_change_vends: Both<Option<u64>>,
        /// CA10, cash filled in by hand.
        pub cash_filled: Both<Option<u64>>,
        /// CA1501, worth of the coins in the tubes.
        pub tube_value: Option<u64>,
    }

    /// Cash taken in, in minor units.
    pub struct CashIn {
        /// All of it.
        pub total: Option<u64>,
        /// To the cash box.
        pub cash_box: Option<u64>,
        /// To the tubes.
        pub tubes: Option<u64>,
        /// In bills. Of old North American machines, which count units here, CA309 and CA310.
        pub bills: Option<u64>,
    }

    /// Cash given out, in minor units.
    pub struct CashOut {
        /// As change.
        pub dispensed: Option<u64>,
        /// By hand.
        pub manual: Option<u64>,
    }

    /// A selection of the machine.
    pub struct Product {
        /// PA101, as text: `010` and `10` are two.
        pub selection: String,
        /// PA102, price.
        pub price: Option<u64>,
        /// PA103, name.
        pub name: Option<String>,
        /// PA104, how many fit.
        pub capacity: Option<u64>,
        /// PA107 is 1: the column is missing.
        pub is_missing: bool,
        /// PA2, paid vends.
        pub vends: Both<Amount>,
        /// PA3, test vends.
        pub test_vends: Both<Amount>,
        /// PA4, free vends.
        pub free_vends: Both<Amount>,
        /// PA5, sold out.
        pub sold_out: Option<SoldOut>,
        /// PA7, vends by means of payment and price list.
        pub payments: Vec<Payment>,
    }

    /// When a selection was last sold out.
    pub struct SoldOut {
        /// PA501, as written: YYMMDD or YYYYMMDD.
        pub date: Option<String>,
        /// PA502, as written: HHMM or HHMMSS.
        pub time: Option<String>,
        /// PA503, how often it was asked for since.
        pub presses: Option<u64>,
    }

    /// Vends of a selection by one means of payment.
    pub struct Payment {
        /// PA702: CA cash, DA cashless 1, DB cashless 2, TA token.
        pub device: String,
        /// PA703, the price list.
        pub price_list: Option<String>,
        /// PA704, the price.
        pub price: Option<u64>,
        /// PA705–PA708.
        pub vends: Both<Amount>,
    }

    /// A tube of the coin mechanism (CA17).
    pub struct CoinTube {
        /// CA1701, the coin's number.
        pub coin: Option<u64>,
        /// CA1702, what one is worth.
        pub value: Option<u64>,
        /// CA1703, how many are in it.
        pub coins: Option<u64>,
        /// CA1706: it is full.
        pub is_full: bool,
    }

    /// Something that happened.
    pub struct Event {
        /// Three letters as a rule: `EGS` is an open door.
        pub code: String,
        /// The selection that a machine of Wittern names by the place of the line.
        pub selection: Option<String>,
        /// EA102, as written.
        pub date: Option<String>,
        /// EA103, as written.
        pub time: Option<String>,
        /// EA104 or EA206, how long it lasted.
        pub minutes: Option<u64>,
        /// EA202, EA203: how often.
        pub count: Both<Option<u64>>,
        /// EA205 is 1: it is so now.
        pub is_active: bool,
    }

    /// Readings of the machine (EA3).
    pub struct Reads {
        /// EA301, with reset, since initialisation.
        pub with_reset: Option<u64>,
        /// EA302 and EA303, this one, by the machine's clock, as written.
        pub this_read: Option<String>,
        /// EA305 and EA306, the one before.
        pub last_read: Option<String>,
        /// EA309, all of them.
        pub all: Option<u64>,
    }

    /// A temperature that the machine reports.
    pub struct Temperature {
        /// What of: `TEMP`, `DESIRED TEMPERATURE`.
        pub name: String,
        /// Hundredths of a degree.
        pub hundredths: i64,
        /// `C` or `F`.
        pub unit: Option<String>,
    }
}

impl Report {
    /// Whether somebody should look: a fault is active, or the file is damaged (its checksum does
    /// not match, or it ends in the middle).
    pub fn has_errors(&self) -> bool {
        let damaged = self.crc.status == crate::CrcStatus::Mismatch
            || self.warnings.iter().any(|warning| warning.oddity == crate::Oddity::Truncated);
        damaged || !self.errors.is_empty()
    }
}
