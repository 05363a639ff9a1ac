//! t

pub mod process;
