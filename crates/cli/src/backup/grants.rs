//! Grants and default privileges: read with a backup, and made equal by a restore.
//!
//! `pg_restore` only adds grants, so what the default privileges of the target give to each new object would stay.
//! A restore therefore takes no grants from the dump: it compares all that the new objects have with the list of the
//! backup, and changes what differs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::texts;

const FOUND: &str = include_str!("sql/grants.sql");

/// One privilege of one role on one object, or the statement that the object exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// `grant`; `revoke` for a privilege that the owner gave up; `object` for an object, with or without grants.
    pub(crate) verb: String,
    /// `SELECT`, or `SELECT (email)` for a column.
    pub(crate) privilege: String,
    /// `table public.companies`, quoted as SQL.
    pub(crate) object: String,
    /// The role, quoted as SQL, or `public`.
    pub(crate) grantee: String,
    /// Whether the role may grant the privilege to others.
    pub(crate) grantable: bool,
}

/// A default privilege, as the statement that sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultPrivilege {
    /// The role whose new objects get the privilege.
    pub role: String,
    /// The schema of these objects; `None` for every schema.
    pub schema: Option<String>,
    /// `alter default privileges …`, without a semicolon.
    pub statement: String,
}

/// Reads the grants on everything in these schemas, without those that extensions made or that this role cannot change.
pub(crate) async fn read(client: &Client, schemas: &[String]) -> Result<Vec<Grant>> {
    let query = format!("{FOUND}\norder by object, position, privilege");
    let rows = client.query(&query, &[&schemas]).await.context("reading the grants")?;
    let mut grants = Vec::new();
    for row in rows {
        if ["own", "changed"].contains(&row.try_get("membership")?) {
            grants.push(Grant {
                verb: row.try_get("verb")?,
                privilege: row.try_get("privilege")?,
                object: row.try_get("object")?,
                grantee: row.try_get("grantee")?,
                grantable: row.try_get("grantable")?,
            });
        }
    }
    Ok(grants)
}

/// Reads the project's own objects in these schemas: `table public.companies`.
pub(crate) async fn objects(client: &Client, schemas: &[String]) -> Result<Vec<String>> {
    let query = format!(
        "select object from ({FOUND}) as found where verb = 'object' and membership = 'own' order by object"
    );
    texts(client, &query, &[&schemas]).await
}

/// Reads the default privileges of the roles that this connection may act as.
pub(super) async fn default_privileges(client: &Client) -> Result<Vec<DefaultPrivilege>> {
    let rows = client
        .query(include_str!("sql/default_privileges.sql"), &[])
        .await
        .context("reading the default privileges")?;
    let read = rows.iter().map(|row| {
        Ok(DefaultPrivilege {
            role: row.try_get("role")?,
            schema: row.try_get("schema")?,
            statement: row.try_get("statement")?,
        })
    });
    read.collect()
}

/// The grants of a backup.
pub(super) fn of_backup(file: &Path) -> Result<Vec<Grant>> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))
}

/// Returns the statements that make the grants in these schemas equal to the given ones, or fail. With `existing_only`,
/// objects that are not there do not count.
pub(super) fn statements(schemas: &[String], grants: &[Grant], existing_only: bool) -> Result<String> {
    let schemas: Vec<String> = schemas.iter().map(|schema| literal(schema)).collect();
    let found = FOUND.replace("$1", &format!("array[{}]::text[]", schemas.join(", ")));
    let wanted = literal(&serde_json::to_string(grants)?);
    let existing = "delete from pg_temp.wanted_grants where object not in (select object from pg_temp.found_grants where verb = 'object');\n";
    Ok(format!(
        "create temporary table wanted_grants as select * from rows from (
            jsonb_to_recordset({wanted}::jsonb) as (verb text, privilege text, object text, grantee text, grantable boolean)
        ) with ordinality as wanted (verb, privilege, object, grantee, grantable, position);
        create temporary view all_grants as\n{found};
        create temporary view found_grants as select verb, privilege, object, grantee, grantable from pg_temp.all_grants
            where membership in ('own', 'changed')
               or membership = 'initial' and object in (select object from pg_temp.wanted_grants);
        {}{}",
        if existing_only { existing } else { "" },
        include_str!("sql/set_grants.sql")
    ))
}

/// Returns the roles that grants name and this database lacks.
pub(super) async fn missing_roles(client: &Client, grants: &[Grant]) -> Result<Vec<String>> {
    let named: BTreeSet<&str> = grants
        .iter()
        .filter(|grant| grant.verb == "grant" && grant.grantee != "public")
        .map(|grant| grant.grantee.as_str())
        .collect();
    let named: Vec<&str> = named.into_iter().collect();
    let missing = "select name from unnest($1::text[]) as name where to_regrole(name) is null order by name";
    texts(client, missing, &[&named]).await
}

/// A string as SQL writes it, with standard-conforming strings.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_quotes_stay_inside_their_literal() {
        let grant = Grant {
            verb: "grant".to_owned(),
            privilege: "SELECT".to_owned(),
            object: "table \"it's\".a".to_owned(),
            grantee: "anon".to_owned(),
            grantable: false,
        };
        let statements = statements(&["it's".to_owned()], &[grant], false).expect("statements");
        assert!(statements.contains("array['it''s']::text[]"), "{statements}");
        assert!(statements.contains(r#""object":"table \"it''s\".a""#), "{statements}");
    }
}
