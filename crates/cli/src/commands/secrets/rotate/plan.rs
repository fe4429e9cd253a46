//! Where a rotation stands, from what is stored: the list that is kept, and the digest that the platform tells.
//! Nothing else remembers it, so a run that was killed is taken up by the next one.

use super::list::{Kind, List};
use crate::commands::secrets::digest_of;

/// What is done next. In this order, to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// A new key is made and kept beside the old one.
    Make,
    /// The functions get both, the old one first, until no worker is left that has not the new one.
    Announce,
    /// The new one is kept and pushed first: callers show it, functions seal with it.
    Switch,
    /// What hangs on the old one ends: calls under way, texts that it sealed.
    Drain,
    /// The functions get the new one alone; then it is kept alone.
    Remove,
}

/// The next phase, or why there is none.
pub(super) fn next(list: &List, platform: Option<&str>) -> Result<Phase, String> {
    let is_there = |list: &List| platform == Some(&digest_of(&list.text()));
    if list.is_one() {
        return if is_there(list) {
            Ok(Phase::Make)
        } else {
            Err("the project has another value than the one that is kept: look with `ferry secrets check`, and \
                 push the right one first"
                .to_owned())
        };
    }
    let Some(newest_is_first) = list.newest_is_first() else {
        return Err(
            "it holds several keys, and which one is the newest cannot be told: end that rotation by \
                    hand, and keep one"
                .to_owned(),
        );
    };
    let both = [list.newest_last(), list.newest_first()];
    let phase = match newest_is_first {
        false if is_there(&list.newest_last().without_last()) || is_there(&both[0]) => Phase::Announce,
        true if both.iter().any(is_there) => Phase::Switch,
        true if is_there(&list.newest()) => Phase::Remove,
        _ => {
            return Err(
                "a rotation is under way, and the project has a value that is none of its steps: somebody \
                        else set it. Push what is right, or keep one key, and run again"
                    .to_owned(),
            );
        }
    };
    Ok(phase)
}

impl Phase {
    /// The steps from this one on, for people.
    pub(super) fn steps(self, kind: Kind) -> Vec<(Phase, &'static str)> {
        let all = [
            (Phase::Make, "make a new key and keep it beside the old one"),
            (Phase::Announce, "push both, the old one first, and see every function take the new one"),
            (
                Phase::Switch,
                match kind {
                    Kind::Service => {
                        "keep and push the new one first, and set it in the database's Vault: callers and jobs show it"
                    }
                    Kind::Ring => "keep and push the new one first: functions seal with it",
                },
            ),
            (
                Phase::Drain,
                match kind {
                    Kind::Service => "wait for calls that show the old one",
                    Kind::Ring => "seal again what the old one sealed, and count that nothing is left",
                },
            ),
            (
                Phase::Remove,
                "push the new one alone, see every function without the old one, and keep it alone",
            ),
        ];
        all.into_iter().filter(|(phase, _)| *phase >= self).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        List::parse("SERVICE_API_KEY", text).expect("a list")
    }

    fn at(kept: &str, platform: &str) -> Result<Phase, String> {
        next(&list(kept), Some(&digest_of(platform)))
    }

    #[test]
    fn every_state_that_a_killed_run_leaves_behind_leads_on() {
        for (kept, platform, phase) in [
            ("old", "old", Phase::Make),
            ("old,ferry_1_x", "old", Phase::Announce),
            ("old,ferry_1_x", "old,ferry_1_x", Phase::Announce),
            ("ferry_1_x,old", "old,ferry_1_x", Phase::Switch),
            ("ferry_1_x,old", "ferry_1_x,old", Phase::Switch),
            ("ferry_1_x,old", "ferry_1_x", Phase::Remove),
            ("ferry_1_x", "ferry_1_x", Phase::Make),
            // One that was begun by hand, with an older key left over.
            ("ferry_1_x,older,old", "older,old,ferry_1_x", Phase::Switch),
        ] {
            assert_eq!(at(kept, platform), Ok(phase), "{kept} and {platform}");
        }
    }

    #[test]
    fn what_somebody_else_set_is_not_overwritten() {
        for (kept, platform) in [
            ("old", "another"),
            ("old,ferry_1_x", "another"),
            ("old,ferry_1_x", "ferry_1_x"),
            ("ferry_1_x,old", "old"),
        ] {
            assert!(at(kept, platform).is_err(), "{kept} and {platform}");
        }
        assert!(next(&list("old"), None).is_err(), "nor is what was never pushed");
        assert!(at("one,two", "one,two").is_err_and(|why| why.contains("by hand")));
    }

    #[test]
    fn the_steps_that_are_left_are_told() {
        assert_eq!(Phase::Make.steps(Kind::Ring).len(), 5);
        let left: Vec<Phase> =
            Phase::Drain.steps(Kind::Service).into_iter().map(|(phase, _)| phase).collect();
        assert_eq!(left, [Phase::Drain, Phase::Remove]);
    }
}
