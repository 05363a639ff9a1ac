//! From a decision to a durable entry of the log: stated, signed, ordered, verified, appended.

use super::folder::Folder;
use crate::{cli::exit::refuse, clock};
use belfry_proto::{
    crypto::sign::{Purpose, SigningKey},
    id::{Height, MemberId, Serial},
    trust::{
        certificate::Certificate,
        log::order,
        signed::sign,
        statement::{self, Decision},
    },
};

/// Signs `decision` about `member` and appends it; gives the serial an issue gets, the entry's height.
pub(super) fn decide(
    folder: &mut Folder,
    member: MemberId,
    decision: Decision,
    (admin, registrar): &(SigningKey, SigningKey),
) -> anyhow::Result<Serial> {
    let roster = folder.roster();
    let coalition = roster.coalition();
    let version = roster.version();
    let previous = roster.member(member).map(|member| member.last_statement);
    let payload = statement::propose(
        coalition,
        decision,
        previous,
        roster.charter().version(),
        clock::now(),
        &mut rand::rng(),
    );
    let statement = sign(payload, Purpose::Statement, coalition, &[admin]);
    let height = Height::new(version.height.get() + 1);
    folder.append(order(coalition, height, version.head, statement, registrar))?;
    Ok(Serial::new(height.get()))
}

/// The certificate of `serial`, or a refusal that says where to look; `again` names the folder.
pub(super) fn certificate(folder: &Folder, serial: Serial, again: &str) -> anyhow::Result<Certificate> {
    match folder.roster().certificate(serial) {
        Some(certificate) => Ok(certificate.clone()),
        None => refuse!("no certificate has serial {serial}: `belfry coalition roster{again}` lists them"),
    }
}
