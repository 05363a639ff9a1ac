//! Plain lists: one value a line, one file a type, nothing else, as firewalls fetch them.

use std::collections::BTreeMap;

use belfry_proto::stix::{neutral, observable::Kind};

use super::{Files, TEXT};
use crate::query::Snapshot;

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
