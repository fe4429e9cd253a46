//! Reads the audit files of vending machines: EVA-DTS, also called DEX or DTS files.
//!
//! A vending machine keeps counters: what it sold, what it took in, what went wrong. An audit file
//! is a snapshot of them, text in lines. Each line is a *segment*: an identifier and elements,
//! separated by asterisks, `PA2*65*8125*3*375` for "65 vends worth 81.25 since initialisation, 3
//! worth 3.75 since the last reset". The specification is EVA-DTS 6.2; real machines depart from it
//! in every way imaginable, so nothing here fails: what is odd becomes a [`Warning`] with its line.
//!
//! ```
//! let file = b"DXS*ABC1234567*VA*V0/6*1\r\nST*001*0001\r\nID1*SN42*MODEL-7\r\nID4*2*1978*EUR\r\n\
//!              VA1*12550*97*200*2\r\nPA1*010*150\r\nPA2*97*12550*2*200\r\nG85*0000\r\nSE*7*0001\r\nDXE*1*1\r\n";
//! let dumps = eva_dts::parse(file);
//! let report = dumps[0].report();
//! assert_eq!(report.identity.serial.as_deref(), Some("SN42"));
//! assert_eq!(report.totals.vends.since_init.value, Some(12_550)); // minor units: 125.50
//! assert_eq!(report.currency.decimals, 2);
//! assert_eq!(report.products[0].selection, "010"); // text: the zero in front counts
//! assert_eq!(report.crc.status, eva_dts::CrcStatus::Mismatch);
//! ```
//!
//! ## Since initialisation, since reset
//!
//! Most counters come twice. *Since initialisation* counts for the life of the machine's memory;
//! *since reset* starts anew whenever somebody reads with reset, who need not be you. Sales are
//! therefore differences of the former between two files; the latter inform.
//!
//! ## Where to look
//!
//! - [`parse`] gives the dumps of a file: lines, envelope, checksum, warnings. It copies nothing.
//! - [`Dump::reading`] says what the lines mean, borrowing the file; [`Dump::report`] the same to be
//!   kept. [`segments`] has every segment and element that is understood, and what real files do.
//! - [`Snapshot`] keeps the counters of a reading, and [`sales()`] says what was sold between any
//!   number of them, in whatever order they came, through wraps, swapped boards and damaged captures.
//! - The feature `serde` makes [`Report`] and [`Sales`] serializable: money in minor units, counters
//!   as `since_init` and `since_reset`, and nothing for what a file does not say.
#![forbid(unsafe_code)]

mod amount;
mod clock;
mod crc;
mod dump;
mod event;
mod fields;
mod identity;
#[cfg(feature = "serde")]
mod json;
#[doc(hidden)]
pub mod order;
mod owned;
mod parse;
mod product;
mod reading;
mod sales;
mod segment;
#[doc = include_str!("segments.md")]
pub mod segments {}
mod text;
mod totals;
mod vendor;
mod warning;

pub use amount::{Amount, Both, Count, Minor, Money};
pub use clock::{Date, Moment, Time};
pub use crc::{Crc, CrcStatus, crc16};
pub use dump::Dump;
pub use event::{Event, Reads, Service};
pub use identity::{Currency, Device, Identity};
pub use parse::parse;
pub use product::{Payment, PriceList, Product, SoldOut};
pub use reading::{Reading, Report};
pub use sales::{Continuity, Counter, Flaw, Interval, Key, Line, Sale, Sales, Snapshot, sales};
pub use segment::Segment;
pub use text::Text;
pub use totals::{Bill, CashIn, CashOut, Cashless, CoinTube, Totals};
pub use vendor::{Card, Column, Temperature};
pub use warning::{Oddity, Warning};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
