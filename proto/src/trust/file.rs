//! The files by which charters, requests, certificates and logs travel: canonical protobuf in PEM (RFC 7468).
//!
//! Text, because they go by mail, by stick and by copy and paste to machines without a network. The armour
//! vouches for nothing; what a file says is verified after it is read.

use prost::Message;

use crate::{
    limits::{MAX_CHARTER, MAX_STATEMENT, MAX_TRANSMIT},
    schema::{self, Malformed, decode_canonical},
};

/// Bytes of a log file: a hundred thousand records.
const MAX_LOG: usize = 64 * 1024 * 1024;
/// Bytes of a charter file: a chain of versions.
const MAX_CHARTERS: usize = 64 * MAX_CHARTER;
/// Bytes of a request or a record; each holds one or two signed payloads.
const MAX_ONE: usize = 3 * MAX_STATEMENT;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Every charter version, as a [`schema::LogFile`] without records.
    Charter,
    /// A signed certificate request.
    CertificateRequest,
    /// The record that issued a certificate.
    Certificate,
    /// Charters and records.
    Log,
    /// The registrar's word on where the log's head is.
    Beacon,
    /// Charters as in [`Self::Charter`], of which the last still lacks signatures.
    CharterProposal,
    /// A statement that no registrar has ordered yet, with the signatures it has so far.
    Statement,
    /// An envelope, byte for byte as it travelled.
    Message,
    /// A member's signed acceptance of the charter's documents.
    Acceptance,
    /// A member's signed word that it leaves.
    Departure,
    /// A member's signed request for changed data.
    AmendmentRequest,
    /// Every charter and two records of one height, as a [`schema::LogFile`].
    Equivocation,
}

/// Why a text is not the file it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not PEM at all.
    #[error("this is no belfry file: expected a text with the line \"-----BEGIN {expected}-----\"")]
    NotArmoured {
        /// Label expected.
        expected: &'static str,
    },
    /// PEM of the right label that does not decode.
    #[error("the {expected} in it was cut or changed on its way ({error}): get the file again")]
    Damaged {
        /// Label expected.
        expected: &'static str,
        /// The decoder's reason.
        error: pem_rfc7468::Error,
    },
    /// PEM of something else.
    #[error("the file holds a {found:?}, not a {expected:?}: name the file that does")]
    OtherKind {
        /// Label expected.
        expected: &'static str,
        /// Label found.
        found: String,
    },
    /// Longer than any such file.
    #[error("a {kind:?} file is at most {limit} bytes, this one is {len}")]
    TooLong {
        /// Label expected.
        kind: &'static str,
        /// Length found.
        len: usize,
        /// Limit.
        limit: usize,
    },
    /// Armour is right, content is not.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl FileKind {
    const ALL: [Self; 12] = [
        Self::Charter,
        Self::CertificateRequest,
        Self::Certificate,
        Self::Log,
        Self::Beacon,
        Self::CharterProposal,
        Self::Statement,
        Self::Message,
        Self::Acceptance,
        Self::Departure,
        Self::AmendmentRequest,
        Self::Equivocation,
    ];

    /// Its PEM label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Charter => "BELFRY CHARTER",
            Self::CertificateRequest => "BELFRY CERTIFICATE REQUEST",
            Self::Certificate => "BELFRY CERTIFICATE",
            Self::Log => "BELFRY LOG",
            Self::Beacon => "BELFRY BEACON",
            Self::CharterProposal => "BELFRY CHARTER PROPOSAL",
            Self::Statement => "BELFRY STATEMENT",
            Self::Message => "BELFRY MESSAGE",
            Self::Acceptance => "BELFRY ACCEPTANCE",
            Self::Departure => "BELFRY DEPARTURE",
            Self::AmendmentRequest => "BELFRY AMENDMENT REQUEST",
            Self::Equivocation => "BELFRY EQUIVOCATION",
        }
    }

    /// Bytes of its content at most.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Charter | Self::CharterProposal | Self::Equivocation => MAX_CHARTERS,
            Self::CertificateRequest
            | Self::Certificate
            | Self::Beacon
            | Self::Statement
            | Self::Acceptance
            | Self::Departure
            | Self::AmendmentRequest => MAX_ONE,
            Self::Message => MAX_TRANSMIT,
            Self::Log => MAX_LOG,
        }
    }
}

/// Puts `bytes` into armour.
///
/// # Panics
/// Never: the labels are valid and no content in memory is too long to encode.
#[must_use]
#[allow(clippy::expect_used)]
pub fn encode(kind: FileKind, bytes: &[u8]) -> String {
    pem_rfc7468::encode_string(kind.label(), pem_rfc7468::LineEnding::LF, bytes)
        .expect("valid labels and lengths encode")
}

/// Takes the bytes out of the armour of this kind.
///
/// # Errors
/// [`FileError`], never [`FileError::Malformed`].
pub fn decode(kind: FileKind, text: &str) -> Result<Vec<u8>, FileError> {
    let (expected, limit) = (kind.label(), kind.limit());
    let too_long = |len| FileError::TooLong { kind: expected, len, limit };
    // Base64 with line ends takes 65 bytes for 48; twice the limit leaves room for notes before the armour.
    if text.len() > limit.saturating_mul(2) {
        return Err(too_long(text.len()));
    }
    let found =
        pem_rfc7468::decode_label(text.as_bytes()).map_err(|_| FileError::NotArmoured { expected })?;
    if found != expected {
        return Err(FileError::OtherKind { expected, found: found.to_owned() });
    }
    let (_, bytes) =
        pem_rfc7468::decode_vec(text.as_bytes()).map_err(|error| FileError::Damaged { expected, error })?;
    if bytes.len() > limit {
        return Err(too_long(bytes.len()));
    }
    Ok(bytes)
}

/// Reads a charter file; it holds at least one charter and no record.
///
/// # Errors
/// [`FileError`].
pub fn read_charter(text: &str) -> Result<schema::LogFile, FileError> {
    let file: schema::LogFile = read(FileKind::Charter, "charter file", text)?;
    if !file.records.is_empty() {
        return Err(Malformed::field("charter file", "records", "must be empty").into());
    }
    require_charters("charter file", file)
}

/// Reads a log file; it holds at least one charter.
///
/// # Errors
/// [`FileError`].
pub fn read_log(text: &str) -> Result<schema::LogFile, FileError> {
    require_charters("log file", read(FileKind::Log, "log file", text)?)
}

/// Reads a request file, unverified: [`crate::trust::request::open`] does that.
///
/// # Errors
/// [`FileError`].
pub fn read_request(text: &str) -> Result<schema::Signed, FileError> {
    read(FileKind::CertificateRequest, "request file", text)
}

/// Reads a certificate file, unverified: [`crate::trust::log::verify_record`] does that.
///
/// # Errors
/// [`FileError`].
pub fn read_certificate(text: &str) -> Result<schema::Record, FileError> {
    read(FileKind::Certificate, "certificate file", text)
}

/// Reads a beacon file, unverified: [`crate::trust::beacon::verify`] does that.
///
/// # Errors
/// [`FileError`].
pub fn read_beacon(text: &str) -> Result<schema::Signed, FileError> {
    read(FileKind::Beacon, "beacon file", text)
}

/// Reads a charter proposal, unverified: [`crate::trust::charter_proposal::Proposal::open`] does that.
///
/// # Errors
/// [`FileError`].
pub fn read_proposal(text: &str) -> Result<schema::LogFile, FileError> {
    let file: schema::LogFile = read(FileKind::CharterProposal, "charter proposal", text)?;
    if !file.records.is_empty() {
        return Err(Malformed::field("charter proposal", "records", "must be empty").into());
    }
    require_charters("charter proposal", file)
}

/// Reads a statement file, unverified.
///
/// # Errors
/// [`FileError`].
pub fn read_statement(text: &str) -> Result<schema::Signed, FileError> {
    read(FileKind::Statement, "statement file", text)
}

/// Reads a message file: the envelope's bytes, which [`crate::envelope::decode`] checks.
///
/// # Errors
/// [`FileError`].
pub fn read_message(text: &str) -> Result<Vec<u8>, FileError> {
    decode(FileKind::Message, text)
}

/// Reads an acceptance file, unverified: [`crate::trust::acceptance::open`] does that.
///
/// # Errors
/// [`FileError`].
pub fn read_acceptance(text: &str) -> Result<schema::Signed, FileError> {
    read(FileKind::Acceptance, "acceptance file", text)
}

/// Reads a departure file, unverified: [`crate::trust::departure::Departure::open`] does that.
///
/// # Errors
/// [`FileError`].
pub fn read_departure(text: &str) -> Result<schema::Signed, FileError> {
    read(FileKind::Departure, "departure file", text)
}

/// Reads an amendment request, unverified: [`crate::trust::amendment_request::AmendmentRequest::open`] does that.
///
/// # Errors
/// [`FileError`].
pub fn read_amendment_request(text: &str) -> Result<schema::Signed, FileError> {
    read(FileKind::AmendmentRequest, "amendment request", text)
}

/// Reads a proof that the registrar signed two logs, unverified: [`crate::trust::equivocation::Equivocation::open`] does
/// that.
///
/// # Errors
/// [`FileError`].
pub fn read_equivocation(text: &str) -> Result<schema::LogFile, FileError> {
    require_charters("equivocation file", read(FileKind::Equivocation, "equivocation file", text)?)
}

/// What kind of file a text is, by its label; whether it is one, reading it says.
#[must_use]
pub fn kind_of(text: &str) -> Option<FileKind> {
    let label = pem_rfc7468::decode_label(text.as_bytes()).ok()?;
    FileKind::ALL.into_iter().find(|kind| kind.label() == label)
}

/// The charter file of a chain.
#[must_use]
pub fn write_charter(charters: &[schema::Signed]) -> String {
    let file = schema::LogFile { charters: charters.to_vec(), records: Vec::new() };
    encode(FileKind::Charter, &file.encode_to_vec())
}

/// The log file of a chain and its records.
#[must_use]
pub fn write_log(log: &schema::LogFile) -> String {
    encode(FileKind::Log, &log.encode_to_vec())
}

/// The file of a request.
#[must_use]
pub fn write_request(request: &schema::Signed) -> String {
    encode(FileKind::CertificateRequest, &request.encode_to_vec())
}

/// The file of a beacon.
#[must_use]
pub fn write_beacon(beacon: &schema::Signed) -> String {
    encode(FileKind::Beacon, &beacon.encode_to_vec())
}

/// The file of charters whose last one still lacks signatures.
#[must_use]
pub fn write_proposal(charters: &[schema::Signed]) -> String {
    let file = schema::LogFile { charters: charters.to_vec(), records: Vec::new() };
    encode(FileKind::CharterProposal, &file.encode_to_vec())
}

/// The file of a statement.
#[must_use]
pub fn write_statement(statement: &schema::Signed) -> String {
    encode(FileKind::Statement, &statement.encode_to_vec())
}

/// The file of an envelope, byte for byte.
#[must_use]
pub fn write_message(envelope: &[u8]) -> String {
    encode(FileKind::Message, envelope)
}

/// The file of an acceptance.
#[must_use]
pub fn write_acceptance(acceptance: &schema::Signed) -> String {
    encode(FileKind::Acceptance, &acceptance.encode_to_vec())
}

/// The file of a departure.
#[must_use]
pub fn write_departure(departure: &schema::Signed) -> String {
    encode(FileKind::Departure, &departure.encode_to_vec())
}

/// The file of an amendment request.
#[must_use]
pub fn write_amendment_request(request: &schema::Signed) -> String {
    encode(FileKind::AmendmentRequest, &request.encode_to_vec())
}

/// The file of a proof that the registrar signed two logs.
#[must_use]
pub fn write_equivocation(proof: &schema::LogFile) -> String {
    encode(FileKind::Equivocation, &proof.encode_to_vec())
}

/// The file of a certificate, by its issuing record.
#[must_use]
pub fn write_certificate(record: &schema::Record) -> String {
    encode(FileKind::Certificate, &record.encode_to_vec())
}

fn read<M: Message + Default>(kind: FileKind, what: &'static str, text: &str) -> Result<M, FileError> {
    Ok(decode_canonical(what, &decode(kind, text)?, kind.limit())?)
}

fn require_charters(what: &'static str, file: schema::LogFile) -> Result<schema::LogFile, FileError> {
    if file.charters.is_empty() {
        return Err(Malformed::field(what, "charters", "must not be empty").into());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(text: &str) -> schema::Signed {
        schema::Signed { payload: text.as_bytes().to_vec(), signatures: Vec::new() }
    }

    fn record() -> schema::Record {
        schema::Record { entry: Some(signed("entry")), statement: Some(signed("statement")) }
    }

    #[test]
    fn every_kind_of_file_comes_back() -> Result<(), FileError> {
        let charters = vec![signed("charter")];
        assert_eq!(read_charter(&write_charter(&charters))?.charters, charters);
        let log = schema::LogFile { charters, records: vec![record()] };
        assert_eq!(read_log(&write_log(&log))?, log);
        assert_eq!(read_equivocation(&write_equivocation(&log))?, log);
        assert_eq!(read_request(&write_request(&signed("request")))?, signed("request"));
        assert_eq!(read_certificate(&write_certificate(&record()))?, record());
        assert_eq!(read_acceptance(&write_acceptance(&signed("acceptance")))?, signed("acceptance"));
        assert_eq!(read_departure(&write_departure(&signed("departure")))?, signed("departure"));
        assert_eq!(read_amendment_request(&write_amendment_request(&signed("data")))?, signed("data"));
        Ok(())
    }

    #[test]
    fn a_mix_up_names_what_was_found_and_what_was_expected() {
        let error = read_charter(&write_certificate(&record())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the file holds a \"BELFRY CERTIFICATE\", not a \"BELFRY CHARTER\": name the file that does"
        );
        assert_eq!(read_log("hello"), Err(FileError::NotArmoured { expected: "BELFRY LOG" }));
        let text = write_certificate(&record());
        let cut = read_certificate(text.get(..text.len() / 2).unwrap_or_default());
        assert!(matches!(cut, Err(FileError::NotArmoured { .. } | FileError::Damaged { .. })), "{cut:?}");
        let changed = text.replacen('\n', "\n*", 1);
        assert!(matches!(read_certificate(&changed), Err(FileError::Damaged { .. })));
    }

    #[test]
    fn a_charter_file_holds_charters_and_nothing_else() {
        let log = schema::LogFile { charters: vec![signed("charter")], records: vec![record()] };
        assert!(read_charter(&encode(FileKind::Charter, &log.encode_to_vec())).is_err());
        assert!(read_charter(&write_charter(&[])).is_err());
        assert!(read_log(&write_log(&schema::LogFile::default())).is_err());
    }

    #[test]
    fn a_second_encoding_of_the_content_is_refused() {
        let mut bytes = signed("request").encode_to_vec();
        // Field 15, varint 0: unknown, and so dropped by a lenient reader.
        bytes.extend_from_slice(&[0x78, 0]);
        let text = encode(FileKind::CertificateRequest, &bytes);
        assert!(matches!(read_request(&text), Err(FileError::Malformed(Malformed::NotCanonical { .. }))));
    }

    #[test]
    fn windows_line_ends_and_notes_before_the_armour_do_no_harm() -> Result<(), FileError> {
        let text = format!("From the admins\n{}", write_request(&signed("request"))).replace('\n', "\r\n");
        assert_eq!(read_request(&text)?, signed("request"));
        Ok(())
    }

    #[test]
    fn an_oversized_file_is_refused_by_length() {
        let text = encode(FileKind::CertificateRequest, &vec![0; MAX_ONE + 1]);
        assert!(matches!(read_request(&text), Err(FileError::TooLong { .. })));
        assert!(matches!(read_request(&"x".repeat(2 * MAX_ONE + 1)), Err(FileError::TooLong { .. })));
    }

    #[test]
    fn a_beacon_file_reads_back_and_is_known_by_its_label() {
        let beacon = signed("beacon");
        let text = write_beacon(&beacon);
        assert_eq!(read_beacon(&text), Ok(beacon));
        assert_eq!(kind_of(&text), Some(FileKind::Beacon));
        assert!(read_log(&text).is_err());
        assert_eq!(kind_of("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"), None);
        assert_eq!(kind_of("no file"), None);
    }
}
