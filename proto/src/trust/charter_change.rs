//! What a new charter changes, and what it must not: said before anybody signs.
//!
//! [`CharterChain::extend`](super::charter::CharterChain::extend) refuses what is no charter. A charter can
//! hold every rule and still shut everybody out; [`review`] looks for that, with the roster at hand.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use crate::{
    crypto::sign::PublicKey,
    id::{GroupId, RosterVersion},
    schema::{self, AcceptancePolicy, Action},
    time::Timestamp,
    trust::{
        charter::{ACTIONS, Charter, Group, History},
        names::Named,
        roster::{Roster, Standing},
    },
};

/// Below this, ordinary clock drift gets honest members refused.
const LEAST_CLOCK_SKEW: Duration = Duration::from_secs(5);
/// Bringing root holders together takes weeks.
const SHORT_VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);

/// One line of the difference between two charters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What, as the draft calls it: `max_tlp of cidr`.
    pub what: String,
    /// As it was; empty where there was none.
    pub before: String,
    /// As it will be; empty where there is none.
    pub after: String,
}

/// Everything in which two charters differ; version, dates and the chain's links aside.
#[must_use]
pub fn changes(old: &Charter, new: &Charter) -> Vec<Change> {
    let mut out = Changes::default();
    let (o, n) = (old.wire(), new.wire());
    out.compare("name", &o.name, &n.name);
    let days = |c: &Charter| c.expires().since(c.issued()).as_secs() / (24 * 3600);
    out.compare("validity_days", &days(old), &days(new));
    out.compare("clock_skew_s", &o.clock_skew_s, &n.clock_skew_s);
    out.compare("grant_delay_h", &(o.grant_delay_s / 3600), &(n.grant_delay_s / 3600));
    out.compare("stale_after_days", &(o.stale_after_s / 86400), &(n.stale_after_s / 86400));
    out.compare("staleness", &old.staleness().name(), &new.staleness().name());
    let accept_by = |c: &Charter| c.accept_by().map_or("no date".to_owned(), |by| by.to_string());
    out.compare("accept_by", &accept_by(old), &accept_by(new));
    out.compare("unaccepted", &old.unaccepted().name(), &new.unaccepted().name());
    out.compare("ask_reasons", &old.asks_reasons(), &new.asks_reasons());
    for (what, o, n) in [
        ("arrangement", old.arrangement(), new.arrangement()),
        ("rules_of_conduct", old.rules(), new.rules()),
    ] {
        out.compare(what, &document(o), &document(n));
    }
    out.compare("root_threshold", &old.root().0, &new.root().0);
    out.keys("root key", old.root().1.iter().copied(), new.root().1.iter().copied());
    out.keys("admin key", old.admins().iter().copied(), new.admins().iter().copied());
    for key in new.admins() {
        let end = |c: &Charter| c.admin_ends().get(key).map_or("no end".to_owned(), ToString::to_string);
        let before = if old.admins().contains(key) { end(old) } else { "no end".to_owned() };
        out.compare(&format!("end of admin key {key}"), &before, &end(new));
    }
    out.compare("registrar", &old.registrar(), &new.registrar());
    for action in ACTIONS {
        let what = format!("threshold of {}", action.name());
        out.compare(&what, &old.threshold(action), &new.threshold(action));
    }
    out.groups(old, new);
    out.0
}

fn document(document: &schema::Document) -> String {
    let hash = hex::encode(&document.hash);
    format!("{} ({}, hash {}…)", document.version, document.link, hash.get(..16).unwrap_or(&hash))
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn push(&mut self, what: &str, before: String, after: String) {
        self.0.push(Change { what: what.to_owned(), before, after });
    }

    fn compare<T: PartialEq + Display>(&mut self, what: &str, before: &T, after: &T) {
        if before != after {
            self.push(what, before.to_string(), after.to_string());
        }
    }

    fn keys(
        &mut self,
        what: &str,
        before: impl Iterator<Item = PublicKey>,
        after: impl Iterator<Item = PublicKey>,
    ) {
        let (before, after): (Vec<_>, Vec<_>) = (before.collect(), after.collect());
        for key in before.iter().filter(|key| !after.contains(key)) {
            self.push(what, key.to_string(), String::new());
        }
        for key in after.iter().filter(|key| !before.contains(key)) {
            self.push(what, String::new(), key.to_string());
        }
    }

    fn groups(&mut self, old: &Charter, new: &Charter) {
        for group in old.groups().iter().filter(|group| new.group(group.id).is_none()) {
            self.push("group", group.slug.clone(), String::new());
        }
        for group in new.groups() {
            let after = facts(new, group);
            match old.group(group.id) {
                None => self.push("group", String::new(), format!("{} (number {})", group.slug, group.id)),
                Some(known) => {
                    let before = facts(old, known);
                    for (name, after) in &after {
                        if let Some(before) = before.get(name).filter(|before| *before != after) {
                            self.push(&format!("{name} of {}", group.slug), before.clone(), after.clone());
                        }
                    }
                }
            }
        }
    }
}

/// What a group says, field by field, as the draft names it.
fn facts(charter: &Charter, group: &Group) -> BTreeMap<&'static str, String> {
    let days = |span: Duration| format!("{} days", span.as_secs() / (24 * 3600));
    let admits: Vec<&str> = group.admits.iter().map(|class| class.name()).collect();
    let parent = group.parent.and_then(|id| charter.group(id)).map_or("none", |group| &group.slug);
    BTreeMap::from([
        ("slug", group.slug.clone()),
        ("name", group.name.clone()),
        ("description", group.description.clone()),
        ("parent", parent.to_owned()),
        ("admits", if admits.is_empty() { "every class".to_owned() } else { admits.join(", ") }),
        ("may_publish", group.may_publish.name().to_owned()),
        (
            "history",
            match group.history {
                History::None => "none".to_owned(),
                History::Window(span) => format!("window of {}", days(span)),
                History::All => "all".to_owned(),
            },
        ),
        ("retention_days", group.retention.map_or("for ever".to_owned(), days)),
        ("max_tlp", group.max_tlp.name().to_owned()),
        ("messages_per_hour", group.messages_per_hour.to_string()),
        ("bytes_per_hour", group.bytes_per_hour.to_string()),
        ("default_purpose", group.default_purpose.name().to_owned()),
    ])
}

/// A charter that holds every rule and would still shut out who should be in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lockout {
    /// Over before it begins.
    #[error("the charter would be expired already, on {0}: raise validity_days, and make it anew")]
    Expired(Timestamp),
    /// From the future.
    #[error(
        "the charter says it was made on {0}, which is still to come: set this machine's clock, and make it anew"
    )]
    Future(Timestamp),
    /// Nobody's clock is that good.
    #[error(
        "clock_skew_s is {0}: ordinary clock drift would shut honest members out; 5 is the least, 120 usual"
    )]
    ClockSkew(u64),
    /// Nobody could decide any more.
    #[error(
        "{0} needs {1} admins, and fewer admin keys than that have not ended: give keys.admins_until later dates, or add keys"
    )]
    Admins(&'static str, u32),
    /// Nobody could accept in time.
    #[error(
        "its texts are new, and accept_by ({0}) is over: every member would be stopped at once. Set a date by which all \
         can have answered"
    )]
    AcceptBy(Timestamp),
    /// Nobody would be left.
    #[error(
        "no member would have a group left under this charter: its groups admit none of the classes the {0} valid \
         certificates are of, or have other slugs than before. Keep the slugs, or add the classes to `admits`"
    )]
    Everybody(usize),
    /// The log says otherwise.
    #[error(
        "the charter pins the log at {pin}, and the log here is at {head}: decisions beyond the pin would be void. \
         Make the charter anew (`belfry coalition charter make`) and have it signed again"
    )]
    Pin {
        /// What it pins.
        pin: RosterVersion,
        /// The log's head.
        head: RosterVersion,
    },
}

/// Looks a next version over with the log at hand; gives what is allowed and may not be meant.
///
/// # Errors
/// [`Lockout`].
pub fn review(roster: &Roster, next: &Charter, now: Timestamp) -> Result<Vec<String>, Lockout> {
    let warnings = review_alone(next, now)?;
    let head = roster.version();
    if let Some(pin) = next.pin().filter(|pin| *pin != head) {
        return Err(Lockout::Pin { pin, head });
    }
    let warnings: Vec<String> = new_texts(roster.charter(), next, now)?.into_iter().chain(warnings).collect();
    let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut valid, mut left) = (0, 0);
    for certificate in roster.certificates().filter(|c| roster.standing(c.serial, now) == Standing::Valid) {
        valid += 1;
        let keeps = |id: &GroupId| {
            next.group(*id).is_some_and(|group| {
                group.admits.is_empty()
                    || certificate.organisation.classes().any(|c| group.admits.contains(&c))
            })
        };
        if certificate.carrier || certificate.groups.keys().any(keeps) {
            left += 1;
        }
        for group in certificate.groups.keys().filter(|id| !keeps(id)) {
            let slug = roster.charter().group(*group).map_or_else(|| group.to_string(), |g| g.slug.clone());
            lost.entry(slug).or_default().push(certificate.organisation.name.clone());
        }
    }
    if valid > 0 && left == 0 {
        return Err(Lockout::Everybody(valid));
    }
    let lost = lost.into_iter().map(|(slug, names)| {
        format!("{} would no longer be in {slug}: {}", plural(names.len()), names.join(", "))
    });
    Ok(lost.chain(warnings).collect())
}

/// New texts ask everybody to accept again; that needs a date, and one that is still to come.
fn new_texts(old: &Charter, next: &Charter, now: Timestamp) -> Result<Option<String>, Lockout> {
    if old.arrangement().hash == next.arrangement().hash && old.rules().hash == next.rules().hash {
        return Ok(None);
    }
    match next.accept_by() {
        None => Ok(Some(
            "its texts are new, and no accept_by says by when members must accept them: nobody is asked to"
                .to_owned(),
        )),
        Some(by) if by <= now && next.unaccepted() != AcceptancePolicy::Warn => Err(Lockout::AcceptBy(by)),
        Some(by) => Ok(Some(format!(
            "its texts are new: every member must accept them by {by} (`belfry accept-rules`); what becomes of those \
             who do not: {}",
            next.unaccepted().name()
        ))),
    }
}

/// What can be said of a charter without a log: of a first one, or at a holder's machine.
///
/// # Errors
/// [`Lockout`].
pub fn review_alone(next: &Charter, now: Timestamp) -> Result<Vec<String>, Lockout> {
    if next.is_expired_at(now) {
        return Err(Lockout::Expired(next.expires()));
    }
    let skew = next.clock_skew();
    if next.issued() > now.saturating_add(skew.max(LEAST_CLOCK_SKEW)) {
        return Err(Lockout::Future(next.issued()));
    }
    if skew < LEAST_CLOCK_SKEW {
        return Err(Lockout::ClockSkew(skew.as_secs()));
    }
    let lasting =
        next.admins().iter().filter(|key| next.admin_ends().get(key).is_none_or(|end| *end > now)).count();
    for action in ACTIONS {
        let needed = next.threshold(action);
        if usize::try_from(needed).is_ok_and(|needed| needed > lasting) {
            return Err(Lockout::Admins(action.name(), needed));
        }
    }
    let mut warnings = ending_admins(next, now, SHORT_VALIDITY);
    if next.expires().since(now) < SHORT_VALIDITY {
        warnings.push(format!("the charter ends on {}, in less than 90 days", next.expires()));
    }
    let (threshold, keys) = next.root();
    let all_must_sign = usize::try_from(threshold).is_ok_and(|t| t == keys.len());
    if keys.len() > 1 && all_must_sign {
        warnings.push(format!(
            "all {} root keys must sign: if one is lost, this charter can never be changed again",
            keys.len()
        ));
    }
    if keys.len() == 1 {
        warnings.push(
            "there is one root key: whoever loses it can never change the charter, and whoever steals it owns the coalition"
                .to_owned(),
        );
    }
    if [Action::Revoke, Action::Suspend].iter().all(|action| next.threshold(*action) > 1) {
        warnings.push(
            "neither revoke nor suspend can be signed by one admin alone: a stolen key stays in until several are found"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// Admin keys that have ended or end within `soon`, each a sentence with its mend.
#[must_use]
pub fn ending_admins(charter: &Charter, now: Timestamp, soon: Duration) -> Vec<String> {
    let ending = charter.admin_ends().iter().filter(|(_, end)| **end <= now.saturating_add(soon));
    ending
        .map(|(key, end)| {
            let tense = if *end <= now { "ended" } else { "ends" };
            format!(
                "the time of admin key {key} {tense} on {end}: what it signs from then on is refused everywhere; a new charter \
                 version gives it a later date (keys.admins_until), or another key its place"
            )
        })
        .collect()
}

fn plural(members: usize) -> String {
    format!("{members} {}", if members == 1 { "member" } else { "members" })
}
