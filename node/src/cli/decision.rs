//! A decision in words: a line of a listing, everything of it for whoever signs next, and for programs.
//!
//! What a statement grants, takes and when stands in all three: an admin that signs for another has nothing else to go by,
//! and a member that reads the log finds there what it will meet.

use belfry_proto::{
    crypto::{hpke::KemPublic, sign::PublicKey},
    id::{GroupId, Height, Serial},
    schema::{
        Amend, Capacity, CertificateBody, CutPoint, EntityClass, GroupRole, Issue, Organisation,
        RevocationReason, Revoke, Role, Supersede,
    },
    time::Timestamp,
    trust::{
        charter::CharterChain,
        names::Named as _,
        roster::{Member, Roster, Void},
        statement::{Decision, Statement, Subject},
    },
};
use serde_json::{Value, json};

use super::{
    args::{day, second, wire_name},
    organisation::{changes, said, said_now},
    output,
};
use crate::{clock, config::peer_id};

/// The action's name and what it is about, in one line; with a roster, by what it knows of the certificate.
pub(super) fn described(
    charters: &CharterChain,
    roster: Option<&Roster>,
    statement: &Statement,
) -> (&'static str, String) {
    match &statement.decision {
        Decision::Issue(d) => ("issue", granted(charters, d.certificate.as_ref())),
        Decision::Renew(d) => ("renew", format!("serial {} until {}", d.serial, time(d.not_after))),
        Decision::Supersede(d) => (
            "supersede",
            format!("serial {} of {}, {}", d.serial, granted(charters, d.certificate.as_ref()), cuts(&d.cut)),
        ),
        Decision::Suspend(d) => ("suspend", format!("serial {}, {}", d.serial, cuts(&d.cut))),
        Decision::Resume(d) => ("resume", format!("serial {}", d.serial)),
        Decision::Revoke(d) => (
            "revoke",
            format!(
                "serial {}, {}, decided {}, effective {}, {}",
                d.serial,
                wire_name::<RevocationReason>(d.reason),
                time(d.decided),
                time(d.effective),
                if keeps_what_was(roster, d, statement.made) {
                    "what it published until then stays".to_owned()
                } else {
                    cuts(&d.cut)
                }
            ),
        ),
        Decision::Entitle(d) => {
            ("entitle", format!("serial {}, {}", d.serial, roles(charters, &d.groups).join(" ")))
        }
        Decision::Disentitle(d) => (
            "disentitle",
            format!("serial {}, out of {}, {}", d.serial, slugs(charters, &d.groups).join(" "), cuts(&d.cut)),
        ),
        Decision::ExtendCut(d) => ("extend-cut", format!("serial {}, {}", d.serial, cuts(&d.cut))),
        Decision::Amend(d) => ("amend", d.organisation.as_ref().map(amended).unwrap_or_default()),
        Decision::Accept(d) => ("accept", format!("serial {}, arrangement and rules of conduct", d.serial)),
    }
}

/// What a statement says, all of it, and what was so before by the log at hand.
pub(super) fn stated(roster: &Roster, statement: &Statement) -> Vec<(&'static str, String)> {
    let charters = roster.charters();
    let (action, about) = described(charters, Some(roster), statement);
    let mut facts = vec![
        ("action", action.to_owned()),
        ("about", about),
        ("made", second(statement.made)),
        ("statement", statement.id.to_string()),
    ];
    let certificate = statement.subject().and_then(|subject| match subject {
        Subject::Certificate(serial) => roster.certificate(serial),
        Subject::Member(_) => None,
    });
    let member = member(roster, statement);
    if let Some(member) = member {
        facts.push(("member", format!("{} ({})", member.organisation.name, member.id)));
    }
    if let Some(certificate) = certificate {
        let now = roles_of(charters, certificate.groups.iter().map(|(id, role)| (*id, *role)));
        facts.extend([
            ("node", peer_id(&certificate.node)),
            ("has", listed(&now, certificate.carrier)),
            ("valid until", second(certificate.not_after)),
        ]);
    }
    facts.extend(changed(roster, statement));
    if let (Decision::Amend(Amend { organisation: Some(to), .. }), Some(member)) =
        (&statement.decision, member)
    {
        let changes = changes(&said_now(roster, member, clock::now()), to);
        facts.extend(changes.into_iter().map(|(what, is)| ("changes", format!("{what}: {is}"))));
    }
    facts
}

/// What will be so.
fn changed(roster: &Roster, statement: &Statement) -> Vec<(&'static str, String)> {
    let charters = roster.charters();
    let mut facts = match &statement.decision {
        Decision::Issue(Issue { certificate: Some(body) })
        | Decision::Supersede(Supersede { certificate: Some(body), .. }) => gets(charters, body),
        Decision::Renew(d) => vec![("from now on until", time(d.not_after))],
        Decision::Entitle(d) => roles(charters, &d.groups).into_iter().map(|group| ("gets", group)).collect(),
        Decision::Disentitle(d) => {
            slugs(charters, &d.groups).into_iter().map(|group| ("loses", group)).collect()
        }
        Decision::Revoke(d) => vec![
            ("reason", wire_name::<RevocationReason>(d.reason).to_owned()),
            ("decided", time(d.decided)),
            ("effective", time(d.effective)),
        ],
        Decision::Issue(_)
        | Decision::Supersede(_)
        | Decision::Suspend(_)
        | Decision::Resume(_)
        | Decision::ExtendCut(_)
        | Decision::Amend(_)
        | Decision::Accept(_) => Vec::new(),
    };
    match cut_of(&statement.decision) {
        None => {}
        Some([]) => facts.push(("without a cut", without_cut(roster, statement).to_owned())),
        Some(cut) => facts.extend(cut.iter().map(|point| {
            let (log, message) = (hex::encode(&point.log), hex::encode(&point.message));
            ("stays up to", format!("message {} of log {log}: {message}", point.sequence))
        })),
    }
    facts
}

/// What becomes of messages where a removal names none that stay.
fn without_cut(roster: &Roster, statement: &Statement) -> &'static str {
    match &statement.decision {
        Decision::Revoke(d) if keeps_what_was(Some(roster), d, statement.made) => {
            "what it published until then stays"
        }
        Decision::Disentitle(_) => "every message it signed in these groups is hidden",
        _ => "every message it ever signed is hidden",
    }
}

/// Whether a revocation leaves what was published before it takes effect: one that is announced, without a cut, of a
/// certificate that was not over before.
fn keeps_what_was(roster: Option<&Roster>, revoke: &Revoke, made: Timestamp) -> bool {
    revoke.cut.is_empty()
        && Timestamp::from_micros(revoke.effective) > made
        && !roster.is_some_and(|roster| roster.was_over(Serial::new(revoke.serial)))
}

/// What a certificate says of its organisation and grants it.
fn gets(charters: &CharterChain, body: &CertificateBody) -> Vec<(&'static str, String)> {
    let key = |bytes: &[u8], shown: fn(&PublicKey) -> String| {
        PublicKey::from_slice(bytes).map_or_else(|_| "no key".to_owned(), |key| shown(&key))
    };
    let mut facts = said(&body.organisation.clone().unwrap_or_default()).to_vec();
    if let Some(keys) = &body.keys {
        facts.extend([
            ("signing key", key(&keys.signing, PublicKey::to_string)),
            ("node", key(&keys.node, peer_id)),
            (
                "encryption key",
                KemPublic::from_slice(&keys.kem).map_or_else(|_| "no key".to_owned(), |key| key.digest()),
            ),
        ]);
    }
    facts.push(("gets", listed(&roles(charters, &body.groups), body.carrier)));
    if let Some(validity) = &body.validity {
        facts.extend([("valid from", time(validity.not_before)), ("valid until", time(validity.not_after))]);
    }
    facts.push((
        "accepted",
        format!("arrangement {}, rules of conduct {}", body.arrangement_version, body.rules_version),
    ));
    facts
}

/// What of a decision tools need as values; only what it says.
pub(super) fn says(charters: &CharterChain, decision: &Decision) -> Value {
    let mut says = serde_json::Map::new();
    let mut put = |name: &str, is: Value| drop(says.insert(name.to_owned(), is));
    let at = |micros: u64| json!(Timestamp::from_micros(micros));
    match decision {
        Decision::Issue(Issue { certificate: Some(body) })
        | Decision::Supersede(Supersede { certificate: Some(body), .. }) => {
            put("groups", json!(roles(charters, &body.groups)));
            put("carrier", json!(body.carrier));
            if let Some(validity) = &body.validity {
                put("not_before", at(validity.not_before));
                put("not_after", at(validity.not_after));
            }
        }
        Decision::Renew(d) => put("not_after", at(d.not_after)),
        Decision::Entitle(d) => put("groups", json!(roles(charters, &d.groups))),
        Decision::Disentitle(d) => put("groups", json!(slugs(charters, &d.groups))),
        Decision::Revoke(Revoke { reason, decided, effective, .. }) => {
            put("reason", json!(wire_name::<RevocationReason>(*reason)));
            put("decided", at(*decided));
            put("effective", at(*effective));
        }
        _ => {}
    }
    if let Some(serial) = serial_of(decision) {
        put("serial", json!(serial));
    }
    if let Some(cut) = cut_of(decision) {
        let points = cut.iter().map(|point| {
            json!({ "log": hex::encode(&point.log), "sequence": point.sequence, "message": hex::encode(&point.message) })
        });
        put("cut", points.collect());
    }
    Value::Object(says)
}

/// All that is said of an organisation from then on: what was taken out, too.
fn amended(organisation: &Organisation) -> String {
    let [(_, name), kbo, lei, (_, classes), rest @ ..] = said(organisation);
    let rest: Vec<String> =
        [kbo, lei].into_iter().chain(rest).map(|(what, is)| format!("{what} {is}")).collect();
    format!("{name} ({classes}), {}", rest.join(", "))
}

/// The same for programs, by the names of `coalition roster`; nothing for another decision than an amendment.
pub(super) fn amended_to(decision: &Decision) -> Option<Value> {
    let Decision::Amend(Amend { organisation: Some(organisation), .. }) = decision else { return None };
    Some(json!({
        "organisation": organisation.name,
        "kbo": organisation.kbo,
        "lei": organisation.lei,
        "classes": organisation.classes.iter().map(|c| wire_name::<EntityClass>(*c)).collect::<Vec<_>>(),
        "capacity": wire_name::<Capacity>(organisation.capacity),
        "sector": organisation.sector,
        "supplier_of": organisation.supplier_of,
    }))
}

/// The member a statement is about, if the log knows it.
fn member<'a>(roster: &'a Roster, statement: &Statement) -> Option<&'a Member> {
    match statement.subject()? {
        Subject::Certificate(serial) => roster.member(roster.certificate(serial)?.member),
        Subject::Member(member) => roster.member(member),
    }
}

/// Whose certificate it is, and what it grants, until when.
fn granted(charters: &CharterChain, body: Option<&CertificateBody>) -> String {
    let Some(body) = body else { return String::new() };
    let name = body.organisation.as_ref().map(|o| o.name.as_str()).unwrap_or_default();
    let until = body.validity.as_ref().map(|v| Timestamp::from_micros(v.not_after)).unwrap_or_default();
    format!("{name}: {}, until {}", listed(&roles(charters, &body.groups), body.carrier), day(until))
}

fn listed(groups: &[String], carrier: bool) -> String {
    match (carrier, groups) {
        (true, _) => "carrier (forwards and stores, opens nothing)".to_owned(),
        (false, []) => "no group".to_owned(),
        (false, groups) => groups.join(" "),
    }
}

/// A group's slug in the newest charter that has it.
fn slug(charters: &CharterChain, group: GroupId) -> String {
    let found = charters.versions().filter_map(|charter| charter.group(group)).last();
    found.map_or_else(|| group.to_string(), |group| group.slug.clone())
}

fn slugs(charters: &CharterChain, groups: &[u32]) -> Vec<String> {
    groups.iter().map(|id| slug(charters, GroupId::new(*id))).collect()
}

fn roles(charters: &CharterChain, groups: &[GroupRole]) -> Vec<String> {
    roles_of(charters, groups.iter().map(|entry| (GroupId::new(entry.group), entry.role())))
}

fn roles_of(charters: &CharterChain, groups: impl Iterator<Item = (GroupId, Role)>) -> Vec<String> {
    groups.map(|(id, role)| format!("{}:{}", slug(charters, id), role.name())).collect()
}

fn time(micros: u64) -> String {
    second(Timestamp::from_micros(micros))
}

/// Which certificate a decision is about; an issue makes one, and an amendment is about all of a member's.
fn serial_of(decision: &Decision) -> Option<u64> {
    match decision {
        Decision::Issue(_) | Decision::Amend(_) => None,
        Decision::Renew(d) => Some(d.serial),
        Decision::Supersede(d) => Some(d.serial),
        Decision::Suspend(d) => Some(d.serial),
        Decision::Resume(d) => Some(d.serial),
        Decision::Revoke(d) => Some(d.serial),
        Decision::Entitle(d) => Some(d.serial),
        Decision::Disentitle(d) => Some(d.serial),
        Decision::ExtendCut(d) => Some(d.serial),
        Decision::Accept(d) => Some(d.serial),
    }
}

/// The last messages that stay, of a decision that names any.
fn cut_of(decision: &Decision) -> Option<&[CutPoint]> {
    match decision {
        Decision::Supersede(d) => Some(&d.cut),
        Decision::Suspend(d) => Some(&d.cut),
        Decision::Revoke(d) => Some(&d.cut),
        Decision::Disentitle(d) => Some(&d.cut),
        Decision::ExtendCut(d) => Some(&d.cut),
        Decision::Issue(_)
        | Decision::Renew(_)
        | Decision::Resume(_)
        | Decision::Entitle(_)
        | Decision::Accept(_)
        | Decision::Amend(_) => None,
    }
}

fn cuts(cut: &[CutPoint]) -> String {
    match u64::try_from(cut.len()).unwrap_or(u64::MAX) {
        0 => "no cut".into(),
        n => format!("cut in {}", output::counted(n, "log", "logs")),
    }
}

/// Why the entry at a height has no effect, if it has none.
pub(super) fn void(roster: &Roster, height: Height) -> Option<&Void> {
    roster.voids().iter().find(|void| void.height == height)
}

/// What a listing says of such an entry.
pub(super) fn without_effect(void: Option<&Void>) -> String {
    void.map(|void| format!(" (no effect: {})", void.reason)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use belfry_proto::{
        id::{CoalitionId, StatementId},
        schema::{Disentitle, Entitle, Suspend, Validity},
    };

    use super::*;
    use crate::testing::{CIDR, CLOUD, Coalition};

    const MADE: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn statement(decision: Decision) -> Statement {
        Statement {
            id: StatementId::new([1; 32]),
            coalition: CoalitionId::new([2; 32]),
            nonce: [0; 16],
            previous: None,
            charter_version: 1,
            made: MADE,
            decision,
        }
    }

    /// The line, everything, and the values.
    fn told(coalition: &Coalition, decision: Decision) -> (String, String, Value) {
        let (roster, statement) = (&coalition.roster, statement(decision));
        let line = described(roster.charters(), Some(roster), &statement).1;
        (line, output::facts(&stated(roster, &statement)), says(roster.charters(), &statement.decision))
    }

    fn point() -> CutPoint {
        CutPoint { log: vec![0xab; 32], sequence: 7, message: vec![0xcd; 32] }
    }

    #[test]
    fn roles_given_and_groups_taken_are_told_to_whoever_signs_next() {
        let mut coalition = Coalition::new();
        let serial = coalition.issue(1, &[CIDR]).identity.serial.get();
        let groups = vec![GroupRole { group: CLOUD.get(), role: Role::Steward.into() }];
        let (line, all, says) = told(&coalition, Decision::Entitle(Entitle { serial, groups }));
        assert_eq!(line, format!("serial {serial}, cloud-security:steward"));
        let has = |all: &str, name: &str, is: &str| {
            all.lines().any(|line| line.starts_with(&format!("{name} ")) && line.ends_with(&format!(" {is}")))
        };
        assert!(has(&all, "gets", "cloud-security:steward"), "{all}");
        assert!(all.lines().any(|line| line.starts_with("has ") && line.contains("cidr:")), "{all}");
        assert_eq!((&says["groups"], &says["serial"]), (&json!(["cloud-security:steward"]), &json!(serial)));

        let out = |cut| Decision::Disentitle(Disentitle { serial, groups: vec![CIDR.get()], cut });
        let (line, all, says) = told(&coalition, out(vec![point()]));
        assert_eq!(line, format!("serial {serial}, out of cidr, cut in 1 log"));
        assert!(has(&all, "loses", "cidr"), "{all}");
        let stays = format!("message 7 of log {}: {}", "ab".repeat(32), "cd".repeat(32));
        assert!(has(&all, "stays up to", &stays), "{all}");
        assert_eq!(says["cut"], json!([{"log": "ab".repeat(32), "sequence": 7, "message": "cd".repeat(32)}]));
        assert!(told(&coalition, out(Vec::new())).1.contains("in these groups is hidden"));
        let suspend = Decision::Suspend(Suspend { serial, cut: Vec::new() });
        assert!(told(&coalition, suspend).1.contains("every message it ever signed is hidden"));
    }

    #[test]
    fn an_end_is_told_with_the_day_of_its_decision_and_the_moment_of_its_effect() {
        let mut coalition = Coalition::new();
        let seat = coalition.issue(1, &[CIDR]);
        let later = MADE.saturating_add(std::time::Duration::from_secs(90 * 24 * 3600));
        let revoke = |effective: Timestamp, cut| {
            Decision::Revoke(Revoke {
                serial: seat.identity.serial.get(),
                member: seat.identity.member.to_vec(),
                reason: RevocationReason::Left.into(),
                decided: MADE.as_micros(),
                effective: effective.as_micros(),
                cut,
            })
        };
        let (line, all, says) = told(&coalition, revoke(later, Vec::new()));
        let expected = format!(
            "left, decided {}, effective {}, what it published until then stays",
            second(MADE),
            second(later)
        );
        assert!(line.ends_with(&expected), "{line}");
        for (name, is) in
            [("decided", second(MADE)), ("effective", second(later)), ("reason", "left".to_owned())]
        {
            let is_told = |line: &str| line.starts_with(&format!("{name} ")) && line.ends_with(&is);
            assert!(all.lines().any(is_told), "{name}\n{all}");
        }
        assert_eq!(says["decided"], json!(MADE));
        assert_eq!(says["effective"], json!(later));
        assert_eq!(says["reason"], "left");
        // At once, it hides what it does not name.
        assert!(told(&coalition, revoke(MADE, Vec::new())).0.ends_with("no cut"));
        assert!(told(&coalition, revoke(later, vec![point()])).0.ends_with("cut in 1 log"));
    }

    #[test]
    fn an_end_announced_for_what_is_over_already_is_not_said_to_keep_anything() {
        let mut coalition = Coalition::new();
        let seat = coalition.issue(1, &[CIDR]);
        let serial = seat.identity.serial.get();
        coalition.decide(1, Decision::Suspend(Suspend { serial, cut: vec![point()] }));
        let later = MADE.saturating_add(std::time::Duration::from_secs(90 * 24 * 3600));
        let revoke = Decision::Revoke(Revoke {
            serial,
            member: seat.identity.member.to_vec(),
            reason: RevocationReason::Left.into(),
            decided: MADE.as_micros(),
            effective: later.as_micros(),
            cut: Vec::new(),
        });
        // Before it is signed, and where it stands in a log from before anybody asked.
        for in_the_log in [false, true] {
            if in_the_log {
                coalition.decide(1, revoke.clone());
            }
            let (line, all, _) = told(&coalition, revoke.clone());
            assert!(line.ends_with("no cut"), "{line}");
            assert!(all.contains("every message it ever signed is hidden"), "{all}");
        }
    }

    #[test]
    fn a_certificate_is_told_with_its_keys_its_groups_and_both_its_dates() {
        let mut coalition = Coalition::new();
        let seat = coalition.issue(1, &[CIDR]);
        let issued = coalition.roster.records().next().unwrap().statement.decision.clone();
        let Decision::Issue(Issue { certificate: Some(mut body) }) = issued else { panic!("no issue") };
        let until = MADE.saturating_add(std::time::Duration::from_secs(3600));
        body.validity = Some(Validity { not_before: MADE.as_micros(), not_after: until.as_micros() });
        let certificate = coalition.roster.certificate(seat.identity.serial).unwrap().clone();
        let (line, all, says) = told(&coalition, Decision::Issue(Issue { certificate: Some(body) }));
        assert!(line.contains(": cidr:") && line.ends_with(&format!("until {}", day(until))), "{line}");
        let keys = [certificate.signing.to_string(), peer_id(&certificate.node), certificate.kem.digest()];
        for said in keys.into_iter().chain([second(MADE), second(until)]) {
            assert!(all.contains(&said), "{said}\n{all}");
        }
        assert_eq!((&says["not_before"], &says["not_after"]), (&json!(MADE), &json!(until)));
    }

    #[test]
    fn an_amendment_is_listed_with_everything_that_is_said_from_then_on() {
        let organisation = Organisation {
            name: "Bank".into(),
            kbo: "0123456789".into(),
            lei: "A".repeat(20),
            classes: vec![EntityClass::Essential.into(), EntityClass::Financial.into()],
            capacity: Capacity::Supervisor.into(),
            sector: "banking".into(),
            supplier_of: vec!["Grid".into(), "Rail".into()],
        };
        let told = |organisation: &Organisation| {
            let decision =
                Decision::Amend(Amend { member: vec![1; 16], organisation: Some(organisation.clone()) });
            let charters = Coalition::new().roster.charters().clone();
            let to = amended_to(&decision).unwrap();
            (described(&charters, None, &statement(decision)).1, to)
        };
        let (about, json) = told(&organisation);
        let expected = "Bank (essential, financial), KBO/BCE 0123456789, LEI AAAAAAAAAAAAAAAAAAAA, capacity supervisor, \
                        sector banking, supplier of Grid, Rail";
        assert_eq!(about, expected);
        assert_eq!(
            json,
            json!({"organisation": "Bank", "kbo": "0123456789", "lei": "A".repeat(20), "classes": ["essential", "financial"],
                "capacity": "supervisor", "sector": "banking", "supplier_of": ["Grid", "Rail"]})
        );
        let bare = Organisation { name: "Bank".into(), ..Organisation::default() };
        assert!(
            told(&bare).0.contains("KBO/BCE -, LEI -, capacity none, sector -, supplier of -"),
            "{}",
            told(&bare).0
        );
    }
}
