//! The API's description against the API.

use std::collections::BTreeSet;

use axum::{body::Body, http::header};
use belfry_proto::schema::Role;
use serde_json::{Value, json};

use super::{
    routes::{ALL, Samples},
    site::{Site, get},
};
use crate::{api::openapi, query::Scope};

fn described() -> Value {
    serde_json::from_str(&openapi::document().to_json().unwrap()).unwrap()
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let routed: BTreeSet<_> = ALL.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let written: Vec<_> =
        openapi::operations().map(|known| format!("{} {}", known.method, known.path)).collect();
    assert_eq!(written.len(), written.iter().collect::<BTreeSet<_>>().len(), "one is described twice");
    assert_eq!(written.into_iter().collect::<BTreeSet<_>>(), routed);
    let document = described();
    let served: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    assert_eq!(served, routed);
}

#[test]
fn the_description_holds_together() {
    let document = described();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} names two");
            let parts: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let named: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(parts, named, "{method} {path}");
            let is_open = operation["security"].as_array().unwrap().is_empty();
            assert_eq!(is_open, path.starts_with("/health/"), "{method} {path}");
        }
    }
    let mut missing = Vec::new();
    references(&document, &mut |reference| {
        if document.pointer(reference.trim_start_matches('#')).is_none() {
            missing.push(reference.to_owned());
        }
    });
    assert_eq!(missing, Vec::<String>::new());
}

fn references(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("$ref", Value::String(reference)) => found(reference),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Takes every shape at its word: what it does not name must not come.
fn strictly(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(strictly);
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strictly),
        _ => {}
    }
}

#[tokio::test]
async fn what_routes_answer_is_what_their_description_says() {
    let site = Site::with_roles(Role::Publisher, Role::Steward).await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    let mut document = described();
    strictly(&mut document["components"]["schemas"]);
    for route in ALL {
        let what = format!("{} {}", route.method, route.path);
        let operation =
            openapi::operations().find(|o| o.method == route.method && o.path == route.path).unwrap();
        let answer = site.send(samples.request(route, Some(&operator))).await;
        let said = &document["paths"][operation.path][operation.method.to_lowercase()];
        let said = &said["responses"][answer.status.as_str()];
        assert!(said.is_object(), "{what} answers {}, undescribed", answer.status);
        let Some(contents) = said["content"].as_object() else {
            assert!(answer.body.is_empty(), "{what} has a body");
            continue;
        };
        let media = answer.header(header::CONTENT_TYPE.as_str()).unwrap();
        let content = contents.get(media).unwrap_or_else(|| panic!("{what} answers {media}, undescribed"));
        if !media.contains("json") {
            continue;
        }
        let mut schema = content["schema"].clone();
        schema["components"] = document["components"].clone();
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .unwrap()
            .iter_errors(&answer.json())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{what}");
    }
}

#[tokio::test]
async fn refusals_are_what_the_description_says() {
    let site = Site::new().await;
    let mut document = described();
    strictly(&mut document["components"]["schemas"]);
    for (path, name) in [("/api/v1/status", "Problem"), ("/taxii2/", "TaxiiError")] {
        let answer = site.send(get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 401);
        let schema = json!({
            "$ref": format!("#/components/schemas/{name}"), "components": document["components"],
        });
        let errors: Vec<String> = jsonschema::validator_for(&schema)
            .unwrap()
            .iter_errors(&answer.json())
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, Vec::<String>::new(), "{path}");
    }
}

#[tokio::test]
async fn every_described_parameter_is_one_its_route_takes() {
    let site = Site::new().await;
    let operator = site.token("operator", Scope::operator()).await;
    let samples = Samples::make(&site, &operator).await;
    for operation in openapi::operations() {
        let route = ALL.iter().find(|r| r.method == operation.method && r.path == operation.path).unwrap();
        for name in operation.query.iter().map(|param| param.name).chain(["no-such-parameter"]) {
            let mut request = samples.request(route, Some(&operator));
            let sign = if request.uri().query().is_some() { '&' } else { '?' };
            let bracketed = name.replace('[', "%5B").replace(']', "%5D");
            *request.uri_mut() = format!("{}{sign}{bracketed}=1", request.uri()).parse().unwrap();
            let answer = site.send(request).await;
            let is_strange =
                String::from_utf8_lossy(&answer.body).contains("is not a parameter of this path");
            // TAXII lets unknown parameters be, and so do exports, where tools put something into the query to come by a proxy;
            // other routes have none to speak of.
            let refuses = name == "no-such-parameter" && !operation.query.is_empty();
            let refuses = refuses && operation.path.starts_with("/api/");
            let refuses = refuses && !operation.path.starts_with("/api/v1/exports/");
            assert_eq!(is_strange, refuses, "{} {} {name}", operation.method, operation.path);
        }
    }
}
