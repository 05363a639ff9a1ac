//! Frames of the request protocols: four bytes of length, then canonical protobuf.

use std::{
    collections::HashMap,
    io,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use belfry_proto::schema::Malformed;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{PeerId, StreamProtocol, request_response};
use prost::Message;
use tokio::sync::Semaphore;

use super::{
    counters::Counters,
    rpc::{
        Protocol,
        version::{self, Versioned},
    },
    side::Side,
};

/// Bytes that a frame may take before any of it has come; then as many as have come. Most frames are smaller.
const FIRST_READ: usize = 16 * 1024;

/// Large requests of one peer being read at once, over all its connections. Too low ⇒ one that it does not end holds up its next,
/// too high ⇒ a few peers that never end theirs hold the places of all.
const LARGE_PER_PEER: usize = 2;

/// Bytes of a frame's length.
const PREFIX: usize = 4;

/// Reads and writes the frames of protocol `P`, within its sizes.
pub(super) struct Codec<P> {
    counters: Arc<Counters>,
    places: Arc<Places>,
    whose: Whose,
    protocol: PhantomData<fn() -> P>,
}

/// Places for large requests.
struct Places {
    /// Of all connections of a side together.
    members: Semaphore,
    guests: Semaphore,
    /// Of each peer, for as long as it has a connection.
    each: Mutex<HashMap<PeerId, Weak<Semaphore>>>,
}

impl Places {
    /// Those of the peer at the other end of a connection.
    fn of(&self, peer: Option<PeerId>) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(LARGE_PER_PEER));
        let Some(peer) = peer else { return new() };
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get(&peer).and_then(Weak::upgrade) {
            return own;
        }
        each.retain(|_, own| own.strong_count() > 0);
        let own = new();
        each.insert(peer, Arc::downgrade(&own));
        own
    }
}

/// Whose frames a codec reads.
enum Whose {
    /// Nobody's yet: it is the behaviour's, which makes each connection's of it.
    Next(Side),
    /// A member's, with the places of that peer.
    Member(Arc<Semaphore>),
    /// A guest's, with the places of that peer.
    Guest(Arc<Semaphore>),
}

impl Whose {
    /// Those of the connection whose handler is made now, or of the same one.
    fn settled(&self, places: &Places) -> Self {
        match self {
            Self::Next(side) => {
                let own = places.of(side.peer());
                if side.is_guests() { Self::Guest(own) } else { Self::Member(own) }
            }
            Self::Member(own) => Self::Member(Arc::clone(own)),
            Self::Guest(own) => Self::Guest(Arc::clone(own)),
        }
    }
}

/// How much of a frame is read at once.
struct Room<'a> {
    /// Bytes of the largest frame.
    limit: usize,
    /// Bytes that need no place.
    at_ease: usize,
    /// Places that the bytes beyond need, one a frame: of its peer, and of all.
    own: Option<&'a Semaphore>,
    large: &'a Semaphore,
}

impl<P: Protocol> Codec<P> {
    /// A behaviour's; those that handlers take of it are for the side that `side` tells then.
    pub(super) fn new(counters: Arc<Counters>, side: Side) -> Self {
        let places = Places {
            members: Semaphore::new(P::LARGE),
            guests: Semaphore::new(P::LARGE_IN_LOBBY),
            each: Mutex::default(),
        };
        Self { counters, places: Arc::new(places), whose: Whose::Next(side), protocol: PhantomData }
    }
}

impl<P> Codec<P> {
    /// Places for the large requests that it reads.
    fn large(&self) -> &Semaphore {
        match self.whose {
            Whose::Guest(_) => &self.places.guests,
            Whose::Next(_) | Whose::Member(_) => &self.places.members,
        }
    }

    /// Those of the peer that sends them.
    fn own(&self) -> Option<&Semaphore> {
        match &self.whose {
            Whose::Guest(own) | Whose::Member(own) => Some(own),
            Whose::Next(_) => None,
        }
    }

    fn counted<T>(&self, frame: io::Result<T>) -> io::Result<T> {
        if frame.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::InvalidData) {
            self.counters.frames_refused.more();
        }
        frame
    }
}

impl<P> Clone for Codec<P> {
    fn clone(&self) -> Self {
        Self {
            counters: Arc::clone(&self.counters),
            places: Arc::clone(&self.places),
            whose: self.whose.settled(&self.places),
            protocol: PhantomData,
        }
    }
}

impl<P: Protocol> request_response::Codec for Codec<P> {
    type Protocol = StreamProtocol;
    type Request = Versioned<P::Request>;
    type Response = P::Reply;

    async fn read_request<T>(&mut self, name: &StreamProtocol, io: &mut T) -> io::Result<Self::Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let version = version::agreed::<P>(name)?;
        let room =
            Room { limit: P::REQUEST_LIMIT, at_ease: P::AT_EASE, own: self.own(), large: self.large() };
        let frame = read(io, P::REQUEST, room).await;
        let checked = frame.and_then(|bytes| {
            let request = P::read_request(version, &bytes).map_err(invalid)?;
            P::check(&request).map_err(invalid)?;
            Ok(Versioned { version, request })
        });
        self.counted(checked)
    }

    async fn read_response<T>(&mut self, name: &StreamProtocol, io: &mut T) -> io::Result<P::Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        let version = version::agreed::<P>(name)?;
        // No more of them come than this node asked for.
        let room = Room { limit: P::REPLY_LIMIT, at_ease: P::REPLY_LIMIT, own: None, large: self.large() };
        let frame = read(io, P::REPLY, room).await;
        self.counted(frame.and_then(|bytes| P::read_reply(version, &bytes).map_err(invalid)))
    }

    async fn write_request<T>(
        &mut self,
        name: &StreamProtocol,
        io: &mut T,
        Versioned { request, .. }: Self::Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let version = version::agreed::<P>(name)?;
        let mut frame = begun(request.encoded_len());
        P::write_request(version, &request, &mut frame)?;
        write(io, frame, P::REQUEST, P::REQUEST_LIMIT).await
    }

    async fn write_response<T>(
        &mut self,
        name: &StreamProtocol,
        io: &mut T,
        reply: P::Reply,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let version = version::agreed::<P>(name)?;
        let mut frame = begun(reply.encoded_len());
        P::write_reply(version, &reply, &mut frame)?;
        write(io, frame, P::REPLY, P::REPLY_LIMIT).await
    }
}

/// Reads what one frame holds. Memory grows with what arrives, not with what the length promises; a large frame that finds no place
/// is read on once there is one, and nothing more of it comes meanwhile than the stream holds.
async fn read<T>(
    io: &mut T,
    what: &'static str,
    Room { limit, at_ease, own, large }: Room<'_>,
) -> io::Result<Vec<u8>>
where
    T: AsyncRead + Unpin + Send,
{
    let mut prefix = [0; PREFIX];
    io.read_exact(&mut prefix).await?;
    let len = u32::from_be_bytes(prefix);
    let promised = usize::try_from(len).unwrap_or(usize::MAX);
    if promised > limit {
        return Err(invalid(Malformed::TooLong { what, len: promised, limit }));
    }
    let (mut bytes, mut place) = (Vec::new(), None);
    while bytes.len() < promised {
        let came = bytes.len();
        let most = if place.is_some() { promised } else { promised.min(at_ease) };
        if came >= most {
            // Who waits for a place of its own keeps none from others.
            let of_peer = match own {
                Some(own) => Some(own.acquire().await.map_err(io::Error::other)?),
                None => None,
            };
            place = Some((of_peer, large.acquire().await.map_err(io::Error::other)?));
            continue;
        }
        bytes.resize(most.min(came.saturating_mul(2).max(FIRST_READ)), 0);
        io.read_exact(bytes.get_mut(came..).unwrap_or_default()).await?;
    }
    Ok(bytes)
}

/// A frame with room for its length, which is known last, and for about so many bytes behind it.
fn begun(len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(PREFIX + len);
    frame.extend([0; PREFIX]);
    frame
}

/// Writes a frame [`begun`], in one piece.
async fn write<T>(io: &mut T, mut frame: Vec<u8>, what: &'static str, limit: usize) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    let len = frame.len().saturating_sub(PREFIX);
    let prefix = u32::try_from(len).ok().filter(|_| len <= limit);
    let prefix = prefix.ok_or_else(|| invalid(Malformed::TooLong { what, len, limit }))?;
    if let Some(room) = frame.first_chunk_mut::<PREFIX>() {
        *room = prefix.to_be_bytes();
    }
    io.write_all(&frame).await
}

fn invalid(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use belfry_proto::{
        crypto::sign::SigningKey,
        schema::{self, PullRange, SyncRequest, sync_request::Request},
    };
    use futures::io::Cursor;
    use libp2p::request_response::Codec as _;

    use super::*;
    use crate::network::rpc::hello::Hello;

    fn range() -> SyncRequest {
        SyncRequest {
            request: Some(Request::Range(PullRange { group: 1, log: vec![7; 32], from: 1, to: 9 })),
        }
    }

    async fn read<M: Message + Default>(frame: &[u8], limit: usize) -> io::Result<M> {
        let room = Room { limit, at_ease: limit, own: None, large: &Semaphore::new(0) };
        let bytes = super::read(&mut Cursor::new(frame), "frame", room).await?;
        schema::decode_canonical("frame", &bytes, limit).map_err(invalid)
    }

    async fn read_back(frame: &[u8]) -> io::Result<SyncRequest> {
        read(frame, 64).await
    }

    async fn write(frame: &mut Vec<u8>, message: &impl Message, limit: usize) -> io::Result<()> {
        let mut bytes = begun(message.encoded_len());
        message.encode(&mut bytes).unwrap();
        super::write(&mut Cursor::new(frame), bytes, "frame", limit).await
    }

    #[tokio::test]
    async fn a_frame_survives_the_wire() {
        let mut frame = Vec::new();
        write(&mut frame, &range(), 64).await.unwrap();
        assert_eq!(read_back(&frame).await.unwrap(), range());
    }

    #[tokio::test]
    async fn a_long_frame_survives_and_a_short_one_costs_what_came_of_it() {
        let long = schema::SyncResponse {
            response: Some(schema::sync_response::Response::Page(schema::Page {
                envelopes: vec![vec![7; 100_000]; 5],
                ..schema::Page::default()
            })),
        };
        let mut frame = Vec::new();
        write(&mut frame, &long, 1 << 20).await.unwrap();
        let read_back = async |frame: &[u8]| read::<schema::SyncResponse>(frame, 1 << 20).await;
        assert_eq!(read_back(&frame).await.unwrap(), long);
        for len in [4, FIRST_READ + 3, FIRST_READ + 4, FIRST_READ + 5, frame.len() - 1] {
            let cut = read_back(&frame[..len]).await;
            assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    /// Who sends slowly, over however many connections, has as much of the memory as there are places.
    #[tokio::test]
    async fn large_frames_are_read_on_as_there_are_places_for_them_and_usual_ones_at_once() {
        const EASE: usize = 3 * FIRST_READ;
        const LONG: usize = 10 * FIRST_READ;
        let frame = |len: u32| [len.to_be_bytes().to_vec(), vec![7; usize::try_from(len).unwrap()]].concat();
        let large = Semaphore::new(1);
        let room = || Room { limit: LONG, at_ease: EASE, own: None, large: &large };
        let (usual, long) = (frame(u32::try_from(EASE).unwrap()), frame(u32::try_from(LONG).unwrap()));
        // It has the place, and the rest of it never comes.
        let (mut slow, mut next) = (Endless(Cursor::new(&long[..LONG])), Endless(Cursor::new(&long[..])));
        let mut first = Box::pin(super::read(&mut slow, "frame", room()));
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(large.available_permits(), 0);
        let mut second = Box::pin(super::read(&mut next, "frame", room()));
        assert!(futures::poll!(&mut second).is_pending());
        let read = super::read(&mut Cursor::new(&usual), "frame", room()).await.unwrap();
        assert_eq!(read.len(), EASE, "what is usual waits for nobody");
        drop(first);
        assert_eq!(second.await.unwrap().len(), LONG);
        assert_eq!(large.available_permits(), 1);
    }

    /// Strangers may do that on every stream of the lobby, over and over; a charter that a member pushes comes all the same.
    #[tokio::test]
    async fn strangers_that_never_end_their_large_requests_leave_members_their_places() {
        use futures::FutureExt as _;
        let side = Side::default();
        let codec = Codec::<Hello>::new(Arc::default(), side.clone());
        let connected = |seed, is_guest| {
            side.decided(peer(seed), is_guest);
            codec.clone()
        };
        let member = connected(1, false);
        let guests: Vec<_> = (2..8).map(|seed| connected(seed, true)).collect();
        let len = u32::try_from(Hello::REQUEST_LIMIT).unwrap();
        let frame = [len.to_be_bytes().to_vec(), vec![7; Hello::REQUEST_LIMIT]].concat();
        let name = StreamProtocol::new(Hello::SPOKEN[0].path);
        let half = &frame[..Hello::REQUEST_LIMIT / 2];
        // A codec is cloned once more for each stream.
        let mut streams: Vec<_> = (0..Hello::LARGE + Hello::LARGE_IN_LOBBY + 1)
            .zip(guests.iter().cycle())
            .map(|(_, guest)| (guest.clone(), Endless(Cursor::new(half))))
            .collect();
        let mut reading: Vec<_> =
            streams.iter_mut().map(|(codec, io)| Box::pin(codec.read_request(&name, io))).collect();
        for one in &mut reading {
            assert!(futures::poll!(one).is_pending());
        }
        assert_eq!(member.places.guests.available_permits(), 0);
        assert_eq!(member.large().available_permits(), Hello::LARGE);
        // It is no hello, but all of it was read.
        let mut io = Endless(Cursor::new(&frame[..]));
        let read = member.clone().read_request(&name, &mut io).now_or_never();
        assert_eq!(read.expect("nothing is waited for").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    /// It may have four connections, and four streams on each.
    #[tokio::test]
    async fn a_member_that_never_ends_its_large_requests_has_two_places_over_all_its_connections() {
        use futures::FutureExt as _;
        let side = Side::default();
        let codec = Codec::<Hello>::new(Arc::default(), side.clone());
        let connected = |seed| {
            side.decided(peer(seed), false);
            codec.clone()
        };
        let connections: Vec<_> = (0..4).map(|_| connected(1)).collect();
        let other = connected(2);
        let len = u32::try_from(Hello::REQUEST_LIMIT).unwrap();
        let frame = [len.to_be_bytes().to_vec(), vec![7; Hello::REQUEST_LIMIT]].concat();
        let name = StreamProtocol::new(Hello::SPOKEN[0].path);
        let half = &frame[..Hello::REQUEST_LIMIT / 2];
        let mut streams: Vec<_> = (0..Hello::STREAMS)
            .flat_map(|_| &connections)
            .map(|codec| (codec.clone(), Endless(Cursor::new(half))))
            .collect();
        let mut reading: Vec<_> =
            streams.iter_mut().map(|(codec, io)| Box::pin(codec.read_request(&name, io))).collect();
        for one in &mut reading {
            assert!(futures::poll!(one).is_pending());
        }
        assert_eq!(other.large().available_permits(), Hello::LARGE - LARGE_PER_PEER);
        let mut io = Endless(Cursor::new(&frame[..]));
        let read = other.clone().read_request(&name, &mut io).now_or_never();
        assert_eq!(read.expect("nothing is waited for").unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(reading);
        drop((streams, connections));
        let _next = connected(3);
        let each = codec.places.each.lock().unwrap();
        assert!(!each.contains_key(&peer(1)), "who is gone is forgotten");
    }

    fn peer(seed: u8) -> PeerId {
        crate::network::identity::peer_id(&SigningKey::from_seed(&[seed; 32]).public())
    }

    /// A stream that says nothing more instead of ending.
    struct Endless<'a>(Cursor<&'a [u8]>);

    impl AsyncRead for Endless<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match Pin::new(&mut self.0).poll_read(cx, into) {
                Poll::Ready(Ok(0)) => Poll::Pending,
                came => came,
            }
        }
    }

    #[tokio::test]
    async fn a_length_over_the_limit_is_refused_before_its_bytes_arrive() {
        let error = read_back(&65_u32.to_be_bytes()).await.unwrap_err();
        assert!(error.to_string().contains("65 bytes, over the limit of 64"), "{error}");
        let error = read_back(&u32::MAX.to_be_bytes()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_cut_frame_and_a_loose_encoding_are_refused() {
        let mut frame = Vec::new();
        write(&mut frame, &range(), 64).await.unwrap();
        let cut = &frame[..frame.len() - 1];
        assert_eq!(read_back(cut).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        // An unknown field 15 behind it.
        let mut loose = frame.clone();
        loose[3] += 2;
        loose.extend([0x78, 1]);
        assert!(read_back(&loose).await.unwrap_err().to_string().contains("canonical"));
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_written() {
        let mut frame = Vec::new();
        let error = write(&mut frame, &range(), 10).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(frame.is_empty());
    }
}
