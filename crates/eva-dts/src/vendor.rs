//! What makers add: MA5. A name and whatever belongs to it, different from maker to maker.
//!
//! | maker | line | what |
//! |---|---|---|
//! | Coca-Cola, Vendo, Royal | `MA5*TEMP*55*C*DC` | tenths of a degree: 5.5 °C |
//! | RST, VCM | `MA5*DETECTED TEMPERATURE*  400*C` | hundredths, padded; unpadded whole degrees |
//! | Wittern | `MA5*TEMP*Cold*38*F*50` | zone, whole degrees, unit |
//! | all of them | `MA5*TIME*1*241022*2230*OFF` | the clock |
//! | all of them | `MA5*ERROR*UA09*UA10` | faults |
//! | Coca-Cola | `MA5*CARD*SEL01*384935*812` | cashless sales of a column: value, count |
//! | Coca-Cola | `MA5*SEL03*7,8,9*2788*2841` | motors of a column |
//!
//! Everything else stays in [`Dump::segments`](crate::Dump::segments).

use crate::amount::Amount;
use crate::clock::Moment;
use crate::fields::Fields;
use crate::segment::{Segment, parse_number};
use crate::text::{self, Text};
use crate::warning::{Oddity, Warnings};

/// A temperature that the machine reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Temperature<'a> {
    /// What of: `TEMP`, `DESIRED TEMPERATURE`, or a zone: `Cold`.
    pub name: Text<'a>,
    /// Hundredths of a degree.
    pub hundredths: i64,
    /// `C` or `F`.
    pub unit: Option<Text<'a>>,
}

/// Cashless sales of a column since initialisation, as Coca-Cola's machines tell them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card<'a> {
    /// The column: `SEL01`.
    pub column: Text<'a>,
    /// What was sold from it.
    pub sales: Amount,
}

/// The motors of a column, as Coca-Cola's machines tell them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column<'a> {
    /// The column: `SEL01`.
    pub column: Text<'a>,
    /// Its motors: `7,8,9`.
    pub motors: Option<Text<'a>>,
}

/// What a maker adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vendor<'a> {
    /// Temperatures.
    pub(crate) temperatures: Vec<Temperature<'a>>,
    /// The clock.
    pub(crate) clock: Option<Moment>,
    /// Codes or words of faults.
    pub(crate) faults: Vec<Text<'a>>,
    /// Cashless sales by column.
    pub(crate) cards: Vec<Card<'a>>,
    /// Columns and their motors.
    pub(crate) columns: Vec<Column<'a>>,
}

const NAME: &[u8] = b"MA5*";
/// No machine has more of anything here.
const MOST: usize = 1_000;

impl<'a> Vendor<'a> {
    /// Reads MA5, several of them where the line end between them is lost.
    pub(crate) fn read(&mut self, segment: Segment<'a>, warnings: &mut Warnings<'a>) {
        let mut rest = segment;
        while let Some(at) = glued(rest.raw()) {
            let (front, back) = rest.raw().split_at(at);
            warnings.push(segment.line(), Oddity::Glued, back);
            if let Some(front) = Segment::read(front, segment.line()) {
                self.read_one(&mut Fields::of(front, warnings));
            }
            let Some(back) = Segment::read(back, segment.line()) else { return };
            rest = back;
        }
        self.read_one(&mut Fields::of(rest, warnings));
    }

    fn read_one(&mut self, fields: &mut Fields<'a, '_>) {
        let Some(name) = fields.raw(1) else { return };
        let fullest =
            self.temperatures.len().max(self.faults.len()).max(self.cards.len()).max(self.columns.len());
        if fullest >= MOST {
            return fields.warn(Oddity::TooMany, fields.segment().raw());
        }
        match name {
            b"ERROR" => self.faults.extend(faults(fields.segment())),
            b"TIME" => self.clock = fields.moment(3),
            b"CARD" => {
                let Some(column) = fields.text(2).filter(|column| column.starts_with("SEL")) else { return };
                let sales = Amount { value: fields.number(3), count: fields.number(4) };
                self.cards.push(Card { column, sales });
            }
            [b'S', b'E', b'L', b'0'..=b'9', ..] => {
                self.columns.push(Column { column: text::decode(name), motors: fields.text(2) });
            }
            _ if is_temperature(name) => self.temperatures.extend(temperature(name, fields)),
            _ => {}
        }
    }
}

/// Where a second MA5 begins in the middle of a line.
fn glued(line: &[u8]) -> Option<usize> {
    let at = line.get(1..)?.windows(NAME.len()).position(|window| window == NAME)? + 1;
    (line[at - 1] != b'*').then_some(at)
}

/// A zero is the absence of a fault.
fn faults(segment: Segment<'_>) -> impl Iterator<Item = Text<'_>> {
    let codes = segment.elements().skip(1).map(<[u8]>::trim_ascii);
    codes.filter(|code| code.iter().any(|byte| *byte != b'0')).map(text::decode)
}

fn is_temperature(name: &[u8]) -> bool {
    name.windows(4).any(|window| window == b"TEMP")
}

/// No unit is told for the number itself; the name and the padding give it away.
fn temperature<'a>(name: &'a [u8], fields: &Fields<'a, '_>) -> Option<Temperature<'a>> {
    let Some(value) = signed(fields.raw(2)?) else {
        // A zone comes first; an open sensor reads `OPEN` and is no temperature.
        let value = signed(fields.raw(3)?)?;
        let (name, unit) = (fields.text(2)?, fields.text(4));
        return Some(Temperature { name, hundredths: value * 100, unit });
    };
    let is_padded = fields.segment().elements().nth(1).is_some_and(|element| element.starts_with(b" "));
    let hundredths = match name {
        b"TEMP" => value * 10,
        _ if is_padded || value.abs() >= 100 => value,
        _ => value * 100,
    };
    Some(Temperature { name: text::decode(name), hundredths, unit: fields.text(3) })
}

/// A number of up to five digits with its sign.
fn signed(element: &[u8]) -> Option<i64> {
    let (is_below_zero, digits) = match element {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let digits = digits.trim_ascii();
    let value = parse_number(digits).ok().flatten().filter(|value| !digits.is_empty() && *value < 100_000)?;
    let value = i64::try_from(value).ok()?;
    Some(if is_below_zero { -value } else { value })
}
