//! Passphrase-encrypted key files.
