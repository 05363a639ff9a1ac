//! What is pushed: to whom, signed how, and what becomes of it when the other side is away, refuses or lies.

mod lists;
mod times;

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use belfry_proto::stix::marking::Tlp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::{TcpListener, UdpSocket, UnixDatagram},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    coalition::{CLOUD, OTHER},
    site::{Put, Site},
};
use crate::{
    config::Config,
    heard::Hellos,
    hooks::{HookReport, Hooks},
    store::Conditions,
};

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
const WAITS: [Duration; 1] = [Duration::from_millis(5)];
const SECRET: &[u8] = &[7; 32];

/// What a receiver was sent.
struct Got {
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn id(&self) -> String {
        self.json()["data"]["id"].as_str().unwrap().to_owned()
    }
}

/// Answers with the statuses it was given, then with 200.
#[derive(Clone)]
struct Answers {
    got: mpsc::UnboundedSender<Got>,
    statuses: Arc<Mutex<VecDeque<u16>>>,
    /// Where redirects point.
    elsewhere: String,
}

struct Receiver {
    port: u16,
    got: mpsc::UnboundedReceiver<Got>,
    answers: Answers,
    _server: JoinSet<()>,
}

impl Receiver {
    async fn start(elsewhere: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, got) = mpsc::unbounded_channel();
        let answers = Answers { got: sender, statuses: Arc::default(), elsewhere: elsewhere.to_owned() };
        let router = Router::new().fallback(answer).with_state(answers.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, got, answers, _server: server }
    }

    fn answers(&self, statuses: &[u16]) {
        self.answers.statuses.lock().unwrap().extend(statuses);
    }

    async fn next(&mut self) -> Got {
        timeout(PATIENCE, self.got.recv()).await.expect("an event").unwrap()
    }

    /// Ids of the next events.
    async fn ids(&mut self, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..n {
            ids.push(self.next().await.id());
        }
        ids
    }
}

async fn answer(State(answers): State<Answers>, headers: HeaderMap, body: Bytes) -> axum::response::Response {
    answers.got.send(Got { headers, body }).unwrap();
    let status = answers.statuses.lock().unwrap().pop_front().unwrap_or(200);
    (StatusCode::from_u16(status).unwrap(), [(header::LOCATION, answers.elsewhere)]).into_response()
}

/// The hooks of a node, running.
struct Running {
    hooks: Hooks,
    _tasks: JoinSet<()>,
}

impl Running {
    /// As `belfry.toml` names them; ready for what comes next.
    async fn start(site: &Site, config: &str) -> Self {
        let secret = site.folder.path().join("secret");
        fs::write(&secret, format!("whsec_{}\n", STANDARD.encode(SECRET))).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let text = config.replace("SECRET", secret.to_str().unwrap());
        let config = Config::parse(&text, Path::new("belfry.toml")).unwrap();
        let paced = (&site.vouched, WAITS.as_slice());
        let (hooks, running) =
            Hooks::paced(&config.webhooks, &config.syslog, &site.query, &site.store, paced).unwrap();
        let mut tasks = JoinSet::new();
        for hook in running {
            tasks.spawn(hook.run());
        }
        let running = Self { hooks, _tasks: tasks };
        // Until it knows where it begins.
        for hook in running.hooks.report() {
            running.until(&hook.name, |_| site.store.hook(&hook.name).unwrap().is_some()).await;
        }
        running
    }

    fn report(&self, name: &str) -> HookReport {
        self.hooks.report().into_iter().find(|hook| hook.name == name).unwrap()
    }

    async fn until(&self, name: &str, holds: impl Fn(&HookReport) -> bool) -> HookReport {
        let looking = async {
            loop {
                let report = self.report(name);
                if holds(&report) {
                    return report;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        match timeout(PATIENCE, looking).await {
            Ok(report) => report,
            Err(_) => panic!("{:?}", self.report(name)),
        }
    }
}

fn webhook(port: u16, more: &str) -> String {
    format!(
        "[[webhooks]]\nname = \"soar\"\nurl = \"http://127.0.0.1:{port}/in?x=1\"\nsecret_file = \"SECRET\"\n{more}\n"
    )
}

/// Indicator `n` with a value of its own.
fn indicator(n: u32) -> Put {
    Put::pattern(n, &format!("[domain-name:value = 'c2-{n}.be']"), &json!({}))
}

fn id(n: u32) -> String {
    indicator(n).id
}

#[tokio::test]
async fn events_arrive_signed_in_order_and_once() {
    let site = Site::new().await;
    let mut receiver = Receiver::start("").await;
    site.put(&[indicator(9)]).await;
    let running = Running::start(&site, &webhook(receiver.port, "")).await;
    site.put(&[indicator(1), indicator(2).by(OTHER), indicator(3)]).await;
    let first = receiver.next().await;
    let (event, at, body) = (first.header("webhook-id"), first.header("webhook-timestamp"), &first.body[..]);
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(&[event.as_bytes(), b".", at.as_bytes(), b".", body].concat());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(first.header("webhook-signature"), expected);
    assert_eq!(first.header("content-type"), "application/json");
    let json = first.json();
    assert_eq!((&json["type"], &json["data"]["group"]), (&json!("object.added"), &json!("cidr")));
    assert_eq!(json["data"]["values"], json!([{ "type": "domain-name", "value": "c2-1.be" }]));
    assert_eq!(json["data"]["object"]["id"], json!(id(1)));
    assert_eq!(receiver.ids(2).await, [id(2), id(3)], "and nothing from before it was named");
    running.until("soar", |hook| hook.state == "waiting" && hook.sent == 3).await;
    // Another life of the node goes on behind them.
    drop(running);
    let again = Running::start(&site, &webhook(receiver.port, "")).await;
    site.put(&[indicator(4)]).await;
    assert_eq!(receiver.ids(1).await, [id(4)]);
    again.until("soar", |hook| hook.sent == 1).await;
    assert!(receiver.got.try_recv().is_err());
}

#[tokio::test]
async fn what_may_not_leave_stays_and_is_counted() {
    let site = Site::new().await;
    let mut receiver = Receiver::start("").await;
    let more = "audience = \"outside\"\nmax_tlp = \"amber\"\naction = \"block\"\ngroups = [\"cidr\"]\ntypes = [\"indicator\"]";
    let running = Running::start(&site, &webhook(receiver.port, more)).await;
    let at = |n: u32, put: fn(Put) -> Put| put(indicator(n));
    site.put(&[
        at(1, |put| put.tlp(Tlp::AmberStrict)),
        at(2, |put| Put { pap: 3, ..put }),
        at(3, |put| Put { group: CLOUD, ..put }),
        at(4, |put| Put { recipients: true, tlp: Tlp::Red, ..put }),
        Put::pattern(5, "[ipv4-addr:value = '8.8.8.8']", &json!({})),
        Put::pattern(
            6,
            "[domain-name:value = 'old.be']",
            &json!({ "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2026-01-02T00:00:00Z" }),
        ),
        at(7, |put| {
            let conditions = Conditions { terms: vec!["sharing=never".to_owned()], ..Conditions::default() };
            Put { conditions, ..put }
        }),
        Put::json(json!({
            "type": "report", "spec_version": "2.1", "id": "report--00000000-0000-4000-8000-000000000008",
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "name": "r",
            "published": "2026-01-01T00:00:00Z", "object_refs": [id(1)],
        })),
        indicator(9),
    ])
    .await;
    assert_eq!(receiver.ids(1).await, [id(9)], "only the last of them");
    let report = running.until("soar", |hook| hook.state == "waiting" && hook.sent == 1).await;
    let held: Vec<_> = report.held.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(held, [("marking", 1), ("pap", 1), ("terms", 1), ("expired", 1), ("warning-list", 1)]);
    assert!(receiver.got.try_recv().is_err());
}

#[tokio::test]
async fn what_an_embargo_holds_back_goes_out_when_it_ends_also_after_a_restart() {
    let site = Site::new().await;
    // Nothing is over before others vouch for our clock, however long all this takes.
    site.hellos.send_replace(Hellos::told(&[]));
    let mut receiver = Receiver::start("").await;
    let config = webhook(receiver.port, "audience = \"outside\"");
    let running = Running::start(&site, &config).await;
    let under = |n: u32, until: u64| {
        let conditions = Conditions { embargo_until: until, ..Conditions::default() };
        Put { conditions, ..indicator(n).tlp(Tlp::Green) }
    };
    let soon = crate::clock::now().as_micros() + 5_000_000;
    site.put(&[under(1, soon), under(2, u64::MAX / 2), indicator(3).tlp(Tlp::Green)]).await;
    assert_eq!(receiver.ids(1).await, [id(3)], "it holds up nothing else");
    let report = running.until("soar", |hook| hook.state == "waiting" && hook.position == 3).await;
    assert_eq!(report.held.values().sum::<u64>(), 2);
    drop(running);
    site.hellos.send_replace(Hellos::told(&[0, 0]));
    let _running = Running::start(&site, &config).await;
    assert_eq!(receiver.ids(1).await, [id(1)]);
    assert!(crate::clock::now().as_micros() >= soon, "and not before");
}

#[tokio::test]
async fn what_was_said_anew_while_an_embargo_held_it_back_is_no_news_when_that_ends() {
    let site = Site::new().await;
    // Over for readers, and not for hooks before others vouch for our clock.
    site.hellos.send_replace(Hellos::told(&[]));
    let mut receiver = Receiver::start("").await;
    let running = Running::start(&site, &webhook(receiver.port, "audience = \"outside\"")).await;
    let conditions = Conditions { embargo_until: 1, ..Conditions::default() };
    let under = |n: u32| Put { conditions: conditions.clone(), ..indicator(n).tlp(Tlp::Green) };
    let modified = "2026-02-01T00:00:00.000Z";
    let mut revoked = indicator(1).json.unwrap();
    revoked["modified"] = json!(modified);
    revoked["revoked"] = json!(true);
    site.put(&[under(1), Put::json(revoked).tlp(Tlp::Green), under(2)]).await;
    let told = receiver.next().await;
    assert_eq!((told.id(), &told.json()["data"]["revoked"]), (id(1), &json!(true)));
    running.until("soar", |hook| hook.state == "waiting" && hook.position == 3).await;
    assert!(receiver.got.try_recv().is_err());
    site.hellos.send_replace(Hellos::told(&[0, 0]));
    assert_eq!(receiver.ids(1).await, [id(2)]);
}

#[tokio::test]
async fn what_was_said_anew_for_readers_within_goes_out_by_a_hook_outside_when_its_embargo_ends() {
    let site = Site::new().await;
    // Over for readers, and not for hooks before others vouch for our clock.
    site.hellos.send_replace(Hellos::told(&[]));
    let mut receiver = Receiver::start("").await;
    let running = Running::start(&site, &webhook(receiver.port, "audience = \"outside\"")).await;
    let conditions = Conditions { embargo_until: 1, ..Conditions::default() };
    let mut newer = indicator(1).json.unwrap();
    newer["modified"] = json!("2026-02-01T00:00:00.000Z");
    site.put(&[
        Put { conditions, ..indicator(1).tlp(Tlp::Green) },
        Put::json(newer).tlp(Tlp::AmberStrict),
        indicator(2).tlp(Tlp::Green),
    ])
    .await;
    assert_eq!(receiver.ids(1).await, [id(2)]);
    running.until("soar", |hook| hook.state == "waiting" && hook.position == 3).await;
    assert!(receiver.got.try_recv().is_err());
    site.hellos.send_replace(Hellos::told(&[0, 0]));
    let told = receiver.next().await;
    let modified = told.json()["data"]["object"]["modified"].clone();
    assert_eq!((told.id(), modified), (id(1), json!("2026-01-01T00:00:00.000Z")));
}

#[tokio::test]
async fn by_a_clock_that_is_doubted_no_embargo_is_over_for_a_hook_outside() {
    let site = Site::new().await;
    site.hellos.send_replace(Hellos::told(&[]));
    let mut receiver = Receiver::start("").await;
    let running = Running::start(&site, &webhook(receiver.port, "audience = \"outside\"")).await;
    let conditions = Conditions { embargo_until: 1, ..Conditions::default() };
    site.put(&[Put { conditions, ..indicator(1).tlp(Tlp::Green) }, indicator(2).tlp(Tlp::Green)]).await;
    assert_eq!(receiver.ids(1).await, [id(2)]);
    running.until("soar", |hook| hook.state == "waiting" && hook.position == 2).await;
    assert!(receiver.got.try_recv().is_err(), "our clock may be set ahead");
    site.hellos.send_replace(Hellos::told(&[0, 0]));
    assert_eq!(receiver.ids(1).await, [id(1)]);
}

#[tokio::test]
async fn what_left_the_feed_before_its_embargo_ended_is_counted_as_lost() {
    let site = Site::new().await;
    let receiver = Receiver::start("").await;
    let over = belfry_proto::time::Timestamp::from_micros(1);
    let state = json!({ "position": 0, "dead": [], "lost": 0, "later": { "50": over } });
    site.store.remember("soar", &state).await.unwrap();
    let running = Running::start(&site, &webhook(receiver.port, "")).await;
    running.until("soar", |hook| hook.lost == 1).await;
}

#[tokio::test]
async fn a_shadow_sends_nothing_and_counts_all() {
    let site = Site::new().await;
    let mut receiver = Receiver::start("").await;
    let running = Running::start(&site, &webhook(receiver.port, "shadow = true\nmax_tlp = \"green\"")).await;
    site.put(&[indicator(1), indicator(2).tlp(Tlp::Green)]).await;
    let report = running.until("soar", |hook| hook.sent == 1 && hook.state == "waiting").await;
    assert_eq!(report.held.values().sum::<u64>(), 1);
    assert!(receiver.got.try_recv().is_err());
}

#[tokio::test]
async fn who_is_away_is_waited_for_and_nothing_is_lost() {
    let site = Site::new().await;
    let mut receiver = Receiver::start("").await;
    let running = Running::start(&site, &webhook(receiver.port, "")).await;
    receiver.answers(&[503; 20]);
    site.put(&[indicator(1), indicator(2)]).await;
    let failing = running.until("soar", |hook| hook.failing.is_some()).await;
    assert!(failing.failing.unwrap().1.contains("503"));
    let mut tries = Vec::new();
    for _ in 0..21 {
        tries.push(receiver.next().await.header("webhook-id").to_owned());
    }
    tries.dedup();
    assert_eq!(tries.len(), 1, "every try of one event has one id: {tries:?}");
    assert_eq!(receiver.ids(1).await, [id(2)]);
    let report = running.until("soar", |hook| hook.sent == 2 && hook.failing.is_none()).await;
    assert_eq!(report.dead, 0);
}

#[tokio::test]
async fn what_is_refused_again_and_again_is_a_dead_letter_until_it_is_replayed() {
    let site = Site::new().await;
    let mut receiver = Receiver::start("").await;
    let running = Running::start(&site, &webhook(receiver.port, "")).await;
    receiver.answers(&[400; 6]);
    site.put(&[indicator(1), indicator(2)]).await;
    assert_eq!(receiver.ids(7).await, [vec![id(1); 6], vec![id(2)]].concat());
    running.until("soar", |hook| hook.dead == 1 && hook.sent == 1).await;
    let letters = running.hooks.dead_letters("soar").unwrap();
    assert_eq!(letters[0].status, 400);
    let tries = running.hooks.tries("soar").unwrap();
    let told: Vec<(u64, &str, Option<&str>)> =
        tries.iter().map(|one| (one.number, one.outcome, one.why.as_deref())).collect();
    let refused = (1..=6).map(|n| (n, "refused", Some("answers 400")));
    assert_eq!(told, refused.chain([(7, "taken", None)]).collect::<Vec<_>>());
    assert!(tries[..6].iter().all(|one| one.event == tries[0].event) && tries[6].event != tries[0].event);
    assert_eq!(running.hooks.tries("nobody"), None);
    // It outlives the process, and tells nothing but its number.
    drop(running);
    let row = String::from_utf8(site.store.hook("soar").unwrap().unwrap()).unwrap();
    assert!(!row.contains("c2-1") && !row.contains("indicator"), "{row}");
    let running = Running::start(&site, &webhook(receiver.port, "")).await;
    running.until("soar", |hook| hook.dead == 1).await;
    assert_eq!(running.hooks.replay("soar"), Some(1));
    assert_eq!(receiver.ids(1).await, [id(1)]);
    running.until("soar", |hook| hook.dead == 0).await;
    assert_eq!(running.hooks.dead_letters("soar"), Some(Vec::new()));
    assert_eq!((running.hooks.replay("nobody"), running.hooks.dead_letters("nobody")), (None, None));
}

#[tokio::test]
async fn gone_stops_a_hook_until_somebody_wakes_it() {
    let site = Site::new().await;
    let mut receiver = Receiver::start("").await;
    let running = Running::start(&site, &webhook(receiver.port, "")).await;
    receiver.answers(&[410]);
    site.put(&[indicator(1), indicator(2)]).await;
    assert_eq!(receiver.ids(1).await, [id(1)]);
    running.until("soar", |hook| hook.state == "stopped").await;
    site.put(&[indicator(3)]).await;
    assert!(receiver.got.try_recv().is_err());
    running.hooks.replay("soar").unwrap();
    assert_eq!(receiver.ids(3).await, [id(1), id(2), id(3)]);
}

#[tokio::test]
async fn a_redirect_is_a_refusal_and_leads_nowhere() {
    let site = Site::new().await;
    let mut inner = Receiver::start("").await;
    let mut receiver = Receiver::start(&format!("http://127.0.0.1:{}/", inner.port)).await;
    let running = Running::start(&site, &webhook(receiver.port, "")).await;
    receiver.answers(&[307, 302, 301, 308, 303, 307]);
    site.put(&[indicator(1)]).await;
    receiver.ids(6).await;
    running.until("soar", |hook| hook.dead == 1).await;
    assert_eq!(running.hooks.dead_letters("soar").unwrap()[0].status, 307);
    assert!(inner.got.try_recv().is_err());
}

#[tokio::test]
async fn a_name_that_leads_into_this_machine_is_not_followed() {
    let site = Site::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = format!(
        "[[webhooks]]\nname = \"soar\"\nurl = \"https://localhost:{port}/\"\nsecret_file = \"SECRET\"\nca_file = \"CA\"\n"
    );
    let made = Certified::make(&site);
    let running = Running::start(&site, &config.replace("CA", made.ca.to_str().unwrap())).await;
    site.put(&[indicator(1)]).await;
    let report = running.until("soar", |hook| hook.failing.is_some()).await;
    let why = report.failing.unwrap().1;
    assert!(why.contains("no address that may be connected to"), "{why}");
    let knocked = timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(knocked.is_err(), "nobody connected");
}

/// A server certificate for `localhost`, and the one to trust.
struct Certified {
    ca: std::path::PathBuf,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl Certified {
    fn make(site: &Site) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca = site.folder.path().join("ca.pem");
        fs::write(&ca, made.cert.pem()).unwrap();
        let key =
            tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(made.key_pair.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self { ca, acceptor: tokio_rustls::TlsAcceptor::from(Arc::new(config)) }
    }
}

/// One RFC 6587 frame.
async fn frame(stream: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> String {
    let reading = async {
        let mut length = Vec::new();
        stream.read_until(b' ', &mut length).await.unwrap();
        let length: usize = std::str::from_utf8(&length).unwrap().trim().parse().unwrap();
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.unwrap();
        String::from_utf8(message).unwrap()
    };
    timeout(PATIENCE, reading).await.expect("a message")
}

fn syslog(target: &str, more: &str) -> String {
    format!("[[syslog]]\nname = \"siem\"\ntarget = \"{target}\"\n{more}\n")
}

#[tokio::test]
async fn a_log_server_gets_a_line_for_each_value_and_no_value_makes_another() {
    let site = Site::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let running = Running::start(&site, &syslog(&target, "")).await;
    let two = "[domain-name:value = 'c2.be'] OR [ipv4-addr:value = '203.0.113.9']";
    let evil = "x|y=z\\ \n<133>1 - - - - - - CEF:0|fake";
    site.put(&[Put::pattern(1, two, &json!({ "name": evil }))]).await;
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    let mut lines = vec![frame(&mut stream).await, frame(&mut stream).await];
    lines.sort();
    for line in &lines {
        assert!(line.starts_with("<133>1 20") && !line.contains('\n'), "{line}");
        assert!(line.contains(" belfry ") && line.contains(" object-added - CEF:0|belfry|belfry|"), "{line}");
        assert!(line.contains("|object-added|x\\|y=z\\\\ \\\\u{a}<133>1"), "{line}");
        assert!(line.contains(" cs3=cidr cs3Label=group cs4="), "{line}");
    }
    assert!(lines.iter().any(|line| line.contains(" dst=203.0.113.9 ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(" destinationDnsDomain=c2.be ")), "{lines:?}");
    // The server restarts: what follows goes over a new connection.
    drop(stream);
    site.put(&[indicator(2)]).await;
    let mut stream = BufReader::new(listener.accept().await.unwrap().0);
    assert!(frame(&mut stream).await.contains("c2-2.be"));
    running.until("siem", |hook| hook.sent == 2).await;
}

#[tokio::test]
async fn over_tls_only_a_server_that_proves_its_name_is_told() {
    let site = Site::new().await;
    let made = Certified::make(&site);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ca = format!("ca_file = \"{}\"", made.ca.display());
    // By its address it proves nothing.
    let nameless = format!("[[syslog]]\nname = \"nameless\"\ntarget = \"tls://127.0.0.1:{port}\"\n{ca}\n");
    let running = Running::start(&site, &(nameless + &syslog(&format!("tls://localhost:{port}"), &ca))).await;
    site.put(&[indicator(1)]).await;
    let accepting = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = made.acceptor.accept(stream).await else { continue };
            return frame(&mut BufReader::new(stream)).await;
        }
    };
    let line = timeout(PATIENCE, accepting).await.unwrap();
    assert!(line.contains("c2-1.be"), "{line}");
    let refused = running.until("nameless", |hook| hook.failing.is_some()).await;
    assert_eq!(refused.sent, 0);
}

#[tokio::test]
async fn datagrams_carry_a_message_each() {
    let site = Site::new().await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let path = site.folder.path().join("log");
    let unix = UnixDatagram::bind(&path).unwrap();
    let config = syslog(&format!("udp://{}", udp.local_addr().unwrap()), "")
        + &syslog(&format!("unix://{}", path.display()), "").replace("siem", "local");
    let _running = Running::start(&site, &config).await;
    site.put(&[indicator(1)]).await;
    let mut bytes = vec![0; 65_536];
    let length = timeout(PATIENCE, udp.recv(&mut bytes)).await.unwrap().unwrap();
    let over_udp = String::from_utf8(bytes[..length].to_vec()).unwrap();
    let length = timeout(PATIENCE, unix.recv(&mut bytes)).await.unwrap().unwrap();
    let over_unix = String::from_utf8(bytes[..length].to_vec()).unwrap();
    for line in [over_udp, over_unix] {
        assert!(line.starts_with("<133>1 ") && line.contains("cs1=c2-1.be cs1Label=value"), "{line}");
    }
}

#[tokio::test]
async fn hooks_that_cannot_be_meant_are_refused_with_the_mend() {
    let site = Site::new().await;
    let refusal = |text: &str| {
        let config = Config::parse(text, Path::new("belfry.toml")).unwrap();
        let opened = Hooks::open(&config.webhooks, &config.syslog, &site.query, &site.store, &site.vouched);
        opened.err().unwrap().to_string()
    };
    let path = site.folder.path().join("short");
    fs::write(&path, "whsec_c2hvcnQ=").unwrap();
    let named = |path: &Path| webhook(1, "").replace("SECRET", path.to_str().unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&named(&path)).contains("webhook soar"), "others may read it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(refusal(&named(&path)).contains("whsec_"));
    assert!(refusal(&named(Path::new("/no/such/file"))).contains("/no/such/file"));
    let twice = syslog("udp://127.0.0.1:1", "") + &syslog("udp://127.0.0.1:2", "");
    assert!(refusal(&twice).contains("two hooks are named \"siem\""));
}
