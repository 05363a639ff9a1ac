//! Log lines to stderr, set up once per process.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Filter, Log, LogFormat};

/// In front of every filter, which may say otherwise. QUIC's memory of used tokens warns of each that was issued before the
/// first it saw: of any node that was here before, as often as whoever is there likes. Nothing follows from it: it greets anew.
const QUIETER: &str = "quinn_proto::bloom_token_log=error";

/// A subscriber already stands in this process.
#[derive(Debug, thiserror::Error)]
#[error("logging is already set up in this process")]
pub struct AlreadySetUp;

/// Starts logging by `config`; `filter` (from `--log`) wins over the configured one.
///
/// # Errors
/// [`AlreadySetUp`] on a second call.
pub fn init(config: &Log, filter: Option<&Filter>) -> Result<(), AlreadySetUp> {
    let filter = filter.unwrap_or(&config.filter).as_str();
    let filter = EnvFilter::new(format!("{QUIETER},{filter}"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).try_init(),
    }
    .map_err(|_| AlreadySetUp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_front_is_a_directive_and_the_operators_word_wins() {
        let shown = |filter: &str| EnvFilter::new(format!("{QUIETER},{filter}")).to_string();
        assert!(shown("info").contains(QUIETER));
        assert!(!shown("info,quinn_proto::bloom_token_log=warn").contains(QUIETER));
    }
}
