//! Telling the audit log who asks for what: a layer around every route.
//!
//! A call that may change something is in the log before it goes on, and on disk before it is answered; what came of it
//! follows. What only reads, asks what would become of something, or is made by a token that may not make it is counted
//! by token, route and status, and told once a minute: nobody who may change nothing fills the log.

use std::{
    collections::BTreeMap,
    iter, mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::header,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    app::App,
    auth::{Identity, Needs},
    params::Params,
    problem::Problem,
};
use crate::{
    audit_log::{AuditLog, Event, Record},
    clock,
    query::TokenId,
};

/// How long reads are counted before they are told. Too short ⇒ tools that poll fill the log; too long ⇒ a kill
/// loses more of them.
const WINDOW: Duration = Duration::from_secs(60);
/// Different reads counted at once; beyond it they are told at once.
const MAX_READS: usize = 4_096;
/// Bytes of a subject; ids are 64.
const MAX_SUBJECT: usize = 80;
/// Subjects in one entry, which must fit a line; a result that names more has further entries.
const MAX_NAMED: usize = 64;

/// The route a layer stands around.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) app: Arc<App>,
    pub(super) path: &'static str,
    /// What it asks of a token.
    pub(super) needs: Needs,
    /// Whether its handler may change something.
    pub(super) changes: bool,
    /// Whether its handler reads `dry_run`; for every other that word in a query means nothing.
    pub(super) may_be_dry: bool,
}

impl Told {
    /// Who asks, if that may change something.
    fn changer(&self, request: &Request) -> Option<TokenId> {
        let identity = request.extensions().get::<Identity>()?;
        let is_dry = self.may_be_dry && is_dry_run(request);
        (self.changes && identity.meets(self.needs) && !is_dry).then(|| identity.token())?
    }
}

/// As the handlers read it, and refuse it if they cannot.
fn is_dry_run(request: &Request) -> bool {
    Params::of(request.uri()).and_then(|mut params| params.flag("dry_run")).unwrap_or(false)
}

/// The number of a call's entry; goes with the request.
#[derive(Clone, Copy)]
pub(super) struct Call(pub(super) u64);

/// Id of what a call made, changed or ended, where no Location says it; goes with the response.
#[derive(Clone)]
pub(super) struct Subject(pub(super) String);

/// Ids of what else the call made; goes with the response, beside [`Subject`].
#[derive(Clone)]
pub(super) struct Also(pub(super) Vec<String>);

/// Why what the call made goes out although a guard objects; goes with the response, where one was given and taken.
#[derive(Clone)]
pub(super) struct Reason(pub(super) String);

/// Token, method, route, status.
type Read = (Option<TokenId>, String, &'static str, u16);

/// Reads not yet told.
#[derive(Default)]
pub(super) struct Reads(Mutex<BTreeMap<Read, u64>>);

impl Reads {
    /// Counts one; what is to be told now, if there are too many kinds.
    fn count(&self, read: Read) -> BTreeMap<Read, u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.entry(read).or_default() += 1;
        if counted.len() < MAX_READS { BTreeMap::new() } else { mem::take(&mut counted) }
    }

    fn take(&self) -> BTreeMap<Read, u64> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Layer.
pub(super) async fn tell(State(told): State<Told>, mut request: Request, next: Next) -> Response {
    let changer = told.changer(&request);
    let Told { app, path, .. } = told;
    let token = request.extensions().get::<Identity>().and_then(Identity::token);
    let method = request.method().as_str().to_owned();
    let Some(asking) = changer else {
        let response = next.run(request).await;
        let full = app.reads.count((token, method, path, response.status().as_u16()));
        write(&app.ports.audit, full);
        return response;
    };
    let event = Event::Call { token: asking.to_string(), method, route: path.to_owned() };
    let call = match app.ports.audit.write(&Record::now(clock::now(), event)) {
        Ok(call) => call,
        Err(error) => return Problem::unavailable(&error).into_response(),
    };
    let number = call.number;
    request.extensions_mut().insert(Call(number));
    let response = next.run(request).await;
    let (status, named) = (response.status().as_u16(), subjects(&response));
    let mut named = named.chunks(MAX_NAMED);
    // What names nothing has an entry, too.
    let first = named.next().unwrap_or_default();
    for names in iter::once(first).chain(named) {
        let subject = names.first().cloned();
        let also = names.iter().skip(1).cloned().collect();
        let event = Event::Result { call: number, status, subject, also };
        app.ports.audit.note(&Record::now(clock::now(), event));
    }
    let reason = response.extensions().get::<Reason>().map(|reason| reason.0.clone());
    if let Some(reason) = reason.filter(|_| response.status().is_success()) {
        let event = Event::Reason { call: number, reason };
        let kept = match app.ports.audit.write(&Record::now(clock::now(), event)) {
            Ok(written) => written.synced().await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            return Problem::unavailable(&error).into_response();
        }
    }
    match call.synced().await {
        Ok(()) => response,
        // It was carried out; but nothing is acknowledged that the log may not tell.
        Err(error) => Problem::unavailable(&error).into_response(),
    }
}

fn subjects(response: &Response) -> Vec<String> {
    let also = response.extensions().get::<Also>().map(|also| also.0.as_slice()).unwrap_or_default();
    let also = also.iter().filter(|subject| subject.len() <= MAX_SUBJECT).cloned();
    subject(response).into_iter().chain(also).collect()
}

fn subject(response: &Response) -> Option<String> {
    let named = response.extensions().get::<Subject>().map(|subject| subject.0.clone());
    let located = || {
        let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
        Some(location.rsplit('/').next()?.to_owned())
    };
    named.or_else(located).filter(|subject| subject.len() <= MAX_SUBJECT)
}

/// Tells counted reads once a minute until the server stops, and then the rest.
pub(super) async fn telling(app: Arc<App>) {
    while !app.stopping.is_cancelled() {
        tokio::select! {
            () = app.stopping.cancelled() => {}
            () = tokio::time::sleep(WINDOW) => {}
        }
        write(&app.ports.audit, app.reads.take());
    }
}

/// Also what was counted while running requests came to their end.
pub(super) fn tell_rest(app: &App) {
    write(&app.ports.audit, app.reads.take());
}

fn write(log: &AuditLog, counted: BTreeMap<Read, u64>) {
    for ((token, method, route, status), count) in counted {
        let token = token.map(|token| token.to_string());
        let event = Event::Reads { token, method, route: route.to_owned(), status, count };
        log.note(&Record::now(clock::now(), event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_names_all_that_its_call_made() {
        let mut response = ().into_response();
        assert!(subjects(&response).is_empty());
        response.extensions_mut().insert(Subject("one".to_owned()));
        response.extensions_mut().insert(Also(vec!["two".to_owned(), "x".repeat(MAX_SUBJECT + 1)]));
        assert_eq!(subjects(&response), ["one", "two"]);
    }
}
