//! Writes the file: helpers, enums, composite types, a module a table or view, and the functions.

use std::fmt::Write as _;

use super::catalog::{Catalog, Column, Relation, Type};
use super::names::{self, Unique};
use super::rust::{NUMERIC, TIMESTAMP, Types};
use super::{Options, rpc};

/// As wide as rustfmt lets a line be.
const WIDTH: usize = 100;

/// Text with its indentation, a level being four blanks.
#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) depth: usize,
}

impl Page {
    pub(super) fn line(&mut self, text: &str) {
        if !text.is_empty() {
            let _ = write!(self.text, "{:1$}{text}", "", self.depth * 4);
        }
        self.text.push('\n');
    }

    pub(super) fn open(&mut self, text: &str) {
        self.line(&format!("{text} {{"));
        self.depth += 1;
    }

    pub(super) fn close(&mut self) {
        self.depth -= 1;
        self.line("}");
    }

    /// A comment of the database, or else these words.
    pub(super) fn doc(&mut self, comment: Option<&str>, otherwise: &str) {
        for line in comment.filter(|text| !text.trim().is_empty()).unwrap_or(otherwise).trim().lines() {
            self.line(format!("/// {line}").trim_end());
        }
    }

    pub(super) fn text_constant(&mut self, name: &str, value: &str) {
        let line = format!("pub const {name}: &str = {value:?};");
        if self.depth * 4 + line.chars().count() > WIDTH {
            self.line(&format!("pub const {name}: &str ="));
            self.line(&format!("    {value:?};"));
        } else {
            self.line(&line);
        }
    }

    /// A field, and the name it has in JSON where that is another.
    pub(super) fn field(&mut self, name: &str, json: &str, rust_type: &str, skip: bool) {
        let mut attributes = Vec::new();
        if name.strip_prefix("r#").unwrap_or(name) != json {
            attributes.push(format!("rename = {json:?}"));
        }
        if skip {
            attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
        }
        if !attributes.is_empty() {
            self.line(&format!("#[serde({})]", attributes.join(", ")));
        }
        self.line(&format!("pub {name}: {rust_type},"));
    }
}

/// The whole file.
pub(super) fn file(catalog: &Catalog, options: &Options) -> String {
    let types = Types::new(catalog, &options.schema, options.times, options.numeric);
    let mut body = Page::default();
    for one in catalog.relations.iter().filter(|one| !one.is_composite() && options.wants(&one.name)) {
        relation(&mut body, one, &types);
    }
    rpc::functions(&mut body, options, &types);
    // Rows that only a function gives, where the file has not all tables.
    let mut written: Vec<&str> =
        catalog.relations.iter().filter(|one| options.wants(&one.name)).map(|one| &*one.name).collect();
    while let Some(one) = catalog.relations.iter().find(|one| {
        !one.is_composite() && !written.contains(&&*one.name) && types.is_used(&names::snake(&one.name))
    }) {
        written.push(&one.name);
        relation(&mut body, one, &types);
    }
    let mut composites = Page::default();
    let mut done: Vec<&str> = Vec::new();
    while let Some(one) = catalog.relations.iter().find(|one| {
        one.is_composite() && !done.contains(&&*one.name) && types.is_used(&names::type_name(&one.name))
    }) {
        done.push(&one.name);
        composite(&mut composites, one, &types);
    }
    let mut page = Page::default();
    head(&mut page, options);
    helpers(&mut page, &types);
    for one in catalog.enums(&options.schema).filter(|one| types.is_used(&names::type_name(&one.name))) {
        enumeration(&mut page, one);
    }
    format!("{}{}{}", page.text, composites.text, body.text)
}

fn head(page: &mut Page, options: &Options) {
    page.line(&format!(
        "//! Rows of the schema `{}`, written by `ferry gen types`. Do not edit.",
        options.schema
    ));
    page.line("//!");
    page.line(
        "//! A module a table or view: its name and its columns' as constants, `Row` as PostgREST gives it,",
    );
    page.line(
        "//! `Insert` and `Update` as it takes them. `rpc` has the functions. A view's columns may all be",
    );
    page.line("//! null, as far as the database knows.");
    page.line("#![allow(dead_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]");
    page.line("");
    page.line("use ::serde::{Deserialize, Serialize};");
}

pub(super) fn helpers(page: &mut Page, types: &Types<'_>) {
    if types.is_used(TIMESTAMP) {
        page.text.push_str(include_str!("timestamp.txt"));
    }
    if types.is_used(NUMERIC) {
        page.text.push_str(include_str!("numeric.txt"));
    }
}

/// A value that the enum got later than this file is kept, and goes back as it came.
fn enumeration(page: &mut Page, one: &Type) {
    let labels = one.labels.as_deref().unwrap_or_default();
    page.line("");
    page.doc(one.comment.as_deref(), &format!("The enum `{}`.", one.name));
    page.line("#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]");
    page.open(&format!("pub enum {}", names::type_name(&one.name)));
    let mut unique = Unique::with(&["Unknown"]);
    for label in labels {
        page.line(&format!("#[serde(rename = {label:?})]"));
        let variant = unique.name(&names::camel(label));
        page.line(&format!("{variant},"));
    }
    page.doc(None, "A value that this file does not know yet.");
    page.line("#[serde(untagged)]");
    page.line("Unknown(String),");
    page.close();
}

fn composite(page: &mut Page, one: &Relation, types: &Types<'_>) {
    page.line("");
    page.doc(one.comment.as_deref(), &format!("The composite type `{}`.", one.name));
    page.line("#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]");
    page.open(&format!("pub struct {}", names::type_name(&one.name)));
    let mut unique = Unique::default();
    for column in &one.columns {
        column_doc(page, column);
        let rust_type = format!("Option<{}>", types.name(column.type_id, ""));
        page.field(&unique.name(&names::snake(&column.name)), &column.name, &rust_type, false);
    }
    page.close();
}

fn column_doc(page: &mut Page, column: &Column) {
    if column.comment.is_some() {
        page.doc(column.comment.as_deref(), "");
    }
}

fn relation(page: &mut Page, one: &Relation, types: &Types<'_>) {
    let what = if one.is_table() { "table" } else { "view" };
    page.line("");
    page.doc(one.comment.as_deref(), &format!("The {what} `{}`.", one.name));
    page.open(&format!("pub mod {}", names::snake(&one.name)));
    page.line("use super::*;");
    page.line("");
    page.text_constant("TABLE", &one.name);
    let mut unique = Unique::with(&["TABLE"]);
    for column in &one.columns {
        let name = unique.name(&names::screaming(&column.name));
        page.text_constant(&name, &column.name);
    }
    let fields = fields(one);
    page.line("");
    page.doc(None, &format!("A row of `{}`.", one.name));
    page.line("#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]");
    page.open("pub struct Row");
    for (column, field) in &fields {
        column_doc(page, column);
        let inner = types.name(column.type_id, "super::");
        let rust_type = if column.required { inner } else { format!("Option<{inner}>") };
        page.field(field, &column.name, &rust_type, false);
    }
    page.close();
    if one.is_table() {
        insert(page, one, &fields, types);
        update(page, one, &fields, types);
    }
    page.close();
}

fn fields(one: &Relation) -> Vec<(&Column, String)> {
    let mut unique = Unique::default();
    one.columns.iter().map(|column| (column, unique.name(&names::snake(&column.name)))).collect()
}

fn insert(page: &mut Page, one: &Relation, fields: &[(&Column, String)], types: &Types<'_>) {
    let is_free = |column: &Column| column.has_default || !column.required;
    let free = fields.iter().all(|(column, _)| column.read_only || is_free(column));
    page.line("");
    page.doc(None, &format!("A new row of `{}`; what is None is left to the database.", one.name));
    let default = if free { ", Default" } else { "" };
    page.line(&format!("#[derive(Clone, Debug{default}, PartialEq, Serialize)]"));
    page.open("pub struct Insert");
    for (column, field) in fields.iter().filter(|(column, _)| !column.read_only) {
        let inner = types.name(column.type_id, "super::");
        let rust_type = if is_free(column) { format!("Option<{inner}>") } else { inner };
        page.field(field, &column.name, &rust_type, is_free(column));
    }
    page.close();
}

fn update(page: &mut Page, one: &Relation, fields: &[(&Column, String)], types: &Types<'_>) {
    page.line("");
    page.doc(
        None,
        &format!("Changes of `{}`; None leaves a column as it is, Some(None) empties it.", one.name),
    );
    page.line("#[derive(Clone, Debug, Default, PartialEq, Serialize)]");
    page.open("pub struct Update");
    for (column, field) in fields.iter().filter(|(column, _)| !column.read_only) {
        let inner = types.name(column.type_id, "super::");
        let rust_type =
            if column.required { format!("Option<{inner}>") } else { format!("Option<Option<{inner}>>") };
        page.field(field, &column.name, &rust_type, true);
    }
    page.close();
}
