//! Who belongs, by whose word.
//!
//! ```text
//! charter (root keys) ──▶ admin keys ──▶ statements ┐
//!                     └─▶ registrar  ──▶ entries    ┴─▶ records ──fold──▶ roster ──▶ readers, roles, cuts
//! ```
//!
//! Signed payloads are verified as received ([`signed`]); identities are hashes of payloads, never of
//! signatures. The [`roster`] is a pure fold of charters and records: two nodes at one height agree on
//! every answer it gives.

pub mod acceptance;
pub mod address;
pub mod ahead;
mod amendment;
pub mod amendment_request;
pub mod beacon;
pub mod certificate;
pub mod charter;
pub mod charter_change;
pub mod charter_draft;
pub mod charter_proposal;
pub mod closure;
pub mod contact;
pub mod contact_book;
pub mod cut;
pub mod departure;
pub mod equivocation;
pub mod evidence;
pub mod file;
mod fold;
pub mod history;
pub mod log;
pub mod names;
pub mod on_sight;
pub mod readers;
pub mod request;
pub mod roster;
pub mod signed;
pub mod statement;
pub mod words;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
