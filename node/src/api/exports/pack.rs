//! Bytes of a rendering in memory: large ones compressed, and unpacked piece by piece while they are sent.
//!
//! Lists compress to a quarter and STIX to a tenth. So what took a while to make is still here when its tool asks again,
//! and an answer under way takes a piece of memory, not the whole.

use std::io::{self, Cursor, Read};

use axum::body::{Body, Bytes};

/// Bytes from which on a file is compressed; below, unpacking costs more than it saves.
const LARGE: usize = 256 << 10;
/// Bytes of a piece: unpacked between two looks at other requests, a tenth of a millisecond.
const PIECE: usize = 64 << 10;
/// Fast: a file is packed once an edition, while its tool waits.
const LEVEL: i32 = 1;

/// A file's bytes.
#[derive(Clone, Debug)]
pub(in crate::api) struct Packed {
    bytes: Bytes,
    len: usize,
    is_packed: bool,
}

impl From<Bytes> for Packed {
    fn from(bytes: Bytes) -> Self {
        Self { len: bytes.len(), bytes, is_packed: false }
    }
}

impl Packed {
    /// The same, smaller if that is worth it.
    pub(super) fn packed(self) -> Self {
        if self.is_packed || self.len < LARGE {
            return self;
        }
        match zstd::bulk::compress(&self.bytes, LEVEL) {
            Ok(packed) if packed.len() < self.len / 4 * 3 => {
                Self { bytes: packed.into(), is_packed: true, ..self }
            }
            _ => self,
        }
    }

    /// Bytes of the file.
    pub(in crate::api) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes here.
    pub(super) const fn weight(&self) -> usize {
        self.bytes.len()
    }

    /// Whether both are the same bytes in memory.
    #[cfg(test)]
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        self.bytes.as_ptr() == other.bytes.as_ptr()
    }

    /// Of what was not packed yet.
    pub(super) fn digest_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&(self.len as u64).to_be_bytes()).update(&self.bytes);
    }

    /// The file as an answer's body. Its length is to be announced: a body that ends early is an error then, and not a
    /// shorter list.
    pub(in crate::api) fn body(&self) -> Body {
        match self.pieces() {
            Some(pieces) => Body::from_stream(tokio_stream::iter(pieces)),
            None => Body::from(self.bytes.clone()),
        }
    }

    /// All of it at once.
    pub(in crate::api) fn unpacked(&self) -> io::Result<Bytes> {
        let Some(pieces) = self.pieces() else { return Ok(self.bytes.clone()) };
        let mut bytes = Vec::with_capacity(self.len);
        for piece in pieces {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.into())
    }

    /// Of what is packed; ends with an error where it does not unpack.
    fn pieces(&self) -> Option<impl Iterator<Item = io::Result<Bytes>> + Send + use<>> {
        if !self.is_packed {
            return None;
        }
        Some(pieces_of(zstd::stream::read::Decoder::with_buffer(Cursor::new(self.bytes.clone()))))
    }
}

/// What is read, in pieces up to the first error; that alone where there is nothing to read with.
fn pieces_of(decoder: io::Result<impl Read + Send>) -> impl Iterator<Item = io::Result<Bytes>> + Send {
    let mut left = Some(decoder);
    std::iter::from_fn(move || {
        let mut decoder = match left.take()? {
            Ok(decoder) => decoder,
            Err(error) => return Some(Err(error)),
        };
        let mut piece = Vec::with_capacity(PIECE);
        match decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece) {
            Ok(0) => None,
            Ok(_) => {
                left = Some(Ok(decoder));
                Some(Ok(piece.into()))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> String {
        (0..60_000).map(|n| format!("host-{n}.evil.example\n")).collect()
    }

    #[tokio::test]
    async fn what_is_packed_is_sent_as_it_was_in_pieces() {
        let list = list();
        let packed = Packed::from(Bytes::from(list.clone())).packed();
        assert!(packed.weight() < list.len() / 3, "{} of {}", packed.weight(), list.len());
        assert_eq!(packed.len(), list.len());
        let pieces: Vec<Bytes> = packed.pieces().unwrap().map(Result::unwrap).collect();
        assert!(pieces.len() > 10 && pieces.iter().all(|piece| piece.len() <= PIECE));
        let sent = axum::body::to_bytes(packed.body(), list.len()).await.unwrap();
        assert_eq!(sent, list);
        assert_eq!(packed.unpacked().unwrap(), list);
        let small = Packed::from(Bytes::from_static(b"a.be\n")).packed();
        assert_eq!(axum::body::to_bytes(small.body(), 100).await.unwrap(), "a.be\n");
    }

    #[tokio::test]
    async fn what_does_not_unpack_is_an_error_and_no_shorter_list() {
        let list = list();
        let packed = Packed::from(Bytes::from(list.clone())).packed();
        let half = Packed { bytes: packed.bytes.slice(..packed.bytes.len() / 2), ..packed };
        assert!(half.pieces().unwrap().any(|piece| piece.is_err()));
        assert!(axum::body::to_bytes(half.body(), list.len()).await.is_err());
        assert!(half.unpacked().is_err());
        let none = pieces_of(Err::<Cursor<Bytes>, _>(io::Error::other("no memory for a decoder")));
        assert_eq!(none.map(|piece| piece.is_err()).collect::<Vec<_>>(), [true]);
    }
}
