//! PostgREST's filters: how one is named and written, alone and within `or`, `and` and `not`.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::Query;

/// Filters that are combined, for [`Query::or`], [`Query::and`] and [`Query::not`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Filters(Vec<Filter>);

#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// The column, or `or` and `and` of a group.
    name: String,
    negated: bool,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Value {
        operator: String,
        value: String,
    },
    /// The values of `in`, written and quoted.
    List(String),
    Group(Vec<Filter>),
}

impl Filters {
    /// The filter `column operator value` of any operator that PostgREST knows, e.g. `("name", "like(any)", "{A*,B*}")`.
    pub fn filter(self, column: &str, operator: &str, value: &str) -> Self {
        self.with(Filter::value(column, operator, value.to_owned()))
    }

    /// `column in (values)`
    pub fn any_of<I>(self, column: &str, values: I) -> Self
    where
        I: IntoIterator<Item: ToString>,
    {
        self.with(Filter::list(column, &mut values.into_iter().map(|value| value.to_string())))
    }

    /// At least one of the filters.
    pub fn or(self, any: impl FnOnce(Filters) -> Filters) -> Self {
        self.with(Filter::group("or", any(Filters::default())))
    }

    /// All of the filters.
    pub fn and(self, all: impl FnOnce(Filters) -> Filters) -> Self {
        self.with(Filter::group("and", all(Filters::default())))
    }

    /// Not all of the filters.
    pub fn not(self, all: impl FnOnce(Filters) -> Filters) -> Self {
        self.with(Filter::not(all(Filters::default())))
    }

    fn with(mut self, filter: Filter) -> Self {
        self.0.push(filter);
        self
    }
}

impl Filter {
    fn value(column: &str, operator: &str, value: String) -> Self {
        Self::new(column, Test::Value { operator: operator.to_owned(), value })
    }

    fn list(column: &str, values: &mut dyn Iterator<Item = String>) -> Self {
        Self::new(column, Test::List(list(values)))
    }

    fn group(name: &str, filters: Filters) -> Self {
        Self::new(name, Test::Group(filters.0))
    }

    pub(super) fn not(mut filters: Filters) -> Self {
        let mut negated = match filters.0.len() {
            1 => filters.0.remove(0),
            _ => Self::group("and", filters),
        };
        negated.negated = !negated.negated;
        negated
    }

    fn new(name: &str, test: Test) -> Self {
        Self { name: name.to_owned(), negated: false, test }
    }

    /// Writes the filter as a parameter of the query string, unencoded: its name and its value.
    pub(super) fn parameter(&self) -> (String, String) {
        let not = if self.negated { "not." } else { "" };
        match &self.test {
            Test::Value { operator, value } => (self.name.clone(), format!("{not}{operator}.{value}")),
            Test::List(list) => (self.name.clone(), format!("{not}in.{list}")),
            Test::Group(filters) => (format!("{not}{}", self.name), listed(filters)),
        }
    }

    /// Writes the filter as a member of a group.
    fn write(&self, text: &mut String) {
        let (name, not) = (&self.name, if self.negated { "not." } else { "" });
        let _ = match &self.test {
            Test::Value { operator, value } => write!(text, "{name}.{not}{operator}.{}", quoted(value)),
            Test::List(list) => write!(text, "{name}.{not}in.{list}"),
            Test::Group(filters) => write!(text, "{not}{name}{}", listed(filters)),
        };
    }
}

/// Writes the values of `in`.
pub(super) fn list(values: &mut dyn Iterator<Item = String>) -> String {
    let mut text = String::from("(");
    for value in values {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quoted(&value));
    }
    text.push(')');
    text
}

impl Filters {
    /// Writes the members of a group.
    pub(super) fn listed(&self) -> String {
        listed(&self.0)
    }
}

fn listed(filters: &[Filter]) -> String {
    let mut text = String::from("(");
    for (place, filter) in filters.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        filter.write(&mut text);
    }
    text.push(')');
    text
}

/// Quotes a value that PostgREST would otherwise take for syntax: one with a reserved character, or an empty one.
fn quoted(value: &str) -> Cow<'_, str> {
    let reserved =
        |sign: char| matches!(sign, ',' | '.' | ':' | '(' | ')' | '"' | '\\') || sign.is_whitespace();
    if !value.is_empty() && !value.contains(reserved) {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for sign in value.chars() {
        if matches!(sign, '"' | '\\') {
            text.push('\\');
        }
        text.push(sign);
    }
    text.push('"');
    Cow::Owned(text)
}

macro_rules! filters {
    ($($(#[$doc:meta])* $name:ident = $operator:literal),* $(,)?) => {
        impl<To> Query<To> {
            $($(#[$doc])* pub fn $name(self, column: &str, value: impl ToString) -> Self {
                self.filter(column, $operator, &value.to_string())
            })*
        }

        impl Filters {
            $($(#[$doc])* pub fn $name(self, column: &str, value: impl ToString) -> Self {
                self.filter(column, $operator, &value.to_string())
            })*
        }
    };
}

filters! {
    /// `column = value`
    eq = "eq",
    /// `column <> value`
    neq = "neq",
    /// `column > value`
    gt = "gt",
    /// `column >= value`
    gte = "gte",
    /// `column < value`
    lt = "lt",
    /// `column <= value`
    lte = "lte",
    /// `column like value`, with `*` for `%`
    like = "like",
    /// `column ilike value`, with `*` for `%`
    ilike = "ilike",
    /// `column ~ value`: a regular expression of Postgres
    matches = "match",
    /// `column ~* value`: a regular expression without regard to case
    imatches = "imatch",
    /// `column is null`, `true`, `false` or `unknown`
    is = "is",
    /// `column is distinct from value`
    is_distinct = "isdistinct",
    /// `column @> value`: an array (`{a,b}`), a range (`[1,5)`) or JSON contains the value
    contains = "cs",
    /// `column <@ value`
    contained_by = "cd",
    /// `column && value`: arrays or ranges that have something in common
    overlaps = "ov",
    /// `column << value`: a range that ends before the value begins
    range_lt = "sl",
    /// `column >> value`: a range that begins after the value ends
    range_gt = "sr",
    /// `column &< value`: a range that does not end after the value does
    range_lte = "nxr",
    /// `column &> value`: a range that does not begin before the value does
    range_gte = "nxl",
    /// `column -|- value`: ranges that touch
    range_adjacent = "adj",
    /// `column @@ to_tsquery(value)`; with a language as `filter(column, "fts(english)", value)`, and so on
    text_search = "fts",
    /// `column @@ plainto_tsquery(value)`
    plain_search = "plfts",
    /// `column @@ phraseto_tsquery(value)`
    phrase_search = "phfts",
    /// `column @@ websearch_to_tsquery(value)`
    web_search = "wfts",
}
