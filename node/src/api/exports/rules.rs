//! Detection rules as their authors wrote them, a file each: Sigma, YARA, Snort, Suricata.
//!
//! What cannot be a rule of its language is left out and named in the index, because it may take everything down that is loaded with it. So may a
//! second rule of one number: of Snort's and Suricata's rules the one said first keeps its number (as with whose an object is, what comes
//! late takes nothing from what is here), and every other is given one that follows from its object's id, the same at each node and each time.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use belfry_proto::stix::{
    indicator::Indicator,
    neutral,
    rule::{
        self, Language,
        network::{self, Rule},
    },
};
use serde_json::{Value, json};

use super::{Files, JSON, TEXT, suricata};
use crate::{
    api::problem::Problem,
    config::Format,
    query::{Query, Released, Snapshot},
};

/// Rules that need a number get one from here on, beyond those that exports of format `suricata` use.
const FIRST_SID: u32 = 4_100_000_000;
const SIDS: u32 = 190_000_000;
/// Numbers that are tried for a rule by its object's id. Fewer ⇒ of many rules some get one that depends on which others there are, more ⇒ who
/// takes them on purpose makes all of them be tried.
const TRIES: usize = 16;
/// Of what is left out, as many are named.
const NAMED: usize = 1_000;

/// A rule's text on its way into a file.
struct Written<'a> {
    released: &'a Released,
    indicator: Indicator,
    language: Language,
    /// Of Snort and Suricata, those it holds, and the numbers they go by.
    rules: Vec<(Rule, u32)>,
}

pub(super) fn render(snapshot: &Snapshot, query: &Query) -> Result<Files, Problem> {
    let mut files = Files::default();
    let (mut written, mut left_out) = (Vec::new(), Vec::new());
    for (released, _) in &snapshot.objects {
        let object = released.object();
        let indicator = Indicator::read(object.raw()).unwrap_or_default();
        let kind = neutral::brief(&indicator.pattern_type, 40);
        match Written::of(released, indicator) {
            Ok(rule) => written.push(rule),
            Err(why) => {
                files.unwritable += 1;
                if left_out.len() < NAMED {
                    left_out.push(json!({ "id": object.id(), "pattern_type": kind, "why": why }));
                }
            }
        }
    }
    let exports = query.exports_of(Format::Suricata);
    let ours = suricata::first_sids(&exports);
    number(&mut written, |sid| suricata::is_ours(sid, &ours));
    let mut index = Vec::new();
    for rule in &written {
        let object = rule.released.object();
        let file = format!("{}.{}", object.id(), rule.language.extension());
        let mut told = json!({
            "file": file, "id": object.id(), "pattern_type": rule.indicator.pattern_type,
            "name": neutral::brief(&rule.indicator.name, 200), "score": rule.released.score(), "tlp": object.tlp().as_str(),
        });
        if !rule.rules.is_empty() {
            let sids: Vec<u32> = rule.rules.iter().map(|(_, sid)| *sid).collect();
            if let Some(told) = told.as_object_mut() {
                told.insert("sids".to_owned(), json!(sids));
            }
        }
        index.push(told);
        files.put(file, TEXT, format!("{}\n", rule.text().trim_end()));
    }
    let index: Value = json!({ "rules": index, "left_out": left_out });
    let index = serde_json::to_vec_pretty(&index).map_err(|error| Problem::unavailable(&error))?;
    files.put_main("index.json", JSON, index);
    Ok(files)
}

/// Whether an indicator is a rule that can be written.
pub(super) fn is_written(released: &Released) -> bool {
    Written::of(released, Indicator::read(released.object().raw()).unwrap_or_default()).is_ok()
}

impl<'a> Written<'a> {
    /// The rule that an indicator is; else why it is none that can be written.
    fn of(released: &'a Released, indicator: Indicator) -> Result<Self, String> {
        let Some(language) = Language::of(&indicator.pattern_type) else {
            return Err("is in no language that is written as files".to_owned());
        };
        // Rules are read by people before they are run: nothing may hide in them, nor behind a line's beginning that is written over. What
        // a text's first mark tells is only how it is encoded.
        let text = indicator.pattern.strip_prefix('\u{feff}').unwrap_or(&indicator.pattern);
        let hides = |c: char| neutral::steers(c) && !matches!(c, '\n' | '\t');
        if text.split("\r\n").any(|line| line.chars().any(hides)) {
            return Err("holds characters that steer how it is shown".to_owned());
        }
        let rules = match language {
            Language::Snort | Language::Suricata => network::read(language, &indicator.pattern),
            Language::Sigma | Language::Yara => {
                rule::check(language, &indicator.pattern).map(|()| Vec::new())
            }
        };
        match rules {
            Ok(rules) => {
                let rules = rules.into_iter().map(|rule| (rule.sid.unwrap_or_default(), rule));
                let rules = rules.map(|(sid, rule)| (rule, sid)).collect();
                Ok(Self { released, indicator, language, rules })
            }
            Err(flaw) => Err(flaw.to_string()),
        }
    }

    /// As its author wrote it, but for numbers that others have.
    fn text(&self) -> String {
        let others = self.rules.iter().filter(|(rule, sid)| rule.sid != Some(*sid));
        network::numbered(&self.indicator.pattern, others.map(|(rule, sid)| (rule, *sid)))
    }
}

/// Gives every rule of a language a number of its own, and none of those that our exports have.
fn number(written: &mut [Written<'_>], is_ours: impl Fn(u32) -> bool) {
    let mut order: Vec<usize> = (0..written.len()).collect();
    order.sort_by_cached_key(|at| {
        written.get(*at).map(|rule| {
            let object = rule.released.object();
            (object.counts_since(), object.id().to_owned())
        })
    });
    let mut taken: BTreeMap<Language, BTreeSet<(u32, u32)>> = BTreeMap::new();
    let mut without: Vec<(usize, usize)> = Vec::new();
    for at in &order {
        let Some(rule) = written.get(*at) else { continue };
        let taken = taken.entry(rule.language).or_default();
        for (nth, (one, _)) in rule.rules.iter().enumerate() {
            if one.sid.is_none_or(|sid| is_ours(sid) || !taken.insert((one.gid, sid))) {
                without.push((*at, nth));
            }
        }
    }
    // Behind all that have one: what is given takes nobody's.
    let mut rest: BTreeMap<(Language, u32), Range<u32>> = BTreeMap::new();
    for (at, nth) in without {
        let Some(rule) = written.get_mut(at) else { continue };
        let taken = taken.entry(rule.language).or_default();
        let name = format!("{} {nth}", rule.released.object().id());
        let Some((one, sid)) = rule.rules.get_mut(nth) else { continue };
        let rest = rest.entry((rule.language, one.gid)).or_insert(FIRST_SID..FIRST_SID + SIDS);
        if let Some(free) = free(&name, rest, |sid| taken.insert((one.gid, sid))) {
            *sid = free;
        }
    }
}

/// The number that a rule is given: the first it may take of those that follow from its name; else of the rest, of which none is tried
/// twice.
fn free(name: &str, rest: &mut Range<u32>, mut takes: impl FnMut(u32) -> bool) -> Option<u32> {
    let mut bytes = [0_u8; 4 * TRIES];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    let (tries, _) = bytes.as_chunks::<4>();
    let mut tries = tries.iter().map(|bytes| FIRST_SID + u32::from_be_bytes(*bytes) % SIDS);
    tries.find(|sid| takes(*sid)).or_else(|| rest.find(|sid| takes(*sid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_numbers_on_purpose_makes_no_other_rule_search_long() {
        let name = "indicator--00000000-0000-4000-8000-000000000001 0";
        let mut taken = BTreeSet::new();
        let mut rest = FIRST_SID..FIRST_SID + SIDS;
        let give = |taken: &mut BTreeSet<u32>, rest: &mut Range<u32>| {
            let mut tried = 0;
            let given = free(name, rest, |sid| {
                tried += 1;
                taken.insert(sid)
            });
            (given.unwrap(), tried)
        };
        let (first, tried) = give(&mut taken, &mut rest);
        assert_eq!(tried, 1);
        // All that follow it.
        taken.extend((first..).take(10_000));
        let (second, tried) = give(&mut taken, &mut rest);
        assert!(tried <= TRIES && !(first..first + 10_000).contains(&second), "{tried}: {first} {second}");
        // And all that are tried, and the first of the rest.
        while give(&mut taken, &mut rest.clone()).1 <= TRIES {}
        taken.extend(rest.clone().take(10_000));
        assert!(give(&mut taken, &mut rest).1 > 10_000);
        assert_eq!(give(&mut taken, &mut rest).1, TRIES + 1, "what was tried once is not again");
    }
}
