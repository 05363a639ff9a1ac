//! The doorstep alone, with connections that are numbers.

use super::*;
use crate::bucket::Rate;

const LIMITS: DoorstepLimits = DoorstepLimits {
    per_host: Rate { per_second: 2.0, burst: 10.0 },
    strangers: Rate { per_second: 4.0, burst: 20.0 },
    open_per_host: 4,
    open_strangers: 64,
    open_known: 64,
    open_hostless: 16,
};

fn host(n: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, n]))
}

/// Connections, each with a number of its own, and handshakes that take no time.
struct Door(Doorstep, usize, Instant);

impl Door {
    fn new() -> Self {
        let now = Instant::now();
        Self(Doorstep::new(LIMITS, now), 0, now)
    }

    fn begin(&mut self, from: Option<IpAddr>) -> Result<ConnectionId, TurnedAway> {
        self.1 += 1;
        let connection = ConnectionId::new_unchecked(self.1);
        self.0.knock(connection, from, self.2).map(|()| connection)
    }

    fn stranger(&mut self, from: Option<IpAddr>) -> Result<(), TurnedAway> {
        self.begin(from).map(|connection| self.0.was_a_strangers(connection))
    }

    fn member(&mut self, from: Option<IpAddr>) -> Result<(), TurnedAway> {
        self.begin(from).map(|connection| self.0.was_a_members(connection, self.2))
    }

    /// A member of which `from` is known to be the host.
    fn at_home(&mut self, from: Option<IpAddr>) -> (PeerId, ConnectionId) {
        let (peer, connection) = (PeerId::random(), self.begin(from).unwrap());
        self.0.was_a_members(connection, self.2);
        self.0.linked(connection, peer, from);
        (peer, connection)
    }

    /// Shares as large as if time had no part in this: only places count.
    fn patient(&mut self) {
        let any = Rate { per_second: 1e6, burst: 1e6 };
        self.0 = Doorstep::new(DoorstepLimits { per_host: any, strangers: any, ..LIMITS }, self.2);
    }

    /// Handshakes from there that do not end, as many as are begun.
    fn fill(&mut self, from: Option<IpAddr>) -> usize {
        (0..1000).take_while(|_| self.begin(from).is_ok()).count()
    }

    /// Strangers of many hosts, until all have used up what there is for all.
    fn flood(&mut self) {
        for n in 100..200 {
            while self.stranger(host(n)).is_ok() {}
        }
        assert_eq!(self.stranger(host(99)), Err(TurnedAway::Strangers));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_has_its_share_and_regains_it() {
    let mut door = Door::new();
    assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 10);
    assert_eq!(door.stranger(host(1)), Err(TurnedAway::Host));
    assert_eq!(door.stranger(host(2)), Ok(()), "another host's share is its own");
    door.2 += Duration::from_secs(2);
    assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn strangers_of_many_hosts_share_what_there_is_for_all() {
    let mut door = Door::new();
    assert_eq!((0..100).filter(|n| door.stranger(host(*n)).is_ok()).count(), 20);
    assert_eq!(door.stranger(host(200)), Err(TurnedAway::Strangers));
    door.2 += Duration::from_secs(1);
    assert_eq!((0..100).filter(|n| door.stranger(host(*n)).is_ok()).count(), 4);
}

#[tokio::test(start_paused = true)]
async fn one_host_that_floods_takes_nothing_from_the_others() {
    let mut door = Door::new();
    for _ in 0..1000 {
        let _ = door.stranger(host(1));
    }
    assert_eq!((0..8).filter(|_| door.stranger(host(2)).is_ok()).count(), 8);
}

#[tokio::test(start_paused = true)]
async fn hosts_that_knock_without_end_leave_half_to_whoever_comes_anew() {
    let mut door = Door::new();
    for _ in 0..120 {
        door.2 += Duration::from_secs(1);
        for n in 100..120 {
            while door.stranger(host(n)).is_ok() {}
        }
    }
    assert_eq!((0..8).filter(|_| door.stranger(host(1)).is_ok()).count(), 8);
    assert_eq!(door.stranger(host(100)), Err(TurnedAway::Strangers));
}

/// Until the half that is for all is used up, by hosts that take nothing of the other.
fn use_up_the_half_for_all(door: &mut Door) {
    for n in 100..110 {
        assert_eq!(door.stranger(host(n)), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_turned_away_by_its_own_share_keeps_what_there_is_for_modest_hosts() {
    let mut door = Door::new();
    assert_eq!(
        (0..10).filter(|_| door.stranger(host(1)).is_ok()).count(),
        10,
        "its own, of the half for all"
    );
    for _ in 0..100 {
        assert_eq!(door.stranger(host(1)), Err(TurnedAway::Host));
    }
    // Its own share is whole again, and what strangers share, too.
    door.2 += Duration::from_secs(5);
    use_up_the_half_for_all(&mut door);
    assert_eq!((0..10).filter(|_| door.stranger(host(1)).is_ok()).count(), 8, "all that is kept for it");
}

#[tokio::test(start_paused = true)]
async fn a_member_gets_back_what_it_took_of_what_there_is_for_modest_hosts() {
    let mut door = Door::new();
    use_up_the_half_for_all(&mut door);
    for _ in 0..100 {
        assert_eq!(door.member(host(1)), Ok(()));
    }
    assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 8, "and no more than that");
}

#[tokio::test(start_paused = true)]
async fn a_member_gets_back_what_it_took() {
    let mut door = Door::new();
    for _ in 0..1000 {
        assert_eq!(door.member(host(1)), Ok(()));
    }
    assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 10, "and no more than that");
}

#[tokio::test(start_paused = true)]
async fn a_flood_from_elsewhere_keeps_no_member_out_whose_host_is_known() {
    let mut door = Door::new();
    let (_, connection) = door.at_home(host(1));
    door.flood();
    assert_eq!(door.member(host(1)), Ok(()), "while it is linked");
    door.0.parted(connection, true, door.2);
    assert_eq!(door.member(host(1)), Ok(()), "and when it comes again");
    door.2 += LATELY;
    door.flood();
    assert_eq!(door.member(host(1)), Err(TurnedAway::Strangers), "not for ever");
}

#[tokio::test(start_paused = true)]
async fn the_host_of_who_was_revoked_is_a_strangers() {
    let mut door = Door::new();
    let (gone, first) = door.at_home(host(1));
    let (stays, second) = door.at_home(host(2));
    door.0.parted(first, true, door.2);
    door.0.parted(second, true, door.2);
    door.0.keep(|peer| *peer == stays);
    let (linked, third) = door.at_home(host(3));
    door.0.keep(|peer| *peer != linked && *peer != gone);
    door.0.parted(third, false, door.2);
    door.flood();
    assert_eq!(door.member(host(1)), Err(TurnedAway::Strangers));
    assert_eq!(door.member(host(2)), Ok(()));
    assert_eq!(door.member(host(3)), Err(TurnedAway::Strangers));
}

#[tokio::test(start_paused = true)]
async fn handshakes_that_do_not_end_leave_places_to_others() {
    let mut door = Door::new();
    door.at_home(host(9));
    let begun: Vec<ConnectionId> = (0..4).map(|_| door.begin(host(1)).unwrap()).collect();
    assert_eq!(door.begin(host(1)), Err(TurnedAway::HostOpen));
    assert!(door.begin(host(2)).is_ok() && door.begin(host(3)).is_ok());
    door.0.was_nobodys(begun[0], door.2);
    assert!(door.begin(host(1)).is_ok() && door.begin(host(1)).is_err());
    assert!(door.begin(host(9)).is_ok(), "known hosts have places of their own");
}

#[tokio::test(start_paused = true)]
async fn greedy_strangers_are_turned_away_before_modest_ones() {
    let mut door = Door::new();
    door.patient();
    let held: Vec<usize> = (0..16).map(|n| door.fill(host(n))).collect();
    assert!(held[0] == 4 && held.is_sorted_by(|a, b| a >= b), "{held:?}");
    assert!(held.iter().sum::<usize>() < 64, "sixteen hosts do not take every place: {held:?}");
    assert_eq!(door.begin(host(0)), Err(TurnedAway::HostOpen));
    assert!(door.begin(host(20)).is_ok());
    for n in 21..200 {
        door.fill(host(n));
    }
    assert_eq!(door.begin(host(200)), Err(TurnedAway::StrangersOpen));
}

/// libp2p turns everybody away, unasked, once there are as many as all the pools hold.
#[tokio::test(start_paused = true)]
async fn whoever_begins_and_does_not_end_there_is_a_place_for_the_other_members() {
    let mut door = Door::new();
    door.patient();
    for n in 1..=4 {
        door.at_home(host(n));
    }
    for n in 100..=255 {
        door.fill(host(n));
    }
    while door.begin(None).is_ok() {}
    assert_eq!(door.begin(host(99)), Err(TurnedAway::StrangersOpen));
    // Members' hosts may be hostile, too.
    let held: Vec<usize> = (1..=3).map(|n| door.fill(host(n))).collect();
    assert!(held[0] <= 8 && held.iter().all(|held| *held > 1), "{held:?}");
    assert_eq!(door.begin(host(1)), Err(TurnedAway::KnownOpen));
    assert!(door.begin(host(4)).is_ok());
    let limits = door.0.limits;
    assert!(door.0.open.len() < limits.open_strangers + limits.open_known + limits.open_hostless);
}

#[tokio::test(start_paused = true)]
async fn what_a_members_dial_began_in_vain_is_given_back_whether_it_ends_before_or_after() {
    let mut door = Door::new();
    for n in 0..1000 {
        let (first, second) = (door.begin(host(1)).unwrap(), door.begin(host(1)).unwrap());
        let (winner, loser) = if n % 2 == 0 { (first, second) } else { (second, first) };
        if n % 3 == 0 {
            door.0.was_nobodys(loser, door.2);
            door.0.was_a_members(winner, door.2);
        } else {
            door.0.was_a_members(winner, door.2);
            door.0.was_nobodys(loser, door.2);
        }
    }
    assert!(door.0.open.is_empty() && door.0.lost.is_empty());
    assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 10, "and no more than that");
}

#[tokio::test(start_paused = true)]
async fn a_member_gives_back_little_of_what_others_of_its_host_spent_and_nothing_late() {
    let mut door = Door::new();
    let spend = |door: &mut Door| {
        (0..9).for_each(|_| {
            let connection = door.begin(host(1)).unwrap();
            door.0.was_nobodys(connection, door.2);
        });
    };
    spend(&mut door);
    assert_eq!(door.member(host(1)), Ok(()));
    assert_eq!((0..100).filter(|_| door.stranger(host(1)).is_ok()).count(), 1 + LOSERS);

    door.2 += Duration::from_secs(3600);
    spend(&mut door);
    door.2 += HANDSHAKE + Duration::from_secs(1);
    // Long ago; what time has given back is all there is.
    assert_eq!(door.member(host(1)), Ok(()));
    assert!(door.0.lost.is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_this_node_looks_for_a_member_it_expects_one() {
    let mut door = Door::new();
    let (peer, other) = (PeerId::random(), PeerId::random());
    door.0.sought(host(1).unwrap(), peer, door.2);
    // The word of another does not take its place, so it does not go with that one.
    door.0.sought(host(1).unwrap(), other, door.2);
    door.0.keep(|of| *of == peer);
    door.flood();
    assert_eq!(door.member(host(1)), Ok(()));
    door.0.keep(|_| false);
    assert_eq!(door.member(host(1)), Err(TurnedAway::Strangers));
}

#[tokio::test(start_paused = true)]
async fn a_known_host_that_has_used_up_its_share_is_told_apart() {
    let mut door = Door::new();
    door.at_home(host(1));
    while door.stranger(host(1)).is_ok() {}
    assert_eq!(door.stranger(host(1)), Err(TurnedAway::Known));
    assert!(TurnedAway::Known.is_known() && !TurnedAway::Host.is_known());
}

#[tokio::test(start_paused = true)]
async fn what_has_no_host_is_asked_for_a_place_alone() {
    let mut door = Door::new();
    door.flood();
    assert!((0..1000).all(|_| door.stranger(None).is_ok()));
    let begun: Vec<ConnectionId> = (0..16).map(|_| door.begin(None).unwrap()).collect();
    assert_eq!(door.begin(None), Err(TurnedAway::HostlessOpen));
    door.0.was_a_members(begun[0], door.2);
    assert!(door.begin(None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_whatever_hosts_are_made_up() {
    let mut door = Door::new();
    for n in 0..20_000_u32 {
        let _ = door.stranger(Some(IpAddr::from(n.to_be_bytes())));
    }
    assert!(door.0.hosts.len() <= 20, "{}", door.0.hosts.len());
    assert!(door.0.modest.len() <= 20, "{}", door.0.modest.len());
    door.patient();
    for n in 0..2 * u32::try_from(LOST).unwrap() {
        let connection = door.begin(Some(IpAddr::from(n.to_be_bytes()))).unwrap();
        door.0.was_nobodys(connection, door.2);
    }
    assert_eq!(door.0.lost.len(), LOST);
    for n in 0..2 * u32::try_from(HOSTS).unwrap() {
        let connection = ConnectionId::new_unchecked(usize::try_from(n).unwrap());
        door.0.linked(connection, PeerId::random(), Some(IpAddr::from(n.to_be_bytes())));
        door.0.parted(connection, true, door.2 + Duration::from_millis(n.into()));
    }
    door.0.sought(IpAddr::from([203, 0, 113, 1]), PeerId::random(), door.2);
    assert_eq!(door.0.lately.len(), HOSTS);
}
