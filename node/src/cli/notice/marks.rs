//! What people did about a notice, for the register: the coalition's and a member's own are kept alike.

use belfry_proto::time::Timestamp;
use clap::Args;

use crate::{
    cli::{
        args::{day, moment},
        exit::{refuse, refused},
        output,
    },
    clock,
    notice::{Notice, Register},
};

/// What was done.
#[derive(Debug, Args)]
pub(in crate::cli) struct Marks {
    /// Record that this notice was sent
    #[arg(long, value_name = "NOTICE", group = "mark", conflicts_with_all = ["lang", "authorities"])]
    sent: Option<String>,
    /// Record that the authority has this notice
    #[arg(long, value_name = "NOTICE", group = "mark", conflicts_with_all = ["lang", "authorities"])]
    acknowledged: Option<String>,
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
        let Some(id) = self.sent.as_ref().or(self.acknowledged.as_ref()) else { return Ok(None) };
        let notice = named(notices, id, list)?;
        let now = clock::now();
        let at = self.on.unwrap_or(now);
        if at > now {
            refuse!("{} is still to come: record what was done", day(at));
        }
        let done = if self.sent.is_some() {
            if notice.effective > now {
                refuse!(
                    "{id} takes effect on {}: it is not owed before that; send it then, and record it then",
                    notice.effective
                );
            }
            register.sent(id, at, self.reference.clone(), mandate);
            "sent"
        } else {
            register.acknowledged(id, at, self.reference.clone()).map_err(refused)?;
            "acknowledged"
        };
        Ok(Some(format!("{id} of {} is {done}.\n", output::visible(&notice.organisation))))
    }
}

/// The notice of this name.
pub(in crate::cli) fn named<'a>(notices: &'a [Notice], id: &str, list: &str) -> anyhow::Result<&'a Notice> {
    match notices.iter().find(|notice| notice.id == id) {
        Some(notice) => Ok(notice),
        None => refuse!("no notice is called {id:?}: `{list}` lists them"),
    }
}
