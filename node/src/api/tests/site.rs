//! A node's API on a temporary folder: put rows in, make tokens, send requests, look at answers.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use belfry_proto::{
    crypto::secret::Secret,
    envelope::Word,
    id::{GroupId, Height, KeyId, LogId, MemberId, MessageId, PublicationId, Sequence, Serial},
    schema::{self, InformationClass, Purpose, WithdrawalMode},
    stix::{egress::Audience, extension::Stated, marking::Tlp, object::Object, warning::Warnings},
    time::Timestamp,
    trust::roster::Roster,
};
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    coalition::{self, OWN},
    doubles::{Alone, Between, Publishing},
};
use crate::{
    api::{
        app::App,
        host::{Hosts, Scheme},
        limit::Rate,
        ports::Ports,
        server::ServerConfig,
        service::service,
    },
    audit_log::{AuditLog, Event, LEAST, Record},
    clock,
    config::Config,
    feed::Feed,
    heard::{Hellos, VouchedClock},
    identity::Identity,
    publish::{Defaults, Guards, Publisher},
    query::{Groups, Query, Scope, TokenId, lists::Lists},
    relay::Relay,
    roster::LiveRoster,
    store::{
        Change, Committed, Conditions, EnvelopeRow, MessageState, ObjectRow, OpenedRows, Owner, Store,
        Withdraws,
    },
};

/// Name the requests of [`Site::send`] are addressed to.
pub(super) const HOST: &str = "127.0.0.1:4718";

/// The stage.
pub(super) struct Site {
    pub(super) query: Query,
    pub(super) store: Store,
    pub(super) app: Arc<App>,
    pub(super) stopping: CancellationToken,
    feed: watch::Sender<u64>,
    sequence: std::sync::atomic::AtomicU64,
    pub(super) folder: TempDir,
    pub(super) relay: Relay,
    pub(super) between: Between,
    /// What others told, by which this node's clock is vouched for.
    pub(super) hellos: watch::Sender<Hellos>,
    pub(super) vouched: VouchedClock,
}

/// An object to put into the store.
#[derive(Clone)]
pub(super) struct Put {
    pub(super) group: GroupId,
    pub(super) member: MemberId,
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) version: String,
    pub(super) tlp: Tlp,
    pub(super) recipients: bool,
    pub(super) created: Option<Timestamp>,
    pub(super) refs: Vec<String>,
    /// The object itself; unset: one that names nothing.
    pub(super) json: Option<Value>,
    /// Permissible actions, as on the wire.
    pub(super) pap: i32,
    /// Of the message; the first object's count.
    pub(super) conditions: Conditions,
    /// Its message can be withdrawn: it is sealed with a key, and an envelope.
    pub(super) is_sealed: bool,
    /// Information class and purpose, as on the wire. Of the message; the first object's count.
    pub(super) stated: (InformationClass, Purpose),
}

impl Put {
    /// Indicator `n`, AMBER, in `cidr`, by this node's member.
    pub(super) fn indicator(n: u32) -> Self {
        Self::of("indicator", n)
    }

    pub(super) fn of(kind: &'static str, n: u32) -> Self {
        Self {
            group: coalition::CIDR,
            member: OWN,
            kind,
            id: format!("{kind}--00000000-0000-4000-8000-{n:012x}"),
            version: "2026-01-01T00:00:00.000Z".to_owned(),
            tlp: Tlp::Amber,
            recipients: false,
            created: None,
            refs: Vec::new(),
            json: None,
            pap: 0,
            conditions: Conditions::default(),
            is_sealed: false,
            stated: (InformationClass::Indicator, Purpose::Detect),
        }
    }

    /// A whole object, by this node's member.
    pub(super) fn json(json: Value) -> Self {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        let kind: &'static str = Box::leak(text("type").into_boxed_str());
        Self { id: text("id"), version: text("modified"), json: Some(json), ..Self::of(kind, 0) }
    }

    /// Indicator `n` with this pattern; `more` is added to it.
    pub(super) fn pattern(n: u32, pattern: &str, more: &Value) -> Self {
        let mut json = json!({
            "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": format!("bad {n}"),
            "pattern": pattern, "pattern_type": "stix", "valid_from": recently(), "confidence": 90,
        });
        json.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        Self::json(json)
    }

    pub(super) fn tlp(self, tlp: Tlp) -> Self {
        Self { tlp, ..self }
    }

    pub(super) fn by(self, member: MemberId) -> Self {
        Self { member, ..self }
    }

    pub(super) fn version(mut self, version: &str) -> Self {
        self.version = version.to_owned();
        self
    }

    pub(super) fn raw(&self) -> Vec<u8> {
        if let Some(json) = &self.json {
            return json.to_string().into_bytes();
        }
        // Odd but legal spelling: what is served must be these very bytes.
        format!(
            r#"{{"type":"{}","spec_version":"2.1","id":"{}","modified":"{}","confidence":1e1,"name":"\u00e9","object_marking_refs":{}}}"#,
            self.kind,
            self.id,
            self.version,
            json!(self.refs)
        )
        .into_bytes()
    }
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    #[track_caller]
    pub(super) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The machine-readable code, in either dress.
    #[track_caller]
    pub(super) fn code(&self) -> String {
        let json = self.json();
        json.get("code").or_else(|| json.get("error_code")).unwrap().as_str().unwrap().to_owned()
    }

    /// Ids of the objects, TLP definitions left out.
    #[track_caller]
    pub(super) fn ids(self) -> Vec<String> {
        let json = self.ok();
        let objects = json.get("objects").and_then(Value::as_array).cloned().unwrap_or_default();
        let ids = objects.iter().map(|object| object["id"].as_str().unwrap().to_owned());
        ids.filter(|id| !id.starts_with("marking-definition--")).collect()
    }
}

impl Site {
    pub(super) async fn new() -> Self {
        Self::with_rate(ServerConfig::REQUESTS).await
    }

    /// With these roles of both members in [`super::coalition::CIDR`].
    /// Where somebody else can tell what shall name nobody.
    pub(super) async fn with_a_steward() -> Self {
        Self::with_roles(schema::Role::Publisher, schema::Role::Steward).await
    }

    pub(super) async fn with_roles(own: schema::Role, other: schema::Role) -> Self {
        Self::of(coalition::found_as(own, other), ServerConfig::REQUESTS, Self::exports()).await
    }

    /// With these profiles and lists, as `belfry.toml` has them.
    pub(super) async fn exporting(config: &str) -> Self {
        let config = Config::parse(config, std::path::Path::new("belfry.toml")).unwrap();
        Self::made(ServerConfig::REQUESTS, config).await
    }

    pub(super) async fn with_rate(rate: Rate) -> Self {
        Self::made(rate, Self::exports()).await
    }

    fn exports() -> Config {
        let exports = "[[exports]]\nname = \"firewall\"\nformat = \"list\"\ngroups = [\"cidr\"]\ntypes = [\"ipv4-addr\"]\n\
            [[exports]]\nname = \"misp\"\nformat = \"misp\"\ngroups = [\"cidr\"]\n";
        Config::parse(exports, std::path::Path::new("belfry.toml")).unwrap()
    }

    async fn made(rate: Rate, config: Config) -> Self {
        Self::of(coalition::found(), rate, config).await
    }

    async fn of((roster, identity): (Roster, Identity), rate: Rate, config: Config) -> Self {
        let folder = TempDir::new().unwrap();
        let master = Secret::new([9; 32]);
        let owner = Owner { coalition: roster.coalition(), node: identity.node };
        let (path, key) = (folder.path().join("store"), master.clone());
        let store =
            tokio::task::spawn_blocking(move || Store::open(&path, owner, &key)).await.unwrap().unwrap();
        let roster = LiveRoster::new(roster);
        let query = Query::open(store.clone(), roster.clone(), identity.node, &master).unwrap();
        let guards = Guards::new(config.guards.own().unwrap(), Arc::new(Warnings::built_in()));
        let query = query.with_exports(config.exports, Lists::open(config.lists).unwrap());
        let hellos = watch::Sender::new(Hellos::told(&[0, 0]));
        let vouched = VouchedClock::new(hellos.subscribe(), roster.clone(), identity.member);
        let identity: Arc<Identity> = Arc::new(identity);
        let defaults = Defaults { tlp: Tlp::AmberStrict, purpose: None };
        let publisher = Publisher::new(identity, store.clone(), roster, Feed::default(), defaults, guards);
        let audit = AuditLog::open(&folder.path().join("audit"), &master, LEAST, clock::now()).unwrap();
        let relay = Relay {
            query: query.clone(),
            publisher: publisher.clone(),
            store: store.clone(),
            audit: audit.clone(),
            every: crate::relay::GATHERED,
        };
        let between = Between { changes: Arc::default(), store: store.clone() };
        let (feed, received) = watch::channel(0);
        let ports = Ports {
            query: query.clone(),
            publish: Arc::new(Publishing(publisher, between.clone())),
            status: Arc::new(Alone(store.clone())),
            texts: coalition::texts(folder.path()),
            audit,
            feed: received,
        };
        let stopping = CancellationToken::new();
        let address = HOST.parse().unwrap();
        let hosts = Hosts::new(Scheme::Http, &[address], &["soc.example:8443".to_owned()]);
        let app = App::new(ports, hosts, vec![address], rate, stopping.clone());
        let sequence = std::sync::atomic::AtomicU64::new(0);
        Self { query, store, app, stopping, feed, sequence, folder, relay, between, hellos, vouched }
    }

    /// The same node with fresh rate limits, as another client address meets it.
    pub(super) fn fresh_router(&self) -> Router {
        let address = HOST.parse().unwrap();
        let hosts = Hosts::new(Scheme::Http, &[address], &["soc.example:8443".to_owned()]);
        let ports = self.app.ports.clone();
        service(&App::new(ports, hosts, vec![address], ServerConfig::REQUESTS, self.stopping.clone()))
    }

    /// Writes a few thousand entries.
    pub(super) async fn fill_audit_log(&self) {
        let call = Event::Call { token: String::new(), method: String::new(), route: "x".repeat(200) };
        for _ in 0..4_000 {
            self.app.ports.audit.note(&Record::now(clock::now(), call.clone()));
        }
    }

    /// Makes a token; its text.
    pub(super) async fn token(&self, name: &str, scope: Scope) -> String {
        self.query.tokens().create(name, scope, clock::now()).await.unwrap().text.expose().to_owned()
    }

    /// A token that reads every group up to AMBER+STRICT.
    pub(super) async fn reader(&self) -> String {
        self.token("reader", Scope { read: Groups::All, ..nothing() }).await
    }

    /// A token that was good until just after 1970.
    pub(super) async fn expired(&self, scope: Scope) -> String {
        let [made, ends] = [1, 2].map(Timestamp::from_micros);
        let scope = Scope { expires: Some(ends), ..scope };
        self.query.tokens().create("expired", scope, made).await.unwrap().text.expose().to_owned()
    }

    /// A token that was revoked.
    pub(super) async fn revoked(&self, scope: Scope) -> String {
        let made = self.query.tokens().create("revoked", scope, clock::now()).await.unwrap();
        assert!(self.query.tokens().revoke(made.view.id).await.unwrap());
        made.text.expose().to_owned()
    }

    /// Stores objects, one message each, in order. Gives the last message's id.
    pub(super) async fn put(&self, objects: &[Put]) -> MessageId {
        let mut last = MessageId::ZERO;
        for object in objects {
            last = self.message(object.group, object.member, std::slice::from_ref(object)).await;
        }
        last
    }

    /// Stores one message that brings `objects`.
    pub(super) async fn message(&self, group: GroupId, member: MemberId, objects: &[Put]) -> MessageId {
        let row = self.row(group, member, objects);
        let message = row.id;
        let committed = self.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
        assert!(matches!(committed, Committed::Stored { .. }), "{committed:?}");
        let (_, head) = self.store.feed_bounds().unwrap().unwrap();
        self.feed.send_replace(head);
        message
    }

    /// Has this said between the next look of whoever decides and its commit.
    pub(super) fn say_between(&self, put: &Put) {
        let row = self.row(put.group, put.member, std::slice::from_ref(put));
        self.between.changes.lock().unwrap().push_back(Change::Envelope(Box::new(row)));
    }

    /// A message that brings `objects`, as a row.
    fn row(&self, group: GroupId, member: MemberId, objects: &[Put]) -> EnvelopeRow {
        let n = self.sequence.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        let message = MessageId::new(bytes);
        let created = objects[0].created.unwrap_or_else(clock::now);
        let rows = objects.iter().map(|put| ObjectRow {
            id: put.id.clone(),
            kind: put.kind.to_owned(),
            version: put.version.clone(),
            tlp: schema::Tlp::from(put.tlp),
            revoked: put.json.as_ref().is_some_and(|json| json["revoked"] == true),
            raw: put.raw(),
            created_by: None,
            pap: put.pap,
            stated: put.json.as_ref().and_then(|_| Stated::read(&put.raw())),
            observables: put
                .json
                .as_ref()
                .map(|_| crate::rows::entries(&Object::parse(&put.raw()).unwrap()))
                .unwrap_or_default(),
        });
        let content = OpenedRows {
            publication: PublicationId::new([6; 16]),
            part: 1,
            parts: 1,
            member,
            serial: Serial::new(1),
            message,
            created,
            purpose: objects[0].stated.1.into(),
            classes: vec![objects[0].stated.0.into()],
            recipients: objects[0].recipients,
            conditions: objects[0].conditions.clone(),
            objects: rows.collect(),
        };
        EnvelopeRow {
            group,
            // A log a message: frontiers are not what is looked at here.
            log: LogId::new(bytes),
            sequence: Sequence::new(1),
            id: message,
            prev: MessageId::ZERO,
            member,
            // And so a certificate a message: one may not have that many logs.
            serial: Serial::new(n),
            created,
            received: clock::now(),
            key_id: objects[0].is_sealed.then_some(KeyId::new([3; 32])),
            written_at: Height::new(1),
            judged_at: Height::new(u64::MAX),
            in_closed_log: false,
            is_cut_point: false,
            is_listed: false,
            is_vouched: false,
            opens_later: false,
            bytes: if objects[0].is_sealed { sealed() } else { vec![7; 100] },
            has_body: true,
            state: MessageState::Opened,
            content: Some(content),
            reason: None,
            withdraws: None,
        }
    }

    /// Has a member take back what it said in one of its messages, and sees that done.
    pub(super) async fn withdraw(
        &self,
        group: GroupId,
        member: MemberId,
        mode: WithdrawalMode,
        target: MessageId,
    ) {
        let n = self.sequence.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        let (id, now) = (MessageId::new(bytes), clock::now());
        let header = schema::Header { targets: vec![target.to_vec()], ..schema::Header::default() };
        let envelope = schema::Envelope { header: header.encode_to_vec(), ..schema::Envelope::default() };
        let word = Word {
            id,
            group,
            member,
            mode,
            ground: schema::WithdrawalGround::Rules,
            by_steward: false,
            created: now,
            seen: now,
        };
        let row = EnvelopeRow {
            group,
            log: LogId::new(bytes),
            sequence: Sequence::new(1),
            id,
            prev: MessageId::ZERO,
            member,
            serial: Serial::new(n),
            created: now,
            received: now,
            key_id: None,
            written_at: Height::new(1),
            judged_at: Height::new(u64::MAX),
            in_closed_log: false,
            is_cut_point: false,
            is_listed: false,
            is_vouched: false,
            opens_later: false,
            bytes: envelope.encode_to_vec(),
            has_body: true,
            state: MessageState::Closed,
            content: None,
            reason: None,
            withdraws: Some(Withdraws { word, targets: vec![target] }),
        };
        self.store.commit(Change::Envelope(Box::new(row))).await.unwrap();
        loop {
            let work = self.store.to_reweigh(now, 100).unwrap();
            if work.is_empty() {
                break;
            }
            self.store.commit(Change::Reweigh { work, now }).await.unwrap();
        }
        self.store.commit(Change::Surface(usize::MAX - 1)).await.unwrap();
    }

    /// Ends the embargoes that are over by `now`.
    pub(super) async fn end_embargoes(&self, now: Timestamp) {
        loop {
            let over = self.store.embargoes_over(now, 100).unwrap();
            if over.is_empty() {
                break;
            }
            self.store.commit(Change::EmbargoesOver { over, now }).await.unwrap();
        }
        let (_, head) = self.store.feed_bounds().unwrap().unwrap();
        self.feed.send_replace(head);
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        answer(service(&self.app), request).await
    }

    /// GET with a token.
    pub(super) async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(
            get(path).header(header::AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap(),
        )
        .await
    }

    /// The objects of a collection, page by page, with the page size given; every id once a row.
    pub(super) async fn all(&self, token: &str, path: &str, limit: usize) -> Vec<String> {
        let mut ids = Vec::new();
        let mut next = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(token, &format!("{path}{sign}limit={limit}{next}")).await;
            let json = page.json();
            ids.extend(page.ids());
            match json.get("next").and_then(Value::as_str) {
                Some(cursor) => next = format!("&next={cursor}"),
                None => return ids,
            }
        }
    }
}

/// The bytes of an envelope, as far as the store reads them.
fn sealed() -> Vec<u8> {
    let header = schema::Header::default().encode_to_vec();
    schema::Envelope { header, body: Some(vec![7; 50]), ..schema::Envelope::default() }.encode_to_vec()
}

/// Sends one request through a router.
pub(super) async fn answer(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let is_stream = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    let body =
        if is_stream { Vec::new() } else { axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec() };
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A GET that names the right host.
pub(super) fn get(path: &str) -> axum::http::request::Builder {
    Request::builder().method(Method::GET).uri(path).header(header::HOST, HOST)
}

/// A POST of `body` with a token.
pub(super) fn post(token: &str, path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    get(path)
        .method(Method::POST)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, kind)
        .body(body.into())
        .unwrap()
}

/// A scope that grants nothing, to be widened.
pub(super) const fn nothing() -> Scope {
    Scope {
        read: Groups::NONE,
        publish: Groups::NONE,
        draft: Groups::NONE,
        admin: false,
        ceiling: Scope::DEFAULT_CEILING,
        red: false,
        audience: Audience::Inside,
        expires: None,
    }
}

/// Only these groups.
pub(super) fn only(groups: &[GroupId]) -> Groups {
    Groups::Only(groups.iter().copied().collect())
}

/// A time within every lifetime, and the same all day.
pub(super) fn recently() -> String {
    let day = 24 * 3600 * 1_000_000;
    let today = clock::now().as_micros() / day * day;
    Timestamp::from_micros(today - day).to_string()
}

/// The public part of a token's text.
pub(super) fn id_of(token: &str) -> TokenId {
    token.split('_').nth(1).unwrap().parse().unwrap()
}

/// Counts by key, for "each exactly once".
pub(super) fn counts(ids: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id.as_str()).or_default() += 1;
    }
    counts
}
