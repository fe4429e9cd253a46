//! What is printed, in colours. `anstream` takes them out again where no terminal, or `NO_COLOR`, is.

use std::fmt::Display;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

/// Prints a line. A reader that has seen enough, `head` say, is no failure.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

pub(super) fn good(text: impl Display) -> String {
    paint(AnsiColor::Green.on_default(), text)
}

pub(super) fn warn(text: impl Display) -> String {
    paint(AnsiColor::Yellow.on_default(), text)
}

pub(super) fn bad(text: impl Display) -> String {
    paint(AnsiColor::Red.on_default().bold(), text)
}

pub(super) fn faint(text: impl Display) -> String {
    paint(Style::new().dimmed(), text)
}

pub(super) fn bold(text: impl Display) -> String {
    paint(Style::new().bold(), text)
}

fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
