//! Who may stay connected: places for those that have shown a good token, and few for those that have not.
//!
//! A connection costs its other end nothing, and says nothing of who it is until a request comes. So what has shown no
//! token holds its place only as long as nobody else wants it, and one address holds few of them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Connections open at once on one listener. Too low ⇒ a pool of clients starves itself; too high ⇒
/// descriptors that the peers' side needs.
const MOST: usize = 256;
/// Of them, those from one address beyond this machine (IPv6: a /64) that have shown no good token. A browser opens six.
const UNKNOWN: usize = 32;

/// The places of one listener.
#[derive(Clone, Default)]
pub(super) struct Doors(Arc<Shared>);

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    left: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// By their arrival.
    guests: BTreeMap<u64, Guest>,
}

struct Guest {
    from: Option<IpAddr>,
    is_known: bool,
    leaving: CancellationToken,
}

/// A connection's place, for as long as any copy is held; copies travel with its requests.
#[derive(Clone)]
pub(super) struct Place(Arc<Held>);

struct Held {
    doors: Doors,
    number: u64,
    leaving: CancellationToken,
}

impl Doors {
    /// A place for a connection from there, once there is one. None if its address holds as many unknown ones as it may.
    pub(super) async fn enter(&self, from: Option<IpAddr>) -> Option<Place> {
        let from = from.filter(|from| !from.is_loopback()).map(shared);
        loop {
            let left = self.0.left.notified();
            {
                let mut open = self.open();
                let is_unknown = |guest: &&Guest| !guest.is_known && !guest.leaving.is_cancelled();
                let of_address = open.guests.values().filter(is_unknown).filter(|guest| guest.from == from);
                if from.is_some() && of_address.count() >= UNKNOWN {
                    return None;
                }
                if open.guests.len() < MOST {
                    return Some(self.seat(&mut open, from));
                }
                // The one that has been here longest had most time to say who it is.
                if let Some(unknown) = open.guests.values().find(is_unknown) {
                    unknown.leaving.cancel();
                }
            }
            left.await;
        }
    }

    fn seat(&self, open: &mut Open, from: Option<IpAddr>) -> Place {
        let (number, leaving) = (open.next, CancellationToken::new());
        open.next += 1;
        open.guests.insert(number, Guest { from, is_known: false, leaving: leaving.clone() });
        Place(Arc::new(Held { doors: self.clone(), number, leaving }))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It has shown a good token.
    pub(super) fn keep(&self) {
        if let Some(guest) = self.0.doors.open().guests.get_mut(&self.0.number) {
            guest.is_known = true;
        }
    }

    /// Ends once somebody else is to have the place.
    pub(super) async fn taken(&self) {
        self.0.leaving.cancelled().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.doors.open().guests.remove(&self.number);
        self.doors.0.left.notify_one();
    }
}

/// An IPv6 customer owns a /64.
fn shared(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn host(n: usize) -> Option<IpAddr> {
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        Some(IpAddr::from([198, 51, high, low]))
    }

    #[tokio::test]
    async fn the_longest_unknown_makes_room_and_whoever_showed_a_token_stays() {
        let doors = Doors::default();
        let mut inside = Vec::new();
        for n in 0..MOST {
            inside.push(doors.enter(host(n)).await.unwrap());
        }
        inside[0].keep();
        let entering = tokio::spawn({
            let doors = doors.clone();
            async move { doors.enter(host(MOST)).await }
        });
        inside[1].taken().await;
        assert!(inside[0].taken().now_or_never().is_none() && inside[2].taken().now_or_never().is_none());
        inside.remove(1);
        assert!(entering.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn among_none_but_known_ones_the_next_waits_for_a_place() {
        let doors = Doors::default();
        let mut inside = Vec::new();
        for n in 0..MOST {
            inside.push(doors.enter(host(n)).await.unwrap());
            inside[n].keep();
        }
        let mut entering = Box::pin(doors.enter(host(0)));
        assert!((&mut entering).now_or_never().is_none());
        inside.pop();
        assert!(entering.await.is_some());
    }

    #[tokio::test]
    async fn one_address_holds_few_unknown_connections_and_this_machine_any_number() {
        let doors = Doors::default();
        let from = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, n, 0, 0, 1]));
        let inside: Vec<Place> = futures::future::join_all((0..32).map(|n| doors.enter(from(n))))
            .await
            .into_iter()
            .map(Option::unwrap)
            .collect();
        assert!(doors.enter(from(99)).await.is_none(), "a /64 is one address");
        assert!(doors.enter(host(1)).await.is_some());
        inside[0].keep();
        assert!(doors.enter(from(99)).await.is_some());
        let local = Some(IpAddr::from([127, 0, 0, 1]));
        for _ in 0..2 * UNKNOWN {
            assert!(doors.enter(local).await.is_some());
        }
    }
}
