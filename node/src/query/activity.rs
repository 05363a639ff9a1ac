//! Give and take, counted from signed messages alone.
//!
//! A member sees what it shared and what it got. Of the others everybody sees sums, and those only where enough of them
//! shared something that nobody's share can be told from it; whole months that are over, so that no two answers differ by
//! a day's messages of one member.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use belfry_proto::{
    id::{GroupId, MemberId},
    time::Timestamp,
};
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};

use super::{Inner, Principal, Query, QueryError};
use crate::{
    clock,
    store::{MessageRow, MessageState},
};

/// Members besides the asking one that must have a part in a sum before it is told. Of fewer, each could work out the
/// others' with what it knows of its own and of one or two friends'.
const FEWEST: usize = 5;
/// How long figures are told again before they are counted anew: of months that are over hardly anything changes, and
/// counting reads a group's every message.
const KEPT: Duration = Duration::from_secs(60);

/// A calendar month, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: u16,
    month: u8,
}

impl Month {
    /// From `2026-11`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        if year.len() != 4 || month.len() != 2 {
            return None;
        }
        let (year, month) = (year.parse().ok()?, month.parse().ok()?);
        ((1970..9999).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// The one a moment is in.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        let text: String = time.to_string().chars().take(7).collect();
        Self::parse(&text).unwrap_or(Self { year: 1970, month: 1 })
    }

    /// The last one that is over.
    #[must_use]
    pub fn last() -> Self {
        let this = Self::of(clock::now());
        match this.month {
            1 => Self { year: this.year.saturating_sub(1), month: 12 },
            month => Self { month: month.saturating_sub(1), ..this },
        }
    }

    /// Whether nothing more can come in it.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.next().begins() <= clock::now()
    }

    const fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year.saturating_add(1), month: 1 },
            month => Self { month: month.saturating_add(1), ..self },
        }
    }

    fn begins(self) -> Timestamp {
        self.to_string().parse().unwrap_or(Timestamp::MAX)
    }
}

/// Its first moment, RFC 3339.
impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-01T00:00:00Z", self.year, self.month)
    }
}

/// What happened in a group in a month, by its messages' own dates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Slug.
    pub group: String,
    /// The group's name.
    pub name: String,
    /// First moment of the month.
    pub from: Timestamp,
    /// First moment after it.
    pub until: Timestamp,
    /// What this member published.
    pub given: Shared,
    /// What others published and this node holds.
    pub taken: u64,
    /// Of that, what this node could open.
    pub opened: u64,
    /// What all published together; unset where too few did.
    pub all: Option<Together>,
}

/// Messages of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// Messages with content.
    pub messages: u64,
    /// Withdrawals.
    pub withdrawals: u64,
    /// Bytes as they travelled.
    pub bytes: u64,
}

/// Messages of all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Together {
    /// Members that published something with content.
    pub members: usize,
    /// Messages with content.
    pub messages: u64,
    /// Withdrawals; unset where too few withdrew anything.
    pub withdrawals: Option<u64>,
}

/// What is told of a month.
#[derive(Clone, Copy, Default)]
struct Figures {
    given: Shared,
    taken: u64,
    opened: u64,
    all: Option<Together>,
}

/// Counts while messages go by.
#[derive(Default)]
struct Tally {
    given: Shared,
    taken: u64,
    opened: u64,
    publishing: BTreeSet<MemberId>,
    withdrawing: BTreeSet<MemberId>,
    messages: u64,
    withdrawals: u64,
}

impl Tally {
    fn count(&mut self, own: Option<MemberId>, row: &MessageRow) {
        // Beyond a cut, or of a fork: nobody's word.
        if matches!(row.state, MessageState::Quarantined | MessageState::Disputed) {
            return;
        }
        let is_data = row.key_id.is_some();
        self.messages += u64::from(is_data);
        self.withdrawals += u64::from(!is_data);
        if own == Some(row.member) {
            self.given.messages += u64::from(is_data);
            self.given.withdrawals += u64::from(!is_data);
            self.given.bytes += row.size;
        } else {
            let others = if is_data { &mut self.publishing } else { &mut self.withdrawing };
            others.insert(row.member);
            self.taken += u64::from(is_data);
            self.opened += u64::from(is_data && row.state == MessageState::Opened);
        }
    }

    fn figures(&self) -> Figures {
        Figures { given: self.given, taken: self.taken, opened: self.opened, all: self.together() }
    }

    /// Each sum by those who have a part in it: among many that publish, the one that withdrew something stands alone.
    fn together(&self) -> Option<Together> {
        let gave = self.given.messages > 0;
        (self.publishing.len() >= FEWEST).then(|| Together {
            members: self.publishing.len() + usize::from(gave),
            messages: self.messages,
            withdrawals: (self.withdrawing.len() >= FEWEST).then_some(self.withdrawals),
        })
    }
}

/// A group's figures of every month that something is dated in.
#[derive(Clone)]
struct Months {
    counted: Instant,
    of: BTreeMap<Month, Figures>,
}

/// Figures as last counted, by group. Counting holds the lock: one scan at a time, whoever asks.
#[derive(Clone, Default)]
pub(super) struct Counted(Arc<Mutex<BTreeMap<GroupId, Months>>>);

impl Query {
    /// What happened in a month in the groups the principal reads.
    ///
    /// Counting reads the row of every message of a group, once a minute at most.
    ///
    /// # Errors
    /// A token for outside, or the store.
    pub async fn activity(&self, principal: &Principal, month: Month) -> Result<Vec<Activity>, QueryError> {
        self.inside(principal)?;
        let roster = self.roster();
        let own = roster.by_node(&self.inner.node).map(|own| own.member);
        let mut counted = self.counted.0.lock().await;
        let mut found = Vec::new();
        for group in roster.charter().groups() {
            if !principal.scope().read.covers(group.id) {
                continue;
            }
            let id = group.id;
            let is_fresh = |months: &&Months| months.counted.elapsed() < KEPT;
            let months = match counted.get(&id).filter(is_fresh) {
                Some(months) => months.of.get(&month).copied(),
                None => {
                    let months = self.read(move |inner| inner.months(id, own)).await?;
                    let figures = months.of.get(&month).copied();
                    counted.insert(id, months);
                    figures
                }
            };
            let Figures { given, taken, opened, all } = months.unwrap_or_default();
            let (from, until) = (month.begins(), month.next().begins());
            let (slug, name) = (group.slug.clone(), group.name.clone());
            found.push(Activity { group: slug, name, from, until, given, taken, opened, all });
        }
        Ok(found)
    }
}

impl Inner {
    fn months(&self, group: GroupId, own: Option<MemberId>) -> Result<Months, QueryError> {
        let mut tallies: BTreeMap<Month, Tally> = BTreeMap::new();
        // Neighbours are mostly of one month.
        let mut last: Option<(Month, Timestamp, Timestamp)> = None;
        let counted = Instant::now();
        self.store.each_message(group, |row| {
            let within = last.filter(|(_, from, until)| (*from..*until).contains(&row.created));
            let (month, ..) = *last.insert(within.unwrap_or_else(|| {
                let month = Month::of(row.created);
                (month, month.begins(), month.next().begins())
            }));
            tallies.entry(month).or_default().count(own, &row);
        })?;
        let of = tallies.into_iter().map(|(month, tally)| (month, tally.figures())).collect();
        Ok(Months { counted, of })
    }
}

#[cfg(test)]
mod tests {
    use belfry_proto::id::{KeyId, LogId, MessageId, Sequence, Serial};

    use super::*;

    fn member(n: u8) -> MemberId {
        MemberId::new([n; 16])
    }

    fn row(n: u8, data: bool, state: MessageState) -> MessageRow {
        MessageRow {
            id: MessageId::new([n; 32]),
            group: GroupId::new(1),
            log: LogId::new([n; 32]),
            sequence: Sequence::new(1),
            member: member(n),
            serial: Serial::new(1),
            created: Timestamp::ZERO,
            received: Timestamp::ZERO,
            state,
            reason: None,
            key_id: data.then_some(KeyId::new([1; 32])),
            size: 100,
            has_body: data,
        }
    }

    #[test]
    fn a_member_sees_its_own_figures_and_sums_only_of_enough_others() {
        let mut tally = Tally::default();
        let own = Some(member(1));
        tally.count(own, &row(1, true, MessageState::Opened));
        tally.count(own, &row(1, false, MessageState::Closed));
        for n in 2..6 {
            tally.count(own, &row(n, true, MessageState::Opened));
            tally.count(own, &row(n, true, MessageState::Sealed));
        }
        // What a cut or a fork hides is nobody's word, and makes nobody one more.
        tally.count(own, &row(9, true, MessageState::Quarantined));
        tally.count(own, &row(9, true, MessageState::Disputed));
        assert_eq!(tally.given, Shared { messages: 1, withdrawals: 1, bytes: 200 });
        assert_eq!((tally.taken, tally.opened), (8, 4));
        assert_eq!(tally.together(), None, "four others: one of them could work out three");
        // Who only withdrew has no part in what was published.
        tally.count(own, &row(7, false, MessageState::Closed));
        assert_eq!(tally.together(), None);
        tally.count(own, &row(6, true, MessageState::Opened));
        let sums = Together { members: 6, messages: 10, withdrawals: None };
        assert_eq!(tally.together(), Some(sums), "one other withdrew, and would be known by it");
        for n in 2..6 {
            tally.count(own, &row(n, false, MessageState::Closed));
        }
        assert_eq!(tally.together(), Some(Together { withdrawals: Some(6), ..sums }));
    }

    #[test]
    fn a_month_begins_at_its_first_moment_and_ends_before_the_next() {
        let month = Month::parse("2026-12").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(
            (month.begins(), month.next().begins()),
            (at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z"))
        );
        assert_eq!(
            [month; 2],
            ["2026-12-01T00:00:00Z", "2026-12-31T23:59:59.999999Z"].map(|t| Month::of(at(t)))
        );
        for wrong in ["2026-13", "2026-00", "2026-1", "26-01", "2026", "2026-11-01", "+026-01"] {
            assert_eq!(Month::parse(wrong), None, "{wrong}");
        }
        assert!(Month::last().is_over() && !Month::last().next().is_over());
    }
}
