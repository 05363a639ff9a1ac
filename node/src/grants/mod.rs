//! Content keys between nodes: handed to whoever the grant rule allows, asked for where one is missing.
//!
//! ```text
//! envelope stored sealed ─▶ KeyWanted ─▶ ask: its author's nodes, then other readers
//!                                        ◀─ grant (HPKE to our KEM key) ─▶ commitment checked ─▶ store ─▶ KeyArrived
//! peer asks / pushes ─▶ the grant rule ─▶ grant, `not yet`, or refusal
//! ```
//!
//! A grant needs no signature: the key id commits to secret and context, so any holder can serve it.

mod ask;
mod budget;
mod serve;
mod wishes;

#[cfg(test)]
mod tests;

pub use ask::Asking;
pub use serve::Serving;
