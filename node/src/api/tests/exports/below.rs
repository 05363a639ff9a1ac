//! What lies below a domain that stands in an export.

use super::{domain, profiles};
use crate::api::tests::site::Site;

#[tokio::test]
async fn names_below_a_domain_are_met_with_it_and_what_is_allowed_among_them_is_left_alone() {
    let exports =
        profiles(&[("zone", "rpz", ""), ("log", "rpz", "action = \"detect\""), ("ids", "suricata", "")]);
    let site =
        Site::exporting(&(exports + "[lists]\nallow = [\"good.host.be\", \"own.be\", \"x.deep.host.be\"]\n"))
            .await;
    let token = site.reader().await;
    site.put(&[domain(1, "host.be"), domain(2, "evil-1.be"), domain(3, "own.be"), domain(4, "co.uk")]).await;
    let names = async |zone: &str| -> Vec<String> {
        let zone = site.text(&token, zone).await;
        zone.lines().filter(|line| line.contains("CNAME")).map(str::to_owned).collect()
    };
    let blocked =
        ["co.uk CNAME .", "evil-1.be CNAME .", "*.evil-1.be CNAME .", "host.be CNAME .", "*.host.be CNAME ."];
    let spared = [
        "good.host.be CNAME rpz-passthru.",
        "*.good.host.be CNAME rpz-passthru.",
        "x.deep.host.be CNAME rpz-passthru.",
        "*.x.deep.host.be CNAME rpz-passthru.",
    ];
    // A zone that has a name has those above it: what lies below the listed domain would end there.
    let between = ["deep.host.be CNAME . ; between two names", "*.deep.host.be CNAME . ; between two names"];
    assert_eq!(names("zone").await, [&blocked[..], &spared, &between].concat());
    let logged = names("log").await;
    assert_eq!(logged.len(), 5);
    assert!(
        logged.iter().all(|line| line.ends_with("rpz-passthru.") && !line.contains("good")),
        "{logged:?}"
    );
    let rules = site.text(&token, "ids").await;
    for options in [
        "dns.query; content:\".evil-1.be\"; nocase; endswith; ",
        "tls.sni; content:\".evil-1.be\"; nocase; endswith; ",
        "http.host; content:\".evil-1.be\"; endswith; ",
    ] {
        assert!(rules.contains(options), "{options}\n{rules}");
    }
    assert!(!rules.contains("content:\".host.be\"") && !rules.contains("own.be"), "{rules}");
    assert!(!rules.contains(".co.uk"), "everybody has names below it");
    assert_eq!(
        site.text(&token, "ids/ids-domain.lst").await.lines().count(),
        3,
        "itself it is met all the same"
    );
}
