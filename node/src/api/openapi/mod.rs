//! The API's description, OpenAPI 3.1: made of the table of routes, and of what that does not know.
//!
//! ```text
//! route::table() ─path, method, scope─▶ ┐
//! rest, taxii    ─words, parameters─▶   ├─▶ document ─▶ GET /api/v1/openapi.json
//! shapes         ─bodies─▶              ┘
//! ```
//!
//! Tests hold it to the truth: every route is described and nothing else is, every parameter is one its route takes,
//! and what routes answer is what their shapes say, no member more and none less.

mod operation;
mod rest;
mod shapes;
mod taxii;

use std::sync::OnceLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    ToSchema,
    openapi::{
        ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, Required,
        content::ContentBuilder,
        path::{OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::{ResponseBuilder, ResponsesBuilder},
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use self::operation::{Content, Operation, Schemas};
use super::{auth::Needs, problem::Problem, route};

const TAGS: [(&str, &str); 11] = [
    ("intelligence", "What the groups share, with who says so"),
    ("publishing", "What this member says, and takes back"),
    ("exports", "Lists and rules for tools that act on them"),
    ("hooks", "What is pushed to tools as it comes"),
    ("sources", "What is taken in from elsewhere by itself"),
    ("taxii", "TAXII 2.1: one API root, a collection a group"),
    ("misp", "What MISP's clients read with"),
    ("coalition", "Groups, members and the admin log"),
    ("node", "The node itself"),
    ("tokens", "Who may use this API, and for what"),
    ("health", "Probes and metrics"),
];

/// Everything that is described.
pub(crate) fn operations() -> impl Iterator<Item = &'static Operation> {
    rest::OPERATIONS.iter().chain(taxii::OPERATIONS)
}

/// `GET /api/v1/openapi.json`
pub(super) async fn openapi() -> Result<Response, Problem> {
    static MADE: OnceLock<Result<String, String>> = OnceLock::new();
    // The same for as long as the process lives.
    let made = MADE.get_or_init(|| document().to_json().map_err(|error| error.to_string()));
    match made {
        Ok(text) => Ok(([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()),
        Err(error) => Err(Problem::internal(&Unwritten(error.clone()))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the API's description: {0}")]
struct Unwritten(String);

/// The description.
pub(crate) fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    let mut paths = PathsBuilder::new();
    for route in route::table() {
        let method = route.method.as_str();
        let known = operations().find(|known| known.method == method && known.path == route.path);
        let Some(operation) = known else { continue };
        let item = described(operation, route.needs, &mut schemas);
        paths = paths.path(route.path, item);
    }
    for (name, schema) in [
        (shapes::Problem::name(), <shapes::Problem as utoipa::PartialSchema>::schema()),
        (shapes::TaxiiError::name(), <shapes::TaxiiError as utoipa::PartialSchema>::schema()),
    ] {
        schemas.push((name.into_owned(), schema));
    }
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some("A token, as `belfry token create` makes them"))
                    .build(),
            ),
        )
        .security_scheme(
            "basic",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Basic)
                    .description(Some("The token as password, under any user name"))
                    .build(),
            ),
        )
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("belfry")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components))
        .tags(Some(TAGS.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build())))
        .build()
}

const ABOUT: &str = "\
The local API of a belfry node: TAXII 2.1 and REST over what its coalition's Focus Groups share.

Every request but the probes needs a token. Errors are problem+json (RFC 9457), under /taxii2 TAXII's error resource; \
`code` is stable, `detail` is for people. Lists that can be long come in pages: go on with `next` until there is none. \
An unknown parameter is refused, so that a misspelt filter never widens an answer. 429 and 503 say in Retry-After when \
to come again.";

fn described(operation: &Operation, needs: Needs, schemas: &mut Schemas) -> PathItem {
    let mut made = OperationBuilder::new()
        .tag(operation.tag)
        .operation_id(Some(operation.id()))
        .summary(Some(operation.summary))
        .description(Some(needed(needs)));
    for part in operation.parts() {
        made = made.parameter(
            ParameterBuilder::new()
                .name(part)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build(),
        );
    }
    let both = [(operation.query, ParameterIn::Query), (operation.headers, ParameterIn::Header)];
    for (params, place) in both {
        for param in params {
            made = made.parameter(
                ParameterBuilder::new()
                    .name(param.name)
                    .parameter_in(place.clone())
                    .required(if param.is_needed { Required::True } else { Required::False })
                    .description(Some(param.about))
                    .explode(param.is_joined().then_some(false))
                    .schema(Some(param.schema()))
                    .build(),
            );
        }
    }
    if let Some(Content { media, shape }) = &operation.body {
        let content = ContentBuilder::new().schema(Some(shape.gather(schemas))).build();
        made = made.request_body(Some(
            RequestBodyBuilder::new().required(Some(Required::True)).content(*media, content).build(),
        ));
    }
    let mut success = ResponseBuilder::new().description("Done");
    if let Some(Content { media, shape }) = &operation.answer {
        success = success.content(*media, ContentBuilder::new().schema(Some(shape.gather(schemas))).build());
    }
    let is_taxii = super::taxii::is_under(operation.path);
    let (media, error) = match is_taxii {
        true => (super::taxii::media::TAXII, shapes::TaxiiError::name()),
        false => ("application/problem+json", shapes::Problem::name()),
    };
    let refusal = ResponseBuilder::new()
        .description("Refused, or a fault; the body says why")
        .content(media, ContentBuilder::new().schema(Some(Ref::from_schema_name(error))).build())
        .build();
    let responses = ResponsesBuilder::new()
        .response(operation.status.to_string(), success.build())
        .response("default", refusal)
        .build();
    made = made.responses(responses);
    if needs == Needs::Nothing {
        // An empty list: none of the document's schemes.
        made = made.securities(Some(Vec::<SecurityRequirement>::new()));
    } else {
        for scheme in ["bearer", "basic"] {
            made = made.security(SecurityRequirement::new(scheme, Vec::<String>::new()));
        }
    }
    let method = match operation.method {
        "POST" => utoipa::openapi::HttpMethod::Post,
        "DELETE" => utoipa::openapi::HttpMethod::Delete,
        _ => utoipa::openapi::HttpMethod::Get,
    };
    PathItem::new(method, made.build())
}

fn needed(needs: Needs) -> &'static str {
    match needs {
        Needs::Nothing => "Needs no token.",
        Needs::Token => "Needs any good token.",
        Needs::Read => "Needs a token that reads a group.",
        Needs::Publish => "Needs a token that publishes to a group.",
        Needs::ReadAndPublish => "Needs a token that reads and publishes.",
        Needs::Admin => "Needs a token that administers.",
    }
}
