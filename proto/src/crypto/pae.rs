//! Pre-authentication encoding, in the style of DSSE: each part as u64-be length ‖ bytes.
//!
//! Lengths first, so no two different lists of parts share an encoding.

/// Encoding under construction.
#[derive(Clone, Debug)]
pub struct Pae(Vec<u8>);

impl Pae {
    /// Starts with the domain as first part.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self(Vec::with_capacity(256)).part(domain.as_bytes())
    }

    /// Appends one part.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a number as eight big-endian bytes.
    #[must_use]
    pub fn number(self, n: u64) -> Self {
        self.part(&n.to_be_bytes())
    }

    /// The encoding.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// BLAKE3 of the encoding.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_slide_into_each_other() {
        let a = Pae::new("d").part(b"ab").part(b"c").into_bytes();
        let b = Pae::new("d").part(b"a").part(b"bc").into_bytes();
        assert_ne!(a, b);
        assert_eq!(a.len(), 8 + 1 + 8 + 2 + 8 + 1);
    }
}
