//! What a new charter changes, and what it must not: said before anybody signs.
//!
//! [`CharterChain::extend`](super::charter::CharterChain::extend) refuses what is no charter. A charter can
//! hold every rule and still shut everybody out; [`review`] looks for that, with the roster at hand.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use crate::{
    crypto::sign::PublicKey,
    id::{GroupId, MemberId, RosterVersion},
    limits::MAX_TRANSMIT,
    schema::{self, AcceptancePolicy, Action},
    time::Timestamp,
    trust::{
        certificate::{Certificate, admits},
        charter::{ACTIONS, Charter, Group, History},
        names::Named,
        roster::{Roster, Standing},
    },
};

/// Below this, ordinary clock drift gets honest members refused.
const LEAST_CLOCK_SKEW: Duration = Duration::from_secs(5);
/// Bringing root holders together takes weeks.
const SHORT_VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);
/// One message of the largest size. What is larger than an hour's quota fits no hour: it is taken by no node, and everything
/// its author says behind it waits with it.
const LEAST_BYTES_PER_HOUR: u64 = MAX_TRANSMIT as u64;
const DAY_S: u64 = 24 * 3600;

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
    let days = |c: &Charter| whole(c.expires().since(c.issued()).as_secs(), DAY_S);
    out.compare("validity_days", &days(old), &days(new));
    out.compare("clock_skew_s", &o.clock_skew_s, &n.clock_skew_s);
    out.compare("grant_delay_h", &whole(o.grant_delay_s, 3600), &whole(n.grant_delay_s, 3600));
    out.compare("stale_after_days", &whole(o.stale_after_s, DAY_S), &whole(n.stale_after_s, DAY_S));
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
            let of = |name: &str| format!("{name} of {}", group.slug);
            let after = group_facts(new, group);
            match old.group(group.id) {
                None => {
                    self.push("group", String::new(), format!("{} (number {})", group.slug, group.id));
                    for (name, after) in after {
                        if name != "slug" && !after.is_empty() {
                            self.push(&of(name), String::new(), after);
                        }
                    }
                }
                Some(known) => {
                    for ((name, before), (_, after)) in group_facts(old, known).into_iter().zip(after) {
                        self.compare(&of(name), &before, &after);
                    }
                }
            }
        }
    }
}

/// Seconds in the unit in which a draft has them; as they are where it does not divide them, so that no difference is
/// rounded away.
fn whole(seconds: u64, unit: u64) -> String {
    match seconds.is_multiple_of(unit) {
        true => (seconds / unit).to_string(),
        false => format!("{seconds} s"),
    }
}

/// What a group says, field by field, as the draft names it; its number aside.
#[must_use]
pub fn group_facts(charter: &Charter, group: &Group) -> Vec<(&'static str, String)> {
    // Taken apart, so that what a later version adds cannot be forgotten by whoever shows or compares groups.
    let Group {
        id: _,
        slug,
        name,
        description,
        parent,
        admits,
        may_publish,
        history,
        retention,
        max_tlp,
        messages_per_hour,
        bytes_per_hour,
        default_purpose,
    } = group;
    let days = |span: &Duration| match span.as_secs() {
        seconds if seconds.is_multiple_of(DAY_S) => format!("{} days", seconds / DAY_S),
        seconds => format!("{seconds} s"),
    };
    let admits: Vec<&str> = admits.iter().map(|class| class.name()).collect();
    let parent = parent.and_then(|id| charter.group(id)).map_or("none", |group| group.slug.as_str());
    vec![
        ("slug", slug.clone()),
        ("name", name.clone()),
        ("description", description.clone()),
        ("parent", parent.to_owned()),
        ("admits", if admits.is_empty() { "every class".to_owned() } else { admits.join(", ") }),
        ("may_publish", may_publish.name().to_owned()),
        (
            "history",
            match history {
                History::None => "none".to_owned(),
                History::Window(span) => format!("window of {}", days(span)),
                History::All => "all".to_owned(),
            },
        ),
        ("retention_days", retention.as_ref().map_or_else(|| "for ever".to_owned(), days)),
        ("max_tlp", max_tlp.name().to_owned()),
        ("messages_per_hour", messages_per_hour.to_string()),
        ("bytes_per_hour", bytes_per_hour.to_string()),
        ("default_purpose", default_purpose.name().to_owned()),
    ]
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
        "accept_by ({by}) is over, and {members} of the members have not accepted its texts: they would be stopped at once. \
         Set a date by which all can have answered"
    )]
    AcceptBy {
        /// The date.
        by: Timestamp,
        /// How many it would stop whom the charter in force does not.
        members: usize,
    },
    /// Nobody would be left.
    #[error(
        "no member would have a group left under this charter: its groups admit none of the classes the {0} valid \
         certificates are of, or have other slugs than before. Keep the slugs, or add the classes to `admits`"
    )]
    Everybody(usize),
    /// Nobody could say anything.
    #[error(
        "nobody could publish in any group under this charter: may_publish asks for more than the role of each of the {0} \
         valid certificates that publish now. Lower may_publish, or give somebody the role first (`belfry coalition entitle`)"
    )]
    Silence(usize),
    /// No message fits.
    #[error(
        "bytes_per_hour of {slug} is {bytes}: one message may have {least}, and what is larger than the quota of an hour is \
         never taken. {least} is the least, 67108864 usual; a group that shall close is left out",
        least = LEAST_BYTES_PER_HOUR
    )]
    Bytes {
        /// The group.
        slug: String,
        /// Its quota.
        bytes: u64,
    },
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
    let by_itself = by_itself(next, now)?;
    let head = roster.version();
    if let Some(pin) = next.pin().filter(|pin| *pin != head) {
        return Err(Lockout::Pin { pin, head });
    }
    let old = roster.charter();
    // Whoever has nothing to lose would hide that all others lose it: a carrier has no group.
    let members: Vec<&Certificate> = roster
        .certificates()
        .filter(|c| roster.standing(c.serial, now) == Standing::Valid)
        .filter(|c| c.groups.keys().any(|id| is_in(old, c, *id)))
        .collect();
    let mut told = Vec::new();
    told.extend(texts(roster, &members, next, now)?);
    told.extend(left(old, &members, next)?);
    told.extend(silenced(old, &members, next)?);
    told.extend(by_itself);
    Ok(told)
}

/// Whether a certificate counts in a group under a charter.
fn is_in(charter: &Charter, certificate: &Certificate, group: GroupId) -> bool {
    certificate.groups.contains_key(&group)
        && charter.group(group).is_some_and(|group| admits(group, &certificate.organisation))
}

/// Whether it may publish there.
fn publishes(charter: &Charter, certificate: &Certificate, group: GroupId) -> bool {
    let least = charter.group(group).map(|group| group.may_publish);
    least.is_some() && is_in(charter, certificate, group) && certificate.groups.get(&group).copied() >= least
}

/// Whoever would be out of a group, by group; that somebody stays in one is the least.
fn left(old: &Charter, members: &[&Certificate], next: &Charter) -> Result<Vec<String>, Lockout> {
    let stays = |c: &&Certificate| c.groups.keys().any(|id| is_in(next, c, *id));
    if !members.is_empty() && !members.iter().any(stays) {
        return Err(Lockout::Everybody(members.len()));
    }
    let out = gathered(members, |c, id| is_in(old, c, id) && !is_in(next, c, id));
    let told = out.into_iter().map(|(id, who)| {
        let slug = old.group(id).map_or_else(|| id.to_string(), |group| group.slug.clone());
        format!("{} would no longer be in {slug}: {}", plural(who.len()), named(&who))
    });
    Ok(told.collect())
}

/// Whoever would be in a group still, and publish there no more; that somebody publishes somewhere is the least.
fn silenced(old: &Charter, members: &[&Certificate], next: &Charter) -> Result<Vec<String>, Lockout> {
    let publish = |charter: &Charter| {
        members.iter().filter(|c| c.groups.keys().any(|id| publishes(charter, c, *id))).count()
    };
    let before = publish(old);
    if before > 0 && publish(next) == 0 {
        return Err(Lockout::Silence(before));
    }
    let silent =
        gathered(members, |c, id| publishes(old, c, id) && is_in(next, c, id) && !publishes(next, c, id));
    let told = silent.into_iter().filter_map(|(id, who)| {
        let group = next.group(id)?;
        let (slug, least) = (&group.slug, group.may_publish.name());
        Some(match members.iter().any(|c| publishes(next, c, id)) {
            true => {
                format!(
                    "{} could no longer publish in {slug} (from {least} on): {}",
                    plural(who.len()),
                    named(&who)
                )
            }
            false => {
                format!("nobody could publish in {slug} any more, where nobody is {least}: {}", named(&who))
            }
        })
    });
    Ok(told.collect())
}

/// Members with their names.
type Who = BTreeMap<MemberId, String>;

/// Whom something concerns in which group.
fn gathered(
    members: &[&Certificate],
    concerns: impl Fn(&Certificate, GroupId) -> bool,
) -> BTreeMap<GroupId, Who> {
    let mut found: BTreeMap<GroupId, Who> = BTreeMap::new();
    for certificate in members {
        for group in certificate.groups.keys().filter(|id| concerns(certificate, **id)) {
            let name = certificate.organisation.name.clone();
            found.entry(*group).or_default().insert(certificate.member, name);
        }
    }
    found
}

/// Texts that are not accepted need a date, and one that is still to come for whoever it would stop: new ones, and those
/// that nobody was asked to accept before.
fn texts(
    roster: &Roster,
    members: &[&Certificate],
    next: &Charter,
    now: Timestamp,
) -> Result<Option<String>, Lockout> {
    let old = roster.charter();
    let are_new = old.arrangement().hash != next.arrangement().hash || old.rules().hash != next.rules().hash;
    let Some(by) = next.accept_by() else {
        return Ok(are_new.then(|| {
            "its texts are new, and no accept_by says by when members must accept them: nobody is asked to".to_owned()
        }));
    };
    let policy = next.unaccepted();
    let missing: Who = members
        .iter()
        .filter(|c| !roster.has_accepted(c.member, next))
        .map(|c| (c.member, c.organisation.name.clone()))
        .collect();
    // Whom the charter in force stops as much already loses nothing by this one.
    let stopped = missing.keys().filter(|member| roster.overdue(**member, old, now) < Some(policy)).count();
    if by <= now && policy != AcceptancePolicy::Warn && stopped > 0 {
        return Err(Lockout::AcceptBy { by, members: stopped });
    }
    let policy = policy.name();
    if are_new {
        return Ok(Some(format!(
            "its texts are new: every member must accept them by {by} (`belfry accept-rules`); what becomes of those who do \
             not: {policy}"
        )));
    }
    Ok((!missing.is_empty()).then(|| {
        format!(
            "{} must accept its texts by {by} (`belfry accept-rules`) and did not so far; what becomes of those who do not: \
             {policy}: {}",
            plural(missing.len()),
            named(&missing)
        )
    }))
}

/// What can be said of a charter without a log: of a first one, or at a holder's machine.
///
/// # Errors
/// [`Lockout`].
pub fn review_alone(next: &Charter, now: Timestamp) -> Result<Vec<String>, Lockout> {
    let mut warnings = by_itself(next, now)?;
    let policy = next.unaccepted();
    if let Some(by) = next.accept_by().filter(|by| *by <= now && policy != AcceptancePolicy::Warn) {
        warnings.push(format!(
            "accept_by ({by}) is over: from the first moment on there is no waiting for members that have not accepted its \
             texts ({}). Who they are, `belfry audit rules` tells where the log is",
            policy.name()
        ));
    }
    Ok(warnings)
}

/// What it says, whoever lives under it.
fn by_itself(next: &Charter, now: Timestamp) -> Result<Vec<String>, Lockout> {
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
    if let Some(group) = next.groups().iter().find(|group| group.bytes_per_hour < LEAST_BYTES_PER_HOUR) {
        return Err(Lockout::Bytes { slug: group.slug.clone(), bytes: group.bytes_per_hour });
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

fn named(who: &Who) -> String {
    who.values().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn plural(members: usize) -> String {
    format!("{members} {}", if members == 1 { "member" } else { "members" })
}
