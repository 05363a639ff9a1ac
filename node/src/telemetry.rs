//! Log lines to stderr, set up once per process.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Filter, Log, LogFormat};

/// A subscriber already stands in this process.
#[derive(Debug, thiserror::Error)]
#[error("logging is already set up in this process")]
pub struct AlreadySetUp;

/// Starts logging by `config`; `filter` (from `--log`) wins over the configured one.
///
/// # Errors
/// [`AlreadySetUp`] on a second call.
pub fn init(config: &Log, filter: Option<&Filter>) -> Result<(), AlreadySetUp> {
    let filter = EnvFilter::new(filter.unwrap_or(&config.filter).as_str());
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).try_init(),
    }
    .map_err(|_| AlreadySetUp)
}
