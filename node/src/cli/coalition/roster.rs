//! `belfry coalition roster`: who belongs now.

use belfry_proto::{
    id::GroupId,
    schema::{EntityClass, Role},
    time::Timestamp,
    trust::{
        certificate::Certificate,
        charter::Charter,
        names::Named as _,
        roster::{Roster as Fold, Standing},
        words,
    },
};
use clap::Args;
use serde_json::{Value, json};

use super::CoalitionFolder;
use crate::{
    cli::{
        args::{day, second},
        output,
    },
    clock,
    config::peer_id,
};

/// List the members and their certificates.
#[derive(Debug, Args)]
pub(in crate::cli) struct Roster {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: CoalitionFolder,
}

impl Roster {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.open()?;
        let roster = folder.roster();
        let charter = roster.charter();
        let now = clock::now();
        let mut certificates: Vec<&Certificate> = roster.certificates().collect();
        certificates.sort_by_key(|certificate| certificate.serial);
        if self.json {
            let certificates: Vec<Value> = certificates
                .iter()
                .map(|c| {
                    json!({
                        "serial": c.serial,
                        "member": c.member,
                        "organisation": c.organisation.name,
                        "kbo": c.organisation.kbo,
                        "lei": c.organisation.lei,
                        "classes": c.organisation.classes().map(EntityClass::name).collect::<Vec<_>>(),
                        "capacity": c.organisation.capacity().name(),
                        "sector": c.organisation.sector,
                        "supplier_of": c.organisation.supplier_of,
                        "node": peer_id(&c.node),
                        "groups": groups(c, charter),
                        "kept_out": kept_out(c, roster, now),
                        "carrier": c.carrier,
                        "not_before": c.not_before,
                        "not_after": c.not_after,
                        "ends": roster.announced_end(c.serial, now),
                        "standing": roster.standing(c.serial, now).as_str(),
                    })
                })
                .collect();
            return output::print_json(&json!({
                "coalition": roster.coalition(),
                "words": words::to_words(roster.coalition()),
                "name": charter.name(),
                "charter": charter.version(),
                "version": roster.version(),
                "certificates": certificates,
            }));
        }
        let rows: Vec<[String; 6]> = certificates
            .iter()
            .map(|c| {
                [
                    c.serial.to_string(),
                    roster.standing(c.serial, now).as_str().to_owned(),
                    c.organisation.name.clone(),
                    format!(
                        "{}{}{}",
                        groups(c, charter).join(" "),
                        if c.carrier { " (carrier)" } else { "" },
                        out_of(&kept_out(c, roster, now))
                    ),
                    until(c.not_after, roster.announced_end(c.serial, now)),
                    c.member.to_string(),
                ]
            })
            .collect();
        let version = roster.version();
        output::print(&format!(
            "{} · charter {} · log at {} ({})\n{}",
            output::visible(charter.name()),
            charter.version(),
            version.height,
            version.head,
            output::table(["serial", "standing", "organisation", "groups", "until", "member"], &rows)
        ))?;
        Ok(())
    }
}

/// The day on which a certificate ends; the moment, where that was decided.
fn until(not_after: Timestamp, announced: Option<Timestamp>) -> String {
    match announced.filter(|end| *end < not_after) {
        Some(end) => format!("{} (ends by decision)", second(end)),
        None => day(not_after),
    }
}

fn groups(certificate: &Certificate, charter: &Charter) -> Vec<String> {
    certificate
        .groups
        .iter()
        .map(|(id, role): (_, &Role)| {
            let slug = charter.group(*id).map_or_else(|| id.to_string(), |group| group.slug.clone());
            format!("{slug}:{}", role.name())
        })
        .collect()
}

/// Groups that a valid certificate names and is not in all the same: the charter in force has or admits it no more, or it has
/// not accepted its texts in time.
fn kept_out(certificate: &Certificate, roster: &Fold, now: Timestamp) -> Vec<String> {
    if roster.standing(certificate.serial, now) != Standing::Valid {
        return Vec::new();
    }
    let charter = roster.charter();
    let is_out = |group: &&GroupId| roster.role(certificate.serial, **group, now).is_none();
    let slug =
        |group: &GroupId| charter.group(*group).map_or_else(|| group.to_string(), |group| group.slug.clone());
    certificate.groups.keys().filter(is_out).map(slug).collect()
}

/// The same for people.
fn out_of(kept_out: &[String]) -> String {
    match kept_out.is_empty() {
        true => String::new(),
        false => format!(" (by the charter in force not in {})", kept_out.join(", ")),
    }
}
