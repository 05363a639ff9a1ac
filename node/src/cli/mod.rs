//! The command line: arguments in, text and an exit code out.
//!
//! Three kinds of commands, one folder each where they are many:
//!
//! * `coalition …` works on a folder of files, on a machine without network ([`coalition`]);
//! * `enroll`, `join`, `config` work on a member's data folder while no daemon runs;
//! * `status`, `publish`, `token` and the rest ask the running daemon through its Unix socket ([`client`]).
//!
//! `run` is the daemon itself. What a command prints goes to stdout in one piece, everything else to stderr.
//! Whatever other members wrote is shown with control characters made visible ([`output::visible`]).

mod accept_rules;
mod activity;
mod amend;
mod args;
mod audit;
mod audit_decisions;
mod audit_equivocations;
mod audit_log;
mod backup;
mod charter;
mod check;
mod client;
mod coalition;
mod config;
mod contact;
mod days;
mod decision;
mod documents;
mod drafts;
mod dumps;
mod enroll;
mod exit;
mod export;
mod global;
mod heads;
mod hook;
mod import;
mod import_log;
mod join;
mod leave;
mod listing;
mod lookup;
mod newcomers;
mod notice;
mod numbers;
mod organisation;
mod out;
mod output;
mod own_log;
#[cfg(test)]
mod papers;
mod preview;
mod propose;
mod publication;
mod publish;
mod requests;
mod rules;
mod run;
mod said;
mod sighting;
mod source;
mod status;
mod store;
mod subject;
mod sync;
mod token;
mod verify;
mod why;
mod withdraw;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::{
    exit::{Exit, exit_codes},
    global::Global,
};

/// The end of `belfry --help`.
const EXAMPLES: &str = concat!(
    "\
Becoming a member:
  belfry enroll --charter charter.pem --org 'Example Bank' \\
      --class essential,financial --groups cidr
  belfry join certificate.pem --log log.pem
  belfry run

Sharing:
  belfry publish bundle.json --group cidr --tlp amber
  belfry import event.json --group cidr
  belfry token create --name siem --read cidr --max-tlp amber

Asking:
  belfry lookup evil.example 198.51.100.7
  belfry sighting evil.example
  belfry export firewall

",
    exit_codes!()
);

/// Shares cyber-threat information between the members of a coalition, without a centre.
#[derive(Debug, Parser)]
#[command(name = "belfry", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Administer a coalition: charter, certificates, admin log (offline, on files)
    #[command(subcommand)]
    Coalition(coalition::Command),
    Enroll(enroll::Enroll),
    Join(join::Join),
    Charter(charter::Charter),
    Rules(rules::Rules),
    AcceptRules(accept_rules::AcceptRules),
    Amend(amend::Amend),
    Leave(leave::Leave),
    Run(run::Run),
    Status(status::Status),
    Sync(sync::Sync),
    Publish(publish::Publish),
    Publication(publication::Publication),
    Import(import::Import),
    /// Look at drafts that machines made, release or discard them
    #[command(subcommand)]
    Drafts(drafts::Command),
    Withdraw(withdraw::Withdraw),
    /// Make, list, rotate and revoke access tokens of the local API
    #[command(subcommand)]
    Token(token::Command),
    Members(listing::Members),
    /// Show where members' functions are reached, and say where this member's are
    #[command(subcommand)]
    Contact(contact::Command),
    Newcomers(newcomers::Newcomers),
    Hold(newcomers::Hold),
    Release(newcomers::Release),
    Peers(listing::Peers),
    Groups(listing::Groups),
    Objects(listing::Objects),
    Activity(activity::Activity),
    Lookup(lookup::Lookup),
    Sighting(sighting::Sighting),
    Propose(propose::Propose),
    /// List proposals between this member and others, accept or decline them
    #[command(subcommand)]
    Proposals(propose::Command),
    /// Find what names a person on this node, and erase it
    #[command(subcommand)]
    Subject(subject::Command),
    Export(export::Export),
    /// Show webhooks and log servers, and have them try again
    #[command(subcommand)]
    Hook(hook::Command),
    /// Show what is taken in from elsewhere, and have it run now
    #[command(subcommand)]
    Source(source::Command),
    Heads(heads::Heads),
    ImportLog(import_log::ImportLog),
    ExportLog(own_log::ExportLog),
    Why(why::Why),
    Verify(verify::Verify),
    /// Show who was a member when, who wrote a message, and who did what on this node
    #[command(subcommand)]
    Audit(audit::Command),
    Notice(notice::NoticeCommand),
    /// Make, verify and restore backups of this node
    #[command(subcommand)]
    Backup(backup::Command),
    /// Check or compact the database of a stopped node
    #[command(subcommand)]
    Store(store::Command),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to stdout.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    if let Err(error) = dumps::forbid() {
        eprintln!("belfry: core dumps of this process are not off: {error}");
    }
    match cli.command.run(&cli.global) {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("belfry: {}", output::chain(&error));
            Exit::of(&error).into()
        }
    }
}

impl Command {
    fn run(self, global: &Global) -> anyhow::Result<()> {
        match self {
            Self::Coalition(command) => command.run(),
            Self::Enroll(command) => command.run(global),
            Self::Join(command) => command.run(global),
            Self::Charter(command) => command.run(global),
            Self::Rules(command) => command.run(global),
            Self::AcceptRules(command) => command.run(global),
            Self::Amend(command) => command.run(global),
            Self::Leave(command) => command.run(global),
            Self::Run(command) => command.run(global),
            Self::Status(command) => command.run(global),
            Self::Sync(command) => command.run(global),
            Self::Publish(command) => command.run(global),
            Self::Publication(command) => command.run(global),
            Self::Import(command) => command.run(global),
            Self::Drafts(command) => command.run(global),
            Self::Withdraw(command) => command.run(global),
            Self::Token(command) => command.run(global),
            Self::Members(command) => command.run(global),
            Self::Contact(command) => command.run(global),
            Self::Newcomers(command) => command.run(global),
            Self::Hold(command) => command.run(global),
            Self::Release(command) => command.run(global),
            Self::Peers(command) => command.run(global),
            Self::Groups(command) => command.run(global),
            Self::Objects(command) => command.run(global),
            Self::Activity(command) => command.run(global),
            Self::Lookup(command) => command.run(global),
            Self::Sighting(command) => command.run(global),
            Self::Propose(command) => command.run(global),
            Self::Proposals(command) => command.run(global),
            Self::Subject(command) => command.run(global),
            Self::Export(command) => command.run(global),
            Self::Hook(command) => command.run(global),
            Self::Source(command) => command.run(global),
            Self::Heads(command) => command.run(global),
            Self::ImportLog(command) => command.run(global),
            Self::ExportLog(command) => command.run(global),
            Self::Why(command) => command.run(global),
            Self::Verify(command) => command.run(),
            Self::Audit(command) => command.run(global),
            Self::Notice(command) => command.run(global),
            Self::Backup(command) => command.run(global),
            Self::Store(command) => command.run(global),
            Self::Config(command) => command.run(global),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_reuses_the_name_of_a_global_argument() {
        fn walk(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_arguments().all(|argument| argument.get_id() != "config"), "{path}");
                walk(sub, &path);
            }
        }
        walk(&Cli::command(), "belfry");
    }

    #[test]
    fn examples_fit_a_terminal() {
        fn walk(command: &clap::Command) {
            let examples = [command.get_after_help(), command.get_after_long_help()];
            for line in examples.into_iter().flatten().map(ToString::to_string).collect::<String>().lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    /// As it is typed there: in a block or between backticks; one of the coalition's also behind another of them, by its own name.
    #[test]
    fn the_readme_says_of_every_command_how_it_is_used() {
        fn walk(command: &clap::Command, path: &str, readme: &[String], missing: &mut Vec<String>) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                if sub.get_subcommands().next().is_some() {
                    walk(sub, &path, readme, missing);
                    continue;
                }
                let own = path.trim_start_matches("belfry ").trim_start_matches("coalition ");
                let ends = |rest: &str| rest.is_empty() || rest.starts_with(' ');
                let is_typed = |line: &String| {
                    line.match_indices(&path).any(|(at, _)| line.get(at + path.len()..).is_some_and(ends))
                        || line.strip_prefix(own).is_some_and(ends)
                };
                if !readme.iter().any(is_typed) {
                    missing.push(path);
                }
            }
        }
        let blocks = include_str!("../../../README.md").split("```").enumerate();
        let typed = blocks.flat_map(|(n, text)| match n % 2 == 1 {
            true => text.lines().map(str::to_owned).collect::<Vec<_>>(),
            false => text.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
        });
        let typed: Vec<String> =
            typed.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let mut missing = Vec::new();
        walk(&Cli::command(), "belfry", &typed, &mut missing);
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn every_command_and_argument_is_explained() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            for sub in command.get_subcommands() {
                assert!(sub.get_about().is_some(), "{}", sub.get_name());
                walk(sub);
            }
        }
        walk(&Cli::command());
    }
}
