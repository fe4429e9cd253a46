//! What is printed, in colours. `anstream` takes them out again where no terminal, or `NO_COLOR`, is.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};

/// What a text means, for its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Faint,
    Bold,
    /// A bar of a chart.
    Bar,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Plain => Style::new(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Bold => Style::new().bold(),
            Tone::Bar => AnsiColor::Cyan.on_default(),
        }
    }

    pub(super) fn paint(self, text: impl Display) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// Prints a line. A reader that has seen enough, `head` say, is no failure.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

pub(super) fn good(text: impl Display) -> String {
    Tone::Good.paint(text)
}

pub(super) fn warn(text: impl Display) -> String {
    Tone::Warn.paint(text)
}

pub(super) fn bad(text: impl Display) -> String {
    Tone::Bad.paint(text)
}

pub(super) fn faint(text: impl Display) -> String {
    Tone::Faint.paint(text)
}

pub(super) fn bold(text: impl Display) -> String {
    Tone::Bold.paint(text)
}

/// Text from a file or a server, without what could steer a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The lines of a text from a file or a server, each without what could steer a terminal.
pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.trim_end().lines().map(harmless)
}

/// How many columns there are to write in: `COLUMNS`, or those of the terminal. None where the
/// output goes to a file, which has room for everything.
pub(super) fn width() -> Option<usize> {
    let stdout = std::io::stdout();
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let own = || {
        let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| stdout.is_terminal())?;
        Some(usize::from(size.ws_col))
    };
    set.or_else(own).filter(|columns| *columns > 0)
}
