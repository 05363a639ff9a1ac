//! `belfry config`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::fs;

use support::Site;

#[test]
fn the_example_is_right_and_what_is_shown_is_right_again() {
    let site = Site::new();
    fs::write(site.path("belfry.toml"), include_str!("../../config/belfry.example.toml")).unwrap();
    site.ok("config check --file-only");
    let shown = site.ok("config show");
    assert!(shown.contains("[network]") && shown.contains("interval = \"5m\""), "{shown}");
    fs::write(site.path("belfry.toml"), shown).unwrap();
    site.ok("config check --file-only");
}

#[test]
fn a_mistake_is_named_by_file_line_and_key() {
    let site = Site::new();
    fs::write(site.path("belfry.toml"), "[api]\nlisten = \"0.0.0.0:80\"\n").unwrap();
    site.refused("config check", 1, "belfry.toml:2:10: api.listen: ");
    site.refused("config check --config no.toml", 1, "no.toml");
}

#[test]
fn the_data_folder_can_be_named_on_the_command_line() {
    let site = Site::new();
    assert!(site.ok("config show --dir /elsewhere").contains("data_dir = \"/elsewhere\""));
}

#[test]
fn wrong_usage_and_help_differ_in_exit_code() {
    let site = Site::new();
    site.refused("frobnicate", 2, "frobnicate");
    site.refused("token create --name nothing", 2, "may do nothing");
    assert!(site.ok("--help").contains("Exit codes"));
    assert!(site.ok("coalition issue --help").contains("belfry coalition issue bank.request.pem"));
}

#[test]
fn without_a_daemon_commands_say_how_to_start_it() {
    let site = Site::new();
    for line in ["status", "members", "peers", "groups", "objects --group cidr", "token list", "heads x"] {
        site.refused(&format!("{line} --dir data"), 1, "belfry run");
    }
}
