//! What is wrong with a text. serde's own words for a value that does not fit format any number,
//! floating point included, which is 7.5 kB gzipped of `core`; these say the same without it.

use std::fmt::{Arguments, Display, Formatter};

use serde::de::{Error, Expected, Unexpected};

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Boxed, so that the results that carry it are small.
#[derive(Debug)]
pub(crate) struct Fault(Box<Wrong>);

#[derive(Debug)]
struct Wrong {
    message: String,
    is_syntax: bool,
}

impl Fault {
    /// The text is no JSON.
    #[cold]
    pub(crate) fn syntax(message: Arguments<'_>) -> Self {
        Self(Box::new(Wrong { message: message.to_string(), is_syntax: true }))
    }

    #[cold]
    fn data(message: Arguments<'_>) -> Self {
        Self(Box::new(Wrong { message: message.to_string(), is_syntax: false }))
    }

    pub(crate) fn is_syntax(&self) -> bool {
        self.0.is_syntax
    }

    #[cold]
    fn invalid(what: &str, found: &Unexpected<'_>, expected: &dyn Expected) -> Self {
        match found {
            Unexpected::Bool(value) => {
                Self::data(format_args!("{what}: boolean `{value}`, expected {expected}"))
            }
            Unexpected::Unsigned(value) => {
                Self::data(format_args!("{what}: integer `{value}`, expected {expected}"))
            }
            Unexpected::Signed(value) => {
                Self::data(format_args!("{what}: integer `{value}`, expected {expected}"))
            }
            Unexpected::Str(value) => {
                Self::data(format_args!("{what}: string {value:?}, expected {expected}"))
            }
            Unexpected::Char(value) => {
                Self::data(format_args!("{what}: character `{value}`, expected {expected}"))
            }
            other => {
                let name = match other {
                    Unexpected::Float(_) => "floating point number",
                    Unexpected::Unit => "null",
                    Unexpected::Seq => "sequence",
                    Unexpected::Map => "map",
                    Unexpected::Bytes(_) => "byte array",
                    Unexpected::Other(name) => name,
                    _ => "another kind of value",
                };
                Self::data(format_args!("{what}: {name}, expected {expected}"))
            }
        }
    }
}

impl Error for Fault {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        Self::data(format_args!("{message}"))
    }

    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid("invalid type", &found, expected)
    }

    #[cold]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid("invalid value", &found, expected)
    }
}

impl std::error::Error for Fault {}

impl Display for Fault {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.message)
    }
}
