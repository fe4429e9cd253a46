//! What happened: EA1 to EA7, CA5, CA6.

use crate::amount::{Both, Count};
use crate::clock::Moment;
use crate::fields::Fields;
use crate::text::Text;

/// Something that happened: once at a time (EA1), or so often (EA2).
///
/// A code is a kind (E exception, O operation), a unit and what of it: `EGS` cabinet, door open;
/// `EJB` column, motor jammed. A device or product may follow: `EJB_101`. Old machines have codes of
/// their own: `DO` door, `CR` cash reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// EA101 or EA201.
    pub code: Text<'a>,
    /// The selection that it is about: named behind the code, or by the place of the line behind a
    /// product (Wittern).
    pub selection: Option<Text<'a>>,
    /// EA102 and EA103.
    pub at: Option<Moment>,
    /// EA104 or EA206, how long it lasted.
    pub minutes: Option<Count>,
    /// EA105, the same more precisely.
    pub milliseconds: Option<Count>,
    /// EA202 and EA203: how often.
    pub count: Both<Option<Count>>,
    /// EA204, who did it, in the maker's numbers.
    pub user: Option<Text<'a>>,
    /// EA205 is 1: it is so now.
    pub is_active: bool,
}

/// Readings of the machine (EA3, or CA6 of old machines).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads<'a> {
    /// EA301, with reset, since initialisation.
    pub with_reset: Option<Count>,
    /// EA302 and EA303, this one.
    pub this_read: Option<Moment>,
    /// EA304, who reads.
    pub this_terminal: Option<Text<'a>>,
    /// EA305 and EA306, the one before.
    pub last_read: Option<Moment>,
    /// EA307, who read then.
    pub last_terminal: Option<Text<'a>>,
    /// EA309, with and without reset, since initialisation.
    pub all: Option<Count>,
    /// EA310, resets since initialisation.
    pub resets: Option<Count>,
}

/// A service of the machine (EA6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service<'a> {
    /// EA601 and EA602.
    pub at: Option<Moment>,
    /// EA603, who did it.
    pub terminal: Option<Text<'a>>,
    /// EA604, what was done, in the maker's words.
    pub what: Option<Text<'a>>,
}

impl<'a> Event<'a> {
    /// Reads EA1. One without a code is a line that a machine sends for want of events.
    pub(crate) fn timed(fields: &mut Fields<'a, '_>) -> Option<Self> {
        let code = fields.text(1)?;
        Some(Self {
            selection: named(&code),
            at: fields.moment(2),
            minutes: fields.number(4),
            milliseconds: fields.number(5),
            code,
            ..Self::default()
        })
    }

    /// Reads EA2, behind a product or not.
    pub(crate) fn counted(fields: &mut Fields<'a, '_>, behind: Option<&Text<'a>>) -> Option<Self> {
        let code = fields.text(1)?;
        Some(Self {
            selection: named(&code).or_else(|| behind.filter(|_| is_of_a_column(&code)).cloned()),
            count: fields.numbers(3, 2),
            user: fields.text(4),
            is_active: fields.flag(5),
            minutes: fields.number(6),
            code,
            ..Self::default()
        })
    }

    /// Whether it is a fault, and now: an operation (O) that goes on is none.
    pub fn is_fault(&self) -> bool {
        self.is_active && !self.code.starts_with('O')
    }
}

/// `EJB_101`: what stands behind the code of a column is its selection.
fn named<'a>(code: &Text<'a>) -> Option<Text<'a>> {
    let (unit, selection) = code.split_once('_')?;
    if !is_of_a_column(unit) || selection.is_empty() {
        return None;
    }
    Some(match code {
        Text::Borrowed(code) => Text::Borrowed(code.split_once('_')?.1),
        Text::Owned(_) => Text::Owned(selection.to_owned()),
    })
}

/// Whether an event is about a column: units J and L. An open door behind the last product is not.
fn is_of_a_column(code: &str) -> bool {
    matches!(code.as_bytes(), [b'E', b'J' | b'L', ..])
}

impl<'a> Reads<'a> {
    /// Reads EA3.
    pub(crate) fn of(fields: &mut Fields<'a, '_>) -> Self {
        Self {
            with_reset: fields.number(1),
            this_read: fields.moment(2),
            this_terminal: fields.text(4),
            last_read: fields.moment(5),
            last_terminal: fields.text(7),
            all: fields.number(9),
            resets: fields.number(10),
        }
    }
}

impl<'a> Service<'a> {
    /// Reads EA6.
    pub(crate) fn of(fields: &mut Fields<'a, '_>) -> Self {
        Self { at: fields.moment(1), terminal: fields.text(3), what: fields.text(4) }
    }
}
