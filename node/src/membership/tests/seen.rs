//! When entries of the admin log came.

use belfry_proto::id::Height;

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::test]
async fn what_came_under_a_clock_that_ran_ahead_is_of_now_as_soon_as_others_vouch_for_ours() {
    let (coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let seen = || site.store.first_seen(Height::new(2)).unwrap();
    // The clock that noted them is a year ahead of this.
    let (noted, now) = (seen(), clock::now().saturating_sub(YEAR));
    for doubtful in [vec![], vec![365 * 24 * 3_600_000_000]] {
        membership.hellos.send_replace(Hellos::told(&doubtful));
        membership.mend_seen(now).await;
        assert_eq!(seen(), noted);
    }
    membership.hellos.send_replace(Hellos::told(&[0]));
    membership.mend_seen(now).await;
    assert_eq!(seen(), Some(now));
}

#[tokio::test]
async fn what_came_under_a_clock_that_was_behind_is_of_the_time_at_which_others_vouch_for_ours() {
    let (mut coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    let seen = |height| site.store.first_seen(Height::new(height)).unwrap();
    let newest = |coalition: &Coalition| coalition.roster.records().last().unwrap().record.clone();
    let before = seen(2);
    coalition.issue(3, &[CIDR]);
    assert!(membership.offer(Vec::new(), vec![newest(&coalition)]).await);
    membership.mend_seen(clock::now()).await;
    // The clock that noted it was a year behind this.
    let now = clock::now().saturating_add(YEAR);
    assert_eq!(seen(3), None, "nobody vouches yet");
    membership.hellos.send_replace(Hellos::told(&[0, 0]));
    membership.mend_seen(now).await;
    assert_eq!((seen(2), seen(3)), (before, Some(now)));
    // What came while others vouched is as old as it says, whatever is doubted later.
    coalition.issue(4, &[CIDR]);
    assert!(membership.offer(Vec::new(), vec![newest(&coalition)]).await);
    let came = seen(4);
    for told in [vec![], vec![0, 0]] {
        membership.hellos.send_replace(Hellos::told(&told));
        membership.mend_seen(now.saturating_add(YEAR)).await;
    }
    assert_eq!((seen(3), seen(4)), (Some(now), came));
}

#[tokio::test]
async fn what_is_in_doubt_is_put_right_also_where_others_vouched_at_the_look_before() {
    let (mut coalition, alice, _) = pair();
    let site = Site::new(&coalition, &alice).await;
    let mut membership = membership(&site, &Feed::default());
    membership.hellos.send_replace(Hellos::told(&[0, 0]));
    membership.mend_seen(clock::now()).await;
    // As by a clock that was set, and set back.
    site.store.vouch_clock(None);
    coalition.issue(3, &[CIDR]);
    site.hear(&coalition.roster).await;
    let (seen, now) = (|| site.store.first_seen(Height::new(3)).unwrap(), clock::now());
    assert_eq!(seen(), None);
    membership.mend_seen(now).await;
    assert_eq!(seen(), Some(now));
}
