//! Half a minute of a peer that keeps no rule; `scripts/faults hostile` gives it ten.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::process::{Command, Stdio};

use belfry_tests::process::binary;

#[test]
fn no_remote_bytes_stop_a_node_or_keep_it_from_honest_members() {
    let output = Command::new(env!("CARGO_BIN_EXE_hostile"))
        .args(["--seconds", "30", "--belfry"])
        .arg(binary())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{told}");
    let report: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert!(report["honest_delivered"].as_u64().unwrap() > 0, "{report}");
}
