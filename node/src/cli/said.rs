//! What is said of an organisation, as arguments: for the member that asks to change it, and for whoever decides it.

use belfry_proto::{
    schema::{Capacity, EntityClass, Organisation},
    trust::names::Named,
};
use clap::Args;

use super::{
    exit::Usage,
    numbers::{Numbers, kbo, lei},
};

/// Takes a number, a sector or all supplied entities out.
pub(super) const NONE: &str = "none";

/// What changes; what is not named stays as it is.
#[derive(Clone, Debug, Default, Args)]
#[group(id = "said", multiple = true)]
pub(super) struct Said {
    /// Name of the organisation, as other members see it
    #[arg(long = "org", value_name = "NAME")]
    pub(super) organisation: Option<String>,
    /// KBO/BCE enterprise number: ten digits, or none
    #[arg(long, value_parser = kbo_or_none)]
    pub(super) kbo: Option<String>,
    /// Legal Entity Identifier: twenty digits and capital letters, or none
    #[arg(long, value_parser = lei_or_none)]
    pub(super) lei: Option<String>,
    /// All its entity classes: essential, important, financial, ict-provider, supplier, authority, academic, out-of-scope
    #[arg(long, value_delimiter = ',', value_parser = <EntityClass as Named>::parse)]
    pub(super) class: Vec<EntityClass>,
    /// Capacity of a public authority: none, csirt, supervisor or other
    #[arg(long, value_parser = <Capacity as Named>::parse)]
    pub(super) capacity: Option<Capacity>,
    /// Sector, as in banking or health, or none
    #[arg(long)]
    pub(super) sector: Option<String>,
    /// All entities that it supplies; repeat for several; none for no one
    #[arg(long, value_name = "NAME")]
    pub(super) supplier_of: Vec<String>,
}

fn kbo_or_none(text: &str) -> Result<String, String> {
    if text == NONE { Ok(NONE.to_owned()) } else { kbo(text) }
}

fn lei_or_none(text: &str) -> Result<String, String> {
    if text == NONE { Ok(NONE.to_owned()) } else { lei(text) }
}

impl Said {
    /// Holds the numbers to their country's rule.
    pub(super) fn check(&self, numbers: &Numbers) -> Result<(), Usage> {
        numbers.check_given(self.kbo.as_deref().filter(|kbo| *kbo != NONE))
    }

    /// The organisation with what is named changed.
    pub(super) fn applied(&self, organisation: &Organisation) -> Organisation {
        let mut changed = organisation.clone();
        let given = |text: &String| if text == NONE { String::new() } else { text.clone() };
        for (field, wanted) in [
            (&mut changed.kbo, &self.kbo),
            (&mut changed.lei, &self.lei),
            (&mut changed.sector, &self.sector),
        ] {
            if let Some(text) = wanted {
                *field = given(text);
            }
        }
        if let Some(name) = &self.organisation {
            changed.name.clone_from(name);
        }
        if !self.class.is_empty() {
            changed.classes = self.class.iter().map(|class| (*class).into()).collect();
        }
        if let Some(capacity) = self.capacity {
            changed.capacity = capacity.into();
        }
        if !self.supplier_of.is_empty() {
            changed.supplier_of = self.supplier_of.iter().filter(|name| *name != NONE).cloned().collect();
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_and_none_takes_out() {
        let bank = Organisation {
            name: "Bank".into(),
            kbo: "0123456789".into(),
            classes: vec![EntityClass::Essential.into()],
            sector: "banking".into(),
            supplier_of: vec!["Grid".into()],
            ..Organisation::default()
        };
        assert_eq!(Said::default().applied(&bank), bank);
        let said = Said {
            organisation: Some("Bank & Sons".into()),
            kbo: Some(NONE.into()),
            supplier_of: vec![NONE.into()],
            ..Said::default()
        };
        let expected = Organisation {
            name: "Bank & Sons".into(),
            kbo: String::new(),
            supplier_of: Vec::new(),
            ..bank.clone()
        };
        assert_eq!(said.applied(&bank), expected);
    }
}
