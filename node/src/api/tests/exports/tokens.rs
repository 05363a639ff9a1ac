//! What is kept of an export, and for whom.

use axum::{body::Body, http::header};
use belfry_proto::stix::{egress::Audience, marking::Tlp};

use super::{DOMAINS, domain, profiles};
use crate::{
    api::tests::site::{Put, Site, get, nothing},
    clock,
    query::{Groups, Scope},
    store::Conditions,
};

#[tokio::test]
async fn what_is_kept_for_one_token_is_told_to_no_other_that_may_have_less() {
    let site = Site::exporting(&profiles(&[("fw", "list", DOMAINS)])).await;
    let embargo_until = clock::now().as_micros() + 3_600_000_000;
    let conditions = Conditions { embargo_until, ..Conditions::default() };
    site.put(&[
        domain(1, "amber.be"),
        domain(2, "green.be").tlp(Tlp::Green),
        Put { conditions, ..domain(3, "soon.be").tlp(Tlp::Green) },
    ])
    .await;
    let green = |audience| Scope { read: Groups::All, ceiling: Tlp::Green, audience, ..nothing() };
    let lists = [
        (site.reader().await, "amber.be\ngreen.be\nsoon.be\n"),
        (site.token("inside", green(Audience::Inside)).await, "green.be\nsoon.be\n"),
        (site.token("outside", green(Audience::Outside)).await, "green.be\n"),
    ];
    let mut tags = Vec::new();
    for (token, expected) in &lists {
        let made = site.export(token, "fw").await;
        assert_eq!(String::from_utf8_lossy(&made.body), *expected);
        assert_eq!(site.text(token, "fw?limit=9").await, *expected);
        tags.push(made.header("etag").unwrap().to_owned());
    }
    for ((token, expected), own) in lists.iter().zip(&tags) {
        assert_eq!(site.text(token, "fw").await, *expected, "as it is kept");
        assert_eq!(format!("\"{}\"", site.text(token, "fw.md5").await.trim()), *own);
        for tag in &tags {
            let request = get("/api/v1/exports/fw")
                .header(header::AUTHORIZATION, format!("Bearer {token}"))
                .header(header::IF_NONE_MATCH, tag);
            let answer = site.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status == 304, tag == own, "{expected:?} {tag}");
        }
    }
}
