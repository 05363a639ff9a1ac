//! Capacities of this module's queues and windows, each with its reason.
//!
//! A queue that is too short drops under a burst; one that is too long hides that its reader is
//! slow, and costs memory that a remote chooses.

use std::time::Duration;

use belfry_proto::limits::MAX_TRANSMIT;

use crate::bucket::Rate;

/// Calls waiting for the swarm task. Callers wait, so too low only slows; too high hides a stuck swarm.
pub const COMMANDS: usize = 256;
/// Verdicts waiting for the swarm task; as many of those that forward, apart. Below the gossip queue, judges would wait for each other.
pub const VERDICTS: usize = 256;
/// Gossip waiting for its verdict; at the largest message size this holds 128 MiB. Too low ⇒ bursts are
/// left to sync; too high ⇒ verdicts fall after gossipsub has forgotten the message.
pub const GOSSIP: usize = 512;
/// The same on the admin topic, where messages are rare and small.
pub const ADMIN_GOSSIP: usize = 128;
/// Requests of one protocol waiting for their reader. The asker is told `busy` beyond it.
pub const ASKED: usize = 64;
/// Link events waiting for membership. Too low ⇒ it misses some and must compare with `peers()`.
pub const LINKS: usize = 1024;
/// Own requests under way, per protocol. A caller beyond it is told `busy` rather than queued.
pub const REQUESTS: usize = 1024;

/// What gossipsub may read or write as one frame: the message, its topic and tags, and the 8 KiB that its
/// codec reads ahead *and counts as part of the frame*. Without the slack, messages near the limit
/// would break the stream they travel on.
pub const FRAME: usize = MAX_TRANSMIT + 16 * 1024;
/// Bytes of control data in one gossipsub frame, as a receiver counts them. libp2p's default of 16 KiB is
/// less than what its own sender puts into one frame (5,000 ids of 34 bytes), and a receiver that sees too
/// much drops the stream for good after five of them.
pub const CONTROL_FRAME: usize = 128 * 1024;
/// Message ids in one IHAVE or IWANT: 2,048 of 34 bytes stay well below [`CONTROL_FRAME`].
pub const CONTROL_IDS: usize = 2048;
/// Messages queued towards one peer. Each holds its own copy of the bytes: 512 of the usual 2 KiB are
/// 1 MiB, of the largest 128 MiB, for a peer that stopped reading.
pub const PEER_QUEUE: usize = 512;
/// Topics one peer may subscribe to: more than any charter has groups.
pub const TOPICS: usize = 1024;

/// Messages a second one peer may hand us before they are ignored unjudged, and how many at once. An honest
/// forwarder carries everybody's messages, so this is far above any author's quota.
pub const PEER_MESSAGES: Rate = Rate { per_second: 512.0, burst: 8192.0 };
/// Bytes a second one peer may hand us, and how many at once.
pub const PEER_BYTES: Rate = Rate { per_second: 16.0 * 1024.0 * 1024.0, burst: 128.0 * 1024.0 * 1024.0 };

/// Connections with one peer. Both sides may dial at once, and a redial overlaps the lobby connection.
pub const CONNECTIONS_PER_PEER: u32 = 4;
/// Handshakes under way that this node began. Each costs some 10 KiB.
pub const PENDING_OUT: u32 = 128;
/// Handshakes under way that others began; whoever comes then is turned away unasked, members too, so the doorstep's pools
/// stay below it.
pub const PENDING_IN: u32 = 768;
/// Of them, those from hosts that no member came from. Too low ⇒ slow strangers keep newcomers out.
pub const OPEN_STRANGERS: usize = 128;
/// Those from hosts of members. Too low ⇒ a few such hosts that are hostile keep the other members out.
pub const OPEN_KNOWN: usize = 512;
/// Those without a host: over circuits, which a relay may open as it likes.
pub const OPEN_HOSTLESS: usize = 128;
/// Knocks, and news of listeners, on their way to the swarm. Too low ⇒ they are answered only as fast as the swarm looks, too
/// high ⇒ handshakes that nobody has looked at yet grow old.
pub const KNOCKS: usize = 64;
/// Streams one peer may hold open on one connection: gossip, ping and the request protocols use
/// fewer than fifty. yamux lets each fill 256 KiB.
pub const STREAMS: u32 = 128;
/// Streams of one connection that may be negotiating their protocol at once.
pub const NEGOTIATING: usize = 32;

/// A dialler that has not finished its handshake by then is dropped.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// Between pings of one connection.
pub const PING: Duration = Duration::from_secs(15);
/// Pings missed in a row after which a connection is closed. libp2p waits twenty seconds for each and tells nobody of the first, so
/// that takes two minutes and a half: for circuits, and for who answers nothing else. A link that is dead or silent goes earlier.
pub const PINGS_MISSED: u32 = 3;
/// How long a TCP peer may leave what it was sent, data or probes, unacknowledged: a path that is dead, at which the kernel
/// would keep trying for a quarter of an hour, ever more seldom, and so would find a path that is back as much later. The same
/// that QUIC gives. Since Linux 5.11 also how long it may take in nothing at all while something waits for it, its window shut.
/// Too low ⇒ each short loss of the path, or standstill of a peer, costs all links over it.
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
/// How long a TCP link rests until the kernel probes whether the other one's is there, and then between probes.
pub const PROBED: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(2));
/// Between two looks whether anything came over a TCP link: a process may stand still whose kernel acknowledges everything.
pub const LOOK: Duration = Duration::from_secs(15);
/// Looks in a row that find nothing after which the link is given up: within a minute. Whoever lives and reads pings, or answers
/// ours, however slowly and whatever else is on its way.
pub const LOOKS: u32 = 4;
/// How long a lobby connection stays after its last answer, once its peer is allowed: QUIC throws away
/// unread data on close, and the last answer is the one that says "welcome".
pub const FAREWELL: Duration = Duration::from_secs(1);
/// How long a shutdown waits for connections to close in good order.
pub const GOODBYE: Duration = Duration::from_secs(2);
/// Connection tasks that may panic before the swarm is replaced: libp2p never learns that such a connection
/// is gone, so each holds its place for ever.
pub const PANICS: u64 = 8;

// A full IHAVE and a full list of subscriptions (2 bytes of tag and length an id, 8 a topic) fit their frame.
const _: () = assert!(CONTROL_IDS * (32 + 4) < CONTROL_FRAME);
const _: () = assert!(TOPICS * (64 + 8) < CONTROL_FRAME);
const _: () = assert!(CONTROL_FRAME < FRAME);
// A living link has three pings' time between two of its looks, and what is probed is so before it is given up.
const _: () = assert!((LOOKS - 1) as u64 * LOOK.as_secs() >= 3 * PING.as_secs());
const _: () = assert!(PROBED.0.as_secs() + PROBED.1.as_secs() < UNACKNOWLEDGED.as_secs());
// Whoever fills a pool leaves the others theirs, and strangers have less than half.
const _: () = assert!(OPEN_STRANGERS + OPEN_KNOWN + OPEN_HOSTLESS <= PENDING_IN as usize);
const _: () = assert!(OPEN_STRANGERS <= PENDING_IN as usize / 2);
