//! Long frontiers, of which slices are compared.

use std::sync::Mutex;

use belfry_proto::{
    schema::{PullSlices, Slices},
    sync::slices::Only,
};
use futures::future::join_all;

use super::*;

/// Forty logs of one author, two entries each.
fn logs_of(coalition: &Coalition, author: &Seat) -> Vec<Vec<Decoded>> {
    (0..40).map(|n| coalition.messages_of(author, CIDR, [n; 16], None, 2)).collect()
}

/// A node that serves, but for what is answered for it.
fn amended(
    site: &mut Site,
    mut answers: impl FnMut(&Request) -> Option<Response> + Send + 'static,
) -> JoinSet<()> {
    let (mut asked, (pass, passed)) = (site.inbound.take().unwrap().sync, tokio::sync::mpsc::channel(64));
    let counters = Arc::new(Counters::default());
    let serving = Serving {
        store: site.store.clone(),
        roster: site.roster.clone(),
        counters,
        contacts: Contacts::unheard(&site.store),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(question) = asked.recv().await {
            match question.request.request.as_ref().and_then(&mut answers) {
                Some(response) => question.reply.send(SyncResponse { response: Some(response) }),
                None => pass.send(question).await.unwrap(),
            }
        }
    });
    tasks.spawn(serving.run(passed));
    tasks
}

/// A node that serves, and keeps what it was asked.
fn overheard(site: &mut Site) -> (Arc<Mutex<Vec<Request>>>, JoinSet<()>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let tasks = amended(site, move |request| {
        kept.lock().unwrap().push(request.clone());
        None
    });
    (heard, tasks)
}

#[tokio::test]
async fn of_many_logs_those_are_listed_that_may_differ_and_level_ones_cost_a_hash() {
    let (coalition, [alice, bob, _]) = three();
    let logs = logs_of(&coalition, &alice);
    let mut holder = Site::new(&coalition, &alice).await;
    let puller = Puller::start(&coalition, &bob).await;
    for (n, log) in logs.iter().enumerate() {
        holder.hold(log).await;
        puller.site.hold(if n == 7 { &log[..1] } else { log }).await;
    }
    let (heard, _tasks) = overheard(&mut holder);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&logs[7]).await;
    puller.ready(&holder);
    eventually("a level comparison", async || puller.counters.snapshot().level > 0).await;
    assert_eq!(puller.counters.snapshot().faults, 0);
    let heard = heard.lock().unwrap().clone();
    let pulls: Vec<&PullSlices> = heard
        .iter()
        .filter_map(|request| match request {
            Request::Slices(pull) => Some(pull),
            _ => None,
        })
        .collect();
    assert!(heard.iter().all(|request| !matches!(request, Request::Frontier(_))), "never the whole list");
    let listed: Vec<u64> = pulls.iter().map(|pull| pull.only).filter(|only| *only != 0).collect();
    // Each comparison before the log is level lists anew.
    assert!(!listed.is_empty(), "{pulls:?}");
    assert!(listed.iter().all(|only| *only == listed[0]), "{pulls:?}");
    assert_eq!(listed[0].count_ones(), 1, "the slice of the one log");
}

/// As if between its two answers it had become one that speaks number 1, where the question for slices is the one for the list.
#[tokio::test]
async fn a_peer_that_lists_more_than_was_asked_for_is_followed_and_not_blamed() {
    let (coalition, [alice, bob, _]) = three();
    let logs = logs_of(&coalition, &alice);
    let mut holder = Site::new(&coalition, &alice).await;
    let puller = Puller::start(&coalition, &bob).await;
    for (n, log) in logs.iter().enumerate() {
        holder.hold(log).await;
        puller.site.hold(if n == 7 { &log[..1] } else { log }).await;
    }
    let whole = holder.store.frontier(CIDR);
    let list = frontier::part_of(*whole.hash(), whole.logs(), None, Only::ALL);
    let _tasks = amended(&mut holder, move |request| match request {
        Request::Slices(pull) if pull.only != 0 => Some(Response::Frontier(list.clone())),
        _ => None,
    });
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&logs[7]).await;
    assert_eq!(puller.counters.snapshot().faults, 0);
    assert_eq!(puller.refused(Way::FrontierAnswer, "frontier-other-hash"), 0);
}

/// Sums that differ nowhere, and a list that has not the hash it comes with, nor the one that came with the sums.
#[tokio::test]
async fn a_whole_list_is_checked_whatever_was_told_before_it() {
    let (coalition, [alice, bob, carol]) = three();
    let puller = Puller::start(&coalition, &bob).await;
    for log in &logs_of(&coalition, &alice) {
        puller.site.hold(log).await;
    }
    let sums = puller.site.store.frontier(CIDR).sums().to_vec();
    let mut liar = Site::new(&coalition, &carol).await;
    let _lying = misbehave(&mut liar, move |request| match request {
        Request::Slices(_) => Some(Response::Slices(Slices { hash: vec![1; 32], sums: sums.clone() })),
        Request::Frontier(_) => {
            Some(Response::Frontier(Frontier { hash: vec![2; 32], ..Frontier::default() }))
        }
        _ => None,
    });
    puller.site.connect(&liar).await;
    puller.ready(&liar);
    let code = "frontier-other-hash";
    eventually(code, async || puller.refused(Way::FrontierAnswer, code) > 0).await;
}

#[tokio::test]
async fn a_liar_about_its_slices_is_blamed_and_what_it_hides_comes_from_another() {
    type Lie = fn(Vec<u8>) -> Vec<u8>;
    let (coalition, [alice, bob, carol]) = three();
    let logs = logs_of(&coalition, &alice);
    // Sums that are cut short, or none; a list without the log that its sums promise.
    let lies: [(&str, Lie); 3] = [
        ("frontier-sums", |sums| sums[1..].to_vec()),
        ("frontier-sums", |_| Vec::new()),
        ("frontier-other-hash", |sums| sums),
    ];
    for (code, lie) in lies {
        let mut holder = Site::new(&coalition, &alice).await;
        let puller = Puller::start(&coalition, &bob).await;
        for (n, log) in logs.iter().enumerate() {
            holder.hold(log).await;
            puller.site.hold(if n == 7 { &log[..1] } else { log }).await;
        }
        let (_, _tasks) = serve(&mut holder);
        let theirs = holder.store.frontier(CIDR);
        let (hash, sums) = (theirs.hash().to_vec(), lie(theirs.sums().to_vec()));
        let mut liar = Site::new(&coalition, &carol).await;
        let _lying = misbehave(&mut liar, move |request| match request {
            Request::Slices(pull) if pull.only == 0 => {
                Some(Response::Slices(Slices { hash: hash.clone(), sums: sums.clone() }))
            }
            Request::Slices(_) => {
                Some(Response::Frontier(Frontier { hash: hash.clone(), ..Frontier::default() }))
            }
            _ => None,
        });
        puller.site.connect(&liar).await;
        puller.ready(&liar);
        eventually(code, async || puller.refused(Way::FrontierAnswer, code) > 0).await;
        puller.site.connect(&holder).await;
        puller.ready(&holder);
        puller.holds(&logs[7]).await;
    }
}

/// More logs than one reply lists: the one that is missing stands in the second part.
#[tokio::test]
async fn a_group_of_more_logs_than_a_list_holds_converges() {
    let (coalition, [alice, bob, _]) = three();
    let messages = coalition.messages(&alice, CIDR, None, 3);
    let mut holder = Site::new(&coalition, &alice).await;
    let puller_site = Site::new(&coalition, &bob).await;
    let many = belfry_proto::limits::MAX_FRONTIER_LOGS + 10;
    for site in [&holder, &puller_site] {
        let commits = (0..many).map(|n| site.store.commit(Change::Envelope(Box::new(filler(n)))));
        assert!(join_all(commits).await.iter().all(Result::is_ok));
    }
    assert!(messages[0].header().log > filler(many).log, "in the second part");
    holder.hold(&messages).await;
    let (_, _tasks) = serve(&mut holder);
    let puller = Puller::start_in(puller_site);
    puller.site.connect(&holder).await;
    puller.ready(&holder);
    puller.holds(&messages).await;
}
