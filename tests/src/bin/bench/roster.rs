//! Roster: folding a whole admin log as a node does that joins, and one more entry as every node does all the time.
//!
//! The log is what years of a coalition leave: an issue for each member, then renewals, further groups, suspensions and
//! resumptions among them. **Fold** is `verify_record` and `Roster::apply` of every record from its decoded form.
//! **The floor** is one bare strict Ed25519 verification of each of the very same signatures, keys parsed before.
//! **Incremental** is what `membership` does when an entry comes: copy the roster, verify, apply, drop the older one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use belfry_node::clock;
use belfry_proto::{
    crypto::sign::{PublicKey, Purpose},
    id::{CoalitionId, MemberId, Serial},
    schema::{self, Record, Role},
    trust::{
        charter::CharterChain, file::write_log, log::verify_record, roster::Roster, statement::Decision,
    },
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::{coalition::Coalition, machine, say, stats};

/// How much longer the whole fold may take than the bare verification.
const MOST_RATIO: f64 = 1.3;
/// Milliseconds that one more entry may take.
const MOST_MS: f64 = 1.0;
/// Advances measured one by one.
const ADVANCES: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Members of the log
    #[arg(long, default_value_t = 2_000)]
    members: usize,
    /// Entries of the log
    #[arg(long, default_value_t = 10_000)]
    entries: usize,
    /// Members of the larger log that shows the growth, with entries in the same proportion; 0 leaves it out
    #[arg(long, default_value_t = 10_000)]
    larger: usize,
    /// Rounds of each side
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// A log, and the entries that come after it.
struct Prepared {
    chain: CharterChain,
    records: Vec<Record>,
    next: Vec<Record>,
    log_file_bytes: usize,
    record_bytes: usize,
}

/// One signature as the floor verifies it.
struct Bare<'a> {
    key: PublicKey,
    purpose: Purpose,
    payload: &'a [u8],
    signature: &'a [u8],
}

pub(crate) fn run(arguments: Arguments, quick: bool) -> anyhow::Result<Value> {
    let Arguments { mut members, mut entries, mut larger, mut rounds } = arguments;
    if quick {
        (members, entries, larger, rounds) = (20, 100, 40, 2);
    }
    ensure!(entries >= members, "every member has an entry: --entries must be at least --members");
    let proportion = entries.div_ceil(members.max(1));
    let usual = measured(members, entries, rounds)?;
    let grown = match larger {
        0 => Value::Null,
        _ => measured(larger, larger * proportion, rounds.min(3))?,
    };
    let of = |name: &str| usual.get(name).cloned().unwrap_or_default();
    let at_most = |name: &str, most: f64| of(name).as_f64().is_some_and(|found| found <= most);
    Ok(json!({
        "benchmark": "roster",
        "ratio_to_verify": of("ratio_to_verify"),
        "target_ratio_to_verify_at_most": MOST_RATIO,
        "incremental_ms": of("incremental_ms"),
        "target_incremental_ms_at_most": MOST_MS,
        "is_met": at_most("ratio_to_verify", MOST_RATIO) && at_most("incremental_ms", MOST_MS),
        "log_bytes": of("log_bytes"),
        "rss_mb": of("rss_mb"),
        "usual": usual,
        "larger": grown,
        "machine": machine::facts(quick),
    }))
}

fn measured(members: usize, entries: usize, rounds: usize) -> anyhow::Result<Value> {
    say!("signing {entries} entries about {members} members");
    let before = machine::resident("self")?;
    let prepared = prepare(members, entries)?;
    let input = machine::resident("self")?;
    let coalition = prepared.chain.coalition();
    let floor = floor(&prepared.records)?;
    let (mut folds, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut roster = Roster::new(prepared.chain.clone());
    for round in 0..=rounds {
        let (mut fold_seconds, mut floor_seconds) = (0.0, 0.0);
        for side in 0..2 {
            if (side + round).is_multiple_of(2) {
                let (folded, seconds) = fold(&prepared)?;
                (roster, fold_seconds) = (folded, seconds);
            } else {
                floor_seconds = verify(&floor, coalition)?;
            }
        }
        // The first one warms up.
        if round > 0 {
            say!(
                "round {round} of {rounds}: fold {fold_seconds:.3} s, verification {floor_seconds:.3} s, ratio {:.3}",
                fold_seconds / floor_seconds
            );
            folds.push(fold_seconds);
            bare.push(floor_seconds);
            ratios.push(fold_seconds / floor_seconds);
        }
    }
    ensure!(roster.voids().is_empty(), "void: {:?}", roster.voids().first());
    let rss = machine::resident("self")?;
    let (with_copy, alone) = advances(roster, &prepared.next)?;
    Ok(json!({
        "members": members,
        "entries": entries,
        "signatures": floor.len(),
        "ratio_to_verify": stats::rounded(stats::median(&folds) / stats::median(&bare)),
        "fold_s": stats::summary(&folds),
        "verify_s": stats::summary(&bare),
        "ratio_by_round": stats::summary(&ratios),
        "incremental_ms": stats::rounded(stats::median(&with_copy)),
        "incremental_p99_ms": stats::rounded(stats::percentile(&with_copy, 0.99)),
        "incremental_without_copy_ms": stats::rounded(stats::median(&alone)),
        "log_bytes": prepared.record_bytes,
        "log_file_bytes": prepared.log_file_bytes,
        "bytes_per_entry": prepared.record_bytes / entries.max(1),
        "rss_mb": machine::megabytes(rss),
        "rss_of_roster_mb": machine::megabytes(rss.saturating_sub(input)),
        "rss_of_prepared_input_mb": machine::megabytes(input.saturating_sub(before)),
        "rounds": rounds,
    }))
}

/// One fold of the whole log, and how long it took.
fn fold(prepared: &Prepared) -> anyhow::Result<(Roster, f64)> {
    let begun = Instant::now();
    let mut roster = Roster::new(prepared.chain.clone());
    for record in &prepared.records {
        roster.apply(verify_record(roster.charters(), record)?)?;
    }
    Ok((roster, begun.elapsed().as_secs_f64()))
}

/// The same signatures, verified and nothing else.
fn verify(floor: &[Bare<'_>], coalition: CoalitionId) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for bare in floor {
        bare.key.verify(bare.purpose, coalition, &[bare.payload], bare.signature)?;
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn floor(records: &[Record]) -> anyhow::Result<Vec<Bare<'_>>> {
    let mut floor = Vec::with_capacity(records.len() * 2);
    for record in records {
        let parts = [(&record.entry, Purpose::LogEntry), (&record.statement, Purpose::Statement)];
        for (signed, purpose) in parts {
            let signed = signed.as_ref().context("a record holds both")?;
            for signature in &signed.signatures {
                floor.push(Bare {
                    key: PublicKey::from_slice(&signature.key)?,
                    purpose,
                    payload: &signed.payload,
                    signature: &signature.signature,
                });
            }
        }
    }
    Ok(floor)
}

/// Milliseconds of each advance: with the copy that a node makes, and without.
fn advances(mut roster: Roster, next: &[Record]) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut alone_roster = roster.clone();
    let (mut with_copy, mut alone) = (Vec::new(), Vec::new());
    for record in next {
        let begun = Instant::now();
        let mut copy = roster.clone();
        copy.apply(verify_record(copy.charters(), record)?)?;
        roster = copy;
        with_copy.push(begun.elapsed().as_secs_f64() * 1e3);

        let begun = Instant::now();
        let verified = verify_record(alone_roster.charters(), record)?;
        alone_roster.apply(verified)?;
        alone.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok((with_copy, alone))
}

fn prepare(members: usize, entries: usize) -> anyhow::Result<Prepared> {
    let mut coalition = Coalition::found()?;
    let mut known: Vec<(MemberId, Serial)> = Vec::with_capacity(members);
    for n in 0..members {
        let member = coalition.admit_to(&format!("Member {n}"), Role::Publisher, |group| {
            // Three of twelve, as members do.
            group.parent.is_none() && (group.id.get() as usize + n).is_multiple_of(4)
        })?;
        known.push((member.certificate.member, member.certificate.serial));
    }
    for turn in members..entries + ADVANCES {
        let (member, serial) = *known.get(turn % members.max(1)).context("no member")?;
        let serial = serial.get();
        // Whole turns around the members: renewed, suspended, resumed, entitled to more.
        let decision = match (turn / members.max(1)) % 4 {
            1 => Decision::Renew(schema::Renew { serial, not_after: until(turn) }),
            2 => Decision::Suspend(schema::Suspend { serial, cut: Vec::new() }),
            3 => Decision::Resume(schema::Resume { serial }),
            _ => Decision::Entitle(schema::Entitle {
                serial,
                groups: vec![schema::GroupRole { group: 5, role: Role::Steward.into() }],
            }),
        };
        coalition.decide(member, decision)?;
    }
    let mut log = coalition.log().clone();
    let next = log.records.split_off(entries);
    let record_bytes = log.records.iter().map(prost::Message::encoded_len).sum();
    let chain = CharterChain::walk(log.charters.iter().cloned())?;
    let log_file_bytes = write_log(&log).len();
    debug_assert!(log.encoded_len() > record_bytes);
    Ok(Prepared { chain, records: log.records, next, log_file_bytes, record_bytes })
}

/// Ever later, from a few years ahead.
fn until(turn: usize) -> u64 {
    clock::now().saturating_add(Duration::from_secs(200_000_000 + turn as u64 * 60)).as_micros()
}
