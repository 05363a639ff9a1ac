//! What people did about a notice, for the register: the coalition's and a member's own are kept alike.

use std::path::Path;

use belfry_proto::time::Timestamp;
use clap::Args;

use crate::{
    cli::{
        args::{day, moment, second},
        days::clocks,
        exit::{refuse, refused},
        output,
    },
    clock,
    notice::{Notice, Register},
};

/// Characters of a reference or a reason: a line in a register.
const MAX_TEXT: usize = 300;

/// What was done.
#[derive(Debug, Args)]
pub(in crate::cli) struct Marks {
    /// Record that this notice was sent
    #[arg(long, value_name = "NOTICE", group = "mark", conflicts_with_all = ["lang", "authorities"])]
    sent: Option<String>,
    /// Record that the authority has this notice
    #[arg(long, value_name = "NOTICE", group = "mark", conflicts_with_all = ["lang", "authorities"])]
    acknowledged: Option<String>,
    /// Take back what was recorded last of this notice: that it was acknowledged, else that it was sent, else its mandate.
    /// The register keeps what that was
    #[arg(long, value_name = "NOTICE", group = "mark", requires = "because",
        conflicts_with_all = ["lang", "authorities", "on", "reference"])]
    take_back: Option<String>,
    /// With --take-back: why
    #[arg(long, value_name = "TEXT", requires = "take_back")]
    because: Option<String>,
    /// With --sent or --acknowledged: on which day [default: today]
    #[arg(long, value_name = "DATE", value_parser = moment, requires = "mark")]
    on: Option<Timestamp>,
    /// With --sent or --acknowledged: the sender's or the authority's reference
    #[arg(long, value_name = "TEXT", requires = "mark")]
    reference: Option<String>,
}

impl Marks {
    /// Records it, if anything was done; what to say then. `list` is the command that lists notices.
    pub(in crate::cli) fn record(
        &self,
        notices: &[Notice],
        register: &mut Register,
        mandate: Option<String>,
        list: &str,
    ) -> anyhow::Result<Option<String>> {
        let now = clock::now();
        if let (Some(id), Some(because)) = (&self.take_back, &self.because) {
            let notice = named(notices, id, list)?;
            check("--because", because)?;
            let what = register.take_back(notice, now, because.clone()).map_err(refused)?;
            let organisation = output::visible(&notice.organisation);
            let state = register.state(notice, now).as_str();
            return Ok(Some(format!(
                "Of {id} of {organisation} was taken back: {what}. It is {state} now; the register keeps what was said, and why it \
                 does not hold.\n"
            )));
        }
        let Some(id) = self.sent.as_ref().or(self.acknowledged.as_ref()) else { return Ok(None) };
        let notice = named(notices, id, list)?;
        if let Some(reference) = &self.reference {
            check("--reference", reference)?;
        }
        let at = self.on.unwrap_or(now);
        if at > now {
            refuse!("{} is still to come: record what was done, once it is (--on DATE)", day(at));
        }
        let (reference, clocks) = (self.reference.clone(), clocks());
        let done = if self.sent.is_some() {
            if notice.effective > now {
                refuse!(
                    "{id} takes effect on {}: it is not owed before that; send it then, and record it then",
                    second(notice.effective)
                );
            }
            register.sent(notice, at, (reference, mandate), now, &clocks).map_err(refused)?;
            "sent"
        } else {
            register.acknowledged(notice, at, reference, now, &clocks).map_err(refused)?;
            "acknowledged"
        };
        Ok(Some(format!("{id} of {} is {done}.\n", output::visible(&notice.organisation))))
    }
}

/// The register at `path` as it is read: marks that go by a place in the log belong to the notice that stands there, from now on
/// whatever comes to stand there later; and what is of no notice that the log gives cause for is named.
pub(in crate::cli) fn settled(path: &Path, notices: &[Notice]) -> anyhow::Result<Register> {
    let mut register = Register::load(path)?;
    // Whoever may read and not write is told all the same.
    if register.settle(notices, &clocks())
        && let Err(error) = register.save(path)
    {
        output::warn(&format!("the register is not brought up to date: {error:#}"));
    }
    for (id, mark) in register.strangers(notices) {
        let Some(sent) = mark.sent.map(day) else {
            let is_its = |notice: &Notice| notice.id == id && register.mark(notice).mandate == mark.mandate;
            if !notices.iter().any(is_its) {
                output::warn(&format!(
                    "of {id} a mandate is recorded ({}), and it cannot be told for which notice: if the coalition acts by it \
                     still, record it once more (--mandated)",
                    mark.mandate.as_deref().unwrap_or_default()
                ));
            }
            continue;
        };
        let reference = mark.reference.as_ref().map(|text| format!(", {text}")).unwrap_or_default();
        output::warn(&format!(
            "{id} was sent on {sent}{reference}, and the log gives no cause for that notice any more: what the authority was told \
             then stands in no decision here. If it was decided anew, the notice is due anew; if not, tell the authority"
        ));
    }
    Ok(register)
}

/// Refuses what is no line of a register.
fn check(what: &str, text: &str) -> anyhow::Result<()> {
    let is_line =
        !text.trim().is_empty() && text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control);
    if !is_line {
        refuse!("{what} must be one line of 1 to {MAX_TEXT} characters: shorten it, or write it in one line");
    }
    Ok(())
}

/// The notice of this name.
pub(in crate::cli) fn named<'a>(notices: &'a [Notice], id: &str, list: &str) -> anyhow::Result<&'a Notice> {
    match notices.iter().find(|notice| notice.id == id) {
        Some(notice) => Ok(notice),
        None => refuse!("no notice is called {id:?}: `{list}` lists them"),
    }
}
