//! Paths of the API that documents and templates name, held against the router's table.

use axum::http::Method;

use crate::{
    api::route,
    testing::papers::{PAPERS, paths},
};

/// Whether a route answers such a path, asked by that method where one is named.
fn is_answered(method: Option<&str>, path: &str) -> bool {
    let segments = |path: &str| path.trim_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    let named = segments(path);
    route::table().iter().any(|route| {
        let ours = segments(route.path);
        ours.len() == named.len()
            && ours.iter().zip(&named).all(|(ours, named)| ours.starts_with('{') || ours == named)
            && method.is_none_or(|method| route.method == Method::from_bytes(method.as_bytes()).unwrap())
    })
}

#[test]
fn every_path_that_a_document_names_is_a_route_and_answers_that_method() {
    let mut found = Vec::new();
    for (name, text) in PAPERS {
        for (method, path) in paths(text) {
            assert!(is_answered(method.as_deref(), &path), "{name}: {method:?} {path}");
            found.push((name, path));
        }
    }
    assert!(found.contains(&("record-of-processing.md", "/api/v1/subject-searches".to_owned())), "{found:?}");
    assert!(found.iter().any(|(name, _)| *name == "README.md"), "{found:?}");
}

#[test]
fn a_path_or_a_method_that_is_not_there_is_noticed() {
    let told = paths(
        "ask `GET /api/v1/members` or `DELETE /api/v1/tokens/{token}`, never `PUT /api/v1/members`. See /api/v1/memberz.",
    );
    let answered: Vec<bool> =
        told.iter().map(|(method, path)| is_answered(method.as_deref(), path)).collect();
    assert_eq!(answered, [true, true, false, false], "{told:?}");
}
