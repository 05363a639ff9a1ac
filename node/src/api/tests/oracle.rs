//! Any response is a part of what the token may see, said once more and independently (threats, row 7).
//!
//! Stages of objects, one with every combination of group, marking and audience, others at random with conditions, versions,
//! twins and withdrawals; random tokens, the organisation's own and others', ask every way out. Nothing outside the oracle
//! may come out of any, and what the oracle allows comes out of those that list everything. Red if one endpoint forgets
//! the check.
//!
//! Each object bears an address that is nobody else's: whichever answer has the address tells of the object.

mod rule;
mod stage;
mod ways;

use belfry_proto::stix::{egress::Audience, marking::Tlp};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use self::{
    rule::{Act, may_act, may_see},
    stage::{Staged, naming},
    ways::{EVERYTHING, Seen, everything, looked_up, told_of},
};
use super::{
    coalition::{CIDR, CLOUD, HOSPITALS, OTHER, OWN},
    site::{Put, Site, id_of},
};
use crate::query::{Groups, Scope};

/// What leads to tools, all of it as lax as the configuration lets it be.
const EXPORTS: [(&str, &str, Act, &str); 9] = [
    ("bundle", "stix", Act::Detect, "unstated_pap = \"clear\""),
    ("table", "csv", Act::Detect, ""),
    ("list", "list", Act::Detect, "action = \"detect\""),
    ("block", "list", Act::Block, ""),
    ("zone", "rpz", Act::Block, ""),
    ("zeek", "zeek", Act::Detect, ""),
    ("suricata", "suricata", Act::Detect, ""),
    ("splunk", "splunk-es", Act::Detect, ""),
    ("rules", "rules", Act::Detect, ""),
];

/// The one that MISP's clients look into, and one for others.
const SPECIAL: [(&str, &str, &str); 2] =
    [("misp", "misp", ""), ("away", "csv", "audience = \"outside\"\nmax_tlp = \"amber\"")];

fn exports() -> String {
    let all = EXPORTS.iter().map(|(name, format, _, more)| (*name, *format, *more)).chain(SPECIAL);
    let profile = |(name, format, more): (&str, &str, &str)| {
        format!("[[exports]]\nname = \"{name}\"\nformat = \"{format}\"\nminimum_score = 0\n{more}\n")
    };
    all.map(profile).collect()
}

fn scopes() -> impl Strategy<Value = Scope> {
    let groups = || {
        prop_oneof![
            1 => Just(Groups::All),
            4 => proptest::collection::btree_set(proptest::sample::select(vec![CIDR, CLOUD, HOSPITALS]), 0..3)
                .prop_map(Groups::Only),
        ]
    };
    let inside = (groups(), groups(), any::<bool>(), 0..4usize, any::<bool>()).prop_map(
        |(read, publish, admin, level, red)| {
            let ceiling = if red { Tlp::AmberStrict } else { Tlp::ALL[level] };
            // A token grants something, or it is not made.
            let admin = admin || read.is_empty();
            Scope {
                read,
                publish,
                draft: Groups::NONE,
                admin,
                ceiling,
                red,
                audience: Audience::Inside,
                expires: None,
            }
        },
    );
    let outside = (groups(), 0..3usize).prop_map(|(read, level)| {
        let read = if read.is_empty() { Groups::All } else { read };
        Scope { read, ceiling: Tlp::ALL[level], audience: Audience::Outside, ..Scope::reads([]) }
    });
    prop_oneof![inside, outside]
}

/// Every combination, and one object whose versions differ in marking.
fn combined() -> Vec<Staged> {
    let mut puts = Vec::new();
    for group in [CIDR, CLOUD, HOSPITALS] {
        for tlp in Tlp::ALL {
            for recipients in [false, true] {
                for member in [OWN, OTHER] {
                    let n = u32::try_from(puts.len()).unwrap() + 1;
                    puts.push(Put { group, tlp, recipients, member, ..Put::indicator(n) });
                }
            }
        }
        for (version, tlp) in [
            ("2026-02-01T00:00:00Z", Tlp::Clear),
            ("2026-03-01T00:00:00Z", Tlp::Red),
            ("2026-01-01T00:00:00Z", Tlp::Amber),
        ] {
            let put = Put::indicator(9_000 + group.get()).version(version);
            puts.push(Put { group, tlp, recipients: true, ..put });
        }
    }
    puts.into_iter().enumerate().map(|(n, put)| Staged::new(n, naming(n, put))).collect()
}

/// What comes out of one way at most.
fn most(way: &str, scope: &Scope, staged: &[Staged]) -> Seen {
    let is_read = |one: &&Staged| may_see(scope, &one.put);
    let export = way.strip_prefix("export ").and_then(|name| EXPORTS.iter().find(|export| export.0 == name));
    let read = staged.iter().filter(is_read);
    match (way, export) {
        (_, Some((name, .., act, _))) => {
            let pap = if *name == "bundle" { "clear" } else { "green" };
            read.filter(|one| one.is_live() && may_act(&one.put, *act, pap)).map(|one| one.n).collect()
        }
        ("export misp" | "misp search" | "misp events", None) => read
            .filter(|one| one.is_live() && may_act(&one.put, Act::Detect, "green"))
            .map(|one| one.n)
            .collect(),
        ("export away", None) => {
            let is_given = |one: &&Staged| {
                let put = &one.put;
                one.is_live() && may_act(put, Act::Detect, "green") && rule::may_go_outside(put)
            };
            read.filter(is_given).map(|one| one.n).collect()
        }
        _ => read.filter(|one| one.is_told()).map(|one| one.n).collect(),
    }
}

fn check(seen: &ways::All, scope: &Scope, staged: &[Staged]) -> Result<(), TestCaseError> {
    for (way, found) in seen {
        let leaked: Vec<_> = found.difference(&most(way, scope, staged)).copied().collect();
        prop_assert!(leaked.is_empty(), "{way} shows {} to {scope:?}", told_of(staged, &leaked));
    }
    let all: Seen = most("", scope, staged);
    for way in EVERYTHING {
        let found = seen.get(way).cloned().unwrap_or_default();
        let kept: Vec<_> = all.difference(&found).copied().collect();
        prop_assert!(kept.is_empty(), "{way} keeps back {} from {scope:?}", told_of(staged, &kept));
    }
    Ok(())
}

async fn ask(site: &Site, scope: &Scope, staged: &[Staged]) -> Result<(), TestCaseError> {
    let token = site.token("asked", scope.clone()).await;
    let seen = everything(site, &token, scope, staged).await;
    let looked = looked_up(site, &token, scope, staged).await;
    site.query.tokens().revoke(id_of(&token)).await.unwrap();
    check(&seen, scope, staged)?;
    looked.map_err(TestCaseError::fail)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 32, ..Config::default() })
}

#[test]
fn any_response_is_within_what_the_token_may_see() {
    let runtime = runtime();
    let mut staged = combined();
    let site = runtime.block_on(async {
        let site = Site::exporting(&exports()).await;
        stage::put(&site, &mut staged).await;
        site
    });
    runner(16).run(&scopes(), |scope| runtime.block_on(ask(&site, &scope, &staged))).unwrap();
}

#[test]
fn any_response_of_random_objects_is_within_what_random_tokens_may_see() {
    let runtime = runtime();
    let (stages, tokens) = (stage::random(), proptest::collection::vec(scopes(), 3));
    runner(8)
        .run(&(stages, tokens), |(mut staged, scopes)| {
            runtime.block_on(async {
                let site = Site::exporting(&exports()).await;
                stage::put(&site, &mut staged).await;
                let draft = ways::draft(&site).await;
                for scope in &scopes {
                    ask(&site, scope, &staged).await?;
                    let token = site.token("releases", scope.clone()).await;
                    let drafted = ways::drafted(&site, &token, scope, &draft).await;
                    site.query.tokens().revoke(id_of(&token)).await.unwrap();
                    drafted.map_err(TestCaseError::fail)?;
                }
                ways::pushed(&site, &staged).await.map_err(TestCaseError::fail)
            })
        })
        .unwrap();
}

#[test]
fn the_oracle_sees_a_leak() {
    let green = Scope { ceiling: Tlp::Green, ..Scope::reads([CIDR]) };
    let amber = Put { tlp: Tlp::Amber, ..Put::indicator(1) };
    assert!(!may_see(&green, &amber));
    assert!(may_see(&green, &Put { tlp: Tlp::Clear, ..amber.clone() }));
    assert!(!may_see(&green, &Put { group: CLOUD, tlp: Tlp::Clear, ..amber.clone() }));
    let (wide, away) = (Scope { ceiling: Tlp::Amber, ..green.clone() }, |scope| Scope {
        audience: Audience::Outside,
        ..scope
    });
    let named = Put { recipients: true, ..amber.clone() };
    assert!(may_see(&wide, &named) && !may_see(&away(wide.clone()), &named));
    assert!(may_see(&away(wide), &amber) && !may_see(&away(green), &amber));
}

/// An object is shown to fewer or the same tokens once it is marked stricter, whichever way is asked.
#[test]
fn adding_a_marking_never_widens() {
    runtime().block_on(async {
        let site = Site::exporting(&exports()).await;
        let ladder =
            Tlp::ALL.iter().zip(1..).map(|(tlp, n)| Put { tlp: *tlp, recipients: true, ..Put::indicator(n) });
        let mut ladder: Vec<Staged> =
            ladder.enumerate().map(|(n, put)| Staged::new(n, naming(n, put))).collect();
        stage::put(&site, &mut ladder).await;
        for level in 0..4 {
            for red in [false, true] {
                let ceiling = if red { Tlp::AmberStrict } else { Tlp::ALL[level] };
                let scope = Scope { ceiling, red, ..Scope::reads([CIDR]) };
                let token = site.token("asked", scope.clone()).await;
                for (way, found) in everything(&site, &token, &scope, &ladder).await {
                    let shown: Vec<bool> = ladder.iter().map(|one| found.contains(&one.n)).collect();
                    assert!(
                        shown.windows(2).all(|pair| pair[0] || !pair[1]),
                        "{way} at {ceiling}, red {red}: {shown:?}"
                    );
                }
                site.query.tokens().revoke(id_of(&token)).await.unwrap();
            }
        }
    });
}
