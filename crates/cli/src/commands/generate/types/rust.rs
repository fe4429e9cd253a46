//! Types of Postgres as types of Rust, as PostgREST writes them in JSON.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::catalog::{Catalog, Type};
use super::names;
use super::{Numeric, Times};

/// Knows the Rust type of each type of the database, and which of them were named.
pub(super) struct Types<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) schema: &'a str,
    times: Times,
    numeric: Numeric,
    /// Enums, composite types and helpers that something mentions: only these are written.
    used: RefCell<BTreeSet<String>>,
}

/// The helper types that a file brings along.
pub(super) const TIMESTAMP: &str = "Timestamp";
pub(super) const NUMERIC: &str = "Numeric";

impl<'a> Types<'a> {
    pub(super) fn new(catalog: &'a Catalog, schema: &'a str, times: Times, numeric: Numeric) -> Self {
        Self { catalog, schema, times, numeric, used: RefCell::default() }
    }

    pub(super) fn is_used(&self, name: &str) -> bool {
        self.used.borrow().contains(name)
    }

    /// The type's name as a module writes it whose way to the top of the file is `up`.
    pub(super) fn name(&self, oid: i64, up: &str) -> String {
        let Some(kind) = self.catalog.type_of(oid) else { return "::serde_json::Value".to_owned() };
        if let Some(element) = kind.element {
            return format!("Vec<{}>", self.name(element, up));
        }
        if let Some(base) = kind.base {
            return self.name(base, up);
        }
        match kind.kind.as_str() {
            "e" if kind.schema == self.schema => self.own(&names::type_name(&kind.name), up),
            "e" | "r" | "m" => "String".to_owned(),
            "c" => self.row(kind, up),
            _ => match self.number(oid) {
                Some(number) => number.to_owned(),
                None => self.base(&kind.name, up),
            },
        }
    }

    /// A row of a table or view of this file, or a composite type.
    fn row(&self, kind: &Type, up: &str) -> String {
        match kind.relation.and_then(|relation| self.catalog.relation(relation)) {
            Some(relation) if relation.is_composite() => self.own(&names::type_name(&relation.name), up),
            Some(relation) => {
                let module = names::snake(&relation.name);
                self.used.borrow_mut().insert(module.clone());
                format!("{up}{module}::Row")
            }
            None => "::serde_json::Value".to_owned(),
        }
    }

    /// What an array is made of.
    pub(super) fn element(&self, oid: i64) -> Option<i64> {
        self.catalog.type_of(oid)?.element
    }

    /// What is written as a number, `true` or `false`, whatever the precision.
    pub(super) fn number(&self, oid: i64) -> Option<&'static str> {
        let kind = self.catalog.type_of(oid)?;
        match kind.base {
            Some(base) => self.number(base),
            None => match kind.name.as_str() {
                "bool" => Some("bool"),
                "int2" => Some("i16"),
                "int4" => Some("i32"),
                "int8" | "oid" => Some("i64"),
                "float4" => Some("f32"),
                "float8" => Some("f64"),
                "numeric" if self.numeric == Numeric::Decimal => Some("::rust_decimal::Decimal"),
                _ => None,
            },
        }
    }

    pub(super) fn is_json(&self, oid: i64) -> bool {
        let Some(kind) = self.catalog.type_of(oid) else { return true };
        match kind.base {
            Some(base) => self.is_json(base),
            None => {
                kind.kind == "c" || matches!(kind.name.as_str(), "json" | "jsonb" | "record" | "anyelement")
            }
        }
    }

    /// The type of a value that is neither JSON nor a row, or of a list of such.
    pub(super) fn plain(&self, oid: i64) -> Option<String> {
        let inner = self.element(oid).unwrap_or(oid);
        (!self.is_json(inner)).then(|| self.name(oid, "super::"))
    }

    fn own(&self, name: &str, up: &str) -> String {
        self.used.borrow_mut().insert(name.to_owned());
        format!("{up}{name}")
    }

    fn base(&self, name: &str, up: &str) -> String {
        let known = match name {
            "void" => "()",
            "json" | "jsonb" | "record" | "anyelement" => "::serde_json::Value",
            "numeric" => return self.own(NUMERIC, up),
            "timestamptz" if self.times == Times::Time => return self.own(TIMESTAMP, up),
            // Text, uuid, date, time, interval, bytea as \x…, network addresses.
            _ => "String",
        };
        known.to_owned()
    }
}
