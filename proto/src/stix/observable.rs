//! Observables.
