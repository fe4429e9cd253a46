//! What the API's roles may do with the imported objects: nothing, unless asked.
//!
//! The default privileges of a project may open each new object to these roles, and PostgreSQL lets everybody call a
//! new function. The migration therefore revokes before it grants.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use tokio_postgres::Client;

use super::rewrite::{Member, rename};
use crate::backup::{grants, texts};

/// A role that the API acts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ApiRole {
    /// Callers without a user's token.
    Anon,
    /// Users.
    Authenticated,
    /// The project's own services.
    ServiceRole,
}

impl ApiRole {
    const ALL: [Self; 3] = [Self::Anon, Self::Authenticated, Self::ServiceRole];

    fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Authenticated => "authenticated",
            Self::ServiceRole => "service_role",
        }
    }
}

/// The privileges of an API role on each kind of object, where asked for. Everybody may use types.
const GRANTED: [(&str, &str); 4] = [
    ("schema", "usage"),
    ("table", "select, insert, update, delete"),
    ("sequence", "usage"),
    ("routine", "execute"),
];

/// The privileges that an import gives.
#[derive(Debug)]
pub(super) struct Access {
    granted: Vec<&'static str>,
    /// What the import makes, by kind, quoted as SQL.
    objects: BTreeMap<String, BTreeSet<String>>,
    /// Schemas that the target has already. Their own privileges stay.
    existing_schemas: BTreeSet<String>,
}

impl Access {
    pub(super) fn new(granted: &[ApiRole]) -> Self {
        let granted =
            ApiRole::ALL.into_iter().filter(|role| granted.contains(role)).map(ApiRole::name).collect();
        Self { granted, objects: BTreeMap::new(), existing_schemas: BTreeSet::new() }
    }

    /// Reads what the import will make.
    pub(super) async fn read(
        &mut self,
        source: &Client,
        target: &Client,
        schemas: &[String],
        members: &[Member],
    ) -> Result<()> {
        let foreign = texts(source, include_str!("sql/foreign_tables.sql"), &[&schemas]).await?;
        for object in grants::objects(source, schemas).await? {
            if !foreign.contains(&object)
                && let Some((kind, name)) = rename(&object, members).split_once(' ')
            {
                self.objects.entry(kind.to_owned()).or_default().insert(name.to_owned());
            }
        }
        let existing = "select quote_ident(nspname) from pg_catalog.pg_namespace where nspname = any ($1)";
        self.existing_schemas = texts(target, existing, &[&schemas]).await?.into_iter().collect();
        Ok(())
    }

    /// Tells in a sentence which of the API's roles get privileges.
    pub(super) fn summary(&self) -> String {
        let others = ApiRole::ALL.map(ApiRole::name).into_iter().filter(|role| !self.granted.contains(role));
        let others = others.collect::<Vec<_>>().join(", ");
        match self.granted.join(", ") {
            granted if granted.is_empty() => format!("Grants nothing to {others}."),
            granted if others.is_empty() => format!("Grants tables, sequences and functions to {granted}."),
            granted => {
                format!("Grants tables, sequences and functions to {granted}, and nothing to {others}.")
            }
        }
    }

    /// Returns the statements that revoke and grant.
    pub(super) fn statements(&self) -> String {
        let list =
            |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(",\n    ");
        let mut statements = vec![format!("\n-- {}\n", self.summary())];
        for (kind, names) in &self.objects {
            // Everybody may use types: a column of such a type would be of no use otherwise.
            let everybody = if kind == "type" { "" } else { "public, " };
            let is_new = |name: &&String| kind != "schema" || !self.existing_schemas.contains(*name);
            let names: Vec<&String> = names.iter().filter(is_new).collect();
            if !names.is_empty() {
                let names = list(&names);
                statements.push(format!(
                    "revoke all on {kind}\n    {names}\n    from {everybody}anon, authenticated, service_role;\n"
                ));
            }
        }
        let granted = self.granted.join(", ");
        for (kind, privileges) in GRANTED.into_iter().filter(|_| !granted.is_empty()) {
            if let Some(names) = self.objects.get(kind) {
                let names = list(&names.iter().collect::<Vec<_>>());
                statements.push(format!("grant {privileges} on {kind}\n    {names}\n    to {granted};\n"));
            }
        }
        statements.concat()
    }

    /// Fails when one of the API's roles that was not named has a privilege on what the import made.
    pub(super) async fn check(&self, target: &Client, schemas: &[String]) -> Result<()> {
        let is_made = |object: &str| {
            object.split_once(' ').is_some_and(|(kind, name)| {
                let is_old = kind == "schema" && self.existing_schemas.contains(name);
                !is_old && self.objects.get(kind).is_some_and(|names| names.contains(name))
            })
        };
        let is_open = |grant: &grants::Grant| match grant.grantee.as_str() {
            "public" => !grant.object.starts_with("type "),
            role => ApiRole::ALL.map(ApiRole::name).contains(&role) && !self.granted.contains(&role),
        };
        let found = grants::read(target, schemas).await?;
        let open: Vec<String> = found
            .iter()
            .filter(|grant| grant.verb == "grant" && is_made(&grant.object) && is_open(grant))
            .map(|grant| format!("{} on {} to {}", grant.privilege, grant.object, grant.grantee))
            .collect();
        ensure!(open.is_empty(), "not asked for, and granted: {}", open[..open.len().min(5)].join("; "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(granted: &[ApiRole]) -> Access {
        let mut access = Access::new(granted);
        for (kind, name) in
            [("schema", "public"), ("schema", "sales"), ("table", "sales.cars"), ("type", "sales.state")]
        {
            access.objects.entry(kind.to_owned()).or_default().insert(name.to_owned());
        }
        access.existing_schemas.insert("public".to_owned());
        access
    }

    #[test]
    fn nothing_is_granted_unless_asked() {
        let statements = access(&[]).statements();
        assert!(
            statements.contains("-- Grants nothing to anon, authenticated, service_role.\n"),
            "{statements}"
        );
        assert!(
            statements.contains("revoke all on table\n    sales.cars\n    from public, anon, "),
            "{statements}"
        );
        assert!(statements.contains("revoke all on type\n    sales.state\n    from anon, "), "{statements}");
        assert!(!statements.contains("grant ") && !statements.contains("    public"), "{statements}");
    }

    #[test]
    fn what_was_asked_for_is_granted_after_all_was_revoked() {
        let statements = access(&[ApiRole::ServiceRole, ApiRole::Authenticated]).statements();
        let wanted = "grant select, insert, update, delete on table\n    sales.cars\n    to authenticated, service_role;\n";
        assert!(statements.contains(wanted), "{statements}");
        assert!(
            statements.contains("grant usage on schema\n    public,\n    sales\n    to authenticated"),
            "{statements}"
        );
        assert!(statements.find("revoke") < statements.find("grant usage"), "{statements}");
    }
}
