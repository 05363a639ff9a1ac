//! TLS of the API's own, for listeners that others reach.
//!
//! Certificates live for weeks, nodes for months: the files are looked at again while connections come in, and what
//! cannot be read leaves the certificate in force.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::keys::file::{self, FileError};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate, then those between it and its authority, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM; only its owner may read it.
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key's file, or its rights.
    #[error("`api.tls_key`: {0}")]
    Key(#[from] FileError),
    /// Not PEM of the kind it should be.
    #[error("{}: {source}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// They do not belong together, or to anything that TLS uses.
    #[error("{} with {}: {source}", files.certificate.display(), files.key.display())]
    Mismatch {
        /// Both.
        files: TlsFiles,
        /// What is wrong.
        source: rustls::Error,
    },
}

/// A certificate in force, renewed from its files.
pub(super) struct Tls {
    files: TlsFiles,
    current: ArcSwap<ServerConfig>,
    looked: Mutex<(Instant, Times)>,
}

/// When the files changed last.
type Times = [Option<SystemTime>; 2];

impl Tls {
    /// Reads the files.
    pub(super) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let times = times(&files);
        let current = ArcSwap::new(Arc::new(read(&files)?));
        Ok(Self { files, current, looked: Mutex::new((Instant::now(), times)) })
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.look(Instant::now());
        TlsAcceptor::from(self.current.load_full())
    }

    fn look(&self, now: Instant) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(looked.0) < LOOK_EVERY {
            return;
        }
        let found = times(&self.files);
        if found != looked.1 {
            match read(&self.files) {
                Ok(config) => {
                    tracing::info!("the API's certificate was renewed");
                    self.current.store(Arc::new(config));
                }
                Err(error) => tracing::warn!("the API's certificate stays as it was: {error}"),
            }
        }
        *looked = (now, found);
    }
}

fn times(files: &TlsFiles) -> Times {
    [&files.certificate, &files.key].map(|path| fs::metadata(path).and_then(|found| found.modified()).ok())
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(pem(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_slice(&file::read_secret(&files.key)?).map_err(pem(&files.key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, key));
    let mut config = config.map_err(|source| TlsError::Mismatch { files: files.clone(), source })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(folder: &Path) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(vec!["soc.example".to_owned()]).unwrap();
        let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.key_pair.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    #[tokio::test]
    async fn renewed_files_are_taken_and_broken_ones_left() {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls::open(write(folder.path())).unwrap();
        let first = tls.current.load_full();
        let later = |n| Instant::now() + LOOK_EVERY * n;
        let touch = |seconds| {
            let file = fs::File::options().write(true).open(folder.path().join("cert.pem")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        };
        tls.look(later(2));
        assert!(Arc::ptr_eq(&first, &tls.current.load_full()), "nothing changed");
        write(folder.path());
        touch(1);
        tls.look(later(4));
        let second = tls.current.load_full();
        assert!(!Arc::ptr_eq(&first, &second));
        fs::write(folder.path().join("cert.pem"), "nothing").unwrap();
        touch(2);
        tls.look(later(6));
        assert!(Arc::ptr_eq(&second, &tls.current.load_full()));
    }

    #[test]
    fn what_does_not_belong_together_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path());
        let key = fs::read(&files.key).unwrap();
        write(folder.path());
        fs::write(&files.key, key).unwrap();
        assert!(matches!(Tls::open(files.clone()), Err(TlsError::Mismatch { .. })));
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Tls::open(files.clone()), Err(TlsError::Key(_))));
        fs::write(&files.certificate, "").unwrap();
        assert!(Tls::open(files).is_err());
    }
}
