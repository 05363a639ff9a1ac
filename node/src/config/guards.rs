//! `[guards]`: what is asked before something leaves.

use belfry_proto::guard::{Own, OwnError};
use serde::{Deserialize, Serialize};

/// Markers of what competitors must not tell each other, in the languages of the default charter.
const COMPETITION: [&str; 13] = [
    "price list",
    "pricing strategy",
    "market share",
    "customer list",
    "profit margin",
    "prijslijst",
    "marktaandeel",
    "klantenlijst",
    "winstmarge",
    "liste de prix",
    "part de marché",
    "liste de clients",
    "marge bénéficiaire",
];

/// `[guards]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guards {
    /// The member's own domains (with all below them), addresses, ranges and other values.
    pub own: Vec<String>,
    /// Words that nobody outside should read, such as code names.
    pub terms: Vec<String>,
    /// Words that mark what is sensitive among competitors.
    pub competition: Vec<String>,
}

impl Default for Guards {
    fn default() -> Self {
        let competition = COMPETITION.map(str::to_owned).into();
        Self { own: Vec::new(), terms: Vec::new(), competition }
    }
}

impl Guards {
    /// As the guards use them.
    ///
    /// # Errors
    /// [`OwnError`], naming key and position.
    pub fn own(&self) -> Result<Own, OwnError> {
        Own::of(&self.own, &self.terms, &self.competition)
    }
}
