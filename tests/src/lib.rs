//! The harness of the end-to-end stories: a coalition in memory, its members as real nodes in this process.
//!
//! ```text
//! Coalition (root, admin, registrar keys; the log) ──issue──▶ Member (keys, certificate, temporary folder)
//!                                                                │ start: the same `Daemon` that `belfry run` starts,
//!                                                                ▼        on 127.0.0.1, every port 0
//!                                          HTTP API ◀── Client   QUIC or TCP ──▶ other members, and Hostile
//! ```
//!
//! Nothing is simulated below the keys: real transports, a real database, the real API with real tokens. What
//! a story may do beyond an operator is look into a node's store and roster, sign with a member's keys
//! ([`forge`]), and speak to a node as a peer that keeps no rule ([`Hostile`]).
//!
//! Stories wait for conditions ([`until`]), never for a time. A story of something that must *not* happen first
//! makes something happen that comes after it on the same way: an honest message behind the forged one, an answer
//! to a later question.

pub mod canary;
pub mod coalition;
pub mod disk;
pub mod forge;
pub mod hostile;
pub mod http;
pub mod intel;
pub mod logs;
pub mod member;
pub mod process;
pub mod publish;
pub mod real;
pub mod wait;

pub use coalition::Coalition;
pub use forge::Forge;
pub use hostile::Hostile;
pub use intel::Bundle;
pub use member::{Member, Transport};
pub use wait::{meet, until};
