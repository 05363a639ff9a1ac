//! Requests after the fact: the proof that a member asked for its certificate, and accepted the texts to get it.
//!
//! The log holds the certificate, which names the texts' versions; that the *member* accepted them, only its own signature
//! shows. That stands in the request, so the coalition keeps requests (`requests` in its folder), and here they are held to
//! the certificates that were issued for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use belfry_proto::{
    id::{Height, Serial},
    schema::{self, CertificateBody, Signed},
    trust::{
        acceptance,
        certificate::Certificate,
        charter::Charter,
        file as armour,
        log::VerifiedRecord,
        request::{self, Request},
        roster::Roster,
        statement::Decision,
    },
};

use super::{
    exit::{refuse, refused},
    output,
};
use crate::keys::enrolment::read;

/// A request that holds, and the certificate that was issued for it, if one was.
pub(super) struct Held<'a> {
    pub(super) request: Request,
    pub(super) certificate: Option<&'a Certificate>,
    /// Whose texts it accepts.
    pub(super) charter: &'a Charter,
}

/// Holds a request to the log: its signatures, the texts of a charter there was, and whatever its keys' certificate says.
pub(super) fn held<'a>(roster: &'a Roster, signed: &Signed) -> anyhow::Result<Held<'a>> {
    let opened = |charter: &'a Charter| request::open(signed, charter).map(|request| (request, charter));
    // Of the newest version that has these texts; what is wrong is told of the newest there is.
    let found = roster.charters().versions().filter_map(|charter| opened(charter).ok()).last();
    let (request, charter) = match found {
        Some(found) => found,
        None => opened(roster.charter()).map_err(refused)?,
    };
    let keys = |c: &&Certificate| c.signing == request.signing || c.node == request.node;
    let Some(certificate) = roster.certificates().find(keys) else {
        return Ok(Held { request, certificate: None, charter });
    };
    let serial = certificate.serial;
    if (certificate.signing, certificate.node, &certificate.kem)
        != (request.signing, request.node, &request.kem)
    {
        refuse!(
            "certificate {serial} has a key of it, and other keys beside it: it was not issued for this request. Look for the one it \
             was issued for (folder `requests` of the coalition)"
        );
    }
    let Some((record, body)) = issued(roster, serial) else {
        refuse!("no entry of the log issued certificate {serial}: take a newer log (`belfry export-log`)")
    };
    if body.organisation.as_ref() != Some(&request.organisation)
        || request.member.is_some_and(|member| member != certificate.member)
    {
        refuse!(
            "certificate {serial} has its keys, and was issued to another organisation than it names: it is not the request that \
             was granted; look for that one (folder `requests` of the coalition)"
        );
    }
    let Some(charter) = roster.charters().version(record.statement.charter_version) else {
        refuse!(
            "the log lacks the charter under which certificate {serial} was issued: take a newer log (`belfry export-log`)"
        )
    };
    acceptance::open(&request.acceptance, request.signing, charter).map_err(refused).with_context(|| {
        format!("certificate {serial} was issued under charter version {}", charter.version())
    })?;
    Ok(Held { request, certificate: Some(certificate), charter })
}

/// The entry that issued a certificate, with what it said then.
fn issued(roster: &Roster, serial: Serial) -> Option<(&VerifiedRecord, &CertificateBody)> {
    let record = roster.records().find(|record| record.height == Height::new(serial.get()))?;
    let (Decision::Issue(schema::Issue { certificate: Some(body) })
    | Decision::Supersede(schema::Supersede { certificate: Some(body), .. })) = &record.statement.decision
    else {
        return None;
    };
    Some((record, body))
}

/// Every request of a folder that holds to the log. One that does not proves nothing; that is said.
pub(super) fn in_folder<'a>(roster: &'a Roster, folder: &Path) -> anyhow::Result<Vec<Held<'a>>> {
    let named = || folder.display().to_string();
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .with_context(named)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    paths.sort();
    let open = |path: &PathBuf| {
        let opened = read(path, armour::read_request).map_err(anyhow::Error::from);
        let found = opened.and_then(|signed| held(roster, &signed));
        found.inspect_err(|error| output::warn(&format!("{}: {error:#}", path.display()))).ok()
    };
    Ok(paths.iter().filter_map(open).collect())
}
