//! What the log does not say of a decision, tied to what the admins sign.
//!
//! The log is for ever and names nobody, so who decided, on which day and where that is written lies beside it. A statement's
//! nonce is drawn from that record and a salt: every signature under the statement covers it, the salt keeps whoever has the log
//! alone from trying names, and whoever has the record sees that it is the one that was signed for.

use crate::{crypto::hash, id::CoalitionId, time::Timestamp};

/// Bytes of a salt: nobody guesses it, so nobody tries records against the log.
pub const SALT: usize = 16;
/// Bytes of a statement's nonce. Half a hash: to find another record for a nonce there is costs 2¹²⁸ tries. Who makes the
/// statement could look for two records of one nonce beforehand, at 2⁶⁴.
pub const NONCE: usize = 16;

/// A decision record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// Who decided.
    pub decided_by: Option<&'a str>,
    /// When.
    pub decided_on: Option<Timestamp>,
    /// Where it is written.
    pub reference: Option<&'a str>,
    /// Member since this day, where it took part before the log began.
    pub member_since: Option<Timestamp>,
}

impl Evidence<'_> {
    /// The nonce of its statement.
    #[must_use]
    pub fn nonce(&self, coalition: CoalitionId, salt: &[u8; SALT]) -> [u8; NONCE] {
        let bytes = |time: Option<Timestamp>| time.map(|time| time.as_micros().to_be_bytes());
        let (on, since) = (bytes(self.decided_on), bytes(self.member_since));
        let time = |bytes: &Option<[u8; 8]>| bytes.as_ref().map_or(Vec::new(), |bytes| bytes.to_vec());
        let text = |text: Option<&str>| text.unwrap_or_default().as_bytes().to_vec();
        let parts = [text(self.decided_by), time(&on), text(self.reference), time(&since)];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let whole = hash::decision(coalition, salt, &parts);
        let mut nonce = [0; NONCE];
        nonce.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_word_day_place_salt_or_coalition_is_another_nonce() {
        let (coalition, salt) = (CoalitionId::new([7; 32]), [1; SALT]);
        let day = |n: u64| Some(Timestamp::from_micros(n));
        let record = Evidence {
            decided_by: Some("Board"),
            decided_on: day(1),
            reference: Some("minutes 9"),
            member_since: None,
        };
        let nonce = record.nonce(coalition, &salt);
        // As a reader of WIRE that shares no code reckons it (tests/python/independent.py).
        assert_eq!(hex::encode(nonce), "c7dfc5a071a1e7902a398fd8083d31e3");
        let others = [
            Evidence { decided_by: Some("Bureau"), ..record },
            Evidence { decided_by: None, ..record },
            Evidence { decided_on: day(2), ..record },
            Evidence { decided_on: None, ..record },
            Evidence { reference: Some("minutes 10"), ..record },
            Evidence { member_since: day(1), ..record },
            // The same words in other places.
            Evidence { decided_by: Some("minutes 9"), reference: Some("Board"), ..record },
            Evidence { decided_on: None, member_since: day(1), ..record },
        ];
        for other in others {
            assert_ne!(nonce, other.nonce(coalition, &salt), "{other:?}");
        }
        assert_ne!(nonce, record.nonce(coalition, &[2; SALT]));
        assert_ne!(nonce, record.nonce(CoalitionId::new([8; 32]), &salt));
    }
}
