//! The part of a schema that one crate uses, as its `rows.toml` names it: constants, the columns that are
//! read, and arguments that borrow. What is written costs a module nothing until it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::catalog::{Argument, Catalog, Column, Function};
use super::emit::{Page, helpers};
use super::names::{self, Unique};
use super::rust::{NUMERIC, TIMESTAMP, Types};
use super::{Numeric, Times};
use crate::commands::Misuse;

/// A `rows.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The file to write, from the folder of the `rows.toml`.
    #[serde(default = "rows_rs")]
    out: PathBuf,
    #[serde(default = "public")]
    pub(super) schema: String,
    #[serde(default)]
    times: Times,
    #[serde(default)]
    numeric: Numeric,
    /// Whose names and arguments are wanted.
    #[serde(default)]
    functions: Vec<String>,
    /// Selections of columns, by the name of the module that each becomes.
    #[serde(default)]
    rows: BTreeMap<String, Selection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    /// A table, a view, a composite type, or a function that names its own columns.
    from: String,
    /// Each `name`, `name!` where it is never null, `name: type` for another type than is written by itself.
    columns: Vec<String>,
}

fn rows_rs() -> PathBuf {
    "src/rows.rs".into()
}

fn public() -> String {
    "public".to_owned()
}

impl Part {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let mut part: Self =
            toml::from_str(&text).map_err(|problem| Misuse(format!("{}: {problem}", file.display())))?;
        part.out = file.parent().unwrap_or(Path::new("")).join(&part.out);
        Ok(part)
    }

    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// The whole file.
    pub(super) fn write(&self, catalog: &Catalog) -> Result<String> {
        let types = Types::new(catalog, &self.schema, self.times, self.numeric);
        let mut body = Page::default();
        for (name, selection) in &self.rows {
            selected(&mut body, name, selection, &types)?;
        }
        for name in &self.functions {
            let mut named = catalog.functions.iter().filter(|one| one.name == *name);
            let (Some(one), None) = (named.next(), named.next()) else {
                return Err(
                    Misuse(format!("schema {} has no function {name}, or several", self.schema)).into()
                );
            };
            function(&mut body, one, &types);
        }
        let mut page = Page::default();
        page.line(&format!(
            "//! What this crate uses of the schema `{}`, written by `ferry gen types --part`",
            self.schema
        ));
        page.line("//! from its `rows.toml`. Do not edit.");
        page.line("#![allow(dead_code, missing_docs, unreachable_pub)]");
        page.line("#![allow(clippy::all, clippy::pedantic, rustdoc::all)]");
        if types.is_used(TIMESTAMP) || types.is_used(NUMERIC) {
            page.line("");
            page.line("use ::serde::{Deserialize, Serialize};");
        }
        helpers(&mut page, &types);
        Ok(page.text + &body.text)
    }
}

/// What a selection may take its columns from.
struct Source<'a> {
    /// Not so when it is a function or a composite type: then nobody selects from it.
    is_relation: bool,
    comment: Option<&'a str>,
    /// Name, type, never null, comment.
    columns: Vec<(&'a str, i64, bool, Option<&'a str>)>,
}

/// A column that was selected.
struct Field<'a> {
    column: &'a str,
    rust_type: String,
    comment: Option<&'a str>,
}

fn source<'a>(catalog: &'a Catalog, name: &str) -> Option<Source<'a>> {
    if let Some(one) = catalog.relations.iter().find(|one| one.name == name) {
        let column =
            |column: &'a Column| (&*column.name, column.type_id, column.required, column.comment.as_deref());
        return Some(Source {
            is_relation: !one.is_composite(),
            comment: one.comment.as_deref(),
            columns: one.columns.iter().map(column).collect(),
        });
    }
    let one = catalog.functions.iter().find(|one| one.name == name)?;
    let column = |output: &'a Argument| (&*output.name, output.type_id, false, None);
    Some(Source {
        is_relation: false,
        comment: one.comment.as_deref(),
        columns: one.outputs().into_iter().map(column).collect(),
    })
}

fn selected(page: &mut Page, name: &str, selection: &Selection, types: &Types<'_>) -> Result<()> {
    let from = &selection.from;
    let source = source(types.catalog, from)
        .ok_or_else(|| Misuse(format!("[rows.{name}]: schema {} has no {from}", types.schema)))?;
    let mut fields = Vec::new();
    for written in &selection.columns {
        let (column, own) = match written.split_once(':') {
            Some((column, own)) => (column.trim(), Some(own.trim())),
            None => (written.trim(), None),
        };
        let (column, never_null) = match column.strip_suffix('!') {
            Some(column) => (column, true),
            None => (column, false),
        };
        let found = source.columns.iter().find(|known| known.0 == column);
        let &(column, type_id, required, comment) =
            found.ok_or_else(|| Misuse(format!("[rows.{name}]: {from} has no column {column}")))?;
        let inner = own.map_or_else(|| types.name(type_id, "super::"), str::to_owned);
        let rust_type = if required || never_null { inner } else { format!("Option<{inner}>") };
        fields.push(Field { column, rust_type, comment });
    }
    page.line("");
    page.doc(source.comment, &format!("Of `{from}`."));
    page.open(&format!("pub mod {}", names::snake(name)));
    if source.is_relation {
        constants(page, from, &fields);
    }
    page.doc(None, &format!("These columns of a row of `{from}`."));
    page.line("#[derive(Clone, Debug, ::serde::Deserialize)]");
    page.open("pub struct Row");
    let mut unique = Unique::default();
    for Field { column, rust_type, comment } in &fields {
        if comment.is_some() {
            page.doc(*comment, "");
        }
        page.field(&unique.name(&names::snake(column)), column, rust_type, false);
    }
    page.close();
    page.close();
    Ok(())
}

/// The table's name, its columns' as a query wants them, as a list, and one by one.
fn constants(page: &mut Page, table: &str, fields: &[Field<'_>]) {
    let listed: Vec<&str> = fields.iter().map(|field| field.column).collect();
    page.text_constant("TABLE", table);
    page.doc(None, "For `select`.");
    page.text_constant("COLUMNS", &listed.join(","));
    page.line(&format!("pub const NAMES: [&str; {}] = {listed:?};", listed.len()));
    let mut unique = Unique::with(&["TABLE", "COLUMNS", "NAMES"]);
    for column in &listed {
        page.text_constant(&unique.name(&names::screaming(column)), column);
    }
    page.line("");
}

fn function(page: &mut Page, one: &Function, types: &Types<'_>) {
    let mut parameters = Vec::new();
    let mut unique = Unique::default();
    let mut borrows = false;
    let mut fields = Page { depth: 2, ..Page::default() };
    for (argument, may_go) in one.inputs() {
        let rust_type = given(argument, types, &mut parameters);
        borrows |= rust_type.starts_with('&');
        let rust_type = if may_go { format!("Option<{rust_type}>") } else { rust_type };
        fields.field(&unique.name(&names::snake(&argument.name)), &argument.name, &rust_type, may_go);
    }
    let generics: Vec<String> = borrows.then(|| "'a".to_owned()).into_iter().chain(parameters).collect();
    let generics = if generics.is_empty() { String::new() } else { format!("<{}>", generics.join(", ")) };
    page.line("");
    page.doc(one.comment.as_deref(), &format!("The function `{}`.", one.name));
    page.open(&format!("pub mod {}", names::snake(&one.name)));
    page.text_constant("NAME", &one.name);
    page.line("");
    page.doc(None, "The arguments; those that are None have defaults.");
    page.line("#[derive(::serde::Serialize)]");
    page.open(&format!("pub struct Args{generics}"));
    page.text.push_str(&fields.text);
    page.close();
    if let Some(output) = types.plain(one.returns) {
        let output = if one.is_set { format!("Vec<{output}>") } else { output };
        page.line("");
        page.doc(None, "What it gives.");
        page.line(&format!("pub type Output = {output};"));
    }
    page.close();
}

/// An argument's type, borrowed. What is JSON or a list of texts may be anything that is written as that:
/// a type parameter of the argument's name.
fn given(argument: &Argument, types: &Types<'_>, parameters: &mut Vec<String>) -> String {
    let mut parameter = |bound: &str| {
        let name = names::type_name(argument.name.strip_prefix("p_").unwrap_or(&argument.name));
        parameters.push(format!("{name}{bound}"));
        name
    };
    if let Some(element) = types.element(argument.type_id) {
        return match types.number(element) {
            Some(number) => format!("&'a [{number}]"),
            None => format!("&'a [{}]", parameter("")),
        };
    }
    match types.number(argument.type_id) {
        Some(number) => number.to_owned(),
        None if types.is_json(argument.type_id) => format!("&'a {}", parameter(": ?Sized")),
        None => "&'a str".to_owned(),
    }
}
