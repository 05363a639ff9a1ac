//! `belfry coalition renew | entitle | disentitle`: what changes in a certificate that stays.

use std::path::PathBuf;

use belfry_proto::{
    id::{GroupId, Serial},
    schema::{self, Role},
    time::Timestamp,
    trust::{names::Named, statement::Decision},
};
use clap::Args;

use super::{
    cut,
    decide::decided_already,
    revoke::{Deciding, serial},
    shown::listed,
};
use crate::cli::{
    args::{GroupArg, day, roles, still_to_come},
    exit::refuse,
    output,
};

/// Renew a certificate: the same keys, for longer.
///
/// Renewing before the end keeps the member's standing in its groups; after it, its entitlement begins anew. No
/// participation notice is owed for it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Renew {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    /// New last day, or RFC 3339 time, of validity
    #[arg(long, value_name = "DATE", value_parser = still_to_come)]
    until: Timestamp,
    #[command(flatten)]
    deciding: Deciding,
}

/// Entitle a certificate to further groups, or to more in one.
///
/// A role is only ever raised here. To lower one, disentitle the group, with a cut, and entitle it again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition entitle 7 --groups ot-ics,cidr:steward")]
pub(in crate::cli) struct Entitle {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    /// Groups, by slug, each with a role of its own where needed (cidr:steward)
    #[arg(long, value_delimiter = ',', value_name = "GROUPS", required = true)]
    groups: Vec<GroupArg>,
    /// Role in the groups that name none: reader, publisher or steward
    #[arg(long, value_parser = <Role as Named>::parse, default_value = "publisher")]
    role: Role,
    #[command(flatten)]
    deciding: Deciding,
}

/// Take a certificate out of groups.
///
/// The cut says what stays of its messages there; without --cut everything it published in these groups is hidden at
/// every member. `belfry heads MEMBER`, on any member's node, prints a cut at its last messages.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry coalition disentitle 7 --groups ot-ics --cut heads.txt")]
pub(in crate::cli) struct Disentitle {
    /// Serial of the certificate
    #[arg(value_parser = serial)]
    serial: Serial,
    /// Groups, by slug
    #[arg(long, value_delimiter = ',', value_name = "GROUPS", required = true)]
    groups: Vec<GroupArg>,
    /// Cut file: the last message of each log that stays, as `belfry heads` prints it
    #[arg(long, value_name = "FILE")]
    cut: Option<PathBuf>,
    #[command(flatten)]
    deciding: Deciding,
}

impl Renew {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (until, goes_in) = (self.until, self.deciding.goes_in());
        self.deciding.run(self.serial, "Renew", |folder, certificate| {
            let decision = Decision::Renew(schema::Renew {
                serial: certificate.serial.get(),
                not_after: until.as_micros(),
            });
            let is_decided = || decided_already(folder, goes_in, certificate, &decision).is_some();
            if until <= certificate.not_after && !is_decided() {
                refuse!(
                    "certificate {0} is valid until {1} already, and a renewal must move its end forward: name a later --until; \
                     an earlier end is `belfry coalition revoke {0} --effective TIME{2}`",
                    certificate.serial,
                    day(certificate.not_after),
                    folder.again()
                );
            }
            Ok((decision, format!("It will be valid until {}.", day(until))))
        })
    }
}

impl Entitle {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (groups, role, goes_in) = (&self.groups, self.role, self.deciding.goes_in());
        self.deciding.run(self.serial, "Entitle", |folder, certificate| {
            let charter = folder.roster().charter();
            let groups = roles(groups, role, charter)?;
            let named = groups.iter().map(|entry| (GroupId::new(entry.group), entry.role()));
            let consequence = format!("It gets {} besides.", listed(charter, named, false));
            let has = |entry: &schema::GroupRole| {
                certificate.groups.get(&GroupId::new(entry.group)) == Some(&entry.role())
            };
            let is_so = groups.iter().all(has);
            let decision = Decision::Entitle(schema::Entitle { serial: certificate.serial.get(), groups });
            if is_so && decided_already(folder, goes_in, certificate, &decision).is_none() {
                let its = certificate.groups.iter().map(|(group, role)| (*group, *role));
                refuse!(
                    "it changes nothing, as certificate {} has {} already: name other groups, or a higher role",
                    certificate.serial,
                    listed(charter, its, certificate.carrier)
                );
            }
            Ok((decision, consequence))
        })
    }
}

impl Disentitle {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cut = cut::read(self.cut.as_deref())?;
        let (groups, goes_in) = (&self.groups, self.deciding.goes_in());
        self.deciding.run(self.serial, "Disentitle", |folder, certificate| {
            let charter = folder.roster().charter();
            if let Some(group) = groups.iter().find(|group| group.role.is_some()) {
                refuse!("a group is left altogether: write {} without a role", group.slug);
            }
            let groups = roles(groups, Role::Reader, charter)?;
            let slug = |id: u32| charter.group(GroupId::new(id)).map_or("?", |group| &group.slug);
            let decision = Decision::Disentitle(schema::Disentitle {
                serial: certificate.serial.get(),
                groups: groups.iter().map(|group| group.group).collect(),
                cut: cut.clone(),
            });
            let absent = groups.iter().find(|g| !certificate.groups.contains_key(&GroupId::new(g.group)));
            let is_decided = || decided_already(folder, goes_in, certificate, &decision).is_some();
            if let Some(group) = absent.filter(|_| !is_decided()) {
                let its = certificate.groups.iter().map(|(group, role)| (*group, *role));
                refuse!(
                    "certificate {} is not in {}: name only groups that it has, which are {}",
                    certificate.serial,
                    slug(group.group),
                    listed(charter, its, certificate.carrier)
                );
            }
            let names: Vec<&str> = groups.iter().map(|group| slug(group.group)).collect();
            let stays = match u64::try_from(cut.len())? {
                0 => "No cut: EVERY message it published there will be hidden at every member.".to_owned(),
                n => format!("Messages there up to the cut of {} stay.", output::counted(n, "log", "logs")),
            };
            Ok((decision, format!("It leaves {}.\n{stays}", names.join(", "))))
        })
    }
}
