//! `ferry inspect rls`

use std::process::ExitCode;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::{print_json, rows};
use crate::commands::paint::{self, Tone};
use crate::commands::table::{Cell, Column, Table};
use crate::database::ask_all;
use crate::remote::Place;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A schema that the API exposes (may be given several times) [default: as the API is set, else
    /// `[api] schemas` of supabase/config.toml, else public]
    #[arg(long = "schema", value_name = "NAME")]
    schemas: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Finding {
    /// `open`: somebody sees or changes what they should not. `warn`: perhaps. `slow`: at scale.
    level: String,
    kind: String,
    object: String,
    detail: String,
    remedy: String,
}

pub(super) async fn show(
    client: &Client,
    arguments: &Arguments,
    place: &Place,
    json: bool,
) -> Result<ExitCode> {
    let schemas = match &*arguments.schemas {
        [] => exposed(client, place).await?,
        given => given.to_vec(),
    };
    // Names are then printed with their schemas, as rls.sql expects.
    client.batch_execute("set local search_path = ''").await?;
    let findings: Vec<Finding> =
        rows(client, include_str!("sql/rls.sql"), &[(&schemas, Type::TEXT_ARRAY)]).await?;
    let is_open = findings.iter().any(|finding| finding.level == "open");
    if json {
        print_json(&json!({ "schemas": schemas, "findings": findings }));
    } else {
        print(&findings, &schemas);
    }
    Ok(if is_open { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Hosted projects keep it in a setting of PostgREST's role.
async fn exposed(client: &Client, place: &Place) -> Result<Vec<String>> {
    let setting = "select split_part(setting, '=', 2) from pg_catalog.pg_db_role_setting, unnest(setconfig) as setting
        where setrole = to_regrole('authenticator') and setting like 'pgrst.db_schemas=%' order by setdatabase desc limit 1";
    let list = |text: &str| -> Vec<String> {
        text.split(',')
            .map(|name| name.trim().trim_matches('"').to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    if let Some(row) = ask_all(client, setting, &[]).await?.first() {
        return Ok(list(row.try_get(0)?));
    }
    let config = place.project.as_ref().and_then(|project| {
        let text = std::fs::read_to_string(project.join("supabase/config.toml")).ok()?;
        let config: toml::Table = text.parse().ok()?;
        let schemas = config.get("api")?.get("schemas")?.as_array()?;
        Some(schemas.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect())
    });
    Ok(config.unwrap_or_else(|| vec!["public".to_owned()]))
}

fn print(findings: &[Finding], schemas: &[String]) {
    let columns =
        [Column::left("Level"), Column::left("Kind"), Column::left("Where"), Column::left("What").elastic()];
    let mut table = Table::new(columns).empty("No gaps found.");
    for finding in findings {
        let tone = match finding.level.as_str() {
            "open" => Tone::Bad,
            "warn" => Tone::Warn,
            _ => Tone::Faint,
        };
        table.row([
            Cell::new(&finding.level).tone(tone),
            Cell::new(&finding.kind),
            Cell::new(&finding.object),
            Cell::new(&finding.detail),
        ]);
    }
    table.print();
    if !findings.is_empty() {
        paint::line("");
        paint::line(paint::bold("What would close them"));
        for finding in findings {
            paint::line(format!("  {}", paint::harmless(&finding.remedy)));
        }
    }
    paint::line(paint::faint(format!("Exposed schemas: {}", schemas.join(", "))));
}
