//! `belfry accept-rules`: the member accepts a new arrangement or new rules of conduct.

use std::path::PathBuf;

use belfry_proto::{
    crypto::hash,
    schema::Document,
    trust::{acceptance, charter::Charter, file as armour, names::Named as _},
};
use clap::Args;

use super::{
    args::second,
    exit::refuse,
    global::{DataFolder, Global, KeyPassphrase},
    output,
    own_log::OwnLog,
};
use crate::{
    clock,
    keys::file::{self, Existing, Readers},
};

/// Accept the coalition's newest arrangement and rules of conduct.
///
/// A new charter may bring new texts and a date by which every member must have accepted them; `belfry status` says so,
/// and what becomes of those who do not. Writes a file signed with this node's key. Send it to the coalition, which
/// records it in the admin log: from then on anybody can show who accepted what, and when (`belfry audit rules`).
///
/// One acceptance speaks for the member: its other nodes need none.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  belfry accept-rules --arrangement arrangement.md --rules rules.md \\
      --out acceptance.pem")]
pub(super) struct AcceptRules {
    /// The arrangement as you read it: must be the very text that the charter names
    #[arg(long, value_name = "FILE")]
    arrangement: Option<PathBuf>,
    /// The rules of conduct as you read them
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// File to write; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Accept without being asked
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    log: OwnLog,
    #[command(flatten)]
    passphrase: KeyPassphrase,
    #[command(flatten)]
    data: DataFolder,
}

impl AcceptRules {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<()> {
        let config = global.config(&self.data)?;
        let own = self.log.open(global, &self.data)?;
        let charter = own.roster.charter();
        let member = own.certificate.member;
        if own.roster.has_accepted(member, charter) {
            refuse!(
                "{} has accepted the texts of charter version {} already: there is nothing newer in this log. If \
                 the coalition announced newer ones, name its newest log (--log)",
                output::visible(&own.certificate.organisation.name),
                charter.version()
            );
        }
        for (what, document, path) in [
            ("arrangement", charter.arrangement(), &self.arrangement),
            ("rules of conduct", charter.rules(), &self.rules),
        ] {
            is_read(what, document, path.as_deref())?;
        }
        output::print(&introduced(charter))?;
        if !self.yes {
            output::confirm("Does the organisation accept both?", "--yes", "nothing was signed")?;
        }
        let keys = own.keys(&config, &self.passphrase)?;
        let signed = acceptance::sign(charter, &keys.signing, clock::now());
        file::write(&self.out, armour::write_acceptance(&signed).as_bytes(), Readers::All, Existing::Keep)?;
        let path = output::path(&self.out);
        Ok(output::print(&format!(
            "Accepted and signed. Send {path} to the coalition, which records it:\n  belfry coalition accept {path}\n"
        ))?)
    }
}

/// What one read must be what one accepts.
fn is_read(what: &str, document: &Document, path: Option<&std::path::Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    if hash::document(file::read_text(path)?.as_bytes()).as_slice() != document.hash.as_slice() {
        refuse!(
            "{} is not the {what} that the charter names (version {}): get that text, byte for byte, from the coalition{}",
            path.display(),
            document.version,
            match document.link.is_empty() {
                true => String::new(),
                false => format!(" ({})", output::visible(&document.link)),
            }
        );
    }
    Ok(())
}

fn introduced(charter: &Charter) -> String {
    let document = |document: &Document| {
        format!("{} {} (hash {})", document.version, document.link, hex::encode(&document.hash))
    };
    let by = charter.accept_by().map_or_else(
        || "no date".to_owned(),
        |by| format!("{}, else: {}", second(by), charter.unaccepted().name()),
    );
    output::facts(&[
        ("coalition", charter.name().to_owned()),
        ("charter", charter.version().to_string()),
        ("arrangement", document(charter.arrangement())),
        ("rules of conduct", document(charter.rules())),
        ("accept by", by),
    ])
}
