//! `ferry dex diff`: what was sold between two captures, and when nothing can be said.

mod ferry;

use ferry::{Folder, Ran, capture, ferry, ferry_with, sealed};
use serde_json::{Value, json};

/// A machine with two selections: what each sold for 1.00, and more lines.
fn machine(serial: &str, sold: [u64; 2], more: &[&str]) -> String {
    let all = sold[0] + sold[1];
    let lines = [
        format!("ID1*{serial}*M"),
        "ID4*2*1978*EUR".to_owned(),
        format!("VA1*{}*{all}", all * 100),
        "PA1*1*100*Cola".to_owned(),
        format!("PA2*{}*{}", sold[0], sold[0] * 100),
        "PA1*2*100*Tea".to_owned(),
        format!("PA2*{}*{}", sold[1], sold[1] * 100),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain(more.iter().copied()).collect();
    sealed(&lines)
}

fn diff(old: &str, new: &str, more: &[&str]) -> Ran {
    let folder = Folder::new();
    let (old, new) = (folder.file("old.dex", old), folder.file("new.dex", new));
    ferry(&[&["dex", "diff", &old, &new], more].concat())
}

fn diff_json(old: &str, new: &str) -> (i32, Value) {
    let ran = diff(old, new, &["--json"]);
    (ran.code, ran.json())
}

#[test]
fn sales_are_told_by_selection_and_for_the_machine() {
    let (old, new) = (capture("SIM1000004_500400.dex"), capture("SIM1000004_500401.dex"));
    let ran = ferry(&["dex", "diff", &old, &new]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.line("continuous"), "continuous");
    assert_eq!(ran.line("2 3"), "2 3 6.90");
    assert_eq!(ran.line("machine"), "machine 23 31.70 15 21.80 8 9.90");
    assert_eq!(ran.line("bills"), "bills 5.00 EUR");
    assert_eq!(ran.line("coins of 0.20"), "coins of 0.20 36 → 22");
}

#[test]
fn nothing_changed_is_no_failure() {
    let file = capture("SIM1000004_500400.dex");
    let ran = ferry(&["dex", "diff", &file, &file]);
    assert_eq!((ran.code, ran.line("Nothing")), (0, "Nothing.".to_owned()));
    let told = ferry(&["dex", "diff", "--json", &file, &file]).json();
    assert_eq!(
        (&told["comparable"], &told["totals"], &told["cash"]["moved"]),
        (&json!(true), &json!([]), &json!([]))
    );
}

#[test]
fn json_has_minor_units_by_counter_and_selection() {
    let (code, told) = diff_json(&machine("A", [10, 5], &[]), &machine("A", [13, 5], &[]));
    assert_eq!((code, &told["continuity"], &told["currency"]), (0, &json!("continuous"), &json!("EUR")));
    assert_eq!(told["totals"], json!([{"counter": "vends", "count": 3, "value": 300}]));
    let sold = json!([{"counter": "vends", "count": 3, "value": 300}]);
    assert_eq!(told["selections"], json!([{"selection": "1", "name": "Cola", "sold": sold}]));
}

#[test]
fn prices_selections_and_events_that_changed_are_told() {
    let before = ["PA1*3*250", "PA1*4*90", "EA2*EAR*1*1**1", "EA2*EGS*5*5", "EA1*EBD*261119*0800"];
    let after = ["PA1*3*275", "PA1*5*90", "EA2*EJB_01*1*1**1", "EA2*EGS*7*7", "EA1*EBD*261120*0900"];
    let (old, new) = (machine("A", [10, 5], &before), machine("A", [10, 5], &after));
    let (code, told) = diff_json(&old, &new);
    assert_eq!(code, 0);
    assert_eq!(told["prices"], json!([{"selection": "3", "from": 250, "to": 275}]));
    assert_eq!((&told["added"], &told["removed"]), (&json!(["5"]), &json!(["4"])));
    assert_eq!(told["events"]["began"], json!([{"code": "EJB_01", "selection": "01"}]));
    assert_eq!(told["events"]["ended"], json!([{"code": "EAR"}]));
    let happened = json!([{"code": "EGS", "times": 2}, {"code": "EBD", "at": "2026-11-20T09:00"}]);
    assert_eq!(told["events"]["happened"], happened);
    let ran = diff(&old, &new, &[]);
    assert_eq!((ran.line("3 "), ran.line("EAR")), ("3 2.50 2.75".to_owned(), "EAR ended".to_owned()));
    assert_eq!(
        (ran.line("EJB_01"), ran.line("EGS")),
        ("EJB_01 01 began".to_owned(), "EGS happened 2 times".to_owned())
    );
}

#[test]
fn a_counter_that_came_round_has_lost_nothing() {
    let file = |value: u64| sealed(&["ID1*A*M", "ID4*2*1978*EUR", &format!("VA1*{value}*5000")]);
    let (_, told) = diff_json(&file(99_999_900), &file(150));
    assert_eq!((&told["continuity"], &told["wrapped"]), (&json!("continuous"), &json!(1)));
    assert_eq!(told["totals"][0]["value"], 250);
    assert_eq!(
        diff(&file(99_999_900), &file(150), &[]).line("continuous"),
        "continuous, 1 counter came round"
    );
}

#[test]
fn a_machine_that_began_again_is_told_from_captures_in_the_wrong_order() {
    let early = ["ID5*261119*0800", "EA4*250101*0800"];
    let late = ["ID5*261120*0800", "EA4*261119*1200"];
    let (code, told) = diff_json(&machine("A", [900, 500], &early), &machine("A", [3, 1], &late));
    assert_eq!((code, &told["continuity"]), (0, &json!("reinitialised")));
    assert_eq!(told["totals"][0]["count"], 4);
    assert_eq!(told["notes"], json!([]), "the clock tells");

    let (code, told) = diff_json(&machine("A", [3, 1], &late), &machine("A", [900, 500], &early));
    assert_eq!((code, &told["comparable"]), (0, &json!(true)), "counters ran on, whatever the clock says");
    assert!(told["notes"][0].as_str().is_some_and(|note| note.contains("clock went back")), "{told}");

    let swapped = diff(&machine("A", [13, 5], &late), &machine("A", [10, 4], &early), &[]);
    assert_eq!((swapped.code, swapped.line("not comparable")), (1, "not comparable".to_owned()));
    assert!(swapped.out.contains("Give the older capture first"), "{}", swapped.out);
    let (code, told) = diff_json(&machine("A", [13, 5], &[]), &machine("A", [10, 4], &[]));
    assert_eq!((code, &told["reason"]), (1, &json!("wrong_order")), "without a clock too");
    let (_, told) = diff_json(&machine("A", [900, 500], &[]), &machine("A", [3, 1], &[]));
    assert!(told["notes"][0].as_str().is_some_and(|note| note.contains("no clock tells")), "{told}");
}

#[test]
fn what_cannot_be_compared_is_said_plainly() {
    let good = machine("A", [10, 5], &[]);
    let damaged = good.replace("PA2*10*1000", "PA2*11*1000");
    let cut = &good[..good.len() / 2];
    let cents = good.replace("ID4*2*", "ID4*0*");
    let cents =
        sealed(&cents.lines().skip(2).take_while(|line| !line.starts_with("G85")).collect::<Vec<_>>());
    let cases = [
        (damaged.as_str(), "mismatch", "does not match"),
        (cut, "truncated", "cut off"),
        ("hello\n", "not_dex", "not a DEX file"),
        (&machine("B", [11, 5], &[]), "other_machine", "serial numbers differ, A and B"),
        (&cents, "decimals_changed", "had 2 decimals and have 0"),
    ];
    for (new, reason, words) in cases {
        let (code, told) = diff_json(&good, new);
        assert_eq!((code, &told["comparable"], &told["reason"]), (1, &json!(false), &json!(reason)));
        assert_eq!(told["totals"], json!([]), "nothing is invented");
        let ran = diff(&good, new, &[]);
        assert!(ran.code == 1 && ran.out.contains(words), "{}", ran.out);
    }
}

#[test]
fn the_last_capture_of_a_file_and_standard_input_can_be_compared() {
    let (old, new) = (capture("SIM1000008_500801.dex"), capture("SIM1000008_500802.dex"));
    let file = std::fs::read(&new).expect("read");
    let ran = ferry_with(&["dex", "diff", &old, "-"], &file, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.line("new").contains("standard input") && ran.line("new").contains("the last of 2 captures"),
        "{}",
        ran.out
    );
    assert_eq!(ran.line("machine"), "machine 30 68.70 11 26.00 19 42.70");
    assert_eq!(ferry(&["dex", "diff", "-", "-"]).code, 2);
    assert_eq!(ferry(&["dex", "diff", &old, "/no/such.dex"]).code, 2);
}
