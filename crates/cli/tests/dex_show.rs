//! `ferry dex show`: what a user sees of a capture.

mod ferry;

use ferry::{Folder, capture, ferry, ferry_with, sealed};
use serde_json::json;

#[test]
fn a_report_tells_machine_money_products_coins_and_state() {
    let ran = ferry(&["dex", "show", &capture("SIM1000000_500000.dex")]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out.starts_with("SIM COLD 200-10 · SIM1000000\nok  checksum right · envelope complete"),
        "{}",
        ran.out
    );
    assert_eq!(ran.line("currency"), "currency 2 decimals, EUR, ISO 4217 978");
    assert_eq!(ran.line("coin mechanism"), "coin mechanism SIMC000000 CHANGER 5T 0107");
    assert_eq!(ran.line("paid vends"), "paid vends 1812 3254.70 0 0.00");
    assert_eq!(ran.line("by cash"), "by cash 826 1547.00 0 0.00");
    assert_eq!(ran.line("8 0.90"), "8 0.90 305 274.50 0 0.00");
    assert_eq!(ran.line("all "), "all 1812 3254.70 0 0.00");
    assert_eq!(ran.line("1 0.20"), "1 0.20 49 9.80");
    assert_eq!(ran.line("TEMP"), "TEMP 4.40 C");
    assert!(!ran.out.contains('\u{1b}'), "no colours off a terminal");
}

#[test]
fn names_payments_sold_out_and_active_faults_are_shown() {
    let file = sealed(&[
        "ID1*SN1*M",
        "ID4*2*1978*EUR",
        "VA1*600*4*300*2",
        "PA1*01*150*Cola*10",
        "PA2*4*600*2*300",
        "PA5*261120*1430*3",
        "PA7*01*CA*0*150*3*450*2*300",
        "PA7*01*DA*1*150*1*150*0*0",
        "EA2*EJB_01*1*1**1",
        "EA2*DO*0*0",
    ]);
    let ran = ferry_with(&["dex", "show", "-"], file.as_bytes(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        ran.line("01 Cola"),
        "01 Cola 1.50 4 6.00 2 3.00 cash 3, card 1 2026-11-20 14:30, asked for 3 times"
    );
    assert_eq!(ran.line("EJB_01 active"), "EJB_01 active 01 1 1");
    assert_eq!(ran.line("and 1"), "and 1 without a date or count (--all shows them)");
    assert!(!ran.out.contains("DO "), "{}", ran.out);
    let all = ferry_with(&["dex", "show", "--all", "-"], file.as_bytes(), &[]);
    assert_eq!(all.line("DO"), "DO 0 0");
}

#[test]
fn several_captures_in_a_file_are_shown_one_after_the_other() {
    let ran = ferry(&["dex", "show", &capture("SIM1000008_500802.dex")]);
    assert_eq!(ran.out.matches("\nTotals since").count(), 2);
    assert!(ran.out.contains("capture 1 of 2") && ran.out.contains("capture 2 of 2"), "{}", ran.out);
}

#[test]
fn what_is_damaged_is_shown_all_the_same_with_its_warnings() {
    let ran = ferry(&["dex", "show", &capture("SIM2000005_500501.dex")]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.line("truncated"), "truncated no checksum · the end is missing · 42 segments");
    assert!(ran.out.contains("the file ends in the middle"), "{}", ran.out);
    let damaged = ferry(&["dex", "show", &capture("SIM1000000_500002.dex")]);
    assert!(damaged.line("damaged").contains("ABB6 in the file, 9C08 by its bytes"), "{}", damaged.out);
}

#[test]
fn json_is_an_array_of_reports_in_minor_units() {
    let ran = ferry(&["dex", "show", "--json", &capture("SIM1000008_500802.dex")]);
    let reports = ran.json();
    assert_eq!(reports.as_array().map(Vec::len), Some(2));
    assert_eq!(reports[0]["identity"]["serial"], "SIM1000008");
    assert_eq!(reports[0]["crc"]["status"], "valid");
    assert_eq!(reports[0]["currency"]["decimals"], 2);
    assert!(reports[0]["totals"]["vends"]["since_init"]["value"].is_u64());
}

#[test]
fn what_is_no_capture_is_said_to_be_none() {
    let folder = Folder::new();
    let file = folder.file("notes.txt", "ST and SE are no segments\nVA1 neither\n");
    let ran = ferry(&["dex", "show", &file]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("is not a DEX file"), "{}", ran.err);
    let json = ferry(&["dex", "show", "--json", &file]);
    assert_eq!((json.code, json.json()), (1, json!([])));
    let missing = ferry(&["dex", "show", "/no/such/file"]);
    assert_eq!(missing.code, 2, "{}", missing.err);
    assert!(missing.err.contains("/no/such/file: No such file"), "{}", missing.err);
    assert!(ferry(&["dex", "show", folder.path()]).err.contains("it is a folder"));
}

#[test]
fn a_file_cannot_steer_the_terminal() {
    let file = sealed(&["ID1*SN^1B^]0;x^07^*M", "PA1*1*100*^1B^[31mred"]);
    let ran = ferry_with(&["dex", "show", "-"], file.as_bytes(), &[("CLICOLOR_FORCE", "1")]);
    assert!(ran.out.contains("\u{1b}[1m"), "colours were asked for");
    assert!(
        !ran.out.contains("\u{1b}]") && !ran.out.contains("\u{1b}[31m") && !ran.out.contains('\u{7}'),
        "{:?}",
        ran.out
    );
    let plain = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
    let ran = ferry_with(&["dex", "show", "-"], file.as_bytes(), &plain[1..]);
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
}

#[test]
fn a_file_of_endless_texts_and_numbers_is_shown_in_lines_of_an_end() {
    let long = "N".repeat(100_000);
    let file = sealed(&[
        &format!("ID1*{long}*{long}"),
        &format!("VA1*18446744073709551615*18446744073709551615*{long}"),
        &format!("PA1*1*100*{long}"),
        "PA2*18446744073709551615*18446744073709551615",
        "PA1*2*100",
        "PA2*18446744073709551615*99999999999999999999",
        &format!("EA2*{long}*1*1**1"),
        "MA5*TEMP*-9223372036854775808*C",
        "CA17*1*9999999999999999999*18446744073709551615",
    ]);
    for arguments in [&["dex", "show", "-"][..], &["dex", "show", "--json", "-"], &["dex", "check", "-"]] {
        let ran = ferry_with(arguments, file.as_bytes(), &[]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        let is_json = arguments.contains(&"--json");
        assert!(is_json || ran.out.lines().all(|line| line.chars().count() < 2_000), "{arguments:?}");
    }
}

#[test]
fn real_captures_can_all_be_shown() {
    let Some(corpus) = std::env::var_os("DEX_CORPUS") else {
        println!("skipped: DEX_CORPUS names no folder of real captures");
        return;
    };
    let mut shown = 0;
    for folder in ["cantaloupe", "other"] {
        for entry in std::fs::read_dir(std::path::Path::new(&corpus).join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "json") {
                continue;
            }
            let path = path.display().to_string();
            let ran = ferry(&["dex", "show", &path]);
            assert_eq!(ran.code, 0, "{path}: {}", ran.err);
            assert!(
                ran.out.contains("Totals since") && !ran.out.lines().any(|line| line.ends_with(' ')),
                "{path}"
            );
            assert_eq!(ferry(&["dex", "show", "--json", &path]).code, 0, "{path}");
            shown += 1;
        }
    }
    assert!(shown > 20, "{shown}");
}
