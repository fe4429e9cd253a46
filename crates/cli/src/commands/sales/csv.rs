//! Sales as comma-separated values (RFC 4180), one line a row.

use super::By;
use super::row::Row;
use crate::commands::paint;

pub(super) fn print(rows: &[Row], by: By) {
    paint::line(line(&heading(by)));
    for row in rows {
        paint::line(line(&values(row, by)));
    }
}

fn heading(by: By) -> Vec<String> {
    let first: &[&str] = match by {
        By::Day => &["day", "machines"],
        By::Machine => &["machine", "location", "last_sale_at"],
        By::Product => &["machine", "selection", "product"],
    };
    let last = ["company", "currency", "vends", "value", "cash", "cashless"];
    first.iter().chain(&last).map(ToString::to_string).collect()
}

fn values(row: &Row, by: By) -> Vec<String> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let money = |minor: Option<u64>| minor.map(|minor| row.money(minor)).unwrap_or_default();
    let mut values = match by {
        By::Day => vec![text(&row.day), row.machines.map(|count| count.to_string()).unwrap_or_default()],
        By::Machine => vec![text(&row.case_serial), text(&row.location), text(&row.last_sale_at)],
        By::Product => vec![text(&row.case_serial), text(&row.selection), text(&row.product_name)],
    };
    values.extend([
        row.company.clone(),
        text(&row.currency),
        row.vends.to_string(),
        row.money(row.value_minor),
        money(row.cash_minor),
        money(row.cashless_minor),
    ]);
    values
}

fn line(values: &[String]) -> String {
    let quoted = values.iter().map(|value| {
        let is_plain = !value.contains([',', '"', '\n', '\r']);
        if is_plain { value.clone() } else { format!("\"{}\"", value.replace('"', "\"\"")) }
    });
    quoted.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_line_is_quoted() {
        let values = ["plain", "a, b", "the \"Cola\"", "two\nlines", ""].map(str::to_owned);
        assert_eq!(line(&values), "plain,\"a, b\",\"the \"\"Cola\"\"\",\"two\nlines\",");
    }
}
