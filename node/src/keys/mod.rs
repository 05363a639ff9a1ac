//! k
pub mod file;
pub mod passphrase;
