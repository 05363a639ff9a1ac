//! What each export list would come to by something that is only tried.

use std::sync::Arc;

use belfry_proto::{
    schema::{HandlingConditions, Pap},
    stix::bundle::Bundle,
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{app::App, exports, problem::Problem};
use crate::{
    publish::{preview::Preview, submission::Submission},
    query::{Principal, Proposed},
};

/// What of a submission the lists look at, besides what its preview says.
pub(super) struct Tried {
    bundles: Vec<Vec<u8>>,
    pap: Option<Pap>,
    handling: HandlingConditions,
    recipients: bool,
}

impl Tried {
    pub(super) fn of(submission: &Submission) -> Self {
        Self {
            bundles: vec![submission.bundle.clone()],
            pap: submission.pap,
            handling: submission.handling.clone().unwrap_or_default(),
            recipients: !submission.recipients.is_empty(),
        }
    }

    /// Another one that goes out with it and states the same.
    pub(super) fn and(&mut self, submission: &Submission) {
        self.bundles.push(submission.bundle.clone());
    }

    /// Each list that the token may have: what stands in it, and what would at most. One that cannot be made is left out,
    /// and says so: the preview is of the submission, not of the lists.
    pub(super) async fn reach(
        self,
        app: &App,
        principal: &Principal,
        preview: &Preview,
    ) -> Result<Vec<Value>, Problem> {
        let query = &app.ports.query;
        let parsed = tokio::task::spawn_blocking(move || {
            let bundles = self.bundles.iter().filter_map(|bundle| Bundle::parse(bundle).ok());
            bundles.flat_map(Bundle::into_objects).collect()
        });
        let objects = parsed.await.map_err(|error| Problem::internal(&error))?;
        let proposed = Arc::new(Proposed {
            group: preview.group,
            tlp: preview.tlp,
            pap: self.pap,
            classes: preview.classes.clone(),
            purpose: preview.purpose,
            embargo_until: Timestamp::from_micros(self.handling.embargo_until),
            terms: self.handling.terms,
            recipients: self.recipients,
            objects,
        });
        let mut lists = Vec::new();
        for export in query.exports(principal) {
            let name = export.name;
            lists.push(match counted(app, principal, &name, Arc::clone(&proposed)).await {
                Ok((entries, added)) => {
                    json!({ "export": name, "entries": entries, "would_reach": entries + added })
                }
                Err(problem) => {
                    let cause = problem.cause().unwrap_or_else(|| problem.detail());
                    tracing::warn!(export = name, "export {name} is left out of a preview: {cause}");
                    json!({ "export": name, "left_out": problem.detail() })
                }
            });
        }
        Ok(lists)
    }
}

/// What stands in a list, and what would be added.
async fn counted(
    app: &App,
    principal: &Principal,
    name: &str,
    proposed: Arc<Proposed>,
) -> Result<(usize, usize), Problem> {
    let query = &app.ports.query;
    let entries = app.exports.counted(query, principal, name).await?.entries;
    let format = query.export_named(principal, name)?.format;
    let gain = query.would_add(principal, name, proposed).await?;
    let objects = gain.objects.iter().filter(|object| exports::writes(format, object)).count();
    Ok((entries, gain.values + objects))
}
