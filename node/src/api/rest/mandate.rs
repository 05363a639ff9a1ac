//! For whom a steward publishes, and how that member asked: taken from the parameters, and recorded before anything is done.

use belfry_proto::{
    guard::{self, Own},
    id::{GroupId, MemberId},
};

use crate::{
    api::{
        app::App,
        audit::Call,
        params::{Params, bad},
        problem::Problem,
    },
    audit_log::{Event, Record},
    clock,
    publish::submission::SubmitError,
};

/// Whom a steward publishes for, and how that member asked.
pub(super) struct Mandate {
    /// The member that is not to be named.
    pub(super) member: MemberId,
    asked: String,
}

impl Mandate {
    /// `on_behalf` and `asked`, which go together.
    pub(super) fn of(app: &App, params: &mut Params) -> Result<Option<Self>, Problem> {
        let (named, asked) = (params.one("on_behalf")?, params.one("asked")?);
        match (named, asked) {
            (None, None) => Ok(None),
            (Some(name), Some(asked)) => {
                let member = app.ports.query.recipient_named(&name)?;
                // It is kept, as reasons are.
                let asked = guard::reason(&asked, &Own::default())
                    .map_err(|error| bad("asked", &error.to_string()))?;
                Ok(Some(Self { member, asked }))
            }
            (Some(_), None) => {
                Err(bad("asked", "is needed with on_behalf: when the member asked, and a reference of that"))
            }
            (None, Some(_)) => Err(bad("asked", "goes with on_behalf: the member that asked")),
        }
    }

    /// Before anything is taken in: what cannot be recorded is not done, and of what is refused anyway nobody is named.
    pub(super) async fn record(self, app: &App, group: GroupId, Call(call): Call) -> Result<(), Problem> {
        if !app.ports.query.is_steward(group) {
            return Err(SubmitError::NotASteward(app.ports.query.slug(group)).into());
        }
        let organisation = app.ports.query.organisation(self.member).unwrap_or_default();
        let (member, asked) = (self.member.to_string(), self.asked);
        let record =
            Record::now(clock::now(), Event::OnBehalf { call: Some(call), member, organisation, asked });
        let written = app.ports.audit.write(&record).map_err(|error| Problem::unavailable(&error))?;
        written.synced().await.map_err(|error| Problem::unavailable(&error))
    }
}
