//! Signing, hashing, sealing: the only place that calls a primitive.
//!
//! Three ways a byte string gets a meaning, each under a domain of its own so that no output of one
//! use is ever valid for another:
//!
//! * *sign* and *hash* run over [`pae::Pae`] of (domain, coalition, parts…);
//! * *derive* is BLAKE3's key derivation under the domain;
//! * *seal* is XChaCha20-Poly1305 ([`seal`]) under a derived key, or HPKE to a KEM key ([`hpke`]).

pub mod hash;
pub mod hpke;
pub mod key_file;
pub mod pad;
pub mod pae;
pub mod seal;
pub mod secret;
pub mod sign;
