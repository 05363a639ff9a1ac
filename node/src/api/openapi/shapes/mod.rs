//! Bodies, as JSON Schema, a file an area.
//!
//! They stand apart from what makes them, because most of that lies on a lower floor, which knows no API. The test
//! of the description compares each with what its route really answers.

#![allow(dead_code, reason = "described, never made")]

mod audit;
mod coalition;
mod exports;
mod hooks;
mod intelligence;
mod misp;
mod node;
mod publishing;
mod said;
mod taxii;
mod tokens;

use utoipa::ToSchema;

pub(super) use self::{
    audit::{Audit, SubjectFound, SubjectWanted},
    coalition::{
        Activity, ContactAnswer, ContactMade, ContactWanted, Contacts, Equivocations, Groups, Heads,
        HoldMade, HoldWanted, Imported, LogFile, Members, Newcomers, Rules,
    },
    exports::{ExportReport, Exports},
    hooks::{DeadLetters, HookTries, Hooks, Replayed, SourceRun, Sources},
    intelligence::{Envelope, Forks, Lookup, LookupAnswer, Message, Objects},
    misp::{
        Misp, MispEvents, MispFound, MispSearch, MispSighted, MispSighting, MispTypes, MispUser, MispVersion,
    },
    node::{Backup, BackupWanted, Description, Health, Peers, Status, Sync},
    publishing::{
        Accepted, Bundle, Drafts, FileImported, HeldDraft, Holders, Preview, Publication, Released,
        Withdrawal, Withdrawn,
    },
    said::{Answer, Answered, Proposal, ProposalMade, Proposals, Sighted, Sighting},
    taxii::{
        TaxiiCollection, TaxiiCollections, TaxiiDiscovery, TaxiiEnvelope, TaxiiError, TaxiiManifest,
        TaxiiRoot, TaxiiStatus, TaxiiVersions,
    },
    tokens::{NewToken, Rotation, TokenMade, Tokens},
};

/// An error (RFC 9457).
#[derive(ToSchema)]
pub(super) struct Problem {
    /// `urn:belfry:problem:` and the code.
    #[schema(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// HTTP status.
    status: u16,
    /// Stable, for programs.
    code: String,
    /// For people.
    detail: String,
    /// Under which the node's log has it.
    request_id: String,
}
