//! Who: the machine, the devices in it, its currency. DXS, ID1, ID4, ID5, CB1, BA1, CA1, DA1, DB1, AM1.

use crate::amount::{Minor, Money};
use crate::clock::Moment;
use crate::fields::Fields;
use crate::text::Text;
use crate::warning::Oddity;

/// Which machine it is, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// ID101, serial number. Blank or all zeros is none.
    pub serial: Option<Text<'a>>,
    /// ID102, model.
    pub model: Option<Text<'a>>,
    /// ID103, build.
    pub build: Option<Text<'a>>,
    /// ID104, location.
    pub location: Option<Text<'a>>,
    /// ID105, whatever the operator wrote there.
    pub user_field: Option<Text<'a>>,
    /// ID106, asset number.
    pub asset: Option<Text<'a>>,
    /// DXS01, three letters of the manufacturer and seven digits.
    pub communication_id: Option<Text<'a>>,
    /// DXS03, version of the standard: `V0/6` for 6.0 and later, `V1/1` before.
    pub version: Option<Text<'a>>,
    /// CB1.
    pub control_board: Option<Device<'a>>,
    /// BA1.
    pub bill_validator: Option<Device<'a>>,
    /// CA1.
    pub coin_mechanism: Option<Device<'a>>,
    /// DA1.
    pub cashless_1: Option<Device<'a>>,
    /// DB1.
    pub cashless_2: Option<Device<'a>>,
    /// AM1, what reads the machine and calls home.
    pub audit_module: Option<Device<'a>>,
    /// ID501 to ID503: the machine's own clock when it was read.
    pub clock: Option<Moment>,
}

/// A device in the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device<'a> {
    /// Serial number.
    pub serial: Option<Text<'a>>,
    /// Model.
    pub model: Option<Text<'a>>,
    /// Software revision.
    pub software: Option<Text<'a>>,
}

/// How amounts are to be read. Two decimals where the file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency<'a> {
    /// ID401, digits behind the decimal point.
    pub decimals: u8,
    /// ID402, `1` and ISO 4217 or `0` and a telephone code, as written: `1978`, `0039`.
    pub numeric: Option<Text<'a>>,
    /// ID403, three letters as a rule.
    pub alpha: Option<Text<'a>>,
}

impl Default for Currency<'_> {
    fn default() -> Self {
        Self { decimals: 2, numeric: None, alpha: None }
    }
}

impl Currency<'_> {
    /// An amount as people write it.
    pub fn money(&self, minor: Minor) -> Money {
        Money { minor, decimals: self.decimals }
    }

    /// The numeric ISO 4217 code, where ID402 has one: a 1 and three digits. Some machines leave the 1
    /// out, which is believed where three letters follow: `2*840*USD`, but not `0*039*050`. Mostly the
    /// currency has to be known from elsewhere.
    pub fn iso_numeric(&self) -> Option<u16> {
        let code = match self.numeric.as_ref()?.as_bytes() {
            [b'1', code @ ..] if code.len() == 3 => code,
            code if code.len() == 3 && self.iso_alpha().is_some() => code,
            _ => return None,
        };
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(code).ok()?.parse().ok()
    }

    /// ID403 where it is three capitals, as ISO 4217 has it, and not `N/A`, `1` or `050`.
    pub fn iso_alpha(&self) -> Option<&str> {
        let code = self.alpha.as_deref()?;
        (code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(code)
    }
}

impl<'a> Currency<'a> {
    /// Reads ID4.
    pub(crate) fn of(fields: &mut Fields<'a, '_>) -> Self {
        let decimals = match fields.number(1) {
            Some(decimals @ 0..=4) => u8::try_from(decimals).unwrap_or(2),
            None => 2,
            Some(_) => {
                fields.warn(Oddity::BadDecimals, fields.segment().raw());
                2
            }
        };
        Currency { decimals, numeric: fields.text(2), alpha: fields.text(3) }
    }
}

impl<'a> Identity<'a> {
    /// Reads a segment, if it is of this kind.
    pub(crate) fn read(&mut self, fields: &mut Fields<'a, '_>) -> bool {
        match fields.segment().id() {
            b"DXS" => {
                self.communication_id = fields.text(1);
                self.version = fields.text(3);
            }
            b"ID1" => {
                self.serial = fields.text(1).filter(|serial| serial.bytes().any(|byte| byte != b'0'));
                self.model = fields.text(2);
                self.build = fields.text(3);
                self.location = fields.text(4);
                self.user_field = fields.text(5);
                self.asset = fields.text(6);
            }
            b"ID5" => self.clock = clock(fields),
            b"CB1" => self.control_board = device(fields),
            b"BA1" => self.bill_validator = device(fields),
            b"CA1" => self.coin_mechanism = device(fields),
            b"DA1" => self.cashless_1 = device(fields),
            b"DB1" => self.cashless_2 = device(fields),
            b"AM1" => self.audit_module = device(fields),
            _ => return false,
        }
        true
    }
}

/// ID5 has the seconds beside a time of HHMM.
fn clock(fields: &mut Fields<'_, '_>) -> Option<Moment> {
    let mut moment = fields.moment(1)?;
    if let Some(time) = &mut moment.time
        && time.second.is_none()
    {
        time.second =
            fields.number(3).and_then(|second| u8::try_from(second).ok()).filter(|second| *second < 60);
    }
    Some(moment)
}

/// A device that says nothing of itself is not there.
fn device<'a>(fields: &Fields<'a, '_>) -> Option<Device<'a>> {
    let device = Device { serial: fields.text(1), model: fields.text(2), software: fields.text(3) };
    (device != Device::default()).then_some(device)
}
