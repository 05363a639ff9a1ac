//! A member's keys, on disk and in memory.
//!
//! ```text
//! keys/signing.pem   Ed25519   signs messages, contacts, addresses; makes the member speak
//! keys/node.pem      Ed25519   the libp2p identity; makes the node dialable
//! keys/kem.pem       X-Wing    opens what is granted to the member
//! keys/store.pem     32 bytes  master key of the database; never leaves this machine
//! ```
//!
//! Each is a passphrase-encrypted PKCS#8 file that only its owner may read ([`key_file`]). The public halves
//! of the first three stand in the certificate; [`enrolment::Enrolment`] holds them against it.

pub mod enrolment;
pub mod file;
pub mod key_file;
pub mod passphrase;

use std::path::{Path, PathBuf};

use belfry_proto::{
    crypto::{
        hpke::{KemPublic, KemSecret},
        secret::Secret,
        sign::{PublicKey, SigningKey},
    },
    schema,
};
use rand_core::CryptoRng;

pub use self::{
    enrolment::{DataFolder, Enrolment, EnrolmentError},
    key_file::KeyFileError,
    passphrase::{Passphrase, PassphraseError, Source},
};

/// Every secret of one node.
#[derive(Clone, Debug)]
pub struct MemberKeys {
    /// Signs messages, contacts, addresses.
    pub signing: SigningKey,
    /// The network identity.
    pub node: SigningKey,
    /// Receives content keys.
    pub kem: KemSecret,
    /// Master key of the database.
    pub store: Secret,
}

/// The public halves that a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPublicKeys {
    /// Verifies messages.
    pub signing: PublicKey,
    /// Names the node.
    pub node: PublicKey,
    /// Sealed to.
    pub kem: KemPublic,
}

impl MemberKeys {
    /// Fresh ones.
    #[must_use]
    pub fn generate<R: CryptoRng>(rng: &mut R) -> Self {
        Self {
            signing: SigningKey::generate(rng),
            node: SigningKey::generate(rng),
            kem: KemSecret::generate(rng),
            store: Secret::generate(rng),
        }
    }

    /// The public halves.
    #[must_use]
    pub fn public(&self) -> MemberPublicKeys {
        MemberPublicKeys { signing: self.signing.public(), node: self.node.public(), kem: self.kem.public() }
    }

    /// Writes the four files into the folder `keys`; none may be there.
    ///
    /// # Errors
    /// [`KeyFileError`]; files written before it stay.
    pub fn save(&self, keys: &Path, passphrase: &Passphrase) -> Result<(), KeyFileError> {
        file::create_folder(keys)?;
        key_file::write_master(&store_path(keys), &self.store, passphrase)?;
        key_file::write_kem(&kem_path(keys), &self.kem, passphrase)?;
        key_file::write_signing(&node_path(keys), &self.node, passphrase)?;
        // Last: with it there, the others are.
        key_file::write_signing(&signing_path(keys), &self.signing, passphrase)
    }

    /// Reads the four files.
    ///
    /// # Errors
    /// [`KeyFileError`], naming the file and the mend.
    pub fn load(keys: &Path, passphrase: &Passphrase) -> Result<Self, KeyFileError> {
        Ok(Self {
            signing: key_file::read_signing(&signing_path(keys), passphrase)?,
            node: key_file::read_signing(&node_path(keys), passphrase)?,
            kem: key_file::read_kem(&kem_path(keys), passphrase)?,
            store: key_file::read_master(&store_path(keys), passphrase)?,
        })
    }

    /// The four files in the folder `keys`.
    #[must_use]
    pub fn files(keys: &Path) -> [PathBuf; 4] {
        [signing_path(keys), node_path(keys), kem_path(keys), store_path(keys)]
    }

    /// Whether the folder `keys` has a complete set.
    #[must_use]
    pub fn exist(keys: &Path) -> bool {
        signing_path(keys).exists()
    }
}

impl From<&MemberPublicKeys> for schema::MemberKeys {
    fn from(keys: &MemberPublicKeys) -> Self {
        Self {
            signing: keys.signing.as_bytes().to_vec(),
            node: keys.node.as_bytes().to_vec(),
            kem: keys.kem.as_bytes().to_vec(),
        }
    }
}

fn signing_path(keys: &Path) -> PathBuf {
    keys.join("signing.pem")
}

fn node_path(keys: &Path) -> PathBuf {
    keys.join("node.pem")
}

fn kem_path(keys: &Path) -> PathBuf {
    keys.join("kem.pem")
}

fn store_path(keys: &Path) -> PathBuf {
    keys.join("store.pem")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_disk_for_their_passphrase_only() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("keys");
        let right = Passphrase::new("correct horse battery");
        let keys = MemberKeys::generate(&mut rand::rng());
        keys.save(&dir, &right).unwrap();
        let read = MemberKeys::load(&dir, &right).unwrap();
        assert_eq!(read.public(), keys.public());
        assert_eq!(read.store, keys.store);
        let wrong = MemberKeys::load(&dir, &Passphrase::new("wrong horse battery")).unwrap_err().to_string();
        assert!(wrong.contains("signing.pem") && wrong.contains("passphrase"), "{wrong}");
        assert!(matches!(keys.save(&dir, &right), Err(KeyFileError::File(file::FileError::Exists { .. }))));
    }
}
