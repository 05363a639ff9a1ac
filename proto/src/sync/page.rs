//! A page must be what was asked for before any of it is judged.

use crate::{
    envelope::Decoded,
    id::Sequence,
    limits::MAX_PAGE_ENVELOPES,
    sync::plan::Range,
    verdict::{Judged, Verdict},
};

/// Why a page does not answer its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// More envelopes than a page may have.
    #[error("{0} envelopes in one page, over the limit of 256")]
    TooMany(usize),
    /// An envelope of another group or log.
    #[error("envelope {0} of the page belongs to another log")]
    OtherLog(usize),
    /// Not the next sequence, or beyond the range.
    #[error("sequence {found} where {expected} was due")]
    OutOfOrder {
        /// Sequence due here.
        expected: Sequence,
        /// Sequence found.
        found: Sequence,
    },
    /// The page ends, but runs past what was asked for.
    #[error("sequence {0} lies beyond the range asked for")]
    Beyond(Sequence),
    /// `prev` is not the id of the envelope before it on the same page.
    #[error("sequence {0} does not link to the envelope before it")]
    BrokenLink(Sequence),
}

impl Judged for PageError {
    /// On the peer that answered: a page is its own composition, whatever its authors did. (An author's
    /// fork shows at the seam to what is held already, which is not judged here.)
    fn verdict(&self) -> Verdict {
        match self {
            Self::TooMany(_)
            | Self::OtherLog(_)
            | Self::OutOfOrder { .. }
            | Self::Beyond(_)
            | Self::BrokenLink(_) => Verdict::Reject,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooMany(_) => "page-too-many",
            Self::OtherLog(_) => "page-other-log",
            Self::OutOfOrder { .. } => "page-out-of-order",
            Self::Beyond(_) => "page-beyond",
            Self::BrokenLink(_) => "page-broken-link",
        }
    }
}

/// Checks that `page` starts at `range.from`, stays in the range and its log, and links up. It may be
/// shorter than the range, or empty.
///
/// # Errors
/// [`PageError`]: the peer composed it wrongly; nothing of it should be used.
pub fn check_page(range: &Range, page: &[Decoded]) -> Result<(), PageError> {
    if page.len() > MAX_PAGE_ENVELOPES {
        return Err(PageError::TooMany(page.len()));
    }
    let mut expected = range.from;
    let mut before: Option<&Decoded> = None;
    for (position, envelope) in page.iter().enumerate() {
        let header = envelope.header();
        if (header.group, header.log) != (range.group, range.log) {
            return Err(PageError::OtherLog(position));
        }
        if header.sequence != expected {
            return Err(PageError::OutOfOrder { expected, found: header.sequence });
        }
        if header.sequence > range.to {
            return Err(PageError::Beyond(header.sequence));
        }
        if before.is_some_and(|before| before.message_id() != header.prev) {
            return Err(PageError::BrokenLink(header.sequence));
        }
        expected = Sequence::new(expected.get().saturating_add(1));
        before = Some(envelope);
    }
    Ok(())
}
