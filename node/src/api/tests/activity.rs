//! Give and take: counted, and not too often.

use std::time::Duration;

use super::{
    coalition::CLOUD,
    site::{Put, Site},
};
use crate::{
    clock,
    query::{Month, Scope},
};

#[tokio::test(start_paused = true)]
async fn figures_are_counted_once_a_minute_whoever_asks_and_only_of_groups_the_token_reads() {
    let site = Site::new().await;
    let all = site.reader().await;
    let cloud = site.token("cloud", Scope::reads([CLOUD])).await;
    let last_month = Month::last().to_string().parse().unwrap();
    let put = |n| Put { group: CLOUD, created: Some(last_month), ..Put::indicator(n) };
    let given = async |token: &str| {
        let told = site.get(token, "/api/v1/activity").await.ok()["activity"].clone();
        let told = told.as_array().unwrap();
        let of = told.iter().find(|group| group["group"] == "cloud-security").unwrap();
        // These messages have no key, as withdrawals have none.
        (told.len() > 1, of["given"]["withdrawals"].as_u64().unwrap())
    };
    // One that is of this month counts for none that is over.
    site.put(&[put(1), put(2), Put { created: Some(clock::now()), ..put(3) }]).await;
    assert_eq!(given(&all).await, (true, 2));
    site.put(&[put(4)]).await;
    assert_eq!((given(&cloud).await, given(&all).await), ((false, 2), (true, 2)));
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(given(&cloud).await, (false, 3));
}
