//! A decision of the admin log, in words.

use belfry_proto::{
    id::Height,
    schema::{Amend, Capacity, CertificateBody, CutPoint, EntityClass, Organisation, RevocationReason},
    time::Timestamp,
    trust::{
        roster::{Roster, Void},
        statement::Decision,
    },
};
use serde_json::{Value, json};

use super::{
    args::{day, wire_name},
    organisation::said,
    output,
};

/// The action's name and what it is about, in one line.
pub(super) fn described(decision: &Decision) -> (&'static str, String) {
    match decision {
        Decision::Issue(d) => ("issue", organisation(d.certificate.as_ref())),
        Decision::Renew(d) => {
            ("renew", format!("serial {} until {}", d.serial, day(Timestamp::from_micros(d.not_after))))
        }
        Decision::Supersede(d) => (
            "supersede",
            format!("serial {} of {}, {}", d.serial, organisation(d.certificate.as_ref()), cuts(&d.cut)),
        ),
        Decision::Suspend(d) => ("suspend", format!("serial {}, {}", d.serial, cuts(&d.cut))),
        Decision::Resume(d) => ("resume", format!("serial {}", d.serial)),
        Decision::Revoke(d) => (
            "revoke",
            format!("serial {}, {}, {}", d.serial, wire_name::<RevocationReason>(d.reason), cuts(&d.cut)),
        ),
        Decision::Entitle(d) => ("entitle", format!("serial {}, {} groups", d.serial, d.groups.len())),
        Decision::Disentitle(d) => {
            ("disentitle", format!("serial {}, {} groups, {}", d.serial, d.groups.len(), cuts(&d.cut)))
        }
        Decision::ExtendCut(d) => ("extend-cut", format!("serial {}, {}", d.serial, cuts(&d.cut))),
        Decision::Amend(d) => ("amend", d.organisation.as_ref().map(amended).unwrap_or_default()),
        Decision::Accept(d) => ("accept", format!("serial {}, arrangement and rules of conduct", d.serial)),
    }
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

fn organisation(body: Option<&CertificateBody>) -> String {
    body.and_then(|body| body.organisation.as_ref()).map(|o| o.name.clone()).unwrap_or_default()
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
    use super::*;

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
            (described(&decision).1, amended_to(&decision).unwrap())
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
