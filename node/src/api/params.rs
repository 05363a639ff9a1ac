//! Query strings, read once and by name; what is unknown or given twice is said, not ignored.

use axum::{extract::Query, http::Uri};
use belfry_proto::{
    schema::{InformationClass, Purpose},
    time::Timestamp,
};

use super::problem::Problem;
use crate::{
    query::filter::{self, MAX_LIMIT, MAX_VALUES},
    stated::{self, Stated},
};

/// Pairs of one query string, taken out by name until none is left.
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::bad_request("bad-query", "the query string cannot be read"))?;
        Ok(Self(pairs.0))
    }

    /// Every value of `name`.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let (found, rest) = std::mem::take(&mut self.0).into_iter().partition(|(key, _)| key == name);
        self.0 = rest;
        let found: Vec<(String, String)> = found;
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// The only value of `name`.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let mut found = self.all(name).into_iter();
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(bad(name, "is given more than once")),
        }
    }

    /// A flag: present and empty, `true` or `1`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(bad(name, "is true or false")),
        }
    }

    /// The values of `name`, comma-separated ones apart.
    pub(crate) fn list(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let values: Vec<String> = self
            .all(name)
            .iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
            .collect();
        if values.len() > MAX_VALUES {
            return Err(bad(name, &format!("takes at most {MAX_VALUES} values")));
        }
        Ok(values)
    }

    /// Information classes and purposes, under these names.
    pub(crate) fn stated(&mut self, class: &str, purpose: &str) -> Result<Stated, Problem> {
        Ok(Stated {
            classes: stated::set::<InformationClass>(&self.list(class)?)
                .map_err(|error| bad(class, &error))?,
            purposes: stated::set::<Purpose>(&self.list(purpose)?).map_err(|error| bad(purpose, &error))?,
        })
    }

    /// A page size: a positive integer, lowered to the most there is.
    pub(crate) fn limit(&mut self) -> Result<usize, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(filter::DEFAULT_LIMIT) };
        let digits = text.strip_prefix('+').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("limit", "is a positive integer"));
        }
        // More digits than a number holds is still only "a lot".
        match digits.parse::<usize>().unwrap_or(MAX_LIMIT) {
            0 => Err(bad("limit", "is a positive integer")),
            limit => Ok(limit.min(MAX_LIMIT)),
        }
    }

    pub(crate) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.one(name)?.map(|text| filter::time_of(&text).map_err(|e| bad(name, &e.to_string()))).transpose()
    }

    /// Refuses what nobody took: a misspelt filter must not widen the answer.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(bad(name, "is not a parameter of this path")),
        }
    }

    /// As [`Self::finish`], for names that start so; others are let be, as TAXII's extensions need.
    pub(crate) fn finish_prefix(self, prefix: &str) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| name.starts_with(prefix)) {
            None => Ok(()),
            Some((name, _)) => Err(bad(name, "is not a filter of this path")),
        }
    }
}

pub(crate) fn bad(name: &str, rule: &str) -> Problem {
    let shown: String = name.chars().take(64).collect();
    Problem::bad_request("bad-parameter", format!("`{shown}` {rule}")).with("parameter", shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn limits_follow_the_rules() {
        for (query, expected) in
            [("", filter::DEFAULT_LIMIT), ("limit=7", 7), ("limit=999999999999999999999999", MAX_LIMIT)]
        {
            assert_eq!(params(query).limit().unwrap(), expected, "{query}");
        }
        for query in
            ["limit=0", "limit=-1", "limit=ten", "limit=", "limit=1.5", "limit=1&limit=2", "limit=%2B"]
        {
            assert!(params(query).limit().is_err(), "{query}");
        }
    }

    #[test]
    fn lists_split_at_commas_and_repeat() {
        let mut params = params("match%5Btype%5D=a,b&match[type]=c,,&x=1");
        assert_eq!(params.list("match[type]").unwrap(), ["a", "b", "c"]);
        assert!(params.finish().is_err());
    }
}
