//! How the ways out that push, and the warning lists, are doing.

use crate::{
    api::ports::{DeadLetter, HookStatus, HookTry},
    hooks::{self, HookReport, Hooks},
    query::lists::Lists,
};

/// What an operator should know of them, each a sentence.
pub(super) fn warnings(hooks: &Hooks, lists: &Lists) -> Vec<String> {
    let mut warnings: Vec<String> = hooks.report().iter().filter_map(HookReport::trouble).collect();
    if let Some((since, why)) = lists.trouble() {
        warnings.push(format!("Warning lists are as they were before {since}: {why}."));
    }
    warnings
}

pub(super) fn hook_status(hook: HookReport) -> HookStatus {
    HookStatus {
        name: hook.name,
        kind: hook.kind,
        target: hook.target,
        shadow: hook.shadow,
        state: hook.state,
        position: hook.position,
        sent: hook.sent,
        held_back: hook.held.iter().map(|(reason, count)| (reason.as_str(), *count)).collect(),
        dead_letters: hook.dead,
        lost: hook.lost,
        failing_since: hook.failing.as_ref().map(|(since, _)| *since),
        failure: hook.failing.map(|(_, why)| why),
    }
}

pub(super) fn dead_letter(letter: hooks::DeadLetter) -> DeadLetter {
    DeadLetter { number: letter.number, at: letter.at, status: letter.status }
}

pub(super) fn hook_try(one: hooks::Try) -> HookTry {
    HookTry { number: one.number, at: one.at, event: one.event, outcome: one.outcome, why: one.why }
}
