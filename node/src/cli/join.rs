//! `belfry join`: take up the certificate, if it is ours and of the pinned coalition.

use std::path::PathBuf;

use belfry_proto::trust::{file as armour, roster::Standing};
use clap::Args;

use super::{
    args::day,
    documents,
    exit::{refuse, refused},
    global::{DataFolder, Global, KeyPassphrase},
    output,
};
use crate::{
    clock,
    keys::{
        self, MemberKeys,
        enrolment::{fold, read, read_charters, verify},
        file::{self, Existing, Readers},
    },
    texts,
};

/// Take up the certificate that the coalition issued.
///
/// Verifies certificate and log against the pinned charter and this node's own keys, then keeps them.
///
/// Works while no node runs on the data folder. Joining again with a newer certificate or log is fine; with an
/// older log it is refused.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  belfry join certificate.pem --log log.pem")]
pub(super) struct Join {
    /// Certificate file from the coalition
    certificate: PathBuf,
    /// Log file from the coalition (`belfry coalition export`)
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    #[command(flatten)]
    passphrase: KeyPassphrase,
    #[command(flatten)]
    data: DataFolder,
}

impl Join {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.config(&self.data)?;
        let folder = keys::DataFolder::of(&config);
        folder.enrolled()?;
        let pinned = read_charters(&folder.charter())?.coalition();
        let record = read(&self.certificate, armour::read_certificate)?;
        let log = read(&self.log, armour::read_log)?;
        let passphrase = self.passphrase.read(&config.keys)?;
        let keys = MemberKeys::load(&folder.keys(), &passphrase)?.public();
        let (roster, certificate) = verify(pinned, &log, &record, &keys).map_err(refused)?;

        if folder.log().exists() {
            let had = fold(&read(&folder.log(), armour::read_log)?)?.version();
            if !roster.is_prefix(had) {
                refuse!(
                    "this node has seen the log at entry {} ({}); the given one ends at {} or is another history: ask for \
                     the newest log, and if this is it, tell the other members",
                    had.height,
                    had.head,
                    roster.version().height
                );
            }
        }
        match roster.standing(certificate.serial, clock::now()) {
            Standing::Valid | Standing::NotYet => {}
            standing => {
                refuse!(
                    "certificate {} is {} by this very log: ask the coalition for the one that holds now, or enrol anew (`belfry \
                     enroll --member {}`) and send it that request",
                    certificate.serial,
                    standing.as_str(),
                    certificate.member
                )
            }
        }

        for (path, text) in [
            (folder.charter(), armour::write_charter(&log.charters)),
            (folder.log(), armour::write_log(&log)),
            (folder.certificate(), armour::write_certificate(&record)),
        ] {
            file::write(&path, text.as_bytes(), Readers::All, Existing::Replace)?;
        }
        let charter = roster.charter();
        let (with_log, with_certificate) =
            (documents::beside(&self.log), documents::beside(&self.certificate));
        texts::take(charter, &[&with_log, &with_certificate], &config.node.data_dir.join(texts::FOLDER))?;
        let groups: Vec<&str> = certificate
            .groups
            .keys()
            .filter_map(|id| charter.group(*id))
            .map(|group| group.slug.as_str())
            .collect();
        output::print(&format!(
            "Joined {} as {}.\n\n{}\nThen: belfry run{}{}\n",
            output::visible(charter.name()),
            output::visible(&certificate.organisation.name),
            output::facts(&[
                ("certificate", certificate.serial.to_string()),
                ("member", certificate.member.to_string()),
                ("groups", if groups.is_empty() { "none".into() } else { groups.join(", ") }),
                ("carrier", if certificate.carrier { "yes" } else { "no" }.into()),
                ("valid until", day(certificate.not_after)),
                ("log", output::counted(roster.version().height.get(), "entry", "entries")),
            ]),
            global.again(&self.data),
            self.passphrase.again(),
        ))?;
        Ok(())
    }
}
