//! The live schema, as the database's catalogue tells it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types;

use crate::database::ask_one;

/// A schema with everything that rows are made of, in a stable order.
#[derive(Deserialize)]
pub(super) struct Catalog {
    schema: bool,
    types: Vec<Type>,
    pub(super) relations: Vec<Relation>,
    pub(super) functions: Vec<Function>,
    #[serde(skip)]
    by_oid: BTreeMap<i64, usize>,
}

#[derive(Deserialize)]
pub(super) struct Type {
    oid: i64,
    pub(super) schema: String,
    pub(super) name: String,
    /// `b` base, `c` composite, `d` domain, `e` enum, `p` pseudo, `r` range, `m` multirange.
    pub(super) kind: String,
    /// Of an array.
    pub(super) element: Option<i64>,
    /// Of a domain.
    pub(super) base: Option<i64>,
    /// Whose rows these are.
    pub(super) relation: Option<i64>,
    pub(super) comment: Option<String>,
    /// Of an enum.
    pub(super) labels: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct Relation {
    pub(super) oid: i64,
    pub(super) name: String,
    /// `r`, `p` table, `v`, `m` view, `f` foreign table, `c` composite type.
    pub(super) kind: String,
    pub(super) comment: Option<String>,
    pub(super) columns: Vec<Column>,
}

#[derive(Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_id: i64,
    /// Not null. A view's columns never are, as far as the catalogue knows.
    pub(super) required: bool,
    pub(super) has_default: bool,
    /// Computed by the database: no insert or update may name it.
    pub(super) read_only: bool,
    pub(super) comment: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) comment: Option<String>,
    pub(super) returns: i64,
    pub(super) is_set: bool,
    arguments: Vec<Argument>,
    /// So many of the last arguments may be left out.
    defaults: usize,
}

#[derive(Deserialize)]
pub(super) struct Argument {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_id: i64,
    /// `i` in, `o` out, `b` both, `v` variadic, `t` a column of the returned table.
    pub(super) mode: String,
}

impl Catalog {
    pub(super) async fn read(client: &Client, schema: &str) -> Result<Self> {
        let row = ask_one(client, include_str!("catalog.sql"), &[(&schema, types::Type::TEXT)]).await?;
        let mut catalog: Self =
            serde_json::from_value(row.get::<_, Value>(0)).context("reading the catalogue")?;
        ensure!(catalog.schema, "there is no schema {schema:?}");
        catalog.by_oid = catalog.types.iter().enumerate().map(|(at, kind)| (kind.oid, at)).collect();
        Ok(catalog)
    }

    pub(super) fn type_of(&self, oid: i64) -> Option<&Type> {
        self.types.get(*self.by_oid.get(&oid)?)
    }

    /// A table, view or composite type of the schema.
    pub(super) fn relation(&self, oid: i64) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.oid == oid)
    }

    /// The enums of a schema, by name.
    pub(super) fn enums<'a>(&'a self, schema: &'a str) -> impl Iterator<Item = &'a Type> {
        self.types.iter().filter(move |kind| kind.schema == schema && kind.labels.is_some())
    }
}

impl Relation {
    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p" | "f")
    }

    pub(super) fn is_composite(&self) -> bool {
        self.kind == "c"
    }
}

impl Function {
    /// What a caller gives: the argument, and whether it may be left out.
    pub(super) fn inputs(&self) -> Vec<(&Argument, bool)> {
        let inputs: Vec<_> =
            self.arguments.iter().filter(|one| matches!(one.mode.as_str(), "i" | "b" | "v")).collect();
        let required = inputs.len().saturating_sub(self.defaults);
        inputs.into_iter().enumerate().map(|(at, one)| (one, at >= required)).collect()
    }

    /// The columns of what comes back, where the function itself names them.
    pub(super) fn outputs(&self) -> Vec<&Argument> {
        self.arguments.iter().filter(|one| matches!(one.mode.as_str(), "o" | "b" | "t")).collect()
    }
}
