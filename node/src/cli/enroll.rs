//! `belfry enroll`: pin the charter, make keys, ask for a certificate.

use std::path::{Path, PathBuf};

use belfry_proto::{
    id::{CoalitionId, GroupId, MemberId},
    schema::{Capacity, Document, EntityClass, Organisation, Role},
    trust::{
        certificate,
        charter::{Charter, CharterChain},
        file as armour,
        names::Named,
        request::{self, RequestDraft},
        words,
    },
};
use clap::Args;

use super::{
    args::{self, GroupArg, roles},
    documents,
    exit::{refuse, refused},
    global::{DataFolder, Global, KeyPassphrase},
    numbers::{self, NumberRule},
    out, output,
};
use crate::{
    clock,
    config::peer_id,
    keys::{
        self, MemberKeys,
        enrolment::read_charters,
        file::{self, Existing, Readers},
    },
};

/// Make this node's keys and write a certificate request.
///
/// Pins the coalition's charter in the data folder, makes this node's keys (encrypted with a passphrase), and writes
/// a request, signed with them, that says who asks, for what, and that arrangement and rules are accepted.
///
/// Compare the coalition's words with those the coalition told you another way: they are the root of all trust.
/// Running it again before joining makes a new request with the same keys.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry enroll --charter charter.pem --org 'Example Bank' \\
      --class essential,financial --kbo 0123456749 --sector banking \\
      --groups cidr,cidr-financial
  belfry enroll --charter charter.pem --org 'Example CSIRT' \\
      --class authority --capacity csirt --groups cidr:steward \\
      --accept-arrangement --accept-rules --passphrase-file passphrase
  belfry enroll --charter charter.pem --org 'Example Bank' \\
      --class essential,financial --carrier --member ID --dir carrier")]
pub(super) struct Enroll {
    /// Charter file of the coalition
    #[arg(long, value_name = "FILE")]
    charter: PathBuf,
    /// Refuse a charter of any other coalition: its id in hex, or its words in quotes
    #[arg(long, value_name = "ID|WORDS", value_parser = args::coalition)]
    coalition: Option<CoalitionId>,
    /// Name of the organisation, as other members will see it
    #[arg(long = "org", value_name = "NAME")]
    organisation: String,
    /// KBO/BCE enterprise number: ten digits
    #[arg(long, value_parser = numbers::kbo)]
    kbo: Option<String>,
    /// Legal Entity Identifier: twenty digits and capital letters
    #[arg(long, value_parser = numbers::lei)]
    lei: Option<String>,
    #[command(flatten)]
    rule: NumberRule,
    /// Entity classes: essential, important, financial, ict-provider, supplier, authority, academic, out-of-scope
    #[arg(long, value_delimiter = ',', required = true, value_parser = <EntityClass as Named>::parse)]
    class: Vec<EntityClass>,
    /// Capacity of a public authority: none, csirt, supervisor or other
    #[arg(long, default_value = "none", value_parser = <Capacity as Named>::parse)]
    capacity: Capacity,
    /// Sector, as in banking or health
    #[arg(long)]
    sector: Option<String>,
    /// Entities this one supplies; repeat for several
    #[arg(long, value_name = "NAME")]
    supplier_of: Vec<String>,
    /// Focus Groups to ask for, by slug, each with a role of its own where needed (cidr:steward)
    ///
    /// What is published in a group, its certified members read and nobody else. `belfry coalition charter show
    /// CHARTER` lists the groups and whom each admits; the coalition decides which of them the certificate names.
    #[arg(long, value_delimiter = ',', value_name = "GROUPS", required_unless_present = "carrier")]
    groups: Vec<GroupArg>,
    /// Role to ask for in the groups that name none: reader, publisher or steward
    #[arg(long, default_value = "publisher", value_parser = <Role as Named>::parse)]
    role: Role,
    /// Instead of groups: forward and store every group's messages, and open none
    ///
    /// A carrier reads nothing and never gets a key. One or two that are always on help members whose nodes are not:
    /// they keep what was missed, and join members that cannot dial each other.
    #[arg(long, conflicts_with_all = ["groups", "role"])]
    carrier: bool,
    /// Member id of this organisation, when it has a node already
    #[arg(long, value_name = "ID")]
    member: Option<MemberId>,
    /// Folder with the texts of the arrangement and the rules [default: documents, beside the charter file]
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Accept the coalition's information-sharing arrangement without being asked
    #[arg(long)]
    accept_arrangement: bool,
    /// Accept the coalition's rules of conduct without being asked
    #[arg(long)]
    accept_rules: bool,
    /// Write the request here, too [default: only request.pem in the data folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    passphrase: KeyPassphrase,
    #[command(flatten)]
    data: DataFolder,
}

impl Enroll {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        self.rule.read()?.check_given(self.kbo.as_deref())?;
        let config = global.config(&self.data)?;
        let folder = keys::DataFolder::of(&config);
        folder.can_be_made()?;
        if let Some(out) = &self.out {
            out::may_replace(out, Some(armour::FileKind::CertificateRequest))?;
        }
        let chain = read_charters(&self.charter).map_err(refused)?;
        self.check_pin(&folder, chain.coalition())?;
        if folder.certificate().exists() {
            refuse!(
                "{} has joined already: a second node of the same member needs a data folder of its own (--dir) and --member ID",
                folder.path().display()
            );
        }
        let charter = chain.newest();
        if charter.is_expired_at(clock::now()) {
            refuse!("the charter expired on {}: ask the coalition for its newest one", charter.expires());
        }
        let draft = RequestDraft {
            organisation: self.organisation(),
            groups: roles(&self.groups, self.role, charter)?,
            carrier: self.carrier,
            member: self.member,
        };
        admitted(&draft, charter)?;
        output::print(&introduction(charter))?;
        let folder_of = self.documents.clone().unwrap_or_else(|| documents::beside(&self.charter));
        for (what, document, flag, by_flag) in [
            (
                "information-sharing arrangement",
                charter.arrangement(),
                "--accept-arrangement",
                self.accept_arrangement,
            ),
            ("rules of conduct", charter.rules(), "--accept-rules", self.accept_rules),
        ] {
            accepted((what, document), &folder_of, flag, by_flag)?;
        }

        let source = self.passphrase.source(&config.keys);
        let keys = if MemberKeys::exist(&folder.keys()) {
            let passphrase = source.read("this node's keys")?;
            MemberKeys::load(&folder.keys(), &passphrase)?
        } else {
            let passphrase = source.read_new("this node's keys")?;
            file::create_folder(folder.path())?;
            file::close_folder(folder.path())?;
            let keys = MemberKeys::generate(&mut rand::rng());
            keys.save(&folder.keys(), &passphrase)?;
            keys
        };
        self.pin(&folder, &chain)?;
        let request = request::build(&draft, &keys.signing, &keys.node, &keys.kem, charter, clock::now());
        // The coalition's own check, now, rather than a refusal by mail next week.
        request::open(&request, charter).map_err(refused)?;
        let text = armour::write_request(&request);
        file::write(&folder.request(), text.as_bytes(), Readers::All, Existing::Replace)?;
        if let Some(out) = &self.out {
            out::replace(out, &text)?;
        }
        output::print(&format!(
            "This node's peer id will be {}\nIts encryption key is {}\nSend {} to the coalition; it answers with a certificate and the log.\nThen: belfry join \
             CERTIFICATE --log LOG{}{}\n",
            peer_id(&keys.node.public()),
            keys.kem.public().digest(),
            self.out.clone().unwrap_or_else(|| folder.request()).display(),
            global.again(&self.data),
            self.passphrase.again(),
        ))?;
        Ok(())
    }

    /// The charter must be of the coalition named, and of the one pinned here before, if any.
    fn check_pin(&self, folder: &keys::DataFolder, found: CoalitionId) -> anyhow::Result<()> {
        if self.coalition.is_some_and(|expected| expected != found) {
            refuse!(
                "the charter is of coalition {found} ({}), not of the one you named",
                words::to_words(found)
            );
        }
        if folder.charter().exists() {
            let pinned = read_charters(&folder.charter())?.coalition();
            if pinned != found {
                refuse!(
                    "{} is enrolled with coalition {pinned}, the charter is of {found}: use another data folder (--dir)",
                    folder.path().display()
                );
            }
        }
        Ok(())
    }

    fn pin(&self, folder: &keys::DataFolder, chain: &CharterChain) -> anyhow::Result<()> {
        let text = armour::write_charter(chain.signed());
        Ok(file::write(&folder.charter(), text.as_bytes(), Readers::All, Existing::Replace)?)
    }

    fn organisation(&self) -> Organisation {
        Organisation {
            name: self.organisation.clone(),
            kbo: self.kbo.clone().unwrap_or_default(),
            lei: self.lei.clone().unwrap_or_default(),
            classes: self.class.iter().map(|class| (*class).into()).collect(),
            capacity: self.capacity.into(),
            sector: self.sector.clone().unwrap_or_default(),
            supplier_of: self.supplier_of.clone(),
        }
    }
}

fn introduction(charter: &Charter) -> String {
    format!(
        "{} (charter {}, until {})\n\n{}\nCompare these words with those the coalition told you another way:\n\n{}\n\n",
        output::visible(charter.name()),
        charter.version(),
        args::day(charter.expires()),
        output::facts(&[("coalition", charter.coalition().to_string())]),
        output::words(&words::to_words(charter.coalition()), "  "),
    )
}

/// Refuses a group that the coalition could not issue a certificate for: before anything is accepted or made.
fn admitted(draft: &RequestDraft, charter: &Charter) -> anyhow::Result<()> {
    let mut groups = draft.groups.iter().filter_map(|entry| charter.group(GroupId::new(entry.group)));
    if let Some(group) = groups.find(|group| !certificate::admits(group, &draft.organisation)) {
        let classes: Vec<&str> = group.admits.iter().map(|class| class.name()).collect();
        refuse!(
            "group {} admits {} entities only: leave it out of --groups, or name by --class the one of them that this organisation \
             is, too",
            group.slug,
            classes.join(" or ")
        );
    }
    Ok(())
}

/// Accepted by flag, or at the terminal.
fn accepted(
    (what, document): (&str, &Document),
    folder: &Path,
    flag: &str,
    by_flag: bool,
) -> anyhow::Result<()> {
    output::print(&format!("The {what}:\n{}", output::facts(&documents::told(document, folder))))?;
    if documents::find(document, folder).is_none() {
        output::warn(&format!(
            "the text of the {what} is not at hand: ask the coalition for its documents, and name their folder with \
             --documents, to read what you accept."
        ));
    }
    if by_flag {
        return Ok(output::print("Accepted.\n\n")?);
    }
    let otherwise = format!("without accepting the {what} there is no membership");
    output::confirm("Does the organisation accept it?", flag, &otherwise)
}
