//! The best of a list, for who has no room for all.

use super::*;

#[tokio::test]
async fn a_limited_list_has_the_best_and_then_the_newest_and_is_an_edition_of_its_own() {
    let site =
        Site::exporting(&profiles(&[("fw", "list", DOMAINS), ("table", "csv", ""), ("all", "list", "")]))
            .await;
    let token = site.reader().await;
    let scored = |n: u32, name: &str, confidence: u8| {
        Put::pattern(n, &format!("[domain-name:value = '{name}']"), &json!({ "confidence": confidence }))
    };
    site.put(&[scored(1, "best.be", 90)]).await;
    site.put(&[scored(2, "old.be", 60)]).await;
    site.put(&[scored(3, "new.be", 60)]).await;
    site.put(&[scored(4, "worst.be", 30), Put::pattern(5, "[ipv4-addr:value = '45.155.205.1']", &json!({}))])
        .await;
    assert_eq!(site.text(&token, "fw?limit=1").await, "best.be\n");
    let two = site.export(&token, "fw?limit=2").await;
    assert_eq!(two.body, b"best.be\nnew.be\n", "in the list's own order");
    assert_eq!(two.header("x-belfry-entries"), Some("2"));
    let tag = two.header("etag").unwrap().to_owned();
    assert_eq!(format!("\"{}\"", site.text(&token, "fw.md5?limit=2").await.trim()), tag);
    assert_ne!(site.export(&token, "fw").await.header("etag"), Some(tag.as_str()));
    let again = async || {
        let request = get("/api/v1/exports/fw?limit=2")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::IF_NONE_MATCH, &tag);
        site.send(request.body(Body::empty()).unwrap()).await.status.as_u16()
    };
    assert_eq!(again().await, 304);
    site.put(&[scored(6, "less.be", 20)]).await;
    assert_eq!(again().await, 304, "what changes behind the limit changes nothing");
    site.put(&[scored(7, "newest.be", 60)]).await;
    assert_eq!(again().await, 200);
    assert_eq!(site.text(&token, "fw?limit=99").await, site.text(&token, "fw").await);
    // Each file by itself.
    assert_eq!(site.text(&token, "all/domain-name.txt?limit=1").await, "best.be\n");
    assert_eq!(site.text(&token, "all/ipv4-addr.txt?limit=1").await, "45.155.205.1\n");
    for path in ["fw?limit=0", "fw?limit=all", "fw?limit=1&limit=2", "table?limit=1"] {
        let refused = site.export(&token, path).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "bad-parameter"), "{path}");
    }
}

/// Whoever asks for one number after the other has nothing made, and puts out nothing that others poll.
#[tokio::test]
async fn whatever_number_is_asked_for_it_is_cut_from_the_one_list_that_is_kept() {
    let site =
        Site::exporting(&profiles(&[("fw", "list", DOMAINS), ("empty", "list", "types = [\"url\"]")])).await;
    let token = site.reader().await;
    let names = ["a.be", "b.be", "c.be", "d.be", "e.be"];
    let puts: Vec<Put> = names.iter().zip(1..).map(|(name, n)| domain(n, name)).collect();
    site.put(&puts).await;
    let polled = site.export(&token, "fw").await.header("etag").unwrap().to_owned();
    let (first, nothing) =
        (site.export(&token, "fw?limit=3").await, site.text(&token, "empty?limit=1").await);
    assert_eq!((first.header("x-belfry-entries"), nothing.as_str()), (Some("3"), ""));
    let exports = &site.app.exports;
    assert_eq!(exports.kept(), (3, 3), "the whole list, and of each limited one that which it is cut from");
    // Nobody makes anything any more.
    let _others = exports.without_turns().unwrap();
    for most in (1..=24).filter(|most| *most != 3) {
        let lines = site.text(&token, &format!("fw?limit={most}")).await.lines().count();
        assert_eq!(lines, most.min(names.len()), "{most}");
        assert_eq!(site.text(&token, &format!("empty?limit={most}")).await, "");
    }
    assert_eq!(exports.kept(), (3, 3));
    let again = site.export(&token, "fw").await;
    assert_eq!(again.header("etag"), Some(polled.as_str()));
}
