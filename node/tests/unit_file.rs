//! The systemd unit, as it is shipped: what it says exists, and what it runs does what the unit counts on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::{collections::BTreeMap, fs};

use support::Site;

const UNIT: &str = include_str!("../../config/belfry.service");
/// Where the unit looks for what an operator installs.
const CONFIG: &str = "/etc/belfry/belfry.toml";
const BINARY: &str = "/usr/local/bin/belfry";

/// Names that systemd 252 and later know, of systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5) and
/// systemd.resource-control(5): what it does not know it passes over with no more than a line in the journal.
const KNOWN: [(&str, &[&str]); 3] = [
    ("Unit", &["Description", "Documentation", "Wants", "After", "StartLimitIntervalSec", "StartLimitBurst"]),
    (
        "Service",
        &[
            "Type",
            "User",
            "Group",
            "ExecStartPre",
            "ExecStart",
            "LoadCredentialEncrypted",
            "Restart",
            "RestartSec",
            // From 254 on: earlier ones start it again each `RestartSec`.
            "RestartSteps",
            "RestartMaxDelaySec",
            "TimeoutStopSec",
            "UMask",
            "StateDirectory",
            "StateDirectoryMode",
            "LimitNOFILE",
            "LimitCORE",
            "MemorySwapMax",
            "CapabilityBoundingSet",
            "AmbientCapabilities",
            "NoNewPrivileges",
            "ProtectSystem",
            "ProtectHome",
            "PrivateTmp",
            "PrivateDevices",
            "PrivateUsers",
            "ProtectClock",
            "ProtectControlGroups",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProcSubset",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "RemoveIPC",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "SystemCallArchitectures",
            "SystemCallFilter",
            "SystemCallErrorNumber",
        ],
    ),
    ("Install", &["WantedBy"]),
];

/// Section, name and value of every line.
fn lines() -> Vec<(&'static str, &'static str, &'static str)> {
    let (mut section, mut lines) = ("", Vec::new());
    for line in UNIT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => {
                let (name, value) = line.split_once('=').expect("NAME=VALUE");
                lines.push((section, name, value));
            }
        }
    }
    lines
}

/// The value of a name that stands there once.
#[track_caller]
fn value(section: &str, name: &str) -> &'static str {
    let found: Vec<_> = lines().into_iter().filter(|line| (line.0, line.1) == (section, name)).collect();
    let [(.., value)] = found.as_slice() else {
        panic!("[{section}] {name} stands there {} times", found.len())
    };
    value
}

/// What a line runs, as our arguments, with a configuration of our own.
#[track_caller]
fn command(value: &str, config: &str) -> String {
    let words = value.strip_prefix(BINARY).unwrap_or_else(|| panic!("{value:?} does not run {BINARY}"));
    assert!(words.ends_with(&format!(" --config {CONFIG}")), "{words}");
    words.trim().replace(CONFIG, config)
}

/// Writes alice's configuration, for a node that only reads below `floor`.
fn configure(site: &Site, floor: &str) {
    let text = format!(
        "[node]\ndata_dir = \"alice\"\n[keys]\npassphrase_file = \"passphrase\"\n[network]\n\
         listen = [\"/ip4/127.0.0.1/tcp/0\"]\n[api]\nlisten = \"127.0.0.1:0\"\n[store]\nfree_space_floor = \"{floor}\"\n"
    );
    fs::write(site.path("alice.toml"), text).unwrap();
}

#[test]
fn every_directive_is_one_that_systemd_knows_in_that_section() {
    let known: BTreeMap<&str, &[&str]> = KNOWN.into_iter().collect();
    for (section, name, _) in lines() {
        let names = known.get(section).unwrap_or_else(|| panic!("no section [{section}]"));
        assert!(names.contains(&name), "[{section}] {name}");
    }
}

#[test]
fn paths_and_names_are_those_that_belfry_goes_by() {
    let example = include_str!("../../config/belfry.example.toml");
    let state = format!("/var/lib/{}", value("Service", "StateDirectory"));
    assert!(example.contains(&format!("data_dir = \"{state}\"")), "{state}");
    let (credential, path) = value("Service", "LoadCredentialEncrypted").split_once(':').unwrap();
    assert!(example.contains(&format!("credential = \"{credential}\"")), "{credential}");
    // As the unit itself tells to make it.
    assert!(UNIT.contains(&format!("--name={credential} - {path}")), "{credential} {path}");
    for (.., name) in lines().into_iter().filter(|(_, name, _)| matches!(*name, "User" | "Group")) {
        assert_eq!(name, "belfry");
    }
    assert!(UNIT.contains(&format!("install -d -o belfry -g belfry -m 700 {state}")));
    assert_eq!(CONFIG, belfry_node::config::DEFAULT_PATH);
}

/// Whatever keeps a node from starting is mended some day, and nobody may be there to say `systemctl reset-failed`.
#[test]
fn a_node_that_does_not_start_is_started_again_for_as_long_as_it_takes() {
    assert_eq!(value("Unit", "StartLimitIntervalSec"), "0");
    assert_eq!(value("Service", "Restart"), "on-failure");
    assert!(
        lines().iter().all(|(_, name, _)| *name != "StartLimitBurst" && *name != "RestartPreventExitStatus")
    );
    let pause: u64 = value("Service", "RestartSec").parse().unwrap();
    assert!((5..=60).contains(&pause), "{pause}");
    // A key is derived and a store opened each time: ever more rarely, and soon enough once it is mended.
    let longest: u64 = value("Service", "RestartMaxDelaySec").parse().unwrap();
    assert!((2 * pause..=600).contains(&longest), "{longest}");
    let steps: u64 = value("Service", "RestartSteps").parse().unwrap();
    assert!((2..=20).contains(&steps), "{steps}");
}

/// What runs before the node tells what it finds, and never decides whether the node runs.
#[test]
fn the_check_before_the_start_keeps_no_node_down() {
    let before = value("Service", "ExecStartPre").strip_prefix('-').expect("its failure is passed over");
    let site = Site::new();
    site.coalition("c");
    site.enrol("alice", "c", "");
    site.issue("alice", "c", "");
    site.ok(&Site::join("alice", "c"));
    configure(&site, "1MiB");
    assert!(!site.run_bare(&command(before, "alice.toml")).stdout.contains("WRONG"));
    // Nor is anything wrong that the node itself would not stop at.
    configure(&site, "900000TiB");
    let ran = site.run_bare(&command(before, "alice.toml"));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("WARN"), "{}", ran.stdout);
    let _node = site.run_in_background("alice", &command(value("Service", "ExecStart"), "alice.toml"));
}
