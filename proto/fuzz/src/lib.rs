//! What the fuzz targets do with their bytes, and the seeds they begin from.
//!
//! Apart from the targets themselves so that an ordinary test can run every body over every seed on the
//! stable toolchain (`proto/tests/fuzz_bodies.rs` takes this file by its path). A body panics on a broken
//! promise: a decoder that panics, a reading that does not write itself back, two readings that differ.

mod content;
mod envelope;
mod intake;
mod network;
mod text;
mod trust;
mod vectors;

/// One decoder, by the name of its target.
pub struct Target {
    /// Name of the binary in `fuzz_targets`.
    pub name: &'static str,
    /// What it does with any bytes.
    pub body: fn(&[u8]),
    /// Where its search begins.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every decoder that meets bytes from elsewhere.
pub const TARGETS: &[Target] = &[
    Target { name: "address", body: trust::address, seeds: trust::address_seeds },
    Target { name: "beacon", body: trust::beacon, seeds: trust::beacon_seeds },
    Target { name: "body", body: envelope::body, seeds: envelope::body_seeds },
    Target { name: "bundle", body: content::bundle, seeds: content::bundle_seeds },
    Target { name: "charter", body: trust::charter, seeds: trust::charter_seeds },
    Target { name: "contact", body: trust::contact, seeds: trust::contact_seeds },
    Target { name: "envelope", body: envelope::envelope, seeds: envelope::envelope_seeds },
    Target { name: "files", body: text::files, seeds: text::file_seeds },
    Target { name: "grant", body: envelope::grant, seeds: envelope::grant_seeds },
    Target { name: "guard", body: intake::guard, seeds: intake::guard_seeds },
    Target { name: "hello", body: network::hello, seeds: network::hello_seeds },
    Target { name: "import", body: intake::import, seeds: intake::import_seeds },
    Target { name: "key_file", body: text::key_file, seeds: text::key_file_seeds },
    Target { name: "keys", body: network::keys, seeds: network::keys_seeds },
    Target { name: "minify", body: content::minify, seeds: content::bundle_seeds },
    Target { name: "observable", body: content::observable, seeds: content::observable_seeds },
    Target { name: "pattern", body: content::pattern, seeds: content::pattern_seeds },
    Target { name: "payload", body: envelope::payload, seeds: envelope::payload_seeds },
    Target { name: "recipients", body: envelope::recipients, seeds: envelope::recipients_seeds },
    Target { name: "record", body: trust::record, seeds: trust::record_seeds },
    Target { name: "request", body: trust::request, seeds: trust::request_seeds },
    Target { name: "statement", body: trust::statement, seeds: trust::statement_seeds },
    Target { name: "sync", body: network::sync, seeds: network::sync_seeds },
    Target { name: "words", body: text::words, seeds: text::word_seeds },
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or if the bytes break a promise.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    (target.body)(bytes);
}
