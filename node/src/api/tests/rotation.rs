//! Another secret for a token that stays what it is.

use std::time::Duration;

use serde_json::json;

use super::site::{Site, id_of, nothing, post};
use crate::{
    clock,
    query::{Groups, MAX_OVERLAP, Scope, TokenError},
};

#[tokio::test]
async fn a_rotated_token_keeps_its_name_and_scope_and_only_the_new_secret_opens() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope { admin: true, ..nothing() }).await;
    let siem = site.token("siem", Scope { read: Groups::All, ..nothing() }).await;
    let before = site.get(&admin, "/api/v1/tokens").await.ok();
    let answer = site.send(post(&admin, "/api/v1/tokens/siem/rotate", "application/json", "{}")).await.ok();
    let fresh = answer["token"].as_str().unwrap().to_owned();
    assert_eq!((id_of(&fresh), fresh == siem), (id_of(&siem), false));
    assert_eq!(site.get(&admin, "/api/v1/tokens").await.ok(), before);
    assert_eq!(site.get(&siem, "/api/v1/status").await.status, 401);
    assert_eq!(site.get(&fresh, "/api/v1/status").await.status, 200);
    let path = format!("/api/v1/tokens/{}/rotate", id_of(&siem));
    let again = site.send(post(&admin, &path, "application/json", r#"{"overlap_seconds":3600}"#)).await.ok();
    for good in [again["token"].as_str().unwrap(), &fresh] {
        assert_eq!(site.get(good, "/api/v1/status").await.status, 200);
    }
}

#[tokio::test]
async fn the_old_secret_ends_with_its_overlap_and_with_the_next_rotation() {
    let site = Site::new().await;
    let tokens = site.query.tokens();
    let old = site.token("siem", Scope { read: Groups::All, ..nothing() }).await;
    let (now, hour) = (clock::now(), Duration::from_secs(3_600));
    let new = tokens.rotate(id_of(&old), hour, now).await.unwrap().text.expose().to_owned();
    let just_before = now.saturating_add(hour - Duration::from_micros(1));
    assert!(tokens.verify(&old, just_before).is_ok());
    assert_eq!(tokens.verify(&old, now.saturating_add(hour)).unwrap_err(), TokenError::Unknown);
    assert!(tokens.verify(&new, now.saturating_add(hour)).is_ok());
    let newest = tokens.rotate(id_of(&old), hour, now).await.unwrap().text.expose().to_owned();
    assert_eq!(tokens.verify(&old, now).unwrap_err(), TokenError::Unknown);
    assert!(tokens.verify(&new, now).is_ok() && tokens.verify(&newest, now).is_ok());
}

#[tokio::test]
async fn rotation_says_what_is_wrong_with_it() {
    let site = Site::new().await;
    let admin = site.token("admin", Scope { admin: true, ..nothing() }).await;
    site.token("siem", Scope { read: Groups::All, ..nothing() }).await;
    site.expired(Scope { read: Groups::All, ..nothing() }).await;
    site.token("cli", Scope { read: Groups::All, ..nothing() }).await;
    let long = json!({ "overlap_seconds": MAX_OVERLAP.as_secs() + 1 }).to_string();
    for (token, body, status, code) in [
        ("nobody", "{}", 404, "unknown-token"),
        ("expired", "{}", 409, "token-expired"),
        ("cli", "{}", 409, "own-token"),
        ("siem", long.as_str(), 422, "overlap-too-long"),
        ("siem", r#"{"overlap":1}"#, 422, "bad-body"),
    ] {
        let path = format!("/api/v1/tokens/{token}/rotate");
        let answer = site.send(post(&admin, &path, "application/json", body.to_owned())).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{token} {body}");
    }
}
