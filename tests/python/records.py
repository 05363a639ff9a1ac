"""Charters, certificates, and what admins and registrar signed under them, wherever in the log it stands."""

import re
import unicodedata

from primitives import usable_key
from wire import DECISIONS, decode, named, require, signers

# Year 9999, in microseconds.
LAST_TIME = 253402207200000000


# --- Charters ---------------------------------------------------------------------------------------------------

def check_charter(payload):
    require(len(payload) <= 256 * 1024, "charter too long")
    c = decode("Charter", payload)
    first = c["version"] == 1
    require(c["version"] >= 1, "version 0")
    require(not first or not c["coalition"] and not c["previous"] and c["pin"] is None, "version 1 follows nothing")
    require(first or len(c["coalition"]) == 32 and c["pin"] is not None, "a later version names coalition and pin")
    require(c["name"].strip() and c["expires"] > c["issued"], "name or dates")
    require(c["root"] and c["admins"] and c["groups"] and len(c["groups"]) <= 256, "root, admins, groups")
    everybody = c["root"]["keys"] + c["admins"]["keys"] + [c["registrar"]]
    require(len(set(everybody)) == len(everybody), "one key in two roles")
    require(all(map(usable_key, everybody)), "unusable key")
    require(1 <= c["root"]["threshold"] <= len(c["root"]["keys"]), "root threshold")
    thresholds = {row["action"]: row["threshold"] for row in c["admins"]["thresholds"]}
    require(sorted(row["action"] for row in c["admins"]["thresholds"]) == list(range(1, 10)), "nine actions")
    require(all(1 <= t <= len(c["admins"]["keys"]) for t in thresholds.values()), "threshold")
    ends = c["admins"]["not_after"]
    require(not ends or len(ends) == len(c["admins"]["keys"]) and any(ends), "ends of admin keys")
    require(all(not end or c["issued"] < end <= LAST_TIME for end in ends), "end of an admin key")
    c["ends"] = {key: end for key, end in zip(c["admins"]["keys"], ends) if end}
    seen = {}
    for group in c["groups"]:
        require(group["id"] and group["id"] not in seen, "group id")
        require(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", group["slug"]), "slug")
        require(group["slug"] not in (g["slug"] for g in seen.values()), "slug twice")
        require(not group["parent"] or group["parent"] in seen and not seen[group["parent"]]["parent"], "parent")
        require(len(set(group["admits"])) == len(group["admits"]) and all(1 <= a <= 8 for a in group["admits"]), "admits")
        require(1 <= group["may_publish"] <= 3 and 1 <= group["history"] <= 3, "may_publish or history")
        require(group["history"] != 2 or group["history_window_s"], "window")
        require(1 <= group["max_tlp"] <= 5 and 1 <= group["default_purpose"] <= 11, "tlp or purpose")
        require(group["messages_per_hour"] and group["bytes_per_hour"] and group["name"], "quota or name")
        seen[group["id"]] = group
    for document in (c["arrangement"], c["rules_of_conduct"]):
        require(document and len(document["hash"]) == 32, "document")
    require(c["ask_reasons"] <= 1, "ask_reasons")
    require(c["unaccepted"] <= 2 and (c["accept_by"] or not c["unaccepted"]), "unaccepted")
    c.update(id=named("charter-id", payload), thresholds=thresholds, by_id=seen, everybody=set(everybody))
    c["is"] = c["id"] if first else c["coalition"]
    return c


def role_of(charter, key):
    return (key in charter["root"]["keys"], key in charter["admins"]["keys"], key == charter["registrar"])


def walk(signed_charters):
    """Every version, each by the thresholds of the one before and of its own."""
    chain = []
    for signed in signed_charters:
        charter = check_charter(signed["payload"])
        before = chain[-1] if chain else charter
        require(charter["version"] == len(chain) + 1, "versions follow each other")
        require(not chain or charter["is"] == chain[0]["id"] and charter["previous"] == before["id"], "follows another")
        root = set(before["root"]["keys"]) | set(charter["root"]["keys"])
        who = signers(signed, "charter", charter["is"], root)
        for c in (before, charter):
            require(len(who & set(c["root"]["keys"])) >= c["root"]["threshold"], "too few root keys signed")
        if chain:
            gone = set().union(*(c["everybody"] for c in chain)) - before["everybody"]
            require(not gone & charter["everybody"], "a removed key returns")
            for key in charter["everybody"] & before["everybody"]:
                require(role_of(charter, key) == role_of(before, key), "a key changes its role")
        chain.append(charter)
    require(chain, "no charter")
    return chain


# --- Certificates -----------------------------------------------------------------------------------------------

def check_certificate(body, charter):
    require(body is not None and len(body["member"]) == 16 and any(body["member"]), "member id")
    organisation, keys, validity = body["organisation"], body["keys"], body["validity"]
    require(organisation and keys and validity, "certificate")
    check_organisation(organisation)
    require(usable_key(keys["signing"]) and usable_key(keys["node"]) and keys["signing"] != keys["node"], "keys")
    require(len(keys["kem"]) == 1216, "kem key")
    require(validity["not_after"] > validity["not_before"], "validity")
    check_groups(body["groups"], organisation, charter)
    require(bool(body["groups"]) != bool(body["carrier"]), "a carrier names no group, everyone else one")


def check_organisation(organisation):
    name = organisation["name"]
    require(name.strip() and len(name.encode()) <= 256, "organisation name")
    # Control characters are category Cc, no more: a no-break space or a joiner is a name's own.
    require(all(unicodedata.category(char) != "Cc" for char in name), "organisation name")
    require(re.fullmatch(r"([0-9]{10})?", organisation["kbo"]) and re.fullmatch(r"([0-9A-Z]{20})?", organisation["lei"]), "kbo, lei")
    require(organisation["classes"] and all(1 <= c <= 8 for c in organisation["classes"]), "classes")
    require(organisation["capacity"] <= 3, "capacity")
    supplied = organisation["supplier_of"]
    require(len(organisation["sector"].encode()) <= 256 and len(supplied) <= 64, "sector or supplier_of")
    require(all(1 <= len(one.encode()) <= 256 for one in supplied), "supplier_of")


def admits(group, organisation):
    return not group["admits"] or set(group["admits"]) & set(organisation["classes"])


def check_groups(groups, organisation, charter):
    require(len({g["group"] for g in groups}) == len(groups), "group twice")
    for entry in groups:
        group = charter["by_id"].get(entry["group"])
        require(group and 1 <= entry["role"] <= 3, "group or role")
        require(admits(group, organisation), "class not admitted")


# --- Records ----------------------------------------------------------------------------------------------------

def signed_by_admins(chain, signed, statement, coalition):
    """The one decision of a statement that enough admins signed, by the charter it names."""
    kinds = [kind for kind in DECISIONS if statement[kind] is not None]
    require(len(kinds) == 1, "one decision")
    require(1 <= statement["charter_version"] <= len(chain), "charter ahead")
    made_under = chain[statement["charter_version"] - 1]
    who = signers(signed, "statement", coalition, set(made_under["admins"]["keys"]))
    # The member decides to accept; one admin files it. Amending takes as many as issuing.
    action = "issue" if kinds[0] == "amend" else kinds[0]
    needed = 1 if action == "accept" else made_under["thresholds"][DECISIONS.index(action) + 1]
    require(len(who) >= needed, f"{len(who)} of {needed} admins signed")
    require(all(statement["made"] < made_under["ends"].get(key, LAST_TIME + 1) for key in who), "an admin key had ended")
    return kinds[0]


def check_record(chain, record):
    """A record by itself: its entry signed by a registrar, its statement by enough admins. Whether it is the next is for the log."""
    require(record["entry"] and record["statement"], "a record holds entry and statement")
    coalition = chain[0]["id"]
    require(len(record["entry"]["payload"]) <= 64 * 1024, "entry too long")
    entry = decode("LogEntry", record["entry"]["payload"])
    require(len(entry["prev"]) == 32, "prev")
    require(entry["coalition"] == coalition, "entry of another coalition")
    require(entry["height"] >= 1 and (entry["height"] == 1) == (entry["prev"] == bytes(32)), "height")
    by = signers(record["entry"], "log-entry", coalition, {c["registrar"] for c in chain})
    require(by, "no registrar signed")
    checked = check_statement(chain, record["statement"])
    require(entry["statement"] == checked["statement"], "orders another statement")
    return dict(checked, height=entry["height"], prev=entry["prev"], by=by,
                entry=named("entry-id", coalition, record["entry"]["payload"]))


def check_statement(chain, signed):
    """A statement that enough admins signed, whether or not a registrar ordered it."""
    require(len(signed["payload"]) <= 64 * 1024, "statement too long")
    statement = decode("Statement", signed["payload"])
    require(statement["coalition"] == chain[0]["id"], "statement of another coalition")
    require(len(statement["nonce"]) == 16 and len(statement["previous"]) in (0, 32), "nonce or previous")
    kind = signed_by_admins(chain, signed, statement, chain[0]["id"])
    check_decision(kind, statement[kind])
    return {"statement": named("statement-id", chain[0]["id"], signed["payload"]), "kind": kind, "says": statement}


def check_decision(kind, decision):
    """What a decision is malformed without, whatever the log holds."""
    if kind == "revoke":
        require(1 <= decision["reason"] <= 6 and len(decision["member"]) == 16, "revoke: reason or member")
    if kind in ("entitle", "disentitle"):
        require(decision["groups"], f"{kind}: no group")
    if kind in ("issue", "supersede"):
        require(decision["certificate"], f"{kind}: no certificate")
    if kind == "extend_cut":
        require(decision["cut"], "extend-cut: no cut")
    if kind == "accept":
        require(decision["acceptance"], "accept: nothing that the member signed")
    if kind == "amend":
        require(len(decision["member"]) == 16 and decision["organisation"], "amend: member or organisation")
    points = decision.get("cut", [])
    require(len(points) <= 1024, "cut too long")
    for point in points:
        require(len(point["log"]) == 32 and len(point["message"]) == 32 and point["sequence"], "point of a cut")


def equivocation(log_file):
    """Two entries of one height by one registrar's key: (height, key, both entry ids)."""
    chain = walk(log_file["charters"])
    require(len(log_file["records"]) == 2, "a proof holds two entries")
    one, other = (check_record(chain, record) for record in log_file["records"])
    require(one["height"] == other["height"] and one["entry"] != other["entry"], "no contradiction")
    both = one["by"] & other["by"]
    require(both, "not signed by one key")
    return one["height"], min(both), [one["entry"], other["entry"]]
