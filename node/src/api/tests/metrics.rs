//! What a monitoring system is told before something ends.

use axum::body::Body;
use axum::http::header;

use super::site::{Site, get};
use crate::query::Scope;

/// A gauge without labels out of the text.
fn gauge(text: &str, name: &str) -> i64 {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("{name}: {text}")).split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn days_until_certificate_and_charter_end_are_gauges_as_status_tells_them() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let bearer = format!("Bearer {operator}");
    let ask = async |path| {
        site.send(get(path).header(header::AUTHORIZATION, &bearer).body(Body::empty()).unwrap()).await
    };
    let text = String::from_utf8(ask("/metrics").await.body.to_vec()).unwrap();
    let held = ask("/api/v1/status").await.ok()["held"].clone();
    // Both end on the first day of 2200; whether a midnight lies between the two questions is nobody's matter.
    let days = held["certificate"]["days_left"].as_i64().unwrap();
    assert!(days > 10_000 && days <= 63_550, "{days}");
    let told = gauge(&text, "belfry_certificate_days_left");
    assert!((days..=days + 1).contains(&told), "{told} {days}");
    assert_eq!(gauge(&text, "belfry_charter_days_left"), told);
}
