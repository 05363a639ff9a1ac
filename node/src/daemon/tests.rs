//! The daemon whole, under what nothing outside this crate can bring about.

use std::net::{Ipv4Addr, SocketAddr};

use belfry_proto::{
    crypto::{secret::Secret, sign::PublicKey},
    schema::LogFile,
    stix::marking::Tlp,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Circuits, Daemon, Outlets, Settings, Tuning};
use crate::{
    api::server::ServerConfig,
    config,
    keys::{Enrolment, MemberKeys, enrolment},
    network::{Address, NetworkConfig},
    publish::Defaults,
    testing::{CIDR, Coalition, Seat, eventually},
};

/// A running node, and its folder.
struct Running {
    daemon: Daemon,
    folder: TempDir,
}

impl Running {
    async fn start(coalition: &Coalition, seat: &Seat, bootstrap: Vec<(PublicKey, Address)>) -> Self {
        let folder = TempDir::new().unwrap();
        let keys = MemberKeys {
            signing: seat.identity.signing.clone(),
            node: seat.key.clone(),
            kem: seat.identity.kem.clone(),
            store: Secret::new([9; 32]),
        };
        let log = LogFile {
            charters: coalition.roster.charters().signed().to_vec(),
            records: coalition.roster.records().map(|record| record.record.clone()).collect(),
        };
        let record = seat.identity.record.clone();
        let (roster, certificate) = enrolment::verify(coalition.id(), &log, &record, &keys.public()).unwrap();
        let settings = Settings {
            data_dir: folder.path().to_owned(),
            network: NetworkConfig {
                listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()],
                ..NetworkConfig::default()
            },
            bootstrap,
            circuits: Circuits::default(),
            api: ServerConfig {
                listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
                ..ServerConfig::default()
            },
            defaults: Defaults { tlp: Tlp::AmberStrict, purpose: None },
            guards: config::Guards::default(),
            outlets: Outlets::default(),
            sources: Vec::new(),
            tuning: Tuning::default(),
        };
        let enrolment = Enrolment { keys, certificate, record, log, roster };
        Self { daemon: Daemon::start(enrolment, settings).await.unwrap(), folder }
    }

    /// Submits the object of this number through the API; the status of the answer.
    async fn submit(&self, n: usize) -> u16 {
        let object = serde_json::json!({
            "type": "indicator", "spec_version": "2.1", "id": object(n), "pattern_type": "stix",
            "created": "2026-11-01T08:00:00.000Z", "modified": "2026-11-01T08:00:00.000Z",
            "pattern": format!("[domain-name:value = 'n{n}.example']"), "valid_from": "2026-11-01T08:00:00Z",
        });
        let bundle = serde_json::json!({
            "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [object],
        });
        let (api, body) = (self.daemon.api()[0], bundle.to_string());
        let token = std::fs::read_to_string(self.folder.path().join("cli.token")).unwrap();
        let request = format!(
            "POST /api/v1/publications?group=cidr&tlp=amber HTTP/1.1\r\nHost: {api}\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            token.trim(),
            body.len()
        );
        let mut stream = TcpStream::connect(api).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
    }

    /// Whether it shows the object of this number.
    fn shows(&self, n: usize) -> bool {
        !self.daemon.store().versions(CIDR, &object(n)).unwrap().is_empty()
    }
}

fn object(n: usize) -> String {
    format!("indicator--00000000-0000-4000-8000-{n:012x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swarm_that_panics_under_submissions_costs_no_answer_of_the_api_and_nothing_acknowledged() {
    const COUNT: usize = 60;
    let mut coalition = Coalition::new();
    let seats = [1, 2].map(|n| coalition.issue(n, &[CIDR]));
    let bob = Running::start(&coalition, &seats[1], Vec::new()).await;
    let mut listening = Vec::new();
    eventually("bob listens", async || {
        listening = bob.daemon.listening().await;
        !listening.is_empty()
    })
    .await;
    let bootstrap = listening.into_iter().map(|address| (seats[1].identity.node, address)).collect();
    let alice = Running::start(&coalition, &seats[0], bootstrap).await;
    assert_eq!(alice.submit(0).await, 202);
    eventually("they have met", async || bob.shows(0)).await;

    let submitting = async {
        for n in 1..COUNT {
            assert_eq!(alice.submit(n).await, 202, "submission {n}");
        }
    };
    let panicking = async {
        eventually("submissions are running", async || alice.shows(COUNT / 4)).await;
        alice.daemon.network().panic().await;
    };
    tokio::join!(submitting, panicking);
    let restarts = || alice.daemon.network().counters().snapshot().restarts;
    eventually("another swarm", async || restarts() == 1).await;
    eventually("all of it at the other node", async || (0..COUNT).all(|n| bob.shows(n))).await;
    assert!((0..COUNT).all(|n| alice.shows(n)));

    assert_eq!(bob.submit(COUNT).await, 202);
    eventually("what the other one says meanwhile", async || alice.shows(COUNT)).await;
    assert_eq!(restarts(), 1);
    alice.daemon.shutdown().await;
    bob.daemon.shutdown().await;
}
