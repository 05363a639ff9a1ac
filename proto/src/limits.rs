//! Every size limit, in one place: what, and why this number.

use std::time::Duration;

/// Bytes of one STIX object as the author's minified JSON. ATT&CK's largest is 209 KB.
pub const MAX_OBJECT: usize = 512 * 1024;
/// Bytes of an opened, decompressed payload; bounds what one message can make a reader allocate.
pub const MAX_PAYLOAD: usize = 1024 * 1024;
/// Bytes of a sealed body; with the largest recipients block it stays under [`MAX_TRANSMIT`].
pub const MAX_BODY: usize = 192 * 1024;
/// Bytes of one gossip message, and so of one encoded envelope.
pub const MAX_TRANSMIT: usize = 256 * 1024;
/// Bytes of an encoded header: fixed fields come to some 450, targets to 34 each.
pub const MAX_HEADER: usize = 16 * 1024;
/// Withdrawal targets in one header.
pub const MAX_TARGETS: usize = 256;
/// Stanzas in a recipients block, and so nodes one narrowed message can reach.
pub const MAX_RECIPIENTS: usize = 32;
/// Bytes of a signed payload of the admin log (statement, entry, beacon, address; contacts have their own).
pub const MAX_STATEMENT: usize = 64 * 1024;
/// Bytes of a charter: a few hundred groups with their descriptions.
pub const MAX_CHARTER: usize = 256 * 1024;
/// Signatures on one signed payload; more than any threshold needs is only work for the verifier.
pub const MAX_SIGNATURES: usize = 32;
/// Logs one certificate may open in one group: restores and crashes need some, an attacker gets no more.
pub const MAX_LOGS_PER_CERTIFICATE: usize = 64;
/// Key ids in one keys request.
pub const MAX_KEY_IDS: usize = 64;
/// Longest use of one content key; bounds what one lost key opens.
pub const MAX_KEY_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// JSON nesting of a STIX object (design §8).
pub const MAX_DEPTH: usize = 32;
/// Objects in one submitted bundle: ATT&CK Enterprise has some 25,000.
pub const MAX_BUNDLE_OBJECTS: usize = 100_000;
/// Objects of one imported table or list, which becomes as many bundles as it needs: a line is three of them. All are held in
/// memory, and written, together.
pub const MAX_IMPORT_OBJECTS: usize = 500_000;
/// Bytes of one submitted bundle: ATT&CK Enterprise is 45 MB.
pub const MAX_BUNDLE: usize = 64 * 1024 * 1024;
/// Bytes of one reply on a request protocol; a page ends before it.
pub const MAX_REPLY: usize = 1024 * 1024;
/// Highest sequence of a log: no member lives to see it, every "next" has room behind it, and readers of JSON take
/// it as it is (RFC 8259 §6).
pub const MAX_SEQUENCE: u64 = 1 << 53;
/// Envelopes in one sync page.
pub const MAX_PAGE_ENVELOPES: usize = 256;
/// Logs in one frontier reply: 200 authors with several logs each.
pub const MAX_FRONTIER_LOGS: usize = 8192;
/// Logs told of in one hello, whose request is at most 64 KiB.
pub const MAX_TOLD_LOGS: usize = 512;
/// Records in one page of the admin log.
pub const MAX_PAGE_RECORDS: usize = 256;
/// Multiaddresses in one address record.
pub const MAX_ADDRESSES: usize = 16;
/// Bytes of a contact record's payload: a coalition's contacts are held, and compared, as a whole by every node.
pub const MAX_CONTACT: usize = 4096;
/// How long the contact of a member is kept all of whose certificates have run out. A coalition that renews late is no reason
/// to have everybody say again where it is reached; a quarter later nobody calls there on the coalition's account.
pub const CONTACT_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Mailboxes in one contact record: some for each role.
pub const MAX_MAILBOXES: usize = 8;
/// Bytes of any text in a mailbox; an e-mail address has 254 at most (RFC 5321 §4.5.3.1).
pub const MAX_CONTACT_TEXT: usize = 256;
/// Characters of the label that goes with the information class "other".
pub const MAX_CLASS_LABEL: usize = 64;
/// Handling terms of one payload, or of one object: FIRST IEP 2.0 has some ten statements, and all must fit where
/// `stix::split` leaves room.
pub const MAX_TERMS: usize = 16;
/// Bytes of one handling term.
pub const MAX_TERM: usize = 128;
/// Bytes of a guard's reason that goes along in a message; more than its 500 characters take in most scripts, and what
/// `stix::split` leaves room for.
pub const MAX_REASON_BYTES: usize = 1024;
