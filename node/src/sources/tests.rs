//! What sources take, what they refuse, and what they do when they are started again.

mod earlier;
mod gone;
mod otherwise;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::{Arc, Mutex},
};

use belfry_proto::stix::marking::Tlp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::{SourceReport, Sources};
use crate::{
    config::Config,
    feed::Feed,
    identity::Identity,
    publish::{Defaults, Guards, Publisher, drafts::MAX_HELD, submission::Submission},
    testing::{CIDR, Coalition, Site, eventually},
};

const TABLE: &str = "value,type,tlp\nevil.example,domain,green\n198.51.100.7,ip,green\n";

/// A node's publisher, and a folder for everything.
struct Stage {
    site: Site,
    identity: Arc<Identity>,
    publisher: Publisher,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let mut coalition = Coalition::new();
        let alice = coalition.issue(1, &[CIDR]);
        let site = Site::new(&coalition, &alice).await;
        let publisher = publisher(&alice.identity, &site, Tlp::AmberStrict);
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        Self { site, identity: alice.identity, publisher, folder }
    }

    fn inbox(&self) -> std::path::PathBuf {
        self.folder.path().join("in")
    }

    /// The sources of a configuration, running.
    fn start(&self, config: &str) -> Started {
        let slug = self.site.roster.snapshot().charter().group(CIDR).unwrap().slug.clone();
        let inbox = self.inbox();
        let text = config.replace("INBOX", inbox.to_str().unwrap()).replace("GROUP", &slug);
        let config = Config::parse(&text, Path::new("belfry.toml")).unwrap();
        Sources::check(&config.sources).unwrap();
        let (sources, running) =
            Sources::open(&config.sources, &self.publisher, &self.site.store, &self.site.roster).unwrap();
        let mut tasks = JoinSet::new();
        for source in running {
            tasks.spawn(source.run());
        }
        Started { sources, _tasks: tasks }
    }

    async fn held(&self) -> usize {
        self.publisher.held(|_| true, None, 1_000).await.unwrap().0.len()
    }

    fn queued(&self) -> usize {
        self.site.store.queued(1_000).unwrap().len()
    }
}

fn publisher(identity: &Arc<Identity>, site: &Site, tlp: Tlp) -> Publisher {
    Publisher::new(
        Arc::clone(identity),
        site.store.clone(),
        site.roster.clone(),
        Feed::default(),
        Defaults { tlp, purpose: None },
        Guards::default(),
    )
}

struct Started {
    sources: Sources,
    _tasks: JoinSet<()>,
}

impl Started {
    fn report(&self) -> SourceReport {
        self.sources.report().pop().unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&SourceReport) -> bool) -> SourceReport {
        eventually(what, async || holds(&self.report())).await;
        self.report()
    }

    /// Runs it once more, and waits until that is over.
    async fn again(&self) -> SourceReport {
        let before = self.report().last_run;
        assert!(self.sources.run(&self.report().name) && !self.sources.run("nobody"));
        self.until("another run", |report| report.last_run != before && report.state != "running").await
    }
}

fn folder(more: &str) -> String {
    format!(
        "[[sources]]\nname = \"inbox\"\nkind = \"folder\"\npath = \"INBOX\"\ngroup = \"GROUP\"\ninterval = \"20ms\"\n{more}\n"
    )
}

/// Puts a file there as a careful program does.
fn put(stage: &Stage, name: &str, text: &str) {
    let draft = stage.inbox().join(format!(".{name}"));
    fs::write(&draft, text).unwrap();
    fs::rename(draft, stage.inbox().join(name)).unwrap();
}

fn report_of(stage: &Stage, path: &str) -> Value {
    serde_json::from_slice(&fs::read(stage.inbox().join(path)).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_held_moved_and_reported_and_one_at_fault_stands_beside_its_reason() {
    let stage = Stage::new().await;
    put(&stage, "iocs.csv", TABLE);
    put(&stage, "bad.csv", "value,tlp\nevil.example,pink\n");
    put(&stage, "long.txt", &"x".repeat(2_000));
    for unfinished in ["iocs.csv.part", ".hidden", "copy.TMP"] {
        fs::write(stage.inbox().join(unfinished), TABLE).unwrap();
    }
    let secret = stage.folder.path().join("secret.txt");
    fs::write(&secret, "evil[.]example").unwrap();
    symlink(&secret, stage.inbox().join("link.txt")).unwrap();
    let started = stage.start(&folder("tlp = \"amber\"\nmax_size = \"1kB\""));
    let report =
        started.until("three files", |report| report.counts.taken + report.counts.refused == 3).await;
    assert_eq!((report.counts.taken, report.counts.refused), (1, 2));
    assert!(
        report
            .refusals
            .iter()
            .any(|found| found.item == "bad.csv" && found.why.contains("tlp cannot be read"))
    );
    assert!(report.refusals.iter().any(|found| found.item == "long.txt" && found.why.contains("max_size")));
    eventually("all three moved", async || !stage.inbox().join("long.txt").exists()).await;
    let told = report_of(&stage, "done/iocs.csv.report.json");
    assert_eq!(
        (told["held"].as_bool(), told["objects"]["indicator"].as_u64()),
        (Some(true), Some(2)),
        "{told}"
    );
    assert_eq!(told["tlp"], "green", "what the file says stands");
    assert_eq!(fs::read_to_string(stage.inbox().join("done/iocs.csv")).unwrap(), TABLE);
    assert!(report_of(&stage, "failed/bad.csv.report.json")["refused"].as_str().unwrap().contains("line 2"));
    assert_eq!((stage.held().await, stage.queued()), (1, 0));
    for left in ["iocs.csv.part", ".hidden", "copy.TMP", "link.txt"] {
        assert!(stage.inbox().join(left).exists(), "{left}");
    }
    let mode = fs::metadata(stage.inbox().join("done")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_again_after_a_restart_makes_no_second_draft() {
    let stage = Stage::new().await;
    put(&stage, "a.csv", TABLE);
    let started = stage.start(&folder(""));
    started.until("the file", |report| report.counts.taken == 1).await;
    drop(started);
    // As after a crash between the draft and the move: the very file stands there still.
    put(&stage, "a.csv", TABLE);
    let started = stage.start(&folder(""));
    let report = started.until("the file again", |report| report.counts.known == 1).await;
    assert_eq!(report.counts.taken, 1, "counts are kept");
    eventually("both stand in done", async || stage.inbox().join("done/a.csv.2").exists()).await;
    assert_eq!(report_of(&stage, "done/a.csv.2.report.json")["duplicate"], true);
    assert_eq!(stage.held().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_may_publish_still_holds_what_a_guard_wants_a_reason_for() {
    let stage = Stage::new().await;
    put(&stage, "a.csv", TABLE);
    put(&stage, "b.csv", "value,description\nworse.example,from jan@bank.example\n");
    put(&stage, "c.csv", "value,description\nworst.example,card 4111 1111 1111 1111\n");
    let started = stage.start(&folder("publish = true"));
    let report =
        started.until("three files", |report| report.counts.taken + report.counts.refused == 3).await;
    assert_eq!((report.counts.taken, report.counts.refused), (2, 1), "{report:?}");
    assert_eq!((stage.queued(), stage.held().await), (1, 1));
    assert!(!format!("{report:?}").contains("4111"), "the value is told nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_drafts_stop_a_source_until_some_went_and_nothing_is_lost() {
    let stage = Stage::new().await;
    let bundle = |n: usize| {
        let object = json!({
            "type": "campaign", "spec_version": "2.1", "id": format!("campaign--00000000-0000-4000-8000-{n:012x}"),
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": "c",
        });
        json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": [object] })
            .to_string()
    };
    let one = |n: usize| {
        let bundle = bundle(n);
        let publisher = stage.publisher.clone();
        async move {
            let of = Submission::of(CIDR, "source:inbox");
            let submission = Submission { bundle: bundle.into_bytes(), hold: true, ..of };
            publisher.submit(submission).await.map(|accepted| accepted.publication)
        }
    };
    let made = futures::future::join_all((0..MAX_HELD).map(one)).await;
    let made: Vec<_> = made.into_iter().collect::<Result<_, _>>().unwrap();
    let refusal = one(MAX_HELD).await.unwrap_err().to_string();
    assert!(refusal.contains("1000 drafts of source:inbox wait"), "{refusal}");
    let other =
        Submission { bundle: bundle(MAX_HELD).into_bytes(), hold: true, ..Submission::of(CIDR, "siem") };
    stage.publisher.submit(other).await.expect("another submitter's drafts are its own");
    put(&stage, "a.csv", TABLE);
    let started = stage.start(&folder(""));
    let report = started.until("a refusal", |report| report.failing.is_some()).await;
    assert!(report.failing.unwrap().1.contains("release or discard"));
    assert!(stage.inbox().join("a.csv").exists());
    stage.publisher.discard(made[0]).await.unwrap();
    let report = started.until("room again", |report| report.counts.taken == 1).await;
    assert_eq!(report.counts.refused, 0);
}

/// A request's target and head, and what to answer: status, more header lines, body.
type Answers = Arc<dyn Fn(&str, &str) -> (u16, String, String) + Send + Sync>;

/// Somebody else's server, and what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Server {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).await.unwrap() == 0 {
                        break;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let (status, more, body) = answers(&target, &head.to_ascii_lowercase());
                seen.lock().unwrap().push(target);
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} x\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Self { port, asked, _task: task }
    }

    /// What it was asked since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn indicator(n: u32, more: &Value) -> Value {
    let mut object = json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{n:012x}"),
        "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
        "pattern": format!("[domain-name:value = 'n{n}.evil.example']"), "pattern_type": "stix",
        "valid_from": "2026-11-01T08:00:00Z",
    });
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

const COLLECTION: &str = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";

fn taxii(port: u16, more: &str) -> String {
    format!(
        "[[sources]]\nname = \"isac\"\nkind = \"taxii\"\nurl = \"http://127.0.0.1:{port}/taxii2/\"\ncollection = \"High value\"\n\
         group = \"GROUP\"\ninterval = \"1h\"\n{more}\n"
    )
}

fn taxii_answer(body: &Value, last: &str) -> (u16, String, String) {
    let head =
        format!("content-type: application/taxii+json;version=2.1\r\nX-TAXII-Date-Added-Last: {last}\r\n");
    (200, head, body.to_string())
}

/// Three pages of one object, the second with things that cannot be taken; then nothing new.
fn pages(target: &str, head: &str) -> (u16, String, String) {
    if !head.contains("authorization: basic c29jonnly3jlda==") {
        return (401, String::new(), String::new());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (first, last) = ("2026-11-01T00:00:00.000001Z", "2026-11-03T00:00:00.000003Z");
    let red = json!({ "object_marking_refs": [belfry_proto::stix::marking::Tlp::Red.marking_id()] });
    let card = json!({ "description": "card 4111 1111 1111 1111" });
    let copyright = "marking-definition--00000000-0000-4000-8000-0000000000aa";
    match path {
        "/taxii2/" => {
            taxii_answer(&json!({ "title": "x", "api_roots": ["/elsewhere/"], "default": "/root/" }), first)
        }
        "/root/collections/" => taxii_answer(
            &json!({ "collections": [{ "id": COLLECTION, "title": "High value", "can_read": true, "can_write": false }] }),
            first,
        ),
        _ if path != format!("/root/collections/{COLLECTION}/objects/") => {
            (404, String::new(), String::new())
        }
        _ if query.contains("added_after=") => taxii_answer(&json!({}), last),
        _ if query.contains("next=two") => taxii_answer(
            &json!({ "more": true, "next": "three", "objects": [
                indicator(2, &json!({ "object_marking_refs": [copyright] })), indicator(3, &red), indicator(4, &card),
                { "type": "indicator", "id": "indicator--00000000-0000-4000-8000-000000000005" }, indicator(2, &card),
            ] }),
            first,
        ),
        _ if query.contains("next=three") => {
            taxii_answer(&json!({ "objects": [indicator(6, &json!({}))] }), last)
        }
        _ => taxii_answer(
            &json!({ "more": true, "next": "two", "objects": [
                indicator(1, &json!({})),
                { "type": "marking-definition", "spec_version": "2.1", "id": copyright, "created": "2026-11-01T08:00:00.000Z",
                  "definition_type": "statement", "definition": { "statement": "Copyright" } },
            ] }),
            first,
        ),
    }
}

fn secret(stage: &Stage) -> String {
    let path = stage.folder.path().join("secret");
    fs::write(&path, "soc:secret\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    format!("auth = \"basic\"\ncredential_file = {path:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_taken_page_by_page_and_goes_on_there_after_a_restart() {
    let stage = Stage::new().await;
    let server = Server::start(Arc::new(pages)).await;
    let config =
        taxii(server.port, &format!("publish = true\ntlp = \"green\"\nmax_items = 2\n{}", secret(&stage)));
    let started = stage.start(&config);
    let report = started.until("the first two pages", |report| report.last_run.is_some()).await;
    assert_eq!(report.failing, None);
    assert_eq!((report.counts.taken, report.counts.objects), (2, 4), "{report:?}");
    // RED, a card number, no properties, another content of one version.
    assert_eq!(report.counts.refused, 4, "{report:?}");
    assert!(!format!("{report:?}").contains("4111"));
    drop(started);
    assert!(server.asked().iter().any(|target| target.ends_with("limit=1000&next=two")));
    // Another start goes on with the third page, and then asks for what is new.
    let started = stage.start(&config);
    let report = started.again().await;
    assert_eq!((report.counts.taken, report.last.taken), (3, 1));
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.known, report.counts.refused), (0, 0, 4));
    let asked = server.asked();
    assert!(asked.iter().any(|target| target.ends_with("next=three")), "{asked:?}");
    assert!(asked.last().unwrap().ends_with("added_after=2026-11-03T00%3A00%3A00.000003Z"), "{asked:?}");
    assert_eq!(stage.queued(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_our_own_marking_keeps_out_is_taken_once_that_is_mended() {
    let mut stage = Stage::new().await;
    stage.publisher = publisher(&stage.identity, &stage.site, Tlp::Red);
    let server = Server::start(Arc::new(pages)).await;
    let config = taxii(server.port, &format!("max_items = 1\n{}", secret(&stage)));
    let started = stage.start(&config);
    for _ in 0..2 {
        let report = started.again().await;
        assert!(report.failing.unwrap().1.contains("RED"), "told, and nothing dropped");
        assert_eq!((report.counts.taken, report.counts.refused), (0, 0));
        assert!(server.asked().iter().all(|target| !target.contains("next=")), "its place has not moved");
    }
    drop(started);
    stage.publisher = publisher(&stage.identity, &stage.site, Tlp::AmberStrict);
    let started = stage.start(&config);
    let report = started.again().await;
    assert_eq!((report.counts.taken, report.counts.objects, report.failing), (1, 2, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_or_leads_elsewhere_is_told_and_followed_nowhere() {
    let stage = Stage::new().await;
    let moved = |target: &str, _: &str| match target {
        "/taxii2/" => (302, "location: http://127.0.0.1:1/\r\n".to_owned(), String::new()),
        _ => (500, String::new(), String::new()),
    };
    let led = |_: &str, _: &str| taxii_answer(&json!({ "api_roots": ["https://evil.example/root/"] }), "");
    let html = |_: &str, _: &str| (200, "content-type: text/html\r\n".to_owned(), "<html>".to_owned());
    let endless = |target: &str, _: &str| match target {
        "/taxii2/" => taxii_answer(&json!({ "title": "a root" }), ""),
        "/taxii2/collections/" => {
            taxii_answer(&json!({ "collections": [{ "id": COLLECTION, "title": "High value" }] }), "")
        }
        _ => taxii_answer(&json!({ "more": true, "objects": [] }), "no date"),
    };
    let huge = |_: &str, _: &str| {
        (200, "content-type: application/taxii+json;version=2.1\r\n".to_owned(), " ".repeat(20_000))
    };
    let cases: [(Answers, &str); 5] = [
        (Arc::new(moved), "nobody is followed"),
        (Arc::new(led), "on another host"),
        (Arc::new(html), "not TAXII 2.1"),
        (Arc::new(endless), "not how to get it"),
        (Arc::new(huge), "max_size"),
    ];
    for (answers, why) in cases {
        let server = Server::start(answers).await;
        let started = stage.start(&taxii(server.port, "max_size = \"10kB\""));
        let report = started.again().await;
        let said = report.failing.unwrap().1;
        assert!(said.contains(why), "{said}");
        assert_eq!(report.counts.taken, 0);
    }
    // TLS to a name of this site, where nobody said that it may be private.
    let config = taxii(1, "").replace("http://127.0.0.1:1", "https://localhost:1");
    let report = stage.start(&config).again().await;
    assert!(report.failing.unwrap().1.contains("`private`"));
}

fn misp(port: u16) -> String {
    format!(
        "[[sources]]\nname = \"osint\"\nkind = \"misp\"\nurl = \"http://127.0.0.1:{port}/feed\"\ngroup = \"GROUP\"\n\
         tlp = \"green\"\ninterval = \"1h\"\n"
    )
}

fn event(n: u8, timestamp: u64, domain: &str) -> String {
    json!({ "Event": {
        "uuid": format!("298fe907-7931-4fd2-8131-2814dd4931{n:02}"), "info": "x", "date": "2026-11-20",
        "timestamp": timestamp.to_string(), "Attribute": [{
            "uuid": format!("298fe907-7931-4fd2-8131-2814dd4932{n:02}"), "type": "domain", "value": domain, "to_ids": true,
            "timestamp": timestamp.to_string(),
        }] } })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_feed_only_what_changed_is_fetched() {
    let stage = Stage::new().await;
    let stamp = Arc::new(Mutex::new(1_763_800_000_u64));
    let now = Arc::clone(&stamp);
    let server = Server::start(Arc::new(move |target: &str, _: &str| {
        let second = *now.lock().unwrap();
        let uuid = |n: u8| format!("298fe907-7931-4fd2-8131-2814dd4931{n:02}");
        let path = |n: u8| format!("/feed/{}.json", uuid(n));
        let body = match target {
            "/feed/manifest.json" => json!({
                uuid(1): { "timestamp": "1763700000", "info": "x" }, uuid(2): { "timestamp": second },
                uuid(3): { "timestamp": "1763700001" }, uuid(4): { "timestamp": "1763700002" },
            })
            .to_string(),
            _ if target == path(1) => event(1, 1_763_700_000, "one.evil.example"),
            _ if target == path(2) => event(2, second, &format!("n{second}.evil.example")),
            _ if target == path(3) => "{\"Event\": {}}".to_owned(),
            _ => return (404, String::new(), String::new()),
        };
        (200, String::new(), body)
    }))
    .await;
    let started = stage.start(&misp(server.port));
    let report = started.until("a run", |report| report.last_run.is_some()).await;
    assert_eq!((report.counts.taken, report.counts.refused), (2, 2), "{report:?}");
    assert_eq!(server.asked().len(), 5);
    drop(started);
    let started = stage.start(&misp(server.port));
    let report = started.again().await;
    assert_eq!((report.last.taken, report.last.known), (0, 0));
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "the manifest, and what was not there: {asked:?}");
    *stamp.lock().unwrap() += 1;
    let report = started.again().await;
    assert_eq!(report.last.taken, 1);
    assert_eq!(stage.held().await, 3);
    let draft = stage.publisher.held(|_| true, None, 1_000).await.unwrap().0.pop().unwrap();
    let open = stage.publisher.held_draft(draft.publication).await.unwrap();
    assert_eq!(open.tlp, belfry_proto::stix::marking::Tlp::Green);
    assert_eq!(draft.submitter, "source:osint");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_too_long_for_us_is_left_alone_until_we_allow_more() {
    let stage = Stage::new().await;
    let server = Server::start(Arc::new(|target: &str, _: &str| {
        let long = event(1, 1_763_700_000, "one.evil.example")
            .replace("\"x\"", &format!("\"{}\"", "x".repeat(2_000)));
        let body = match target {
            "/feed/manifest.json" => {
                json!({ "298fe907-7931-4fd2-8131-2814dd493101": { "timestamp": "1763700000" } }).to_string()
            }
            _ => long,
        };
        (200, String::new(), body)
    }))
    .await;
    let small = format!("{}max_size = \"1kB\"\n", misp(server.port));
    let started = stage.start(&small);
    let report = started.until("a run", |report| report.last_run.is_some()).await;
    assert_eq!((report.counts.taken, report.counts.refused), (0, 1), "{report:?}");
    server.asked();
    started.again().await;
    assert_eq!(server.asked().len(), 1, "the manifest alone");
    drop(started);
    let report = stage.start(&misp(server.port)).again().await;
    assert_eq!((report.counts.taken, report.counts.refused), (1, 1), "{report:?}");
}

#[tokio::test]
async fn sources_that_cannot_be_meant_are_refused_with_the_mend() {
    let stage = Stage::new().await;
    let open = |text: &str| {
        let text = text.replace("INBOX", stage.inbox().to_str().unwrap());
        let config = Config::parse(&text, Path::new("belfry.toml")).unwrap();
        Sources::open(&config.sources, &stage.publisher, &stage.site.store, &stage.site.roster)
            .err()
            .unwrap()
            .to_string()
    };
    assert!(open(&[folder(""), folder("")].concat()).contains("two sources are named \"inbox\""));
    assert!(open(&folder("").replace("INBOX", "/nowhere/at/all")).contains("make the folder"));
    let path = stage.folder.path().join("open");
    fs::write(&path, "x").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(open(&taxii(1, &format!("credential_file = {path:?}"))).contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(
        open(&taxii(1, &format!("auth = \"basic\"\ncredential_file = {path:?}"))).contains("USER:PASSWORD")
    );
}
