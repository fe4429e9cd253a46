//! The questions to the database: which company, and what was sold.

use std::collections::HashMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::By;
use super::days::Days;
use super::row::Row;
use crate::commands::Misuse;
use crate::remote::{Remote, RemoteError};

/// No operator has more of them.
const COMPANIES: usize = 10_000;
/// Products times machines of a large one.
const ROWS: usize = 200_000;
/// Names to choose from, in a message.
const NAMED: usize = 10;

/// What came, and whose it is.
pub(super) struct Answer {
    /// As the database gives them.
    pub(super) rows: Vec<Value>,
    companies: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Company {
    id: String,
    company_name: String,
}

impl By {
    fn function(self) -> &'static str {
        match self {
            By::Day => "dex_sales_by_day",
            By::Machine => "dex_sales_by_machine",
            By::Product => "dex_sales_by_product",
        }
    }
}

pub(super) async fn ask(remote: &Remote, days: Days, by: By, company: Option<&str>) -> Result<Answer> {
    let companies: Vec<Company> = remote
        .select("companies", COMPANIES, |query| query.select("id,company_name").order("company_name,id"))
        .await?;
    let mut arguments = Map::new();
    arguments.insert("p_from".to_owned(), days.from.to_string().into());
    arguments.insert("p_to".to_owned(), days.last().to_string().into());
    if let Some(wanted) = company {
        arguments.insert("p_company_id".to_owned(), choose(&companies, wanted)?.into());
    }
    let rows = remote.rpc_rows(by.function(), ROWS, &arguments).await?;
    let companies = companies.into_iter().map(|company| (company.id, company.company_name)).collect();
    Ok(Answer { rows, companies })
}

/// By id, by name, or by a name that is written in other letters.
fn choose(companies: &[Company], wanted: &str) -> Result<String, Misuse> {
    let of = |is_meant: &dyn Fn(&Company) -> bool| -> Vec<&Company> {
        companies.iter().filter(|company| is_meant(company)).collect()
    };
    let by_id = of(&|company| company.id.eq_ignore_ascii_case(wanted));
    let by_name = of(&|company| company.company_name == wanted);
    let by_letters = of(&|company| company.company_name.to_lowercase() == wanted.to_lowercase());
    let found = [by_id, by_name, by_letters].into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    match found[..] {
        [one] => Ok(one.id.clone()),
        [] if companies.is_empty() => Err(Misuse("there are no companies".to_owned())),
        [] => {
            let names: Vec<&str> =
                companies.iter().take(NAMED).map(|company| company.company_name.as_str()).collect();
            let more = if companies.len() > NAMED { " …" } else { "" };
            Err(Misuse(format!("there is no company {wanted:?}; there are: {}{more}", names.join(", "))))
        }
        _ => {
            let ids: Vec<&str> = found.iter().map(|company| company.id.as_str()).collect();
            Err(Misuse(format!(
                "several companies are called {wanted:?}; name one by its id: {}",
                ids.join(", ")
            )))
        }
    }
}

impl Answer {
    /// The rows as types, with the names of their companies.
    pub(super) fn read(self) -> Result<Vec<Row>> {
        let Self { rows, companies } = self;
        let read = |row: Value| {
            let mut row: Row = serde_json::from_value(row).map_err(|error| RemoteError::Shape {
                who: "the report".to_owned(),
                reason: error.to_string(),
            })?;
            row.company = companies.get(&row.company_id).unwrap_or(&row.company_id).clone();
            Ok(row)
        };
        rows.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn companies() -> Vec<Company> {
        let company = |id: &str, name: &str| Company { id: id.to_owned(), company_name: name.to_owned() };
        vec![
            company("a1", "North"),
            company("b2", "South"),
            company("c3", "SOUTH"),
            company("d4", "Twin"),
            company("e5", "Twin"),
        ]
    }

    #[test]
    fn a_company_is_found_by_id_and_by_name() {
        let chosen = |wanted: &str| choose(&companies(), wanted).map_err(|error| error.to_string());
        assert_eq!(chosen("B2"), Ok("b2".to_owned()));
        assert_eq!(chosen("north"), Ok("a1".to_owned()));
        assert_eq!(chosen("South"), Ok("b2".to_owned()), "as it is written counts before other letters");
        assert!(chosen("south").is_err_and(|said| said.contains("b2, c3")));
        assert!(chosen("Twin").is_err_and(|said| said.contains("by its id: d4, e5")));
        assert!(chosen("West").is_err_and(|said| said.contains("North, South")));
    }
}
