//! Bytes that links carry, as libp2p counts them: what streams hand over, before Noise, TLS and headers.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use libp2p::{Transport as _, core::muxing::StreamMuxerBox, metrics::BandwidthTransport};
use prometheus_client::{encoding::text::encode_registry, registry::Registry};

use super::transport::Stack;

/// What the links of the present swarm carried so far.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<Registry>);

impl Traffic {
    /// Counts a new swarm's traffic from zero; that of the one before is forgotten, as after a restart.
    pub(super) fn counted(&self, stack: Stack) -> Stack {
        let mut registry = self.registry();
        *registry = Registry::with_prefix("belfry");
        BandwidthTransport::new(stack, &mut registry)
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed()
    }

    /// The counters as OpenMetrics lines, by direction and protocols, without the closing `# EOF`.
    ///
    /// # Errors
    /// Only what writing to a string may say.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry())?;
        Ok(text)
    }

    /// Bytes in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let text = self.open_metrics().unwrap_or_default();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
