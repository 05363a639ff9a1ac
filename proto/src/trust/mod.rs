//! Who belongs, by whose word.
pub mod roster;
