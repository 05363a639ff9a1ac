//! TCP links over which nothing comes any more, given up within a bound.
//!
//! Left alone, a kernel keeps a link for ever over which nothing is sent, and one over which something is for a quarter of an hour.
//! So long its peer counts as connected: nobody dials it, gossip and questions to it are lost, and what it missed it
//! hears late.
//!
//! ```text
//! the path is dead     ─▶ nothing is acknowledged  ─▶ the kernel gives up after `UNACKNOWLEDGED`
//! the peer stands still ─▶ all is, and no byte comes ─▶ `Heard` gives up after `LOOKS` × `LOOK`
//!                          while its window is shut and we have more for it ─▶ the kernel does, after `UNACKNOWLEDGED`
//! ```
//!
//! The last of these since Linux 5.11, which ends by the same bound the probing of a peer that takes nothing. So one that lives
//! and reads nothing of what is queued for it for so long is cut, too; one that is only slow or busy reads a little, and says
//! something, in that time. QUIC has such a bound of its own, and a circuit ends with the link that carries it.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::tcp::tokio::TcpStream;
use rustix::net::sockopt;
use tokio::time::{Instant, Sleep, sleep};

use super::limits::{LOOK, LOOKS, PROBED, UNACKNOWLEDGED};

/// A TCP link with both bounds. Within a tokio runtime.
pub(super) fn bounded(stream: TcpStream) -> Heard<TcpStream> {
    if let Err(error) = acknowledged(&stream.0) {
        tracing::warn!(%error, "the kernel takes no bound for what a peer leaves unacknowledged");
    }
    Heard::new(stream)
}

fn acknowledged(socket: impl AsFd) -> rustix::io::Result<()> {
    let socket = socket.as_fd();
    let bound = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(socket, bound)?;
    sockopt::set_tcp_keepidle(socket, PROBED.0)?;
    sockopt::set_tcp_keepintvl(socket, PROBED.1)?;
    sockopt::set_socket_keepalive(socket, true)
}

/// A link that ends when nothing was read from it for long.
pub(super) struct Heard<S> {
    inner: S,
    look: Pin<Box<Sleep>>,
    /// Looks since the last byte.
    in_vain: u32,
}

impl<S> Heard<S> {
    fn new(inner: S) -> Self {
        Self { inner, look: Box::pin(sleep(LOOK)), in_vain: 0 }
    }

    /// Looks if it is time to. However long this process itself stood still, that is one look.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.look.as_mut().poll(cx).is_ready() {
            self.in_vain += 1;
            self.look.as_mut().reset(Instant::now() + LOOK);
            if self.in_vain >= LOOKS {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, into) {
            self.in_vain = 0;
            return Poll::Ready(read);
        }
        self.poll_silent(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer fell silent")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{
        AsyncReadExt as _, TryStreamExt as _,
        channel::mpsc::{UnboundedSender, unbounded},
    };

    use super::*;
    use crate::network::limits::PING;

    /// What a peer sends, and the link at this end.
    fn link() -> (UnboundedSender<io::Result<Vec<u8>>>, Heard<impl AsyncRead + Unpin>) {
        let (peer, bytes) = unbounded();
        (peer, Heard::new(bytes.into_async_read()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_link_is_given_up_within_a_minute() {
        let (_peer, mut link) = link();
        let begun = Instant::now();
        let error = link.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let took = begun.elapsed();
        assert!(took > 3 * PING && took <= Duration::from_secs(61), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_over_which_little_comes_seldom_is_kept() {
        let (peer, mut link) = link();
        let slow = async {
            for byte in 0..100 {
                sleep(3 * PING - Duration::from_secs(1)).await;
                peer.unbounded_send(Ok(vec![byte])).unwrap();
            }
        };
        let mut read = [0; 100];
        let (all, ()) = futures::join!(link.read_exact(&mut read), slow);
        all.unwrap();
        assert_eq!(read.last(), Some(&99));
    }

    /// What came meanwhile may be met a little after the time that has passed is.
    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_itself_gives_no_link_up_for_it() {
        let (peer, mut link) = link();
        let mut read = [0; 1];
        assert!(futures::poll!(link.read(&mut read)).is_pending());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(futures::poll!(link.read(&mut read)).is_pending());
        peer.unbounded_send(Ok(vec![7])).unwrap();
        assert_eq!((link.read(&mut read).await.unwrap(), read), (1, [7]));
    }

    #[tokio::test]
    async fn the_kernel_gives_up_what_nobody_acknowledges() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let link = bounded(TcpStream(socket));
        let socket = link.inner.0.as_fd();
        assert_eq!(u128::from(sockopt::tcp_user_timeout(socket).unwrap()), UNACKNOWLEDGED.as_millis());
        assert!(sockopt::socket_keepalive(socket).unwrap());
        assert_eq!(sockopt::tcp_keepidle(socket).unwrap(), PROBED.0);
    }
}
