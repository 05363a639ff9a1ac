//! TLS towards others: the system's trust anchors, or the file named.

use std::{path::Path, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
    },
};

/// Why no TLS can be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of certificates.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        source: rustls::pki_types::pem::Error,
    },
    /// Nothing to trust.
    #[error("{0} holds no certificate that can be trusted")]
    Empty(String),
    /// rustls.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A host that is neither a name nor an address.
    #[error("TLS: {0}")]
    Name(#[from] InvalidDnsNameError),
}

/// Speaks TLS with whoever proves to be the host asked for.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let fault = |source| TlsError::File { path: path.display().to_string(), source };
            for certificate in CertificateDer::pem_file_iter(path).map_err(fault)? {
                roots.add(certificate.map_err(fault)?)?;
            }
        }
        None => {
            // One that cannot be used is no reason to trust none.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        let whose =
            ca_file.map_or_else(|| "the system's store".to_owned(), |path| path.display().to_string());
        return Err(TlsError::Empty(whose));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name that must be proven.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    Ok(ServerName::try_from(host.to_owned())?)
}
