//! Exports that shrank or grew much at once: a firewall that takes such a list does not ask whether it was meant.

use std::{collections::BTreeMap, time::Duration};

use belfry_proto::time::Timestamp;

/// Entries that make a difference. Fewer ⇒ every small list that doubles is told of, more ⇒ a short list may vanish unseen.
const REMARKABLE: usize = 100;
/// For how long an operator is told: until somebody has looked in the morning.
const TOLD: Duration = Duration::from_hours(24);

/// The newest of each export.
#[derive(Default)]
pub(super) struct Swings(BTreeMap<String, (Timestamp, &'static str)>);

/// Which way a list went, if by more than half, and by so many.
pub(super) fn swing(old: usize, new: usize) -> Option<&'static str> {
    if old.abs_diff(new) <= REMARKABLE {
        return None;
    }
    match () {
        () if new < old / 2 => Some("less than half as long as before"),
        () if new / 2 > old => Some("more than twice as long as before"),
        () => None,
    }
}

impl Swings {
    pub(super) fn note(&mut self, export: &str, swing: &'static str, at: Timestamp) {
        self.0.insert(export.to_owned(), (at, swing));
    }

    /// What to tell of those a day old at most. Neither says how long: who is told may read less than the list's own tool.
    pub(super) fn told(&self, now: Timestamp) -> Vec<String> {
        let recent = self.0.iter().filter(|(_, (at, _))| at.saturating_add(TOLD) > now);
        recent
            .map(|(export, (at, swing))| {
                format!("The export {export} is {swing} since {at}: `belfry export {export} --report` says what is left out.")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_change_of_a_long_list_is_told_and_for_a_day() {
        for (old, new, is_told) in [
            (1, 90, false),
            (1, 102, true),
            (150, 49, true),
            (150, 60, false),
            (1_000, 499, true),
            (1_000, 2_000, false),
            (300, 0, true),
        ] {
            assert_eq!(swing(old, new).is_some(), is_told, "{old} {new}");
        }
        let mut swings = Swings::default();
        let at = Timestamp::from_micros(1_763_800_000_000_000);
        swings.note("fw", swing(300, 0).unwrap(), at);
        let told = swings.told(at);
        assert!(told.len() == 1 && told[0].contains("fw is less than half"), "{told:?}");
        assert_eq!(swings.told(at.saturating_add(TOLD)), [""; 0]);
    }
}
