//! What hooks do with indicators that are not valid yet.

use std::{path::Path, time::Duration};

use belfry_proto::{schema::Pap, time::Timestamp};
use serde_json::{Value, json};

use super::{Receiver, Running, id, indicator, webhook};
use crate::{
    api::tests::{
        coalition::OWN,
        site::{Put, Site},
    },
    clock,
    config::{Config, Hook},
};

const BLOCK: &str = "action = \"block\"";

fn hook(more: &str) -> Hook {
    let text = webhook(1, more).replace("SECRET", "/secret");
    Config::parse(&text, Path::new("belfry.toml")).unwrap().webhooks.remove(0).hook
}

/// Indicator `n`, valid from then on.
fn begins(n: u32, from: Timestamp) -> Put {
    let pattern = format!("[domain-name:value = 'c2-{n}.be']");
    Put::pattern(n, &pattern, &json!({ "valid_from": from.to_string() }))
}

#[tokio::test]
async fn what_blocks_waits_for_what_is_not_valid_yet_and_who_only_looks_is_told_when_it_will_be() {
    let site = Site::new().await;
    let from = clock::now().saturating_add(Duration::from_secs(3_600));
    let drops = Put::pattern(
        3,
        "drop tcp any any -> any any (msg:\"x\"; sid:3;)",
        &json!({ "pattern_type": "suricata", "valid_from": from.to_string() }),
    );
    site.put(&[begins(1, from), indicator(2), drops]).await;
    let leaving = async |more: &str| {
        let leaving = site.query.leaving(&hook(more), 0, clock::now()).await.unwrap();
        let held: Vec<_> = leaving.held.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        let rows = leaving.rows.into_iter();
        let rows: Vec<_> = rows.map(|row| (row.released.object().id().to_owned(), row.from)).collect();
        (rows, held, leaving.later)
    };
    let (rows, held, later) = leaving("").await;
    assert_eq!(rows, [(id(1), Some(from)), (id(2), None)]);
    assert_eq!(
        (held, later),
        (vec![("not-yet", 1)], vec![(3, from, OWN)]),
        "a rule that stops traffic waits"
    );
    let (rows, held, later) = leaving(BLOCK).await;
    assert_eq!((rows, held), (vec![(id(2), None)], vec![("not-yet", 2)]));
    assert_eq!(later, [(1, from, OWN), (3, from, OWN)]);
    // Once that time is vouched for.
    for (number, found) in site.query.leaving_late(&hook(BLOCK), &[1, 3], from).await.unwrap() {
        let ids: Vec<&str> = found.rows.iter().map(|row| row.released.object().id()).collect();
        assert_eq!((ids, found.later), (vec![id(u32::try_from(number).unwrap()).as_str()], vec![]));
    }
}

/// The same, said anew.
fn newer(Put { json, pap, .. }: Put) -> Put {
    let mut json = json.unwrap();
    json["modified"] = json!("2026-02-01T00:00:00.000Z");
    Put { pap, ..Put::json(json) }
}

#[tokio::test]
async fn what_waited_gives_way_to_what_its_author_says_since_and_to_nothing_that_the_hook_may_not_have() {
    let site = Site::exporting("[lists]\nallow = [\"own.be\"]\n").await;
    let rule = |action: &str| {
        let pattern = format!("{action} tcp any any -> any any (msg:\"x\"; sid:1;)");
        let rule = Put::pattern(1, &pattern, &json!({ "pattern_type": "suricata" }));
        Put { pap: Pap::Amber.into(), ..rule }
    };
    let named =
        |n: u32, name: &str, more: Value| Put::pattern(n, &format!("[domain-name:value = '{name}']"), &more);
    let over = json!({ "valid_from": "2020-01-01T00:00:00.000Z", "valid_until": "2020-01-02T00:00:00.000Z" });
    for (before, after) in [
        // What stops traffic needs more than its author permits, whatever the hook does with all else.
        (rule("alert"), rule("drop")),
        (indicator(2), named(2, "www.own.be", json!({}))),
        (indicator(3), named(3, "c2-3.be", over)),
        (indicator(4), named(4, "c2-4.be", json!({ "indicator_types": ["benign"] }))),
        (indicator(5), named(5, "other.be", json!({}))),
        (begins(6, clock::now()), begins(6, clock::now().saturating_add(Duration::from_secs(3_600)))),
    ] {
        site.put(&[before, newer(after)]).await;
    }
    let late = async |more: &str| -> Vec<u64> {
        let late = site.query.leaving_late(&hook(more), &[1, 3, 5, 7, 9, 11], clock::now()).await.unwrap();
        late.iter().flat_map(|(_, found)| &found.rows).map(|row| row.number).collect()
    };
    assert_eq!(late("").await, [1]);
    assert_eq!(late(BLOCK).await, [0; 0], "what begins later will go out");
}

#[tokio::test]
async fn what_begins_later_goes_to_what_blocks_when_it_does_and_is_told_with_its_time_to_others() {
    let site = Site::new().await;
    let (mut blocks, mut looks) = (Receiver::start("").await, Receiver::start("").await);
    let others = webhook(looks.port, "").replace("\"soar\"", "\"siem\"");
    let _running = Running::start(&site, &(webhook(blocks.port, BLOCK) + &others)).await;
    let from = clock::now().saturating_add(Duration::from_secs(5));
    site.put(&[begins(1, from), indicator(2)]).await;
    let told = looks.next().await;
    assert_eq!((told.id(), &told.json()["data"]["valid_from"]), (id(1), &json!(from)));
    let told = looks.next().await;
    assert_eq!((told.id(), told.json()["data"].get("valid_from")), (id(2), None));
    assert_eq!(blocks.ids(2).await, [id(2), id(1)], "it holds up nothing else");
    assert!(clock::now() >= from, "and not before");
}
