//! The coalition id as 24 words of BIP-39's English list: what two people read to each other over the phone.
//!
//! 256 bits and a checksum of eight; a word misheard is a word refused, not another coalition.

use bip39::{Language, Mnemonic};

use crate::id::CoalitionId;

/// These words do not name a coalition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Another number of words.
    #[error("a coalition is 24 words, these are {0}")]
    Count(usize),
    /// A word that is not on the list.
    #[error("word {position}, {word:?}, is not on the list")]
    Unknown {
        /// From 1.
        position: usize,
        /// The word.
        word: String,
    },
    /// The last word's checksum does not fit: some word is wrong.
    #[error("the words do not fit together: one is wrong, or two are swapped")]
    Checksum,
}

/// The id as 24 words with single spaces.
///
/// # Panics
/// Never: 32 bytes are a length that BIP-39 knows.
#[must_use]
#[allow(clippy::expect_used)]
pub fn to_words(coalition: CoalitionId) -> String {
    Mnemonic::from_entropy_in(Language::English, coalition.as_ref())
        .expect("32 bytes make 24 words")
        .to_string()
}

/// Reads 24 words, in any case and with any white space between them.
///
/// # Errors
/// [`WordsError`], naming the first unknown word.
pub fn from_words(text: &str) -> Result<CoalitionId, WordsError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    if words.len() != 24 {
        return Err(WordsError::Count(words.len()));
    }
    for (i, word) in words.iter().enumerate() {
        if Language::English.find_word(word).is_none() {
            let word = word.chars().take(32).collect();
            return Err(WordsError::Unknown { position: i + 1, word });
        }
    }
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, &words.join(" "))
        .map_err(|_| WordsError::Checksum)?;
    CoalitionId::try_from(mnemonic.to_entropy().as_slice()).map_err(|_| WordsError::Checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From BIP-39's own list of test vectors.
    #[test]
    fn words_are_bip_39() {
        assert_eq!(to_words(CoalitionId::new([0; 32])), format!("{}art", "abandon ".repeat(23)));
        assert_eq!(to_words(CoalitionId::new([0xff; 32])), format!("{}vote", "zoo ".repeat(23)));
    }

    #[test]
    fn words_come_back_in_any_case_and_spacing() -> Result<(), WordsError> {
        let id = CoalitionId::new([0xa5; 32]);
        let shouted = format!("\n {}\t", to_words(id).to_uppercase().replace(' ', "  \n"));
        assert_eq!(from_words(&shouted)?, id);
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_said() {
        let words = to_words(CoalitionId::new([0; 32]));
        assert_eq!(from_words("abandon art"), Err(WordsError::Count(2)));
        assert_eq!(
            from_words(&words.replacen("abandon", "belfry", 1)),
            Err(WordsError::Unknown { position: 1, word: "belfry".to_owned() })
        );
        assert_eq!(from_words(&words.replacen("abandon", "ability", 1)), Err(WordsError::Checksum));
    }
}
