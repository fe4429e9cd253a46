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
            _ => self.base(&kind.name, up),
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

    fn own(&self, name: &str, up: &str) -> String {
        self.used.borrow_mut().insert(name.to_owned());
        format!("{up}{name}")
    }

    fn base(&self, name: &str, up: &str) -> String {
        let known = match name {
            "bool" => "bool",
            "int2" => "i16",
            "int4" => "i32",
            "int8" | "oid" => "i64",
            "float4" => "f32",
            "float8" => "f64",
            "void" => "()",
            "json" | "jsonb" | "record" | "anyelement" => "::serde_json::Value",
            "numeric" if self.numeric == Numeric::Decimal => "::rust_decimal::Decimal",
            "numeric" => return self.own(NUMERIC, up),
            "timestamptz" if self.times == Times::Time => return self.own(TIMESTAMP, up),
            // Text, uuid, date, time, interval, bytea as \x…, network addresses.
            _ => "String",
        };
        known.to_owned()
    }
}
