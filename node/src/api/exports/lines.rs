//! Plain lists: one value a line, one file a type, nothing else, as firewalls fetch them.

use std::{cmp::Reverse, collections::BTreeMap};

use belfry_proto::{
    stix::{neutral, observable::Kind},
    time::Timestamp,
};

use super::{Files, TEXT};
use crate::query::{Entry, Snapshot};

pub(super) fn render(snapshot: &Snapshot) -> Files {
    let mut files = Files::default();
    // An empty list of a type that was asked for is the truth, not a missing file.
    let types = if snapshot.export.types.is_empty() { &Kind::ALL[..] } else { &snapshot.export.types[..] };
    let mut lists: BTreeMap<Kind, String> = types.iter().map(|kind| (*kind, String::new())).collect();
    for entry in &snapshot.entries {
        let Some(line) = line(entry.observable.kind(), entry.observable.value()) else {
            files.unwritable += 1;
            continue;
        };
        let list = lists.entry(entry.observable.kind()).or_default();
        list.push_str(&line);
        list.push('\n');
    }
    for (kind, list) in lists {
        files.put(format!("{kind}.txt"), TEXT, list);
    }
    if let [only] = types {
        files.main = Some(format!("{only}.txt"));
    }
    files
}

/// An entry's place among those of its type: score, when it was last said, and where it stands.
type Rank = (Reverse<u8>, Reverse<Timestamp>, usize);

/// Leaves of each type those that score highest, and of those that score alike the newest, in their order: what a firewall
/// has room for should be what matters most.
pub(super) fn keep_best(entries: &mut Vec<Entry>, most: usize) {
    entries.retain(|entry| line(entry.observable.kind(), entry.observable.value()).is_some());
    let mut of_type: BTreeMap<Kind, Vec<Rank>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let order = (Reverse(entry.score), Reverse(entry.last), at);
        of_type.entry(entry.observable.kind()).or_default().push(order);
    }
    let mut kept = vec![false; entries.len()];
    for mut order in of_type.into_values() {
        if most < order.len() {
            order.select_nth_unstable(most);
        }
        for (_, _, at) in order.into_iter().take(most) {
            kept.get_mut(at).into_iter().for_each(|kept| *kept = true);
        }
    }
    let mut kept = kept.into_iter();
    entries.retain(|_| kept.next().unwrap_or_default());
}

/// A value as it stands on a line; none for what would be more than one, or read as a comment.
pub(super) fn line(kind: Kind, value: &str) -> Option<String> {
    if kind == Kind::Url {
        return Some(neutral::url(value));
    }
    (neutral::is_plain(value) && !value.starts_with(['#', ';', '/']) && value.trim() == value)
        .then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_one_line() {
        assert_eq!(line(Kind::Url, "http://a.be/x\n8.8.8.8").as_deref(), Some("http://a.be/x%0A8.8.8.8"));
        assert_eq!(line(Kind::FileName, "a\nb"), None);
        assert_eq!(line(Kind::FileName, "# all.exe"), None);
        assert_eq!(line(Kind::FileName, "a b.exe").as_deref(), Some("a b.exe"));
    }
}
