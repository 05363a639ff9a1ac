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
