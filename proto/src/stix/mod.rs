//! stix
