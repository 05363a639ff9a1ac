//! Files and texts that people carry about.

use belfry_proto::{
    crypto::key_file::{decode_ed25519, decode_kem, decode_secret},
    id::{CoalitionId, GroupId, KeyId, LogId, MemberId, MessageId},
    time::Timestamp,
    trust::{
        acceptance,
        amendment_request::AmendmentRequest,
        charter::CharterChain,
        charter_proposal::Proposal,
        departure::Departure,
        equivocation::Equivocation,
        file,
        log::verify_record,
        request,
        roster::Roster,
        statement::Statement,
        words::{from_words, to_words},
    },
};
use prost::Message;

use super::vectors::{golden, golden_text, key, roster};

/// Armoured files: charter, proposal, request, certificate, statement, acceptance, departure, amendment request, equivocation,
/// message, log; and what they hold.
pub fn files(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(log) = file::read_proposal(text) {
        assert_eq!(file::read_proposal(&file::write_proposal(&log.charters)).as_ref(), Ok(&log));
        if let Ok(proposal) = Proposal::open(log) {
            let _ = proposal.finish();
        }
    }
    if let Ok(signed) = file::read_statement(text) {
        assert_eq!(file::read_statement(&file::write_statement(&signed)).as_ref(), Ok(&signed));
        if let Ok(statement) = Statement::decode(&signed.payload) {
            let _ = roster().preview(&statement);
        }
    }
    if let Ok(signed) = file::read_acceptance(text) {
        assert_eq!(file::read_acceptance(&file::write_acceptance(&signed)).as_ref(), Ok(&signed));
        let charter = roster().charters().newest();
        let _ = acceptance::open(&signed, key("signing").public(), charter);
    }
    if let Ok(signed) = file::read_departure(text) {
        assert_eq!(file::read_departure(&file::write_departure(&signed)).as_ref(), Ok(&signed));
        if let Ok(departure) = Departure::open_past(&signed, roster()) {
            assert_eq!(departure.check(), Ok(()));
        }
    }
    if let Ok(signed) = file::read_amendment_request(text) {
        assert_eq!(
            file::read_amendment_request(&file::write_amendment_request(&signed)).as_ref(),
            Ok(&signed)
        );
        if let Ok(request) = AmendmentRequest::open_past(&signed, roster()) {
            assert_eq!(request.check(), Ok(()));
            let _ = request.overtaken(roster());
        }
    }
    if let Ok(proof) = file::read_equivocation(text) {
        assert_eq!(file::read_equivocation(&file::write_equivocation(&proof)).as_ref(), Ok(&proof));
        if let Ok(proof) = Equivocation::open(proof) {
            assert_ne!(proof.records[0].entry_id, proof.records[1].entry_id);
            let _ = proof.settled_by();
        }
    }
    if let Ok(envelope) = file::read_message(text) {
        assert_eq!(file::read_message(&file::write_message(&envelope)), Ok(envelope));
    }
    if let Ok(log) = file::read_log(text) {
        assert_eq!(file::read_log(&file::write_log(&log)).as_ref(), Ok(&log));
        if let Ok(chain) = CharterChain::walk(log.charters) {
            let mut roster = Roster::new(chain);
            for record in &log.records {
                let Ok(verified) = verify_record(roster.charters(), record) else { break };
                if roster.apply(verified).is_err() {
                    break;
                }
            }
        }
    }
    if let Ok(file) = file::read_charter(text) {
        let _ = CharterChain::walk(file.charters);
    }
    if let Ok(signed) = file::read_request(text) {
        let _ = request::open(&signed, roster().charter());
    }
    if let Ok(record) = file::read_certificate(text) {
        let _ = (verify_record(roster().charters(), &record), record.encoded_len());
    }
}

pub fn file_seeds() -> Vec<Vec<u8>> {
    let golden_files = ["charter", "request", "certificate", "log"].map(|name| golden_text("files", name));
    let mut seeds: Vec<Vec<u8>> = golden_files.map(|text| text.as_bytes().to_vec()).into();
    let log = file::read_log(golden_text("files", "log")).unwrap_or_default();
    let statement = log.records.last().and_then(|record| record.statement.clone()).unwrap_or_default();
    seeds.push(file::write_proposal(&log.charters).into_bytes());
    seeds.push(file::write_statement(&statement).into_bytes());
    seeds.push(file::write_message(&golden("messages", "one")).into_bytes());
    seeds.extend(
        ["acceptance", "departure", "log"].map(|name| golden_text("rules", name).as_bytes().to_vec()),
    );
    let further = [("amend", "request"), ("equivocation", "proof"), ("equivocation", "no_proof")];
    seeds.extend(further.map(|(section, name)| golden_text(section, name).as_bytes().to_vec()));
    seeds
}

/// Encrypted key files.
pub fn key_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let passphrase = golden_text("key_files", "passphrase").as_bytes();
    let _ = decode_ed25519(text, passphrase).map_err(|error| error.to_string());
    let _ = decode_kem(text, passphrase);
    let _ = decode_secret(text, passphrase);
}

pub fn key_file_seeds() -> Vec<Vec<u8>> {
    ["ed25519", "kem", "master"].map(|name| golden_text("key_files", name).as_bytes().to_vec()).into()
}

/// Coalition words, ids in hex, times: what is typed.
pub fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(coalition) = from_words(text) {
        assert_eq!(from_words(&to_words(coalition)), Ok(coalition));
    }
    if let Ok(id) = text.parse::<CoalitionId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
    }
    let _ = (text.parse::<MemberId>(), text.parse::<LogId>(), text.parse::<MessageId>());
    let _ = (text.parse::<KeyId>(), GroupId::new(0));
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
}

pub fn word_seeds() -> Vec<Vec<u8>> {
    ["words", "coalition", "log"]
        .map(|name| golden_text("ids", name).as_bytes().to_vec())
        .into_iter()
        .chain([b"2026-01-01T00:00:00.123456Z".to_vec(), b"1969-12-31T23:59:59-01:00".to_vec()])
        .collect()
}
