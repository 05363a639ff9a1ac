//! Passphrase-encrypted key files: PKCS#8 (RFC 5958) in PEM, under PBES2 (RFC 8018 §6.2) with scrypt and
//! AES-256-CBC.
//!
//! Three kinds of 32 bytes go into the one container, told apart by their algorithm:
//!
//! | key | algorithm | `privateKey` holds |
//! |---|---|---|
//! | Ed25519 | 1.3.101.112 (RFC 8410 §7) | an OCTET STRING of the seed |
//! | X-Wing | 1.3.6.1.4.1.62253.25722 (draft-connolly-cfrg-xwing-kem) | the seed |
//! | store master key | [`MASTER_KEY_OID`] | the key |
//!
//! Always version 1 without the public key: OpenSSL 3.0 does not read an Ed25519 key of version 2. AES-CBC
//! does not authenticate, so a wrong passphrase and a damaged file look alike; a key file is a member's
//! own and no oracle to anyone.

use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef,
    der::asn1::OctetStringRef,
    pkcs5::{self, EncryptionScheme, pbes2},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::crypto::{hpke::KemSecret, secret::Secret, sign::SigningKey};

/// PEM label of an encrypted key (RFC 7468 §11).
pub const LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// Algorithm of an Ed25519 key.
pub const ED25519_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// Algorithm of an X-Wing seed.
pub const X_WING_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.62253.25722");
/// "Algorithm" of a store master key: an arc under 2.25, which needs no registration. Its number is the
/// low 31 bits of the first word of SHA-256("belfry store master key"), as many ASN.1 readers hold no more.
pub const MASTER_KEY_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.25.972364672");

/// A key file is some 400 bytes; notes before the armour are allowed.
const MAX_FILE: usize = 16 * 1024;
/// Bytes that scrypt may take at reading (128·N·r): four times what OWASP advises at most.
const MAX_SCRYPT_MEMORY: u64 = 512 * 1024 * 1024;
/// Steps that scrypt may take at reading (N·r·p): some seconds.
const MAX_SCRYPT_STEPS: u64 = 1 << 23;
/// Rounds of PBKDF2 at reading: some seconds. Files by other tools have 2,048 to 1,000,000.
const MAX_PBKDF2_ROUNDS: u32 = 5_000_000;

/// What guessing one passphrase costs, as scrypt parameters (RFC 7914 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    log_n: u8,
    r: u32,
    p: u32,
}

impl Cost {
    /// N = 2^14, r = 8, p = 5: one of OWASP's equivalent choices, and the one OpenSSL reads (it stops at
    /// 32 MiB, which N = 2^15 passes).
    pub const STANDARD: Self = Self { log_n: 14, r: 8, p: 5 };
    /// For tests, which make many keys that protect nothing.
    pub const TEST: Self = Self { log_n: 10, r: 8, p: 1 };
}

/// Why a key file cannot be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not PEM.
    #[error(
        "not a key file, which begins with \"-----BEGIN ENCRYPTED PRIVATE KEY-----\", or a damaged one: {0}"
    )]
    Pem(pem_rfc7468::Error),
    /// PEM of something else.
    #[error("the file holds a {found:?}, not an \"ENCRYPTED PRIVATE KEY\"")]
    Label {
        /// Its label.
        found: String,
    },
    /// Does not open.
    #[error("wrong passphrase, or the file is damaged")]
    WrongPassphrase,
    /// Opens, and is another kind of key.
    #[error("the file holds a key of algorithm {found}, not {expected}")]
    OtherAlgorithm {
        /// The one asked for.
        expected: &'static str,
        /// The one in the file.
        found: String,
    },
    /// Would take a machine for minutes: no file of ours.
    #[error("the file asks for a key derivation more costly than any belfry writes")]
    TooCostly,
    /// Over 16 KiB.
    #[error("a key file is at most 16384 bytes, this one is {0}")]
    TooLong(usize),
    /// Not PKCS#8, or encrypted in a way belfry does not read.
    #[error("not a readable PKCS#8 file: {0}")]
    Malformed(String),
}

/// Encrypts a signing key.
///
/// # Errors
/// [`KeyFileError::Malformed`] if the encoder fails, which no input is known to cause.
pub fn encode_ed25519<R: CryptoRng + ?Sized>(
    key: &SigningKey,
    passphrase: &[u8],
    cost: Cost,
    rng: &mut R,
) -> Result<String, KeyFileError> {
    // CurvePrivateKey ::= OCTET STRING (RFC 8410 §7): tag, length, seed.
    let mut inner = Zeroizing::new(vec![0x04, 32]);
    inner.reserve_exact(32);
    inner.extend_from_slice(key.seed());
    seal(ED25519_OID, &inner, passphrase, cost, rng)
}

/// Opens a signing key.
///
/// # Errors
/// [`KeyFileError`].
pub fn decode_ed25519(pem: &str, passphrase: &[u8]) -> Result<SigningKey, KeyFileError> {
    open(pem, passphrase, ED25519_OID, |key| match key {
        [0x04, 32, seed @ ..] => seed.try_into().ok().map(SigningKey::from_seed),
        _ => None,
    })
}

/// Encrypts a KEM key.
///
/// # Errors
/// As [`encode_ed25519`].
pub fn encode_kem<R: CryptoRng + ?Sized>(
    key: &KemSecret,
    passphrase: &[u8],
    cost: Cost,
    rng: &mut R,
) -> Result<String, KeyFileError> {
    seal(X_WING_OID, key.seed().expose(), passphrase, cost, rng)
}

/// Opens a KEM key.
///
/// # Errors
/// [`KeyFileError`].
pub fn decode_kem(pem: &str, passphrase: &[u8]) -> Result<KemSecret, KeyFileError> {
    open(pem, passphrase, X_WING_OID, |key| Secret::from_slice(key).map(KemSecret::from_seed))
}

/// Encrypts a store master key.
///
/// # Errors
/// As [`encode_ed25519`].
pub fn encode_secret<R: CryptoRng + ?Sized>(
    key: &Secret,
    passphrase: &[u8],
    cost: Cost,
    rng: &mut R,
) -> Result<String, KeyFileError> {
    seal(MASTER_KEY_OID, key.expose(), passphrase, cost, rng)
}

/// Opens a store master key.
///
/// # Errors
/// [`KeyFileError`].
pub fn decode_secret(pem: &str, passphrase: &[u8]) -> Result<Secret, KeyFileError> {
    open(pem, passphrase, MASTER_KEY_OID, Secret::from_slice)
}

fn seal<R: CryptoRng + ?Sized>(
    oid: ObjectIdentifier,
    key: &[u8],
    passphrase: &[u8],
    cost: Cost,
    rng: &mut R,
) -> Result<String, KeyFileError> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    rng.fill_bytes(&mut salt);
    rng.fill_bytes(&mut iv);
    let scrypt = pkcs5::scrypt::Params::new(cost.log_n, cost.r, cost.p)
        .map_err(|e| KeyFileError::Malformed(e.to_string()))?;
    let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(scrypt, &salt, iv)
        .map_err(|e| KeyFileError::Malformed(e.to_string()))?;
    let key = OctetStringRef::new(key).map_err(|e| KeyFileError::Malformed(e.to_string()))?;
    PrivateKeyInfoRef::new(AlgorithmIdentifierRef { oid, parameters: None }, key)
        .encrypt_with_params(scheme, passphrase)
        .map_err(|e| KeyFileError::Malformed(e.to_string()))
        .and_then(|encrypted| {
            pem_rfc7468::encode_string(LABEL, pem_rfc7468::LineEnding::LF, encrypted.as_bytes())
                .map_err(KeyFileError::Pem)
        })
}

fn open<T>(
    pem: &str,
    passphrase: &[u8],
    oid: ObjectIdentifier,
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, KeyFileError> {
    if pem.len() > MAX_FILE {
        return Err(KeyFileError::TooLong(pem.len()));
    }
    let (label, der) = pem_rfc7468::decode_vec(pem.as_bytes()).map_err(KeyFileError::Pem)?;
    if label != LABEL {
        return Err(KeyFileError::Label { found: label.to_owned() });
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der.as_slice())
        .map_err(|e| KeyFileError::Malformed(e.to_string()))?;
    check_cost(&encrypted.encryption_algorithm)?;
    let plain = encrypted.decrypt(passphrase).map_err(|e| match e {
        // Padding that fits by chance leaves bytes that are not DER.
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed) | pkcs8::Error::Asn1(_) => {
            KeyFileError::WrongPassphrase
        }
        other => KeyFileError::Malformed(other.to_string()),
    })?;
    let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|_| KeyFileError::WrongPassphrase)?;
    if info.algorithm.oid != oid {
        let found = info.algorithm.oid;
        let found = name(found).map_or_else(|| found.to_string(), str::to_owned);
        return Err(KeyFileError::OtherAlgorithm { expected: name(oid).unwrap_or("unnamed"), found });
    }
    read(info.private_key.as_bytes())
        .ok_or_else(|| KeyFileError::Malformed("the key is not 32 bytes".to_owned()))
}

/// Refuses what would burn minutes, before any of it is spent; also what the derivation would trip over.
fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyFileError> {
    let unreadable = |what: &str| Err(KeyFileError::Malformed(format!("{what} is not supported")));
    let EncryptionScheme::Pbes2(parameters) = scheme else {
        return unreadable("PBES1");
    };
    match &parameters.kdf {
        pbes2::Kdf::Scrypt(scrypt) => {
            let (n, r, p) =
                (scrypt.cost_parameter, u64::from(scrypt.block_size), u64::from(scrypt.parallelization));
            if !n.is_power_of_two() || n < 2 || r == 0 || p == 0 {
                return unreadable("this set of scrypt parameters");
            }
            let steps = n.saturating_mul(r).saturating_mul(p);
            let memory = n.saturating_add(p).saturating_mul(r).saturating_mul(128);
            if steps > MAX_SCRYPT_STEPS || memory > MAX_SCRYPT_MEMORY {
                return Err(KeyFileError::TooCostly);
            }
            Ok(())
        }
        pbes2::Kdf::Pbkdf2(pbkdf2) if pbkdf2.iteration_count > MAX_PBKDF2_ROUNDS => {
            Err(KeyFileError::TooCostly)
        }
        pbes2::Kdf::Pbkdf2(_) => Ok(()),
        _ => unreadable("this key derivation"),
    }
}

fn name(oid: ObjectIdentifier) -> Option<&'static str> {
    if oid == ED25519_OID {
        Some("Ed25519")
    } else if oid == X_WING_OID {
        Some("X-Wing")
    } else if oid == MASTER_KEY_OID {
        Some("belfry store master key")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use pkcs8::der::Encode;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn ed25519_file(cost: Cost) -> (SigningKey, String) {
        let mut rng = StdRng::seed_from_u64(1);
        let key = SigningKey::generate(&mut rng);
        let file = encode_ed25519(&key, b"open sesame", cost, &mut rng).unwrap();
        (key, file)
    }

    #[test]
    fn every_kind_of_key_comes_back() {
        let mut rng = StdRng::seed_from_u64(2);
        let (key, file) = ed25519_file(Cost::TEST);
        assert_eq!(decode_ed25519(&file, b"open sesame").unwrap().public(), key.public());
        let kem = KemSecret::generate(&mut rng);
        let file = encode_kem(&kem, b"pass", Cost::TEST, &mut rng).unwrap();
        assert_eq!(decode_kem(&file, b"pass").unwrap().public(), kem.public());
        let secret = Secret::generate(&mut rng);
        let file = encode_secret(&secret, b"pass", Cost::TEST, &mut rng).unwrap();
        assert_eq!(decode_secret(&file, b"pass").unwrap(), secret);
    }

    #[test]
    fn one_key_twice_gives_two_files() {
        let (key, file) = ed25519_file(Cost::TEST);
        let again = encode_ed25519(&key, b"open sesame", Cost::TEST, &mut StdRng::seed_from_u64(3)).unwrap();
        assert_ne!(file, again);
    }

    #[test]
    fn a_wrong_passphrase_is_said_so() {
        let (_, file) = ed25519_file(Cost::TEST);
        for i in 0..300 {
            let guess = format!("guess {i}");
            let error = decode_ed25519(&file, guess.as_bytes()).unwrap_err();
            assert_eq!(error, KeyFileError::WrongPassphrase, "{guess}");
        }
    }

    #[test]
    fn another_kind_of_key_is_named() {
        let mut rng = StdRng::seed_from_u64(4);
        let (_, file) = ed25519_file(Cost::TEST);
        assert_eq!(
            decode_kem(&file, b"open sesame").unwrap_err(),
            KeyFileError::OtherAlgorithm { expected: "X-Wing", found: "Ed25519".to_owned() }
        );
        let master = encode_secret(&Secret::new([1; 32]), b"pass", Cost::TEST, &mut rng).unwrap();
        let error = decode_ed25519(&master, b"pass").unwrap_err();
        assert!(error.to_string().contains("belfry store master key"), "{error}");
    }

    #[test]
    fn armour_of_something_else_is_named() {
        let plain = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(
            decode_ed25519(plain, b"").unwrap_err(),
            KeyFileError::Label { found: "PRIVATE KEY".to_owned() }
        );
        assert!(matches!(decode_ed25519("nothing", b"").unwrap_err(), KeyFileError::Pem(_)));
        let long = "x".repeat(MAX_FILE + 1);
        assert_eq!(decode_ed25519(&long, b"").unwrap_err(), KeyFileError::TooLong(MAX_FILE + 1));
    }

    #[test]
    fn a_hostile_cost_is_refused_before_it_is_spent() {
        let file = |kdf: pbes2::Kdf| {
            let scheme =
                pbes2::Parameters { kdf, encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: [0; 16] } };
            let info = EncryptedPrivateKeyInfoRef {
                encryption_algorithm: scheme.into(),
                encrypted_data: OctetStringRef::new(&[0; 64]).unwrap(),
            };
            let der = info.to_der().unwrap();
            pem_rfc7468::encode_string(LABEL, pem_rfc7468::LineEnding::LF, &der).unwrap()
        };
        let scrypt = |n, r, p| {
            file(pbes2::Kdf::Scrypt(pbes2::ScryptParams {
                salt: pbes2::Salt::new([0; 16]).unwrap(),
                cost_parameter: n,
                block_size: r,
                parallelization: p,
                key_length: None,
            }))
        };
        let pbkdf2 = pbes2::Pbkdf2Params::hmac_sha256(MAX_PBKDF2_ROUNDS + 1, &[0; 16]).unwrap();
        for costly in [scrypt(1 << 24, 8, 1), scrypt(1 << 10, 8, u16::MAX), scrypt(2, u16::MAX, u16::MAX)] {
            assert_eq!(decode_ed25519(&costly, b"").unwrap_err(), KeyFileError::TooCostly);
        }
        assert_eq!(decode_ed25519(&file(pbkdf2.into()), b"").unwrap_err(), KeyFileError::TooCostly);
        for senseless in [scrypt(0, 8, 1), scrypt(1000, 8, 1), scrypt(1024, 0, 1), scrypt(1024, 8, 0)] {
            assert!(matches!(decode_ed25519(&senseless, b"").unwrap_err(), KeyFileError::Malformed(_)));
        }
    }

    /// The X-Wing draft's own example of an unencrypted key (appendix on key formats).
    #[test]
    fn an_x_wing_key_has_the_form_of_the_draft() {
        let seed: [u8; 32] = std::array::from_fn(|i| i as u8);
        let info = PrivateKeyInfoRef::new(
            AlgorithmIdentifierRef { oid: X_WING_OID, parameters: None },
            OctetStringRef::new(&seed).unwrap(),
        );
        let expected = format!("3034020100300d060b2b0601040183e62d81c87a0420{}", hex::encode(seed));
        assert_eq!(hex::encode(info.to_der().unwrap()), expected);
    }

    #[test]
    fn openssl_reads_the_ed25519_file() {
        let (key, file) = ed25519_file(Cost::STANDARD);
        let openssl = Command::new("openssl")
            .args(["pkey", "-passin", "pass:open sesame", "-noout", "-text_pub"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut openssl = match openssl {
            Ok(child) => child,
            Err(e) => {
                eprintln!("skipped: no openssl here ({e})");
                return;
            }
        };
        openssl.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
        let output = openssl.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let digits: String = String::from_utf8(output.stdout)
            .unwrap()
            .chars()
            .filter(|c| !c.is_whitespace() && *c != ':')
            .collect();
        assert!(digits.contains(&key.public().to_string()), "{digits}");
    }
}
