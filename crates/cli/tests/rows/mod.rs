//! Rows of the schema `public`, written by `ferry gen types`. Do not edit.
//!
//! A module a table or view: its name and its columns' as constants, `Row` as PostgREST gives it,
//! `Insert` and `Update` as it takes them. `rpc` has the functions. A view's columns may all be
//! null, as far as the database knows.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

use ::serde::{Deserialize, Serialize};

/// A `timestamptz`: RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub ::time::OffsetDateTime);

impl Serialize for Timestamp {
    fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let format = &::time::format_description::well_known::Rfc3339;
        let text = self.0.format(format).map_err(::serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let format = &::time::format_description::well_known::Rfc3339;
        let text = String::deserialize(deserializer)?;
        let time = ::time::OffsetDateTime::parse(&text, format).map_err(::serde::de::Error::custom)?;
        Ok(Self(time))
    }
}

/// A `numeric` as text. PostgREST gives a JSON number, which most readers take for a double: exact up
/// to 15 digits. Select `column::text` where there are more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Numeric(pub String);

impl<'de> Deserialize<'de> for Numeric {
    fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match ::serde_json::Value::deserialize(deserializer)? {
            ::serde_json::Value::String(text) => Ok(Self(text)),
            ::serde_json::Value::Number(number) => Ok(Self(number.to_string())),
            other => Err(::serde::de::Error::custom(format_args!("{other} is no number"))),
        }
    }
}

/// The enum `mood`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Mood {
    #[serde(rename = "good")]
    Good,
    #[serde(rename = "so-so")]
    SoSo,
    #[serde(rename = "in progress")]
    InProgress,
    /// A value that this file does not know yet.
    #[serde(untagged)]
    Unknown(String),
}

/// The composite type `option`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct OptionType {
    pub label: Option<String>,
    pub weight: Option<Numeric>,
}

/// The view `open_orders`.
pub mod open_orders {
    use super::*;

    pub const TABLE: &str = "open_orders";
    pub const ORDER_ID: &str = "order_id";
    pub const MOOD: &str = "mood";

    /// A row of `open_orders`.
    #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
    pub struct Row {
        pub order_id: Option<i64>,
        pub mood: Option<super::Mood>,
    }
}

/// What was ordered.
pub mod orders {
    use super::*;

    pub const TABLE: &str = "orders";
    pub const ORDER_ID: &str = "order_id";
    pub const REFERENCE: &str = "reference";
    pub const TYPE: &str = "type";
    pub const TOTAL: &str = "Total %";
    pub const MOOD: &str = "mood";
    pub const MOODS: &str = "moods";
    pub const TAGS: &str = "tags";
    pub const CHOICE: &str = "choice";
    pub const DETAILS: &str = "details";
    pub const SLUG: &str = "slug";
    pub const PLACED_AT: &str = "placed_at";
    pub const SEEN_AT: &str = "seen_at";
    pub const SHIPPED_ON: &str = "shipped_on";
    pub const DOUBLED: &str = "doubled";

    /// A row of `orders`.
    #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
    pub struct Row {
        pub order_id: i64,
        /// Told to the customer.
        pub reference: String,
        pub r#type: String,
        #[serde(rename = "Total %")]
        pub total: super::Numeric,
        pub mood: super::Mood,
        pub moods: Vec<super::Mood>,
        pub tags: Option<Vec<String>>,
        pub choice: Option<super::OptionType>,
        pub details: ::serde_json::Value,
        pub slug: Option<String>,
        pub placed_at: super::Timestamp,
        pub seen_at: Option<Vec<super::Timestamp>>,
        pub shipped_on: Option<String>,
        pub doubled: Option<i32>,
    }

    /// A new row of `orders`; what is None is left to the database.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Insert {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reference: Option<String>,
        pub r#type: String,
        #[serde(rename = "Total %", skip_serializing_if = "Option::is_none")]
        pub total: Option<super::Numeric>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mood: Option<super::Mood>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub moods: Option<Vec<super::Mood>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tags: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub choice: Option<super::OptionType>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub details: Option<::serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub slug: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub placed_at: Option<super::Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub seen_at: Option<Vec<super::Timestamp>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shipped_on: Option<String>,
    }

    /// Changes of `orders`; None leaves a column as it is, Some(None) empties it.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    pub struct Update {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reference: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub r#type: Option<String>,
        #[serde(rename = "Total %", skip_serializing_if = "Option::is_none")]
        pub total: Option<super::Numeric>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mood: Option<super::Mood>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub moods: Option<Vec<super::Mood>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tags: Option<Option<Vec<String>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub choice: Option<Option<super::OptionType>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub details: Option<::serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub slug: Option<Option<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub placed_at: Option<super::Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub seen_at: Option<Option<Vec<super::Timestamp>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shipped_on: Option<Option<String>>,
    }
}

/// The table `time`.
pub mod time {
    use super::*;

    pub const TABLE: &str = "time";
    pub const ID: &str = "id";

    /// A row of `time`.
    #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
    pub struct Row {
        pub id: i32,
    }

    /// A new row of `time`; what is None is left to the database.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Insert {
        pub id: i32,
    }

    /// Changes of `time`; None leaves a column as it is, Some(None) empties it.
    #[derive(Clone, Debug, Default, PartialEq, Serialize)]
    pub struct Update {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub id: Option<i32>,
    }
}

/// The functions: `Args` as PostgREST takes them, `Output` as it gives it.
pub mod rpc {
    use super::*;

    /// The function `nothing`.
    pub mod nothing {
        use super::*;

        pub const NAME: &str = "nothing";

        /// No arguments: `{}`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        pub struct Args {}

        /// What it gives.
        pub type Output = ();
    }

    /// The function `orders_by_mood`.
    pub mod orders_by_mood {
        use super::*;

        pub const NAME: &str = "orders_by_mood";

        /// No arguments: `{}`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        pub struct Args {}

        /// A row of the result. The database does not say which columns may be null.
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        pub struct Row {
            pub mood: Option<super::super::Mood>,
            pub orders: Option<i64>,
        }

        /// What it gives.
        pub type Output = Vec<Row>;
    }

    /// The function `orders_count`.
    pub mod orders_count {
        use super::*;

        pub const NAME: &str = "orders_count";

        /// No arguments: `{}`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize)]
        pub struct Args {}

        /// A row of the result. The database does not say which columns may be null.
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        pub struct Row {
            pub orders: Option<i64>,
            pub newest: Option<super::super::Timestamp>,
        }

        /// What it gives.
        pub type Output = Row;
    }

    /// The function `orders_of`.
    pub mod orders_of {
        use super::*;

        pub const NAME: &str = "orders_of";

        /// The arguments; those that are None have defaults.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct Args {
            pub p_mood: super::super::Mood,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub p_limit: Option<i32>,
        }

        /// What it gives.
        pub type Output = Vec<super::super::orders::Row>;
    }
}
