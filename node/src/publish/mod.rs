//! From a submitted bundle to envelopes in the own log.

pub mod submission;
