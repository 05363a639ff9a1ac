//! Benchmarks measure nothing here; they must still run, so that the figures can be made again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs a benchmark small and gives the object on its last line.
fn quick(name: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([name, "--quick"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "bench {name} --quick\n{stdout}{stderr}");
    let report: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(report["benchmark"], name);
    assert_eq!(report["machine"]["quick"], true);
    report
}

#[test]
fn ingest_runs_quickly() {
    assert!(quick("ingest")["ratio_to_floor"].as_f64().unwrap() > 0.0);
}

#[test]
fn propagation_runs_quickly() {
    let report = quick("propagation");
    assert_eq!(report["belfry"]["messages_not_everywhere"], 0, "{report}");
    assert!(report["p99_ratio"].as_f64().unwrap() > 0.0);
}

#[test]
fn publish_runs_quickly() {
    let report = quick("publish");
    assert!(report["clients"]["64"]["acknowledged_per_s"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn lookup_runs_quickly() {
    let report = quick("lookup");
    assert!(report["bulk_per_s"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["http_p99_ms"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn import_runs_quickly() {
    let report = quick("import");
    assert!(report["csv_indicators_per_s"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["misp_indicators_per_s"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn export_runs_quickly() {
    let report = quick("export");
    assert!(report["anew_last_byte_ms"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["bytes"].as_u64().unwrap() > 2_000 * 16, "{report}");
}

/// Without the reference server, which is no part of a test: its figures are then missing.
#[test]
fn taxii_runs_quickly() {
    let report = quick("taxii");
    assert!(report["sizes"]["1000"]["pages_per_s"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["p99_growth"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report["speedup_vs_medallion"], Value::Null, "{report}");
}

/// Needs the binary, too.
#[test]
fn footprint_runs_quickly() {
    let report = quick("footprint");
    assert!(report["rss_mb"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["start_s"].as_f64().unwrap() > 0.0, "{report}");
}

/// Needs the binary, too: the node that catches up is a process of its own.
#[test]
fn catchup_runs_quickly() {
    let report = quick("catchup");
    for figure in ["messages_per_s", "readable_per_s", "ratio_to_ingest", "ratio_to_gossip", "peak_rss_mb"] {
        assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}: {report}");
    }
}

/// Bytes are no matter of how fast a machine is: the promise is kept or it is not.
#[test]
fn idle_sync_runs_quickly_and_below_a_kilobyte_a_group() {
    let report = quick("idle-sync");
    let bytes = report["bytes_per_group"].as_f64().unwrap();
    assert!(bytes > 0.0 && bytes < 1024.0, "{report}");
}

#[test]
fn heal_runs_quickly() {
    assert!(quick("heal")["seconds_until_equal"]["median"].as_f64().unwrap() > 0.0);
}

#[test]
fn delivery_runs_quickly() {
    let report = quick("delivery");
    assert!(report["p99_ratio"].as_f64().unwrap() > 0.0, "{report}");
    // Of two messages of each of four nodes, each to three others.
    assert_eq!(report["beside_droppers"]["deliveries"], 24, "{report}");
    assert_eq!(report["is_met"], report["delivered_within_60_s"].as_f64().unwrap() >= 0.999, "{report}");
}

#[test]
fn revoke_runs_quickly() {
    let report = quick("revoke");
    assert!(report["seconds_until_all_refuse"]["median"].as_f64().unwrap() > 0.0, "{report}");
}

/// Needs the binary, as every story does: `cargo build --bins` before.
#[test]
fn idle_runs_quickly() {
    assert!(quick("idle")["rss_mb"].as_f64().unwrap() > 0.0);
}

#[test]
fn admission_runs_quickly() {
    let report = quick("admission");
    assert!(report["hellos_per_s"]["median"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["p99_ratio"].as_f64().unwrap() > 0.0, "{report}");
    // A target that is held while nobody floods is not met.
    let is_met = report["is_flood"] == true && report["p99_ratio"].as_f64().unwrap() <= 2.0;
    assert_eq!(report["is_met"], is_met, "{report}");
}

#[test]
fn bombs_run_quickly() {
    let report = quick("bombs");
    assert!(report["worst_message_ratio_to_floor"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report["is_met"], report["worst_ms"].as_f64().unwrap() <= 50.0, "{report}");
}

#[test]
fn roster_runs_quickly() {
    let report = quick("roster");
    assert!(report["ratio_to_verify"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["larger"]["incremental_ms"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["is_met"].is_boolean(), "{report}");
}
