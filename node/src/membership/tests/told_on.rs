//! What one node learns of the admin log reaches those who are linked with it alone.

use std::sync::Mutex;

use super::*;

/// Answers hellos as a member with this roster, and serves the log that goes with it.
fn serving_log(
    roster: Roster,
) -> impl FnMut(hello_request::Request) -> hello_response::Response + Send + 'static {
    move |request| match request {
        hello_request::Request::PullAdmin(PullAdmin { from_height, .. }) => {
            let records = roster.records().filter(|record| record.height.get() >= from_height);
            let records = records.map(|record| record.record.clone()).collect();
            hello_response::Response::AdminPage(AdminPage { records, ..AdminPage::default() })
        }
        _ => hello_response::Response::Greeted(admitting(&roster)),
    }
}

/// As after a partition: one of its ends comes back with a revocation that was gossiped on the other side only, to somebody
/// who has links that the end has not.
#[tokio::test]
async fn what_a_pull_brought_is_told_on_to_linked_peers() {
    let (mut coalition, alice, bob) = pair();
    let carol = coalition.issue(3, &[CIDR]);
    let earlier = coalition.roster.clone();
    coalition.issue(4, &[CIDR]);
    let mut end = Site::new(&coalition, &alice).await;
    let _tasks = answering(&mut end, serving_log(coalition.roster.clone()), nothing);
    let middle = Running::start(Site::knowing(&coalition, earlier.clone(), &bob).await);
    let mut far = Running::start(Site::knowing(&coalition, earlier, &carol).await);
    far.site.connect(&middle.site).await;
    far.ready(&middle.site).await;
    middle.site.connect(&end).await;
    eventually("the log at the far one", async || {
        far.site.roster.snapshot().version() == coalition.roster.version()
    })
    .await;
}

/// Gossip that was dropped is dropped for good, and the link it was for may stand all the same.
#[tokio::test]
async fn who_says_nothing_of_what_was_gossiped_is_told_of_it() {
    let (mut coalition, alice, bob) = pair();
    let earlier = coalition.roster.clone();
    coalition.issue(3, &[CIDR]);
    let mut deaf = Site::knowing(&coalition, earlier.clone(), &alice).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (hearing, says) = (Arc::clone(&heard), admitting(&earlier));
    let hello = move |request| {
        if let hello_request::Request::Greet(greet) = request {
            hearing.lock().unwrap().push(greet.roster.unwrap().height);
        }
        hello_response::Response::Greeted(says.clone())
    };
    let _tasks = answering(&mut deaf, hello, nothing);
    let mut node = Running::start(Site::knowing(&coalition, earlier.clone(), &bob).await);
    node.site.connect(&deaf).await;
    node.ready(&deaf).await;
    let record = coalition.roster.records().last().unwrap().record.clone();
    let file = schema::LogFile { records: vec![record], ..schema::LogFile::default() };
    assert!(node.import.offer(file).await);
    let (before, after) = (earlier.version().height.get(), coalition.roster.version().height.get());
    eventually("a hello that says so", async || heard.lock().unwrap().contains(&after)).await;
    assert_eq!(heard.lock().unwrap().first(), Some(&before));
}
