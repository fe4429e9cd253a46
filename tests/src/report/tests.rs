use super::*;

fn echo() -> Section {
    let mut section = Section::new("An echo", "In turns.").fact("rounds", 3);
    let rates: Rounds = [900.0, 1_234.5, 1_000.0].into_iter().collect();
    let base: Rounds = [1_000.0, 1_000.0, 1_000.0].into_iter().collect();
    let mut table = Table::new(["server", "requests/s", "ratio"]);
    table.row(["SDK".into(), rates.cell(0), rates.against(&base).cell(2)]);
    table.row(["bare".into(), number(1_000.0, 0), Cell::empty()]);
    section.table(table);
    section.target("echo", Bound::AtLeast(0.85), 0.8499, "×");
    section.target("size", Bound::AtMost(120_000.0), 98_765.0, "B");
    section.target("soak", Bound::AtMost(5.0), f64::NAN, "%");
    section
}

#[test]
fn a_section_shows_medians_with_their_spread() {
    let text = markdown(&echo());
    assert!(text.starts_with("## An echo\n\nIn turns.\n\nThis run: rounds 3.\n"), "{text}");
    assert!(text.contains("| server | requests/s | ratio |\n|---|---:|---:|\n"), "{text}");
    assert!(text.contains("| SDK | 1,000 (900–1,234) | 1.00 (0.90–1.23) |\n| bare | 1,000 |  |\n"), "{text}");
}

#[test]
fn a_target_is_judged_by_the_number_not_by_what_is_shown() {
    let text = markdown(&echo());
    assert!(text.contains("| echo | ≥ 0.85 × | 0.85 × | **no** |"), "{text}");
    assert!(text.contains("| size | ≤ 120,000 B | 98,765 B | yes |"), "{text}");
    assert!(text.contains("| soak | ≤ 5 % | not measured | **no** |"), "{text}");
}

#[test]
fn what_was_written_reads_back_the_same() -> Result<()> {
    let read: Vec<Section> = serde_json::from_str(&serde_json::to_string(&[echo()])?)?;
    assert_eq!(markdown(&read[0]), markdown(&echo()));
    Ok(())
}

#[test]
fn the_page_has_all_targets_above_the_sections() {
    let machine = Machine(vec![("cores".into(), "2".into())]);
    let measured = |name: &str, sections| Measured {
        name: name.into(),
        load: "0.10 0.20 0.30".into(),
        seconds: "9".into(),
        sections,
    };
    let text = page(&machine, &[measured("echo", vec![echo()]), measured("soak", vec![])]);
    assert!(text.contains("| cores | 2 |\n\n## Targets\n\n1 of 3 are met.\n"), "{text}");
    assert!(text.contains("`scripts/bench echo`; load before it: 0.10 0.20 0.30; it took 9 s."), "{text}");
    assert!(text.contains("`scripts/bench soak` failed in this run."), "{text}");
    assert_eq!(text.matches("| echo |").count(), 1, "{text}");
}

#[test]
#[should_panic(expected = "a cell for each of")]
fn a_row_has_a_cell_for_each_column() {
    Table::new(["a", "b"]).row([count(1)]);
}
