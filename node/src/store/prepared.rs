//! What of a change depends on nothing that is stored, made by whoever commits it.

use std::collections::VecDeque;

use prost::Message as _;

use super::{change::Change, claims::Claim, values::EnvelopeValue, vault::Vault};

/// A change with everything done to it that needs no order. Making one is work for whoever commits it, on a
/// thread of its own if there is much; what is left to the one writer is to decide and to write.
pub struct Prepared {
    pub(super) change: Change,
    /// One for each envelope of the change, in its order.
    pub(super) envelopes: VecDeque<PreparedEnvelope>,
    /// Objects of an envelope that opens later, and their ids.
    pub(super) claims: Vec<Claim>,
    pub(super) ids: Vec<String>,
}

/// Rows of an envelope as far as they are known before its turn.
pub(super) struct PreparedEnvelope {
    /// The envelope's own value; the row in the change has lost its bytes to it.
    pub(super) value: Vec<u8>,
    /// Bytes as it travelled.
    pub(super) size: u64,
    pub(super) claims: Vec<Claim>,
}

impl Prepared {
    pub(super) fn of(vault: &Vault, mut change: Change) -> Self {
        let rows = match &mut change {
            Change::Envelope(row) => std::slice::from_mut(row.as_mut()),
            Change::Flushed { envelopes, .. } | Change::Published { envelopes, .. } => {
                envelopes.as_mut_slice()
            }
            _ => &mut [],
        };
        let envelopes = rows
            .iter_mut()
            .map(|row| PreparedEnvelope {
                size: row.bytes.len() as u64,
                value: EnvelopeValue::take(row).encode_to_vec(),
                // Taken: freeing what was read would cost the writer as much as reading it cost the reader.
                claims: row
                    .content
                    .take()
                    .map_or_else(Vec::new, |mut content| Claim::all_of(vault, row.group, &mut content)),
            })
            .collect();
        let (ids, claims) = match &mut change {
            Change::Opened { group, content, .. } => {
                let ids = content.objects.iter().map(|object| object.id.clone()).collect();
                (ids, Claim::all_of(vault, *group, content))
            }
            _ => (Vec::new(), Vec::new()),
        };
        Self { change, envelopes, claims, ids }
    }
}
