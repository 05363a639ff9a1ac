//! Where passphrases come from: a file, a systemd credential, or the terminal; never argv or environment.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::file::{FileError, read_credential, read_secret};
use crate::config;

/// Fewest characters of a new passphrase: key files travel in backups, and scrypt only slows a guesser.
const SHORTEST: usize = 12;

/// A passphrase; zeroed when dropped, never printed.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// From its text; for tests and callers with their own source.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// Its text: secret.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Its file cannot be used.
    #[error("{0}")]
    File(#[from] FileError),
    /// Nothing in it.
    #[error("{0} holds no passphrase: its first line is empty")]
    Empty(String),
    /// Too easy to guess.
    #[error("a new passphrase has at least {SHORTEST} characters, this one {0}")]
    TooShort(usize),
    /// Typed differently the second time.
    #[error("the two passphrases differ")]
    Differ,
    /// Nobody to ask.
    #[error(
        "no terminal to ask for a passphrase at ({0}): give --passphrase-file FILE, or set keys.passphrase_file"
    )]
    NoTerminal(std::io::Error),
}

/// Where a passphrase is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// First line of a 0600 file.
    File(PathBuf),
    /// First line of a credential that systemd put there for this service.
    Credential(PathBuf),
    /// The terminal.
    Prompt,
}

impl Source {
    /// The first that applies: the file named on the command line, the configured file, the credential, the
    /// terminal.
    #[must_use]
    pub fn choose(named: Option<&Path>, keys: &config::Keys) -> Self {
        if let Some(path) = named.or(keys.passphrase_file.as_deref()) {
            return Self::File(path.to_owned());
        }
        match env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(&keys.credential)) {
            Some(path) if path.is_file() => Self::Credential(path),
            _ => Self::Prompt,
        }
    }

    /// The passphrase that keys were made with; `of` completes "passphrase of …".
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn read(&self, of: &str) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::File(path) => first_line(path, read_secret(path)?),
            Self::Credential(path) => first_line(path, read_credential(path)?),
            Self::Prompt => prompt(&format!("passphrase of {of}: ")),
        }
    }

    /// A passphrase for new keys: long enough, and at the terminal asked twice, and anew as long as it does not do.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn read_new(&self, of: &str) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::Prompt => typed_new(of, prompt, |error| eprintln!("{error}; once more")),
            _ => long_enough(self.read(of)?),
        }
    }
}

/// Asks until what is typed will do: somebody sits there.
fn typed_new(
    of: &str,
    mut ask: impl FnMut(&str) -> Result<Passphrase, PassphraseError>,
    mut tell: impl FnMut(&PassphraseError),
) -> Result<Passphrase, PassphraseError> {
    loop {
        let typed = ask(&format!("new passphrase for {of}, at least {SHORTEST} characters: "));
        let twice = typed.and_then(long_enough).and_then(|first| {
            match ask("the same again: ")?.expose() == first.expose() {
                true => Ok(first),
                false => Err(PassphraseError::Differ),
            }
        });
        match twice {
            Err(
                error @ (PassphraseError::TooShort(_) | PassphraseError::Empty(_) | PassphraseError::Differ),
            ) => tell(&error),
            ended => return ended,
        }
    }
}

fn long_enough(passphrase: Passphrase) -> Result<Passphrase, PassphraseError> {
    match passphrase.expose().chars().count() {
        characters if characters < SHORTEST => Err(PassphraseError::TooShort(characters)),
        _ => Ok(passphrase),
    }
}

fn first_line(path: &Path, bytes: Zeroizing<Vec<u8>>) -> Result<Passphrase, PassphraseError> {
    let text = std::str::from_utf8(&bytes).map_err(|_| FileError::NotText { path: path.to_owned() })?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Passphrase::new(line)),
        None => Err(PassphraseError::Empty(path.display().to_string())),
    }
}

fn prompt(text: &str) -> Result<Passphrase, PassphraseError> {
    let typed = rpassword::prompt_password(text).map_err(PassphraseError::NoTerminal)?;
    if typed.is_empty() {
        return Err(PassphraseError::Empty("the terminal".into()));
    }
    Ok(Passphrase(Zeroizing::new(typed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::file::{Existing, Readers, write};

    #[test]
    fn the_first_line_of_a_closed_file_is_the_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        write(&path, b"correct horse battery\nnote\n", Readers::Owner, Existing::Keep).unwrap();
        let source = Source::choose(Some(&path), &config::Keys::default());
        assert_eq!(source.read("x").unwrap().expose(), "correct horse battery");
        write(&path, b"short\n", Readers::Owner, Existing::Replace).unwrap();
        assert!(matches!(source.read_new("x"), Err(PassphraseError::TooShort(5))));
        write(&path, b"\nx", Readers::Owner, Existing::Replace).unwrap();
        assert!(matches!(source.read("x"), Err(PassphraseError::Empty(_))));
        write(&path, b"correct horse battery\n", Readers::All, Existing::Replace).unwrap();
        assert!(matches!(source.read("x"), Err(PassphraseError::File(FileError::Open { .. }))));
    }

    #[test]
    fn at_a_terminal_one_that_does_not_do_is_asked_for_anew() {
        let mut typed =
            ["short", "", "correct horse battery", "correct horse", "the bell rings", "the bell rings"]
                .into_iter()
                .map(|text| match text {
                    "" => Err(PassphraseError::Empty("the terminal".into())),
                    text => Ok(Passphrase::new(text)),
                });
        let mut told = Vec::new();
        let read = typed_new("x", |_| typed.next().unwrap(), |error| told.push(error.to_string())).unwrap();
        assert_eq!(read.expose(), "the bell rings");
        assert_eq!(told.len(), 3);
        assert!(told[0].contains("at least 12") && told[2].contains("differ"), "{told:?}");
        let gone = || Err(PassphraseError::NoTerminal(std::io::ErrorKind::UnexpectedEof.into()));
        assert!(typed_new("x", |_| gone(), |_| ()).is_err(), "nobody is there any more");
    }

    #[test]
    fn passphrases_do_not_print() {
        assert_eq!(format!("{:?}", Passphrase::new("correct")), "Passphrase(redacted)");
    }
}
