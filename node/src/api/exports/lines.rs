//! Plain lists: one value a line, one file a type, nothing else, as firewalls fetch them.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeMap, io};

use belfry_proto::{
    stix::{neutral, observable::Kind},
    time::Timestamp,
};

use super::{Files, TEXT};
use crate::query::Snapshot;

pub(super) fn render(snapshot: &Snapshot) -> Files {
    let mut files = Files::default();
    let (lists, unwritable) = lists(snapshot);
    files.unwritable = unwritable;
    for (kind, lines) in lists {
        let mut list = String::with_capacity(lines.keys().map(|line| line.len() + 1).sum());
        for line in lines.keys() {
            list.push_str(line);
            list.push('\n');
        }
        files.put(file(kind), TEXT, list);
    }
    if let [only] = types(snapshot) {
        files.main = Some(file(*only));
    }
    files
}

/// Types that have a file. An empty list of a type that was asked for is the truth, not a missing file.
fn types(snapshot: &Snapshot) -> &[Kind] {
    match snapshot.export.types.as_slice() {
        [] => &Kind::ALL,
        types => types,
    }
}

/// How much a line matters: by its score, and when it was last said.
type Worth = (Reverse<u8>, Reverse<Timestamp>);

/// The lines of a file, in their order.
type Lines<'a> = BTreeMap<Cow<'a, str>, Worth>;

/// The lines of each file, sorted and each once: two spellings of a URL may be one line. And how many values are on none.
fn lists(snapshot: &Snapshot) -> (BTreeMap<Kind, Lines<'_>>, u64) {
    let mut lists: BTreeMap<Kind, Lines<'_>> =
        types(snapshot).iter().map(|kind| (*kind, Lines::new())).collect();
    let mut unwritable = 0;
    for entry in &snapshot.entries {
        let kind = entry.observable.kind();
        let Some(line) = line(kind, entry.observable.value()) else {
            unwritable += 1;
            continue;
        };
        let worth = (Reverse(entry.score), Reverse(entry.last));
        let known = lists.entry(kind).or_default().entry(line).or_insert(worth);
        *known = worth.min(*known);
    }
    (lists, unwritable)
}

/// The lines of each file that [`render`] writes, those first that score highest, and of those that score alike the newest: what
/// a firewall has room for should be what matters most.
pub(super) fn order(snapshot: &Snapshot) -> BTreeMap<String, Vec<u32>> {
    let order = |lines: Lines<'_>| -> Vec<u32> {
        let mut ranks: Vec<(Worth, u32)> = lines.into_values().zip(0..).collect();
        ranks.sort_unstable();
        ranks.into_iter().map(|(_, at)| at).collect()
    };
    lists(snapshot).0.into_iter().map(|(kind, lines)| (file(kind), order(lines))).collect()
}

/// The best `most` lines of each file of a ranked list, in their order, and how many lines these are. A file of which nothing is
/// cut is the same bytes; what is cut is packed, since a slow reader keeps it for as long as it reads.
pub(super) fn cut(whole: &Files, most: usize) -> io::Result<(Files, usize)> {
    let mut files = Files { main: whole.main.clone(), unwritable: whole.unwritable, ..Files::default() };
    let mut lines = 0;
    for (name, file) in &whole.files {
        let order = whole.order.get(name).map(Vec::as_slice).unwrap_or_default();
        let best = order.get(..most).unwrap_or(order);
        lines += best.len();
        if best.len() == order.len() {
            files.files.insert(name.clone(), file.clone());
        } else {
            files.put(name.clone(), file.media, chosen(&file.body.unpacked()?, order.len(), best));
        }
    }
    files.pack();
    Ok((files, lines))
}

fn chosen(text: &[u8], count: usize, best: &[u32]) -> Vec<u8> {
    let mut is_best = vec![false; count];
    for at in best {
        let at = usize::try_from(*at).ok().and_then(|at| is_best.get_mut(at));
        at.into_iter().for_each(|is_best| *is_best = true);
    }
    let mut chosen = Vec::new();
    for (line, is_best) in text.split_inclusive(|byte| *byte == b'\n').zip(is_best) {
        if is_best {
            chosen.extend_from_slice(line);
        }
    }
    chosen
}

fn file(kind: Kind) -> String {
    format!("{kind}.txt")
}

/// A value as it stands on a line; none for what would be more than one, or read as a comment.
pub(super) fn line(kind: Kind, value: &str) -> Option<Cow<'_, str>> {
    if kind == Kind::Url {
        return Some(Cow::Owned(neutral::url(value)));
    }
    (neutral::is_plain(value) && !value.starts_with(['#', ';', '/']) && value.trim() == value)
        .then_some(Cow::Borrowed(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_packed_and_what_is_not_is_shared() {
        const LINES: u32 = 60_000;
        let list: String = (0..LINES).map(|n| format!("host-{n}.evil.example\n")).collect();
        let mut whole = Files::default();
        whole.put("a", TEXT, list.clone());
        whole.order.insert("a".to_owned(), (0..LINES).rev().collect());
        whole.pack();
        let weight = whole.files["a"].body.weight();
        assert!(weight < list.len() / 2);
        let (same, lines) = cut(&whole, usize::MAX).unwrap();
        let same = &same.files["a"];
        assert_eq!((lines, same.body.weight(), &same.md5), (60_000, weight, &whole.files["a"].md5));
        assert!(same.body.is_shared_with(&whole.files["a"].body));
        let (most, lines) = cut(&whole, 59_999).unwrap();
        let most = &most.files["a"].body;
        assert!(lines == 59_999 && most.weight() < list.len() / 2, "{}", most.weight());
        assert_eq!(most.unpacked().unwrap(), list.split_once('\n').unwrap().1);
    }

    #[test]
    fn one_value_is_one_line() {
        assert_eq!(line(Kind::Url, "http://a.be/x\n8.8.8.8").as_deref(), Some("http://a.be/x%0A8.8.8.8"));
        assert_eq!(line(Kind::FileName, "a\nb"), None);
        assert_eq!(line(Kind::FileName, "# all.exe"), None);
        assert_eq!(line(Kind::FileName, "a b.exe").as_deref(), Some("a b.exe"));
    }
}
