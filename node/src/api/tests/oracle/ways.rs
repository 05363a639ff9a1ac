//! Every way out, asked with one token, and what of the stage it tells.

use std::collections::{BTreeMap, BTreeSet};

use belfry_proto::stix::{egress::Audience, marking::Tlp};
use serde_json::{Value, json};

use super::{
    EXPORTS, SPECIAL,
    rule::{Act, may_act, may_be_named, may_go_outside, may_see, terms_let_outside},
    stage::Staged,
};
use crate::{
    api::tests::{
        coalition::{CIDR, GROUPS},
        site::{Put, Site, nothing, only, post},
    },
    config::Config,
    query::{Groups, Interest, Scope, lookup::Wanted},
};

/// Numbers of what was told.
pub(super) type Seen = BTreeSet<usize>;
/// By way.
pub(super) type All = BTreeMap<String, Seen>;

/// Ways that keep nothing back.
pub(super) const EVERYTHING: [&str; 7] =
    ["objects", "manifest", "rest", "object", "versions", "rest object", "events"];

/// Number of the draft.
const DRAFT: usize = 250;

/// Paths that tell of no object, whoever asks.
const OF_NOTHING: [&str; 16] = [
    "/api/v1/activity",
    "/api/v1/forks",
    "/api/v1/status",
    "/api/v1/sync",
    "/api/v1/members",
    "/api/v1/groups",
    "/api/v1/hooks",
    "/api/v1/sources",
    "/api/v1/audit",
    "/api/v1/tokens",
    "/api/v1/drafts",
    "/api/v1/exports",
    "/api/v1/peers",
    "/metrics",
    "/taxii2/root/collections/",
    "/users/view/me",
];
/// What of these is told within the organisation only.
const INSIDE: [&str; 2] = ["/api/v1/activity", "/api/v1/forks"];

/// For people who read a failure.
pub(super) fn told_of(staged: &[Staged], which: &[usize]) -> String {
    format!("{:#?}", which.iter().filter_map(|n| staged.get(*n)).collect::<Vec<_>>())
}

/// The addresses that stand in an answer.
fn addresses(body: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(body).replace("[.]", ".");
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    text.split("45.155.1.").skip(1).filter_map(digits).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn listed<'a>(json: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    json[name].as_array().into_iter().flatten()
}

/// One token's view of the stage.
struct Asking<'a> {
    site: &'a Site,
    token: &'a str,
    scope: &'a Scope,
    staged: &'a [Staged],
    seen: All,
}

impl Asking<'_> {
    fn note(&mut self, way: &str, which: Seen) {
        self.seen.entry(way.to_owned()).or_default().extend(which);
    }

    /// Asks a path, and notes what it tells.
    async fn get(&mut self, way: &str, path: &str) -> Value {
        let answer = self.site.get(self.token, path).await;
        self.note(way, addresses(&answer.body));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Notes what stands under an id and a version, where no address is told.
    fn note_version(&mut self, way: &str, slug: &str, id: &str, version: &str) {
        if id.starts_with("marking-definition--") {
            return;
        }
        // The end of what was taken back is a version of its own.
        let is_of = |one: &&Staged| {
            let put = &one.put;
            // However many digits tell the millisecond.
            let is_version =
                if one.is_live() { put.version == version } else { version.contains("T00:00:00.001") };
            put.id == id && is_version && GROUPS.contains(&(put.group, slug))
        };
        let found =
            self.staged.iter().find(is_of).unwrap_or_else(|| panic!("{way} tells {id} {version} in {slug}"));
        if found.is_told() {
            self.note(way, [found.n].into());
        }
    }

    async fn group(&mut self, slug: &str) {
        let base = format!("/taxii2/root/collections/{slug}");
        self.get("objects", &format!("{base}/objects/?match[version]=all")).await;
        self.get("objects last", &format!("{base}/objects/")).await;
        self.get(
            "objects first",
            &format!("{base}/objects/?match[version]=first&match[type]=indicator,malware"),
        )
        .await;
        let rest = self.get("rest", &format!("/api/v1/objects?group={slug}&version=all")).await;
        listed(&rest, "objects").for_each(|row| self.names_only_whom_it_may(row));
        let mut next = String::new();
        loop {
            let path = format!("{base}/manifest/?match[version]=all&limit=7{next}");
            let page = self.get("manifest", &path).await;
            for row in listed(&page, "objects") {
                self.note_version("manifest", slug, &text(&row["id"]), &text(&row["version"]));
            }
            match page["next"].as_str() {
                Some(cursor) => next = format!("&next={cursor}"),
                None => break,
            }
        }
        let ids: BTreeSet<String> = self.staged.iter().map(|one| one.put.id.clone()).collect();
        for id in ids {
            self.get("object", &format!("{base}/objects/{id}/?match[version]=all")).await;
            let versions = self.get("versions", &format!("{base}/objects/{id}/versions/")).await;
            for version in listed(&versions, "versions") {
                self.note_version("versions", slug, &id, &text(version));
            }
        }
    }

    /// A row of REST names its author, and who says the same, as far as they let this token's tool.
    fn names_only_whom_it_may(&self, row: &Value) {
        let is_outside = self.scope.audience == Audience::Outside;
        let staged = self.staged;
        let of = staged.iter().find(|one| row["id"] == *one.put.id && row["version"] == *one.put.version);
        let Some(one) = of else { return };
        let author = !is_outside || may_be_named(&one.put.conditions.terms);
        assert_eq!(row["member"].is_null(), !author, "{row}");
        assert!(author || !row["object"].to_string().contains("created_by_ref"), "{row}");
        let may_tell = |terms: &Vec<String>| may_be_named(terms) && (!is_outside || terms_let_outside(terms));
        let twin = one.twin.as_ref().filter(|terms| may_tell(terms)).map(|_| one.twin_of().to_string());
        assert_eq!(row["reporters"], json!(twin.into_iter().collect::<Vec<_>>()), "{row}");
    }

    async fn exports(&mut self) {
        for name in EXPORTS.iter().map(|export| export.0).chain(SPECIAL.map(|export| export.0)) {
            let way = format!("export {name}");
            let report = self.get(&way, &format!("/api/v1/exports/{name}/report")).await;
            self.get(&way, &format!("/api/v1/exports/{name}")).await;
            for file in listed(&report, "files") {
                self.get(&way, &format!("/api/v1/exports/{name}/{}", text(&file["name"]))).await;
            }
        }
        for (way, path) in [("misp search", "/attributes/restSearch"), ("misp events", "/events/restSearch")]
        {
            let search = post(self.token, path, "application/json", "{}");
            let found = self.site.send(search).await;
            self.note(way, addresses(&found.body));
        }
    }

    /// Messages are told of within the organisation, to whoever reads their group.
    async fn messages(&self) {
        for one in self.staged {
            let reads = match &self.scope.read {
                Groups::All => true,
                Groups::Only(groups) => groups.contains(&one.put.group),
            };
            for path in ["", "/envelope"] {
                let path = format!("/api/v1/messages/{}{path}", one.message);
                let answer = self.site.get(self.token, &path).await;
                assert!(addresses(&answer.body).is_empty(), "{path}");
                if answer.status == 200 {
                    assert!(reads && self.scope.audience == Audience::Inside, "{path} for {:?}", self.scope);
                }
            }
        }
    }

    async fn feed(&mut self) {
        let principal = self.site.query.tokens().verify(self.token, crate::clock::now()).unwrap();
        let mut after = 0;
        loop {
            let events = self.site.query.events(&principal, &Interest::default(), after).await.unwrap();
            for (_, row) in &events.rows {
                self.note("events", addresses(row.raw()));
            }
            after = events.position;
            if !events.more {
                break;
            }
        }
        // Whether something can be sighted, or a change of it proposed, tells that it is there.
        for one in self.staged {
            let wanted = Wanted { text: format!("45.155.1.{}", one.n), kind: None };
            let groups = self.site.query.all_readable(&principal);
            let found = self.site.query.sightable(&principal, groups.clone(), wanted, true).await.unwrap();
            if found.iter().any(|found| found.id == one.put.id) {
                self.note("sightable", [one.n].into());
            }
            for found in self.site.query.proposable(&principal, groups, one.put.id.clone()).await.unwrap() {
                self.note("proposable", addresses(found.raw()));
            }
        }
    }
}

/// Asks every way out. The names tell which way leaked.
pub(super) async fn everything(site: &Site, token: &str, scope: &Scope, staged: &[Staged]) -> All {
    let mut asking = Asking { site, token, scope, staged, seen: All::new() };
    for (_, slug) in GROUPS {
        asking.group(slug).await;
    }
    let ids: BTreeSet<&String> = staged.iter().map(|one| &one.put.id).collect();
    for id in ids {
        asking.get("rest object", &format!("/api/v1/objects/{id}")).await;
    }
    asking.get("proposals", "/api/v1/proposals").await;
    asking.exports().await;
    asking.messages().await;
    asking.feed().await;
    for path in OF_NOTHING {
        let answer = site.get(token, path).await;
        assert!(addresses(&answer.body).is_empty(), "{path}");
        let is_told = answer.status == 200;
        assert!(!is_told || scope.audience == Audience::Inside || !INSIDE.contains(&path), "{path}");
    }
    for (way, question) in [
        ("lookup of one", json!({ "values": ["45.155.2.1"] })),
        ("lookup around", json!({ "values": ["45.155.2.0/24"], "around": true })),
    ] {
        let answer = site.send(post(token, "/api/v1/lookup", "application/json", question.to_string())).await;
        asking.note(way, addresses(&answer.body));
        for found in listed(&answer.json(), "results") {
            for object in listed(found, "objects") {
                asking.note_version(
                    way,
                    &text(&object["group"]),
                    &text(&object["id"]),
                    &text(&object["version"]),
                );
            }
        }
    }
    asking.seen
}

/// What lookup says of each address: who reported it and how often it was seen, by what the token may see and no more.
pub(super) async fn looked_up(
    site: &Site,
    token: &str,
    scope: &Scope,
    staged: &[Staged],
) -> Result<(), String> {
    let values: Vec<String> = staged.iter().map(|one| format!("45.155.1.{}", one.n)).collect();
    let question = json!({ "values": values }).to_string();
    let answer = site.send(post(token, "/api/v1/lookup", "application/json", question)).await;
    if scope.read == Groups::Only(BTreeSet::new()) {
        return if answer.status == 403 { Ok(()) } else { Err(format!("lookup: {}", answer.status)) };
    }
    let answer = answer.json();
    for (one, found) in staged.iter().zip(listed(&answer, "results")) {
        let is_simple = one.put.kind == "indicator" && one.is_live() && !one.is_one_of_many;
        let is_stix = one.put.json.as_ref().is_some_and(|json| json["pattern_type"] == "stix");
        if is_simple && is_stix {
            let expected = known(scope, staged, one);
            let told = json!({
                "known": found["state"] != "unknown", "sightings": found["sightings"]["count"],
                "sighted_by": found["sightings"]["members"], "agree": found["opinions"]["agree"].as_u64().unwrap_or(0),
                "members": found["corroboration"],
                "named": listed(found, "reported_by").map(|by| text(&by["member"])).collect::<BTreeSet<_>>(),
            });
            if told != expected {
                return Err(format!("lookup of {one:?} says {told}, not {expected}, to {scope:?}"));
            }
        }
    }
    Ok(())
}

/// The same from the stage.
fn known(scope: &Scope, staged: &[Staged], one: &Staged) -> Value {
    let is_known = may_see(scope, &one.put);
    let about = |kind: &'static str| {
        let said = staged
            .iter()
            .filter(move |said| said.put.kind == kind && said.about.map(|(of, _)| of) == Some(one.n));
        said.filter(move |said| is_known && said.put.group == one.put.group && may_see(scope, &said.put))
    };
    let members = |kind| about(kind).map(|said| said.put.member).collect::<BTreeSet<_>>();
    let is_outside = scope.audience == Audience::Outside;
    let twin = one.twin.as_ref().filter(|terms| !is_outside || terms_let_outside(terms));
    let (mut reported, mut named) = (BTreeSet::new(), BTreeSet::new());
    if is_known {
        reported.insert(one.put.member);
        if may_be_named(&one.put.conditions.terms) {
            named.insert(one.put.member.to_string());
        }
        if let Some(terms) = twin {
            reported.insert(one.twin_of());
            if may_be_named(terms) {
                named.insert(one.twin_of().to_string());
            }
        }
    }
    json!({
        "known": is_known, "sightings": about("sighting").filter_map(|said| said.about).map(|(_, count)| count).sum::<u64>(),
        "sighted_by": members("sighting").len(), "agree": members("opinion").len(),
        "members": reported.union(&members("sighting")).count(), "named": named,
    })
}

/// Hands in an AMBER draft for a person to release; its id.
pub(super) async fn draft(site: &Site) -> String {
    let token = site.token("author", Scope { publish: only(&[CIDR]), ..nothing() }).await;
    let indicator = Put::pattern(250, &format!("[ipv4-addr:value = '45.155.1.{DRAFT}']"), &json!({})).json;
    let bundle = json!({
        "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000250", "objects": [indicator],
    });
    let path = "/api/v1/publications?group=cidr&tlp=amber&draft=true";
    let made = site.send(post(&token, path, "application/stix+json;version=2.1", bundle.to_string())).await;
    text(&made.json()["publication"])
}

/// What is not published yet is shown to whoever may release it, as far as it reads such things.
pub(super) async fn drafted(site: &Site, token: &str, scope: &Scope, draft: &str) -> Result<(), String> {
    let covers = |groups: &Groups| match groups {
        Groups::All => true,
        Groups::Only(groups) => groups.contains(&CIDR),
    };
    let is_shown = covers(&scope.publish) && covers(&scope.read) && scope.ceiling >= Tlp::Amber;
    let told = site.get(token, &format!("/api/v1/drafts/{draft}")).await;
    let found = addresses(&told.body).contains(&DRAFT);
    let listed = String::from_utf8_lossy(&site.get(token, "/api/v1/drafts").await.body).contains(draft);
    match found == is_shown && listed == covers(&scope.publish) {
        true => Ok(()),
        false => Err(format!("the draft's content: {found}, listed: {listed}, to {scope:?}")),
    }
}

/// What hooks push, by their own policy and no token's.
pub(super) async fn pushed(site: &Site, staged: &[Staged]) -> Result<(), String> {
    for (more, act, is_outside) in [
        ("", Act::Detect, false),
        ("action = \"block\"", Act::Block, false),
        ("audience = \"outside\"\nmax_tlp = \"amber\"", Act::Detect, true),
    ] {
        let config = format!("[[syslog]]\nname = \"hook\"\ntarget = \"udp://127.0.0.1:1\"\n{more}\n");
        let config = Config::parse(&config, std::path::Path::new("belfry.toml")).unwrap();
        let hook = &config.syslog[0].hook;
        let (mut after, mut found) = (0, Seen::new());
        loop {
            let leaving = site.query.leaving(hook, after, crate::clock::now()).await.unwrap();
            for row in &leaving.rows {
                found.extend(addresses(&row.released.raw()));
            }
            after = leaving.position;
            if !leaving.more {
                break;
            }
        }
        let may = |one: &&Staged| {
            one.is_told() && may_act(&one.put, act, "green") && (!is_outside || may_go_outside(&one.put))
        };
        let most: Seen = staged.iter().filter(may).map(|one| one.n).collect();
        let leaked: Vec<usize> = found.difference(&most).copied().collect();
        if !leaked.is_empty() {
            return Err(format!("a hook with {more:?} pushes {}", told_of(staged, &leaked)));
        }
    }
    Ok(())
}
