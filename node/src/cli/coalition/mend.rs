//! What an admin does next about a file or a decision that is refused.
//!
//! `proto` states the fact, for nodes and admins alike. Only here is it known who reads it, and which command helps.

use anyhow::anyhow;
use belfry_proto::trust::{
    acceptance::AcceptanceError,
    amendment_request::AmendmentError,
    beacon::BeaconError,
    certificate::CertificateError,
    charter::CharterError,
    charter_draft::DraftError,
    charter_proposal::ProposalError,
    departure::DepartureError,
    log::LogError,
    request::RequestError,
    roster::{Conflict, VoidReason},
    signed::SignedError,
};

use crate::{cli::exit::refused, keys::enrolment::FoldError};

/// A fact that has a next step.
pub(super) trait Mend: std::error::Error {
    /// The step, as what follows a colon; empty where the fact names it.
    fn mend(&self) -> &'static str;
}

/// A refusal that states the fact and says what to do.
pub(super) fn mended(error: impl Mend) -> anyhow::Error {
    refused(match error.mend() {
        "" => anyhow!("{error}"),
        mend => anyhow!("{error}: {mend}"),
    })
}

/// The same, where the command was told a folder: what the step names is said as it has to be typed.
pub(super) fn mended_at(again: &str, error: impl Mend) -> anyhow::Error {
    refused(match error.mend() {
        "" => anyhow!("{error}"),
        mend => anyhow!("{error}: {}", at(mend, again)),
    })
}

/// A step whose commands name the folder, too: those in backticks that are of `belfry coalition` and name none.
pub(super) fn at(mend: &str, again: &str) -> String {
    let is_ours = |code: &str| code.starts_with("belfry coalition ") && !code.contains("--dir");
    let parts = mend.split('`').enumerate().map(|(n, part)| match n % 2 == 1 && is_ours(part) {
        true => format!("{part}{again}"),
        false => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

const ANOTHER_REQUEST: &str =
    "have the member enrol anew, in a new data folder (`belfry enroll --dir NEW`), and send that request";
const ANOTHER_STATEMENT: &str = "ask the admin who decided for the file again, or decide again";
const ANOTHER_DEPARTURE: &str = "ask the member for another file (`belfry leave`)";
const ANOTHER_AMENDMENT: &str = "ask the member for another file (`belfry amend`)";
const ANOTHER_LOG: &str = "ask whoever gave it for the file again (`belfry coalition export`, or `belfry export-log` at a member's node)";
const DRAFT: &str = "change the draft, and run `belfry coalition charter make` again; nothing was written";

impl Mend for VoidReason {
    fn mend(&self) -> &'static str {
        match self {
            Self::OldCharter(_) | Self::NotLatest => {
                "take the newer log (`belfry coalition take`), and decide again"
            }
            Self::CharterExpired(_) => {
                "only revoke, suspend and disentitle go on; everything else waits for a new version (`belfry coalition charter \
                 draft`, make, sign, publish)"
            }
            Self::Repeated => "nothing is left to do, `belfry coalition log` lists it",
            Self::UnknownSubject => {
                "`belfry coalition roster` lists the certificates there are; a newer log may have it (`belfry coalition take`)"
            }
            Self::Certificate(error) => error.mend(),
            Self::KeyReused => ANOTHER_REQUEST,
            Self::State(conflict) => conflict.mend(),
            Self::Acceptance(error) => error.mend(),
            Self::Amendment(CertificateError::NotAdmitted(_)) => {
                "take the member's certificates out of it first, with a cut (`belfry coalition disentitle`), and amend then"
            }
            Self::Amendment(_) => "say it as the rule has it; nothing was signed",
            Self::Unchanged => "nothing is left to do, `belfry coalition roster --json` shows what it says",
            Self::Dates(_) => "decide it again, with --decided-on and --effective as the minutes have them",
            Self::NotLonger => "give an --until after the one it has, which `belfry coalition roster` shows",
        }
    }
}

impl Mend for Conflict {
    fn mend(&self) -> &'static str {
        match self {
            Self::Suspended => {
                "`belfry coalition resume` it first; revoke and disentitle need not wait for that"
            }
            Self::Revoked => {
                "that is for good; have the member enrol anew, in a new data folder, and issue that request"
            }
            Self::Superseded => "name the certificate in its place, which `belfry coalition roster` shows",
            Self::NotSuspended => "`belfry coalition roster` shows which certificates are",
            Self::RevokedAlready => {
                "nothing is left to do, unless it shall take effect earlier: name an earlier --effective"
            }
            Self::Carrier => {
                "it belongs to no group; a node that shall read enrols apart, in a data folder of its own"
            }
            Self::Lowers => "",
            Self::NoneLeft => {
                "have the member enrol anew, in a new data folder with `--member ID`, and issue that request"
            }
            Self::NotCut => "nothing of it is hidden, so there is nothing to bring back",
            Self::Hides => {
                "name what stays of its messages by --cut (`belfry heads`, at any member's node); where nothing shall stay, leave out \
                 --effective"
            }
            Self::Accepted => "nothing is left to do, `belfry audit rules` shows it",
        }
    }
}

impl Mend for CertificateError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Field { .. } | Self::Key { .. } | Self::Kem(_) => ANOTHER_REQUEST,
            Self::UnknownGroup(_) => {
                "`belfry coalition charter show` lists the groups; name others with --groups"
            }
            Self::NotAdmitted(_) => {
                "leave it out (--groups), or have the member send a request with the class it is of (`belfry enroll --class`); \
                 `belfry coalition charter show` says which classes each group admits"
            }
        }
    }
}

impl Mend for AcceptanceError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Signed(_) => "ask the member for another file (`belfry accept-rules`)",
            Self::OtherCoalition(_) => {
                "the member accepted another coalition's texts; ask it for the file of this one (`belfry accept-rules`)"
            }
            Self::OtherText(_) => {
                "give it the newest log and the documents (`belfry coalition export`), then `belfry accept-rules`"
            }
        }
    }
}

impl Mend for RequestError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "ask the member for its request.pem again",
            Self::OtherCoalition(_) => {
                "the member enrolled with another coalition's charter; give it this one's charter.pem, to enrol anew"
            }
            Self::Key { .. } | Self::Kem(_) | Self::SameKey | Self::CharterKey(_) | Self::Signed(_) => {
                ANOTHER_REQUEST
            }
            Self::Acceptance(AcceptanceError::OtherText(_)) => {
                "give it this coalition's charter.pem and documents as they are now, to run `belfry enroll` again"
            }
            Self::Acceptance(_) => ANOTHER_REQUEST,
            Self::Certificate(error) => error.mend(),
        }
    }
}

impl Mend for DepartureError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Malformed(_)
            | Self::Signed(_)
            | Self::BeforeDecision { .. }
            | Self::NotYetDecided { .. } => ANOTHER_DEPARTURE,
            Self::OtherCoalition(_) => "it is for that coalition's admins; name its folder with --dir",
            Self::UnknownMember(_) => "take the newest log first (`belfry coalition take`)",
        }
    }
}

impl Mend for AmendmentError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::OtherBranch(_) | Self::TooOld { .. } => ANOTHER_AMENDMENT,
            Self::NotYet { .. } => {
                "have the member set its clock, and ask it for another file (`belfry amend`); or set this machine's"
            }
            Self::Signed(_) => {
                "only a certificate that is valid speaks for the member; ask it for another file (`belfry amend`), from a node \
                 that has one"
            }
            Self::Organisation(_) => {
                "ask the member for another file, with what a certificate may say (`belfry amend`)"
            }
            Self::OtherCoalition(_) => "it is for that coalition's admins; name its folder with --dir",
            Self::UnknownMember(_) | Self::Ahead { .. } => {
                "take the newest log first (`belfry coalition take`)"
            }
        }
    }
}

/// Of statements that pass between admins.
impl Mend for SignedError {
    fn mend(&self) -> &'static str {
        match self {
            Self::TooMany(_) | Self::Key(_) | Self::NotAllowed(_) | Self::Twice(_) | Self::Bad(_) => {
                ANOTHER_STATEMENT
            }
            Self::Ended { .. } => "let other admins decide it anew",
            Self::TooFew { .. } => "pass it to another admin (`belfry coalition sign`)",
        }
    }
}

impl Mend for CharterError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Malformed(_)
            | Self::Key { .. }
            | Self::TwoRoles(_)
            | Self::KeyReturns(_)
            | Self::Threshold { .. }
            | Self::ActionThreshold(_)
            | Self::Group { .. } => DRAFT,
            Self::Signed { .. } => "ask the holders for the file as they signed it",
            Self::RootMissing { .. } => "pass it to another root holder (`belfry coalition charter sign`)",
            Self::Version { .. } | Self::Branch(_) => {
                "make it anew from the charter in force (`belfry coalition charter draft`), and have that signed"
            }
            Self::OtherCoalition(_) => "name that coalition's folder with --dir",
            Self::Empty => "name a charter, a proposal or a log",
        }
    }
}

impl Mend for ProposalError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Charter(error) => error.mend(),
            Self::Signed { .. } => "ask the holders for the file as they signed it",
            Self::NoRootKey(_) => "name another key file with --key",
            Self::Again(_) | Self::OtherCharter(..) => "",
        }
    }
}

impl Mend for DraftError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Charter(error) => error.mend(),
            Self::Name | Self::Key { .. } => "",
            Self::Document { .. }
            | Self::Parent { .. }
            | Self::Window(_)
            | Self::NoAdmin(_)
            | Self::Validity
            | Self::EndsBefore(..)
            | Self::RootThreshold { .. }
            | Self::ActionThreshold { .. }
            | Self::Threshold(_)
            | Self::AcceptThreshold
            | Self::AmendThreshold
            | Self::Numbers => DRAFT,
        }
    }
}

impl Mend for FoldError {
    fn mend(&self) -> &'static str {
        ANOTHER_LOG
    }
}

impl Mend for LogError {
    fn mend(&self) -> &'static str {
        match self {
            Self::CharterAhead { .. } => "take the newer log first (`belfry coalition take`)",
            Self::Registrar { .. } => {
                "the charter names another registrar key; --registrar-key names another key file"
            }
            Self::Admins { error, .. } => error.mend(),
            Self::Malformed(_)
            | Self::Incomplete
            | Self::OtherCoalition(_)
            | Self::OtherStatement(_)
            | Self::Height { .. }
            | Self::Fork(_) => ANOTHER_STATEMENT,
        }
    }
}

/// Of one that was just made here.
impl Mend for BeaconError {
    fn mend(&self) -> &'static str {
        match self {
            Self::Signed(_) => {
                "the charter names another registrar key; --registrar-key names another key file"
            }
            Self::Malformed(_) | Self::Expired(_) => "give it longer (--valid)",
            Self::Future(_) => "set this machine's clock",
            Self::OtherCoalition(_) | Self::CharterAhead { .. } => {
                "take the newest log first (`belfry coalition take`)"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_said_as_it_has_to_be_typed_where_the_folder_is_another() {
        let mend = "`belfry coalition roster` shows it; the member runs `belfry leave`";
        assert_eq!(
            at(mend, " --dir A"),
            "`belfry coalition roster --dir A` shows it; the member runs `belfry leave`"
        );
        assert_eq!(at(mend, ""), mend);
        let error = mended_at(" --dir A", VoidReason::NotLatest).to_string();
        assert!(
            error.ends_with("take the newer log (`belfry coalition take --dir A`), and decide again"),
            "{error}"
        );
    }
}
