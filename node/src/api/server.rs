//! The local API as the daemon holds it: bind, run, stop.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::{
    app::App,
    audit, connection,
    host::{Hosts, Scheme},
    limit::Rate,
    ports::Ports,
    service::service,
    tls::{Tls, TlsError, TlsFiles},
};

/// Where the API listens and whom it answers.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Addresses; port 0 takes any. Only loopback ones without TLS.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key that every address speaks TLS with; unset: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Path of the Unix socket; unset makes none.
    pub socket: Option<PathBuf>,
    /// Further exact `Host` values, `name` or `name:port`, for a proxy in front.
    pub hosts: Vec<String>,
    /// How often one token may ask.
    pub requests: Rate,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { listen: Vec::new(), tls: None, socket: None, hosts: Vec::new(), requests: Self::REQUESTS }
    }
}

impl ServerConfig {
    /// Far above any tool that follows `next`; bounds one that runs wild.
    pub const REQUESTS: Rate = Rate { per_second: 2_000.0, burst: 4_000.0 };
}

/// Why the API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Plain HTTP would carry tokens and intelligence across a network.
    #[error(
        "{0} is not a loopback address; the API listens elsewhere only with TLS: set `api.tls_certificate` and \
         `api.tls_key`, or put a proxy in front of 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// Its certificate or key.
    #[error("the API cannot speak TLS: {0}")]
    Tls(#[from] TlsError),
    /// The port is taken or not ours to take.
    #[error(
        "the API cannot listen on {address}: {error}; is another node running, or is `api.listen` taken?"
    )]
    Tcp {
        /// Address asked for.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// Another node answers there.
    #[error("a running node already answers on {}; stop it or set `api.socket`", .0.display())]
    SocketInUse(PathBuf),
    /// Something that is not a socket stands in the way.
    #[error("{} exists and is not a socket; move it away or set `api.socket`", .0.display())]
    NotASocket(PathBuf),
    /// The file system refuses.
    #[error("the API cannot make its socket {}: {error}", path.display())]
    Socket {
        /// Path asked for.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

/// The bound, not yet running server.
pub struct Server {
    app: Arc<App>,
    router: Router,
    tls: Option<Arc<Tls>>,
    tcp: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    socket: Option<(UnixListener, PathBuf)>,
    stopping: CancellationToken,
}

impl Server {
    /// Takes every address and the socket, or nothing.
    ///
    /// `stopping` ends [`Self::run`] and every event stream.
    ///
    /// # Errors
    /// The first address or path that cannot be had, with the mend.
    pub async fn bind(
        config: &ServerConfig,
        ports: Ports,
        stopping: CancellationToken,
    ) -> Result<Self, BindError> {
        let mut tcp = Vec::new();
        let mut addresses = Vec::new();
        let tls = config.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        for &address in &config.listen {
            if !address.ip().is_loopback() && tls.is_none() {
                return Err(BindError::NotLoopback(address));
            }
            let refused = |error| BindError::Tcp { address, error };
            let listener = TcpListener::bind(address).await.map_err(refused)?;
            addresses.push(listener.local_addr().map_err(refused)?);
            tcp.push(listener);
        }
        let socket = match &config.socket {
            Some(path) => Some((bind_socket(path)?, path.clone())),
            None => None,
        };
        let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
        let hosts = Hosts::new(scheme, &addresses, &config.hosts);
        let app = App::new(ports, hosts, addresses.clone(), config.requests, stopping.clone());
        let router = service(&app);
        Ok(Self { app, router, tls, tcp, addresses, socket, stopping })
    }

    /// Addresses bound, ports filled in.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until stopped; running requests get a few seconds to end. The socket file goes last.
    pub async fn run(self) {
        let mut listeners = tokio::task::JoinSet::new();
        listeners.spawn(audit::telling(Arc::clone(&self.app)));
        for listener in self.tcp {
            let (router, stopping) = (self.router.clone(), self.stopping.clone());
            listeners.spawn(connection::serve_tcp(listener, self.tls.clone(), router, stopping));
        }
        let mut path = None;
        if let Some((listener, at)) = self.socket {
            path = Some(at);
            listeners.spawn(connection::serve_socket(listener, self.router, self.stopping.clone()));
        }
        while let Some(ended) = listeners.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                // One listener's end is the server's: half an API would go unnoticed.
                self.stopping.cancel();
                tracing::error!("an API listener panicked");
            }
        }
        audit::tell_rest(&self.app);
        if let Some(path) = path {
            let _ = fs::remove_file(path);
        }
    }
}

/// A socket only the node's own user may open. A file left by a killed node is replaced.
fn bind_socket(path: &Path) -> Result<UnixListener, BindError> {
    let refused = |error| BindError::Socket { path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(BindError::SocketInUse(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(refused)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refused(error)),
    }
    let listener = UnixListener::bind(path).map_err(refused)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(refused)?;
    Ok(listener)
}
