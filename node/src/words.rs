//! Enumerations of the wire schema as the API and the CLI write them: `near-miss`, not
//! `INFORMATION_CLASS_NEAR_MISS`.

use belfry_proto::schema::{
    Audience, Capacity, EntityClass, InformationClass, Pap, Purpose, Role, WithdrawalGround, WithdrawalMode,
};

/// An enumeration with words of its own.
pub trait Worded: Copy + TryFrom<i32> {
    /// What the schema puts before every name.
    const PREFIX: &str;
    /// The schema's name.
    fn schema_name(self) -> &'static str;
    /// From the schema's name.
    fn from_schema_name(name: &str) -> Option<Self>;
}

macro_rules! worded {
    ($($name:ident = $prefix:literal),* $(,)?) => {$(
        impl Worded for $name {
            const PREFIX: &str = $prefix;
            fn schema_name(self) -> &'static str {
                self.as_str_name()
            }
            fn from_schema_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }
    )*};
}

worded!(
    Audience = "AUDIENCE_",
    Capacity = "CAPACITY_",
    EntityClass = "ENTITY_CLASS_",
    InformationClass = "INFORMATION_CLASS_",
    Pap = "PAP_",
    Purpose = "PURPOSE_",
    Role = "ROLE_",
    WithdrawalGround = "WITHDRAWAL_GROUND_",
    WithdrawalMode = "WITHDRAWAL_MODE_",
);

/// Numbers any of these enumerations may use; the schema's largest is 11.
const NUMBERS: std::ops::Range<i32> = 0..64;

/// The word of a value.
#[must_use]
pub fn word<T: Worded>(value: T) -> String {
    let name = value.schema_name().trim_start_matches(T::PREFIX);
    let mut word = String::with_capacity(name.len());
    word.extend(name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }));
    word
}

/// The word of a number off the wire; `None` if it is unset or of a newer schema.
#[must_use]
pub fn of_number<T: Worded>(number: i32) -> Option<String> {
    T::try_from(number).ok().map(word).filter(|word| word != "unspecified")
}

/// The value of a word; "unspecified" is none.
#[must_use]
pub fn parse<T: Worded>(text: &str) -> Option<T> {
    let name = text.trim().to_ascii_uppercase().replace('-', "_");
    (name != "UNSPECIFIED").then(|| T::from_schema_name(&format!("{}{name}", T::PREFIX)))?
}

/// Every word.
#[must_use]
pub fn all<T: Worded>() -> Vec<String> {
    NUMBERS.filter_map(of_number::<T>).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        assert_eq!(parse("remediation-and-disclosure"), Some(Purpose::RemediationAndDisclosure));
        assert_eq!(word(InformationClass::NearMiss), "near-miss");
        assert_eq!(parse::<Pap>("unspecified"), None);
        assert_eq!(parse::<Pap>("PAP_RED"), None);
        assert_eq!(all::<InformationClass>().len(), 10);
        assert!(all::<Purpose>().iter().all(|word| parse::<Purpose>(word).is_some()));
    }
}
