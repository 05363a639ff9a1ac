//! The one table of everything this server answers, each entry with the scope it needs.
//!
//! The router is folded from the table and from nothing else: a handler outside it is unreachable, and
//! an entry cannot be written without its [`Needs`]. The tests walk the same table.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware,
    routing::{self, MethodRouter},
};

use super::{
    app::App,
    audit::{self, Told},
    auth::{self, Needs},
    events, misp, openapi,
    rest::{
        self, activity, backups, contacts, drafts, exports, forks, groups, health, import, log, lookup,
        members, messages, metrics, newcomers, objects, proposals, publications, sightings, status, sync,
        tokens, withdrawals,
    },
    taxii::{self, collections, discovery},
};

/// One method of one path.
pub(crate) struct Route {
    #[allow(dead_code, reason = "only tests walk the table by method")]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    /// Whether it may change something; the audit log then knows of it before it does.
    pub(crate) changes: bool,
    /// Whether its handler reads `dry_run`, and changes nothing then.
    may_be_dry: bool,
    handler: MethodRouter<Arc<App>>,
}

impl Route {
    fn of(method: Method, path: &'static str, needs: Needs, handler: MethodRouter<Arc<App>>) -> Self {
        let changes = method != Method::GET;
        Self { method, path, needs, changes, may_be_dry: false, handler }
    }

    fn get<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, needs: Needs, handler: H) -> Self {
        Self::of(Method::GET, path, needs, routing::get(handler))
    }

    fn post<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, needs: Needs, handler: H) -> Self {
        Self::of(Method::POST, path, needs, routing::post(handler))
    }

    /// A change that may be tried first.
    fn post_or_try<H: Handler<T, Arc<App>>, T: 'static>(
        path: &'static str,
        needs: Needs,
        handler: H,
    ) -> Self {
        Self { may_be_dry: true, ..Self::post(path, needs, handler) }
    }

    /// A question too long for a query string.
    fn ask<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, needs: Needs, handler: H) -> Self {
        Self { changes: false, ..Self::post(path, needs, handler) }
    }

    fn delete<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, needs: Needs, handler: H) -> Self {
        Self::of(Method::DELETE, path, needs, routing::delete(handler))
    }
}

/// Everything there is.
#[rustfmt::skip]
pub(crate) fn table() -> Vec<Route> {
    use Needs::{Admin, Nothing, Publish, Read, ReadAndPublish, Token};
    vec![
        Route::get("/health/live", Nothing, health::live),
        Route::get("/health/ready", Nothing, health::ready),

        Route::get("/metrics", Token, metrics::metrics),

        Route::get("/taxii2/", Token, discovery::discovery),
        Route::get("/taxii2/root/", Token, discovery::root),
        Route::get("/taxii2/root/status/{id}/", Publish, taxii::status::status),
        Route::get("/taxii2/root/collections/", Token, collections::collections),
        Route::get("/taxii2/root/collections/{collection}/", Token, collections::collection),
        Route::get("/taxii2/root/collections/{collection}/manifest/", Read, taxii::manifest::manifest),
        Route::get("/taxii2/root/collections/{collection}/objects/", Read, taxii::objects::list),
        Route::post("/taxii2/root/collections/{collection}/objects/", Publish, taxii::objects::add),
        Route::get("/taxii2/root/collections/{collection}/objects/{object}/", Read, taxii::objects::one),
        Route::delete("/taxii2/root/collections/{collection}/objects/{object}/", ReadAndPublish, taxii::objects::delete),
        Route::get("/taxii2/root/collections/{collection}/objects/{object}/versions/", Read, taxii::versions::versions),

        Route::get("/servers/getPyMISPVersion.json", Token, misp::pymisp_version),
        Route::get("/servers/getVersion", Token, misp::version),
        Route::get("/users/view/me", Token, misp::me),
        Route::get("/attributes/describeTypes.json", Token, misp::types::describe),
        Route::ask("/attributes/restSearch", Read, misp::search),
        Route::ask("/events/restSearch", Read, misp::events::search),
        Route::post("/sightings/add", Publish, misp::sightings::add),
        Route::post("/sightings/add/{attribute}", Publish, misp::sightings::add_to),

        Route::get("/api/v1/openapi.json", Token, openapi::openapi),
        Route::get("/api/v1/status", Token, status::status),
        Route::get("/api/v1/peers", Admin, status::peers),
        Route::get("/api/v1/sync", Token, sync::progress),
        Route::get("/api/v1/groups", Token, groups::groups),
        Route::get("/api/v1/members", Token, members::members),
        Route::get("/api/v1/members/{member}/heads", Admin, log::heads),
        Route::get("/api/v1/members/{member}/contact", Read, contacts::one),
        Route::get("/api/v1/contacts", Read, contacts::list),
        Route::post("/api/v1/contacts", Admin, contacts::set),
        Route::get("/api/v1/rules", Token, rest::rules::list),
        Route::get("/api/v1/rules/{text}", Token, rest::rules::one),
        Route::get("/api/v1/activity", Token, activity::report),
        Route::get("/api/v1/newcomers", Admin, newcomers::list),
        Route::post("/api/v1/holds", Admin, newcomers::hold),
        Route::delete("/api/v1/holds/{member}", Admin, newcomers::release),
        Route::get("/api/v1/log", Admin, log::export),
        Route::post("/api/v1/log", Admin, log::import),
        Route::get("/api/v1/log/equivocations", Admin, log::equivocations),
        Route::post("/api/v1/backups", Admin, backups::create),
        Route::get("/api/v1/objects", Read, objects::list),
        Route::get("/api/v1/objects/{object}", Read, objects::one),
        Route::post("/api/v1/objects/{object}/proposals", Publish, proposals::propose),
        Route::get("/api/v1/proposals", Read, proposals::list),
        Route::post("/api/v1/proposals/{proposal}/accept", Publish, proposals::accept),
        Route::post("/api/v1/proposals/{proposal}/decline", Publish, proposals::decline),
        Route::ask("/api/v1/lookup", Read, lookup::lookup),
        Route::post("/api/v1/sightings", Publish, sightings::report),
        Route::get("/api/v1/exports", Read, exports::list),
        Route::get("/api/v1/exports/{export}", Read, exports::main),
        Route::get("/api/v1/exports/{export}/report", Read, exports::report),
        Route::get("/api/v1/exports/{export}/{file}", Read, exports::file),
        Route::get("/api/v1/messages/{message}", Read, messages::message),
        Route::get("/api/v1/messages/{message}/envelope", Read, messages::envelope),
        Route::get("/api/v1/forks", Read, forks::list),
        Route::get("/api/v1/events", Read, events::events),
        Route::post("/api/v1/publications", Publish, publications::submit),
        Route::ask("/api/v1/previews", Publish, publications::preview),
        Route::post_or_try("/api/v1/import", Publish, import::import),
        Route::get("/api/v1/drafts", Publish, drafts::list),
        Route::get("/api/v1/drafts/{draft}", Publish, drafts::show),
        Route::post("/api/v1/drafts/{draft}/release", Publish, drafts::release),
        Route::delete("/api/v1/drafts/{draft}", Publish, drafts::discard),
        Route::get("/api/v1/publications/{publication}", Publish, publications::follow),
        Route::get("/api/v1/publications/{publication}/holders", Publish, publications::holders),
        Route::post("/api/v1/withdrawals", Publish, withdrawals::withdraw),
        Route::get("/api/v1/hooks", Admin, rest::hooks::list),
        Route::get("/api/v1/hooks/{hook}/dead-letters", Admin, rest::hooks::dead_letters),
        Route::get("/api/v1/hooks/{hook}/tries", Admin, rest::hooks::tries),
        Route::post("/api/v1/hooks/{hook}/replay", Admin, rest::hooks::replay),
        Route::post("/api/v1/subject-searches", Admin, rest::subjects::search),
        Route::get("/api/v1/sources", Admin, rest::sources::list),
        Route::post("/api/v1/sources/{source}/run", Admin, rest::sources::run),
        Route::get("/api/v1/audit", Admin, rest::audit::entries),
        Route::get("/api/v1/tokens", Admin, tokens::list),
        Route::post("/api/v1/tokens", Admin, tokens::create),
        Route::post("/api/v1/tokens/{token}/rotate", Admin, tokens::rotate),
        Route::delete("/api/v1/tokens/{token}", Admin, tokens::revoke),
    ]
}

/// The table as a router, every route behind its gate, and before the audit log.
///
/// TAXII's paths end in a slash; clients that forget it are answered all the same, without a redirect
/// that would drop their credentials.
pub(crate) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let mut router = Router::new();
    for route in table() {
        let (path, needs, changes, may_be_dry) = (route.path, route.needs, route.changes, route.may_be_dry);
        let told = Told { app: Arc::clone(app), path, needs, changes, may_be_dry };
        let gated = route.handler.layer(middleware::from_fn_with_state(route.needs, auth::gate));
        let gated = gated.layer(middleware::from_fn_with_state(told, audit::tell));
        if let Some(bare) = route.path.strip_suffix('/') {
            router = router.route(bare, gated.clone());
        }
        router = router.route(route.path, gated);
    }
    router.fallback(auth::nothing_here).method_not_allowed_fallback(auth::no_such_method)
}
