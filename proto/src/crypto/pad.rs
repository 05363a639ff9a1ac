//! Padding, so that a sealed length tells little: to max(1 KiB, Padmé).
//!
//! Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", PoPETs 2019, §4) leaks
//! O(log log L) bits for at most 12 % overhead. A padded text is content ‖ 0x80 ‖ zeros (ISO/IEC 7816-4).

/// Least padded length: below it, every indicator looks alike.
const FLOOR: usize = 1024;

/// The padding is not one that [`pad`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("padding is malformed")]
pub struct PadError;

/// Pads `content`.
#[must_use]
pub fn pad(mut content: Vec<u8>) -> Vec<u8> {
    let len = padded_len(content.len());
    content.push(0x80);
    content.resize(len, 0);
    content
}

/// Length that content of `len` bytes is padded to.
#[must_use]
pub fn padded_len(len: usize) -> usize {
    padme(len + 1).max(FLOOR)
}

/// Strips the padding; only exactly what [`pad`] made is accepted.
///
/// # Errors
/// [`PadError`] otherwise.
pub fn unpad(mut padded: Vec<u8>) -> Result<Vec<u8>, PadError> {
    let end = padded.iter().rposition(|&b| b != 0).ok_or(PadError)?;
    if padded.get(end) != Some(&0x80) || padded_len(end) != padded.len() {
        return Err(PadError);
    }
    padded.truncate(end);
    Ok(padded)
}

fn padme(len: usize) -> usize {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let bits = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - bits.min(exponent))) - 1;
    (len + mask) & !mask
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unpadding_gives_back_what_was_padded(content in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let padded = pad(content.clone());
            prop_assert!(padded.len() >= FLOOR);
            prop_assert!(padded.len() <= FLOOR.max((content.len() + 1) * 112 / 100));
            prop_assert_eq!(unpad(padded), Ok(content));
        }
    }

    #[test]
    fn foreign_padding_is_refused() {
        assert_eq!(unpad(vec![0; 1024]), Err(PadError));
        assert_eq!(unpad(vec![]), Err(PadError));
        assert_eq!(unpad([b"abc".as_slice(), &[0x80], &[0; 10]].concat()), Err(PadError));
    }
}
