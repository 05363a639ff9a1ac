//! Wishes and questions, on a clock of their own.

use belfry_proto::crypto::sign::SigningKey;

use super::*;

const GROUP: GroupId = GroupId::new(5);

fn node(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public()
}

fn member(n: u8) -> MemberId {
    MemberId::new([n; 16])
}

fn key(n: u32, author: u8) -> KeyId {
    let mut key = [author; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    KeyId::new(key)
}

/// Members 1 to `count`, node `n` of member `n` each.
fn holders(count: u8) -> Holders {
    BTreeMap::from([(GROUP, (1..=count).map(|n| (member(n), node(n))).collect())])
}

fn wishing(keys: u32, author: u8, now: Instant) -> Wishes {
    let mut wishes = Wishes::default();
    (0..keys).for_each(|n| wishes.wish(key(n, author), GROUP, member(author), now));
    wishes
}

fn kept(question: &Question) -> Answer {
    Answer::Kept { keys: question.keys.clone(), later: Vec::new() }
}

const NOTHING: Answer = Answer::Kept { keys: Vec::new(), later: Vec::new() };

#[tokio::test(start_paused = true)]
async fn one_authors_junk_keys_leave_room_for_everybody_elses() {
    let (mut wishes, now) = (Wishes::default(), Instant::now());
    (0..5_000).for_each(|n| wishes.wish(key(n, 1), GROUP, member(1), now));
    assert_eq!(wishes.wishes.len(), PER_AUTHOR);
    wishes.wish(key(0, 2), GROUP, member(2), now);
    assert_eq!(wishes.wishes.len(), PER_AUTHOR + 1);
    for author in 3..=200 {
        (0..99).for_each(|n| wishes.wish(key(n, author), GROUP, member(author), now));
    }
    assert_eq!(wishes.wishes.len(), AT_ONCE);
}

/// Lets everybody refuse everything until nothing is to be asked at this moment.
fn refuse_all(wishes: &mut Wishes, holders: &Holders, now: Instant) -> usize {
    let mut asked = 0;
    loop {
        let questions = wishes.next(holders, now);
        if questions.is_empty() {
            return asked;
        }
        for question in questions {
            asked += question.keys.len();
            wishes.answered(&question, &NOTHING, now);
        }
    }
}

/// A late joiner: thousands of keys that nobody may give it yet, and then a message of today.
#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_had_keep_no_new_one_from_being_asked_for_at_once() {
    let mut now = Instant::now();
    let mut wishes = Wishes::default();
    for author in 1..=20 {
        (0..400).for_each(|n| wishes.sweep(key(n, author), GROUP, member(author), now));
    }
    assert_eq!(wishes.wishes.len(), AT_ONCE);
    for _ in 0..5 {
        refuse_all(&mut wishes, &holders(30), now);
        now = wishes.wakes(now).unwrap();
    }
    refuse_all(&mut wishes, &holders(30), now);
    // Of an author with as many of them as it may have, and of one that has none yet.
    for author in [7, 30] {
        wishes.wish(key(9_999, author), GROUP, member(author), now);
        let questions = wishes.next(&holders(30), now);
        let asked = questions.iter().find(|question| question.peer == node(author)).unwrap();
        assert_eq!(asked.keys, [key(9_999, author)], "alone, and of its author");
    }
    assert_eq!(wishes.wishes.len(), AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_key_that_nobody_gives_now_is_told_so() {
    let now = Instant::now();
    let mut wishes = wishing(2, 1, now);
    assert_eq!(wishes.take_refused(), [], "it is being asked for");
    refuse_all(&mut wishes, &holders(3), now);
    assert_eq!(
        wishes.take_refused().iter().collect::<BTreeSet<_>>(),
        [key(0, 1), key(1, 1)].iter().collect()
    );
    assert_eq!(wishes.take_refused(), [], "once");
    wishes.wish(key(1, 1), GROUP, member(1), now);
    assert_eq!(wishes.take_refused(), [key(1, 1)], "while it rests, at once");
    let rested = wishes.wakes(now).unwrap();
    wishes.wish(key(1, 1), GROUP, member(1), rested);
    assert_eq!(wishes.take_refused(), [], "then it is asked for again");
    // With nobody here to ask, and without a place.
    let mut alone = wishing(u32::try_from(PER_AUTHOR).unwrap(), 1, now);
    assert_eq!(alone.take_refused(), []);
    alone.wish(key(9_999, 1), GROUP, member(1), now);
    assert_eq!(alone.take_refused(), [key(9_999, 1)]);
    assert_eq!(alone.next(&Holders::new(), now), []);
    assert_eq!(alone.take_refused().len(), PER_AUTHOR);
}

/// In the list they take turns with those that had no place, so whatever can be had is asked for in the end.
#[tokio::test(start_paused = true)]
async fn a_key_behind_thousands_that_cannot_be_had_comes_in_its_turn() {
    let mut now = Instant::now();
    let (mut wishes, mut turn) = (Wishes::default(), (0..5_000_u32).cycle());
    let (rare, holders) = (4_321_u32, holders(3));
    let begun = now;
    let found = 'found: loop {
        for n in turn.by_ref().take(SWEPT) {
            // Many authors, so that no one's share is the bound.
            let author = u8::try_from(n % 100 + 4).unwrap();
            wishes.sweep(key(n, author), GROUP, member(author), now);
        }
        loop {
            let questions = wishes.next(&holders, now);
            if questions.is_empty() {
                break;
            }
            for question in questions {
                let is_rare = |id: &KeyId| id.as_bytes()[..4] == rare.to_be_bytes();
                if question.keys.iter().any(is_rare) {
                    break 'found now - begun;
                }
                wishes.answered(&question, &NOTHING, now);
            }
        }
        assert!(now - begun < Duration::from_secs(3600), "never asked for");
        now += Duration::from_secs(5);
    };
    assert!(found < Duration::from_secs(600), "{found:?}");
}

/// What one peer is asked for the sake of keys that cannot be had: less than it gives anybody.
#[tokio::test(start_paused = true)]
async fn asking_in_vain_stays_below_what_a_peer_answers() {
    let begun = Instant::now();
    let (mut wishes, mut now, mut turn, mut asked) = (Wishes::default(), begun, (0..20_000_u32).cycle(), 0);
    while now - begun < Duration::from_secs(1_200) {
        for n in turn.by_ref().take(SWEPT) {
            let author = u8::try_from(n % 100 + 4).unwrap();
            wishes.sweep(key(n, author), GROUP, member(author), now);
        }
        asked += refuse_all(&mut wishes, &holders(1), now);
        now += Duration::from_secs(5);
    }
    let per_second = asked / 1_200;
    assert!(per_second <= 64, "{per_second} looks a second");
}

#[tokio::test(start_paused = true)]
async fn the_author_is_asked_first_and_once_for_all_its_keys() {
    let now = Instant::now();
    let mut wishes = wishing(60, 3, now);
    let questions = wishes.next(&holders(5), now);
    assert_eq!((questions.len(), questions[0].peer, questions[0].keys.len()), (1, node(3), 60));
    assert_eq!(wishes.next(&holders(5), now), [], "and nobody else while it may still answer");
    wishes.answered(&questions[0], &kept(&questions[0]), now);
    assert!(wishes.is_empty());
}

/// What a silent peer costs others: nothing. It costs its own keys a second.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_delays_no_other_key_and_its_own_by_a_second() {
    let mut now = Instant::now();
    let mut wishes = wishing(1, 1, now);
    wishes.wish(key(0, 2), GROUP, member(2), now);
    let questions = wishes.next(&holders(3), now);
    let [silent, other] = questions.as_slice() else { panic!("{questions:?}") };
    assert_eq!((silent.peer, other.peer), (node(1), node(2)), "at once");
    wishes.answered(other, &kept(other), now);
    assert_eq!(wishes.wakes(now), Some(now + HEDGE));
    now += HEDGE;
    let hedged = wishes.next(&holders(3), now);
    assert_eq!(hedged.len(), 1);
    assert!(hedged[0].peer != node(1) && hedged[0].keys == silent.keys);
    wishes.answered(&hedged[0], &kept(&hedged[0]), now);
    assert!(wishes.is_empty());
    // Its end does no harm any more.
    wishes.answered(silent, &Answer::Blamed, now);
    assert_eq!((wishes.under_way, wishes.next(&holders(3), now)), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_or_lies_is_asked_last_and_ever_less_often() {
    let begun = Instant::now();
    let (mut now, mut asked) = (begun, 0);
    let mut wishes = wishing(1, 1, now);
    while now < begun + Duration::from_secs(3600) {
        for question in wishes.next(&holders(1), now) {
            asked += 1;
            wishes.answered(&question, &Answer::Blamed, now);
        }
        now = wishes.wakes(now).unwrap();
    }
    assert!((8..60).contains(&asked), "{asked}");
    // Beside an honest peer it is not the first any more, though not an author's key is concerned.
    wishes.wish(key(7, 9), GROUP, member(9), now);
    now += LONGEST_BLAME;
    let questions = wishes.next(&holders(2), now);
    let of_new = questions.iter().find(|question| question.keys.contains(&key(7, 9))).unwrap();
    assert_eq!(of_new.peer, node(2));
}

#[tokio::test(start_paused = true)]
async fn many_silent_peers_are_bounded_in_number_and_in_what_they_hold_up() {
    let now = Instant::now();
    let mut wishes = Wishes::default();
    for author in 1..=200 {
        (0..4).for_each(|n| wishes.wish(key(n, author), GROUP, member(author), now));
    }
    let questions = wishes.next(&holders(200), now);
    assert_eq!(questions.len(), QUESTIONS);
    for peer in 1..=200 {
        assert!(questions.iter().filter(|question| question.peer == node(peer)).count() <= PER_PEER);
    }
    assert!(questions.iter().all(|question| question.keys.len() <= MAX_KEY_IDS));
}

#[tokio::test(start_paused = true)]
async fn everybody_is_asked_before_a_wish_rests_and_rests_grow() {
    let mut now = Instant::now();
    let mut wishes = wishing(1, 1, now);
    let mut rests = Vec::new();
    for _ in 0..10 {
        let mut peers = BTreeSet::new();
        while let [question] = wishes.next(&holders(3), now).as_slice() {
            peers.insert(question.peer);
            wishes.answered(question, &NOTHING, now);
        }
        assert_eq!(peers.len(), 3);
        let until = wishes.wakes(now).unwrap();
        rests.push(until - now);
        now = until;
    }
    assert!(rests.is_sorted() && rests[0] == FIRST_REST && rests[9] == LONGEST_REST, "{rests:?}");
}

/// A peer that comes back again and again is asked each time; nobody else is, and a rest ends for nobody else.
#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_and_goes_makes_us_ask_nobody_else() {
    let now = Instant::now();
    let mut wishes = wishing(1, 1, now);
    while let [question] = wishes.next(&holders(3), now).as_slice() {
        wishes.answered(question, &NOTHING, now);
    }
    for _ in 0..100 {
        wishes.came(&node(2));
        let questions = wishes.next(&holders(3), now);
        assert_eq!((questions.len(), questions[0].peer), (1, node(2)));
        wishes.answered(&questions[0], &NOTHING, now);
    }
    wishes.ask_anew();
    assert_eq!(wishes.next(&holders(3), now)[0].peer, node(1));
}

#[tokio::test(start_paused = true)]
async fn a_busy_peer_is_asked_again_a_little_later_and_not_blamed() {
    let mut now = Instant::now();
    let mut wishes = wishing(1, 1, now);
    for answer in [Answer::Paused, Answer::Kept { keys: Vec::new(), later: vec![key(0, 1)] }] {
        let questions = wishes.next(&holders(1), now);
        assert_eq!(questions.len(), 1);
        wishes.answered(&questions[0], &answer, now);
        assert_eq!(wishes.next(&holders(1), now), []);
        now = wishes.wakes(now).unwrap();
    }
    assert_eq!((wishes.next(&holders(1), now).len(), wishes.peers[&node(1)].faults), (1, 0));
}
