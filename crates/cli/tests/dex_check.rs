//! `ferry dex check`: verdicts, counts and exit codes.

mod ferry;

use ferry::{Folder, capture, captures, ferry, ferry_with, sealed};
use serde_json::{Value, json};

#[test]
fn each_file_of_a_folder_gets_its_verdict_and_all_are_counted() {
    let ran = ferry(&["dex", "check", captures().to_str().expect("text")]);
    assert_eq!(ran.code, 1);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 31);
    let verdict = |name: &str| {
        let line = lines.iter().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}"));
        line.split_whitespace().next().expect("a verdict").to_owned()
    };
    assert_eq!(verdict("SIM1000000_500000.dex"), "ok");
    assert_eq!(verdict("SIM1000004_500401.dex"), "ok", "line ends do not matter");
    assert_eq!(verdict("SIM1000000_500002.dex"), "damaged");
    assert_eq!(verdict("SIM2000005_500501.dex"), "truncated");
    assert_eq!(verdict("SIM3000006_500600.dex"), "warnings");
    assert_eq!(lines[30], "30 files: 21 ok, 6 with warnings, 2 damaged, 1 truncated");
}

#[test]
fn folders_are_searched_deeply_for_captures_and_named_files_are_taken_as_they_are() {
    let folder = Folder::new();
    let good = sealed(&["ID1*SN1*M"]);
    for name in ["b.dex", "a/x.DAA", "a/deep/y.txt", "a/readme.md"] {
        folder.file(name, &good);
    }
    let ran = ferry(&["dex", "check", folder.path()]);
    let names: Vec<_> = ran.out.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let path = |name: &str| format!("{}/{name}", folder.path());
    assert_eq!(names[..3], [path("a/deep/y.txt"), path("a/x.DAA"), path("b.dex")]);
    assert_eq!((ran.code, ran.out.lines().last()), (0, Some("3 files: 3 ok")));
    assert_eq!(
        ferry(&["dex", "check", &path("a/readme.md")]).line("ok"),
        format!("ok {} checksum right", path("a/readme.md"))
    );
}

#[test]
fn exit_codes_tell_good_bad_and_unreadable_apart() {
    let folder = Folder::new();
    let (good, text) =
        (folder.file("good.dex", sealed(&["VA1*100*1"])), folder.file("text.txt", "Dear operator,\n"));
    assert_eq!(ferry(&["dex", "check", &good]).code, 0);
    assert_eq!(ferry(&["dex", "check", &good, &text]).code, 1);
    let ran = ferry(&["dex", "check", &good, &text, "/no/such.dex"]);
    assert_eq!(
        (ran.code, ran.line("unreadable")),
        (2, "unreadable /no/such.dex No such file or directory (os error 2)".to_owned())
    );
    assert_eq!(ran.line("not DEX"), format!("not DEX {text} nothing of a capture is in it"));
    assert_eq!(ran.line("3 files"), "3 files: 1 ok, 1 not DEX, 1 unreadable");
    let empty = Folder::new();
    assert_eq!(ferry(&["dex", "check", empty.path()]).code, 2, "nothing to check is a slip of the hand");
    assert_eq!(ferry(&["dex", "check"]).code, 2);
}

#[test]
fn quiet_tells_only_what_is_bad() {
    let (good, bad) = (capture("SIM1000000_500000.dex"), capture("SIM1000000_500002.dex"));
    let ran = ferry(&["dex", "check", "--quiet", &good, &bad]);
    assert_eq!((ran.code, ran.out.lines().count()), (1, 1));
    assert!(ran.out.starts_with("damaged"), "{}", ran.out);
    assert_eq!(ferry(&["dex", "check", "-q", &good]).out, "");
}

#[test]
fn json_names_verdicts_checksums_and_counts() {
    let (bad, two) = (capture("SIM1000000_500002.dex"), capture("SIM1000008_500802.dex"));
    let ran = ferry(&["dex", "check", "--json", &bad, &two]);
    let told = ran.json();
    assert_eq!(ran.code, 1);
    let problem = "checksum ABB6 in the file, 9C08 by its bytes";
    let damaged = json!({"path": bad, "verdict": "damaged", "crc": ["mismatch"], "serials": ["SIM1000000"], "warnings": 0, "problem": problem});
    assert_eq!(told["files"][0], damaged);
    assert_eq!(
        (&told["files"][1]["crc"], &told["files"][1]["serials"]),
        (&json!(["valid", "valid"]), &json!(["SIM1000008"]))
    );
    assert_eq!(told["files"][1].get("problem"), None::<&Value>);
    let counts = json!({"ok": 1, "warnings": 0, "damaged": 1, "truncated": 0, "not_dex": 0, "unreadable": 0});
    assert_eq!(told["counts"], counts);
}

#[test]
fn standard_input_is_checked_too() {
    let ran = ferry_with(&["dex", "check", "-"], sealed(&["VA1*100*1"]).as_bytes(), &[]);
    assert_eq!((ran.code, ran.line("ok")), (0, "ok standard input checksum right".to_owned()));
    let ran = ferry_with(&["dex", "check", "-"], b"", &[]);
    assert_eq!((ran.code, ran.line("not DEX")), (1, "not DEX standard input it is empty".to_owned()));
}

#[test]
fn real_captures_get_the_known_verdicts() {
    let Some(corpus) = std::env::var_os("DEX_CORPUS") else {
        println!("skipped: DEX_CORPUS names no folder of real captures");
        return;
    };
    let told = ferry(&["dex", "check", "--json", corpus.to_str().expect("text")]).json();
    let verdict = |name: &str| {
        let files = told["files"].as_array().expect("files");
        let file = files.iter().find(|file| file["path"].as_str().is_some_and(|path| path.ends_with(name)));
        file.unwrap_or_else(|| panic!("{name}"))["verdict"].as_str().expect("a verdict").to_owned()
    };
    assert_eq!(verdict("CSA200204452_23062970.dex"), "damaged");
    assert_eq!(verdict("lanmark7-Test-7.dex"), "truncated");
    assert_eq!((&told["counts"]["not_dex"], &told["counts"]["unreadable"]), (&json!(0), &json!(0)));
}
