"""An independent verifier of belfry's trust, written from proto/WIRE.md and the .proto layouts alone.

    verifier.py LOG [--message FILE …]   exits 0 if everything that it judges holds; of several messages, together
    verifier.py --equivocation FILE      the same of a proof that the registrar signed two logs

It knows charters, the admin log, certificates, cuts and messages, and of a message it says what it did not judge. A KEM
key it takes for one by its length.
"""

import base64
import re
import sys
import unicodedata

from primitives import blake3, usable_key, verify_ed25519

# Year 9999, in microseconds.
LAST_TIME = 253402207200999999
DATA = 1
VARINT, BYTES, TEXT = "varint", "bytes", "text"

# number: (name, type, repeated); a message type is named by its table.
S = {
    "Signature": {1: ("key", BYTES, 0), 2: ("signature", BYTES, 0)},
    "Signed": {1: ("payload", BYTES, 0), 2: ("signatures", "Signature", 1)},
    "KeySet": {1: ("threshold", VARINT, 0), 2: ("keys", BYTES, 1)},
    "ActionThreshold": {1: ("action", VARINT, 0), 2: ("threshold", VARINT, 0)},
    "AdminKeys": {1: ("keys", BYTES, 1), 2: ("thresholds", "ActionThreshold", 1), 3: ("not_after", VARINT, 1)},
    "FocusGroup": {
        1: ("id", VARINT, 0), 2: ("slug", TEXT, 0), 3: ("name", TEXT, 0), 4: ("description", TEXT, 0),
        5: ("parent", VARINT, 0), 6: ("admits", VARINT, 1), 7: ("may_publish", VARINT, 0), 8: ("history", VARINT, 0),
        9: ("history_window_s", VARINT, 0), 10: ("retention_s", VARINT, 0), 11: ("max_tlp", VARINT, 0),
        12: ("messages_per_hour", VARINT, 0), 13: ("bytes_per_hour", VARINT, 0), 14: ("default_purpose", VARINT, 0),
    },
    "Document": {1: ("version", TEXT, 0), 2: ("hash", BYTES, 0), 3: ("link", TEXT, 0)},
    "RosterVersion": {1: ("height", VARINT, 0), 2: ("head", BYTES, 0)},
    "Charter": {
        1: ("coalition", BYTES, 0), 2: ("name", TEXT, 0), 3: ("version", VARINT, 0), 4: ("previous", BYTES, 0),
        5: ("issued", VARINT, 0), 6: ("expires", VARINT, 0), 7: ("root", "KeySet", 0), 8: ("admins", "AdminKeys", 0),
        9: ("registrar", BYTES, 0), 10: ("groups", "FocusGroup", 1), 11: ("arrangement", "Document", 0),
        12: ("rules_of_conduct", "Document", 0), 13: ("clock_skew_s", VARINT, 0), 14: ("grant_delay_s", VARINT, 0),
        15: ("stale_after_s", VARINT, 0), 16: ("staleness", VARINT, 0), 17: ("pin", "RosterVersion", 0),
        18: ("accept_by", VARINT, 0), 19: ("unaccepted", VARINT, 0), 20: ("ask_reasons", VARINT, 0),
    },
    "GroupRole": {1: ("group", VARINT, 0), 2: ("role", VARINT, 0)},
    "Organisation": {
        1: ("name", TEXT, 0), 2: ("kbo", TEXT, 0), 3: ("lei", TEXT, 0), 4: ("classes", VARINT, 1),
        5: ("capacity", VARINT, 0), 6: ("sector", TEXT, 0), 7: ("supplier_of", TEXT, 1),
    },
    "MemberKeys": {1: ("signing", BYTES, 0), 2: ("node", BYTES, 0), 3: ("kem", BYTES, 0)},
    "Validity": {1: ("not_before", VARINT, 0), 2: ("not_after", VARINT, 0)},
    "CertificateBody": {
        1: ("member", BYTES, 0), 2: ("organisation", "Organisation", 0), 3: ("keys", "MemberKeys", 0),
        4: ("groups", "GroupRole", 1), 5: ("carrier", VARINT, 0), 6: ("validity", "Validity", 0),
        7: ("arrangement_version", TEXT, 0), 8: ("rules_version", TEXT, 0),
    },
    "CutPoint": {1: ("log", BYTES, 0), 2: ("sequence", VARINT, 0), 3: ("message", BYTES, 0)},
    "Issue": {1: ("certificate", "CertificateBody", 0)},
    "Renew": {1: ("serial", VARINT, 0), 2: ("not_after", VARINT, 0)},
    "Supersede": {1: ("serial", VARINT, 0), 2: ("certificate", "CertificateBody", 0), 3: ("cut", "CutPoint", 1)},
    "Suspend": {1: ("serial", VARINT, 0), 2: ("cut", "CutPoint", 1)},
    "Resume": {1: ("serial", VARINT, 0)},
    "Revoke": {
        1: ("serial", VARINT, 0), 2: ("member", BYTES, 0), 3: ("reason", VARINT, 0), 4: ("decided", VARINT, 0),
        5: ("effective", VARINT, 0), 6: ("cut", "CutPoint", 1),
    },
    "Entitle": {1: ("serial", VARINT, 0), 2: ("groups", "GroupRole", 1)},
    "Disentitle": {1: ("serial", VARINT, 0), 2: ("groups", VARINT, 1), 3: ("cut", "CutPoint", 1)},
    "ExtendCut": {1: ("serial", VARINT, 0), 2: ("cut", "CutPoint", 1)},
    "Accept": {1: ("serial", VARINT, 0), 2: ("acceptance", "Signed", 0)},
    "Amend": {1: ("member", BYTES, 0), 2: ("organisation", "Organisation", 0)},
    "RulesAcceptance": {
        1: ("coalition", BYTES, 0), 2: ("arrangement_hash", BYTES, 0), 3: ("rules_hash", BYTES, 0), 4: ("accepted", VARINT, 0),
    },
    "Departure": {
        1: ("coalition", BYTES, 0), 2: ("member", BYTES, 0), 3: ("decided", VARINT, 0), 4: ("effective", VARINT, 0),
        5: ("made", VARINT, 0),
    },
    "AmendmentRequest": {
        1: ("coalition", BYTES, 0), 2: ("member", BYTES, 0), 3: ("organisation", "Organisation", 0), 4: ("made", VARINT, 0),
        5: ("roster", "RosterVersion", 0),
    },
    "Mailbox": {
        1: ("role", VARINT, 0), 2: ("email", TEXT, 0), 3: ("url", TEXT, 0), 4: ("phone", TEXT, 0), 5: ("openpgp", BYTES, 0),
        6: ("key_url", TEXT, 0), 7: ("languages", TEXT, 1), 8: ("hours", TEXT, 0),
    },
    "ContactRecord": {
        1: ("coalition", BYTES, 0), 2: ("member", BYTES, 0), 3: ("mailboxes", "Mailbox", 1), 4: ("made", VARINT, 0),
    },
    "Statement": {
        1: ("coalition", BYTES, 0), 2: ("nonce", BYTES, 0), 3: ("previous", BYTES, 0), 4: ("charter_version", VARINT, 0),
        5: ("made", VARINT, 0), 10: ("issue", "Issue", 0), 11: ("renew", "Renew", 0), 12: ("supersede", "Supersede", 0),
        13: ("suspend", "Suspend", 0), 14: ("resume", "Resume", 0), 15: ("revoke", "Revoke", 0),
        16: ("entitle", "Entitle", 0), 17: ("disentitle", "Disentitle", 0), 18: ("extend_cut", "ExtendCut", 0),
        19: ("accept", "Accept", 0), 20: ("amend", "Amend", 0),
    },
    "LogEntry": {1: ("coalition", BYTES, 0), 2: ("height", VARINT, 0), 3: ("prev", BYTES, 0), 4: ("statement", BYTES, 0)},
    "Record": {1: ("entry", "Signed", 0), 2: ("statement", "Signed", 0)},
    "LogFile": {1: ("charters", "Signed", 1), 2: ("records", "Record", 1)},
    "Header": {
        1: ("coalition", BYTES, 0), 2: ("group", VARINT, 0), 3: ("member", BYTES, 0), 4: ("serial", VARINT, 0),
        5: ("log", BYTES, 0), 6: ("log_instance", BYTES, 0), 7: ("predecessor", BYTES, 0), 8: ("sequence", VARINT, 0),
        9: ("prev", BYTES, 0), 10: ("created", VARINT, 0), 11: ("kind", VARINT, 0), 12: ("audience", VARINT, 0),
        13: ("targets", BYTES, 1), 14: ("key_id", BYTES, 0), 15: ("nonce", BYTES, 0), 16: ("recipients_hash", BYTES, 0),
        17: ("roster", "RosterVersion", 0), 18: ("withdrawal_mode", VARINT, 0), 19: ("withdrawal_ground", VARINT, 0),
    },
    # 5 and 6 are `optional`: there or not, even if empty.
    "Envelope": {
        1: ("header", BYTES, 0), 2: ("body_hash", BYTES, 0), 3: ("body_len", VARINT, 0), 4: ("signature", BYTES, 0),
        5: ("recipients", "optional", 0), 6: ("body", "optional", 0),
    },
}
DECISIONS = [
    "issue", "renew", "supersede", "suspend", "resume", "revoke", "entitle", "disentitle", "extend_cut", "accept", "amend",
]
REMOVALS = ("revoke", "suspend", "disentitle")


class Refused(Exception):
    """What does not hold."""


def require(holds, rule):
    if not holds:
        raise Refused(rule)


# --- Canonical protobuf ---------------------------------------------------------------------------------------

def read_varint(data, at):
    value = shift = 0
    while True:
        require(at < len(data) and shift < 64, "varint")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            require(value < 2**64, "varint")
            return value, at
        shift += 7


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def decode(name, data):
    """A message from its one encoding."""
    fields = S[name]
    message = {field: ([] if repeated else default(kind)) for field, kind, repeated in fields.values()}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        require(tag >> 3 in fields, f"{name}: unknown field {tag >> 3}")
        field, kind, repeated = fields[tag >> 3]
        if kind == VARINT and tag & 7 == 0:
            value, at = read_varint(data, at)
            if repeated:
                message[field].append(value)
            else:
                message[field] = value
            continue
        require(tag & 7 == 2, f"{name}.{field}: wire type")
        length, at = read_varint(data, at)
        chunk, at = data[at:at + length], at + length
        require(len(chunk) == length, f"{name}.{field}: cut short")
        if kind == VARINT:
            inner = 0
            while inner < len(chunk):
                value, inner = read_varint(chunk, inner)
                message[field].append(value)
            continue
        if kind == TEXT:
            try:
                value = chunk.decode()
            except UnicodeDecodeError as error:
                raise Refused(f"{name}.{field}: not UTF-8") from error
        else:
            value = chunk if kind in (BYTES, "optional") else decode(kind, chunk)
        if repeated:
            message[field].append(value)
        else:
            message[field] = value
    require(encode(name, message) == data, f"{name}: not canonical")
    return message


def default(kind):
    return {VARINT: 0, BYTES: b"", TEXT: ""}.get(kind)


def encode(name, message):
    out = b""
    for number, (field, kind, repeated) in S[name].items():
        value = message[field]
        if kind == VARINT and repeated:
            if value:
                packed = b"".join(map(varint, value))
                out += varint(number << 3 | 2) + varint(len(packed)) + packed
            continue
        for one in value if repeated else [value]:
            if one is None or not repeated and kind in (VARINT, BYTES, TEXT) and one == default(kind):
                continue
            if kind == VARINT:
                out += varint(number << 3) + varint(one)
            else:
                raw = one.encode() if kind == TEXT else one if kind in (BYTES, "optional") else encode(kind, one)
                out += varint(number << 3 | 2) + varint(len(raw)) + raw
    return out


# --- Conventions ----------------------------------------------------------------------------------------------

def pae(domain, *parts):
    parts = [f"belfry/v1/{domain}".encode()] + [p.to_bytes(8, "big") if isinstance(p, int) else p for p in parts]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def named(domain, *parts):
    return blake3(pae(domain, *parts))


def decision_nonce(coalition, salt, by=None, on=None, where=None, since=None):
    """The nonce of the statement that was made with a decision record."""
    time = lambda micros: b"" if micros is None else micros.to_bytes(8, "big")
    return named("decision", coalition, salt, (by or "").encode(), time(on), (where or "").encode(), time(since))[:16]


def signers(signed, domain, coalition, allowed):
    """The distinct allowed keys that signed; anything else on it refuses the whole."""
    require(signed is not None and len(signed["signatures"]) <= 32, "signatures")
    found = set()
    for signature in signed["signatures"]:
        key = signature["key"]
        require(usable_key(key), "unusable key")
        require(key in allowed, f"{domain}: signed by {key.hex()}, which has no such role")
        require(key not in found, f"{domain}: one key twice")
        holds = verify_ed25519(key, pae(domain, coalition, signed["payload"]), signature["signature"])
        require(holds, f"{domain}: bad signature")
        found.add(key)
    return found


def armoured(text, label):
    found = re.search(rf"-----BEGIN {label}-----\r?\n(.*?)-----END {label}-----", text, re.DOTALL)
    require(found, f"no {label}")
    return base64.b64decode("".join(found[1].split()), validate=True)


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


# --- The admin log ------------------------------------------------------------------------------------------------

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


class Log:
    """The fold: certificates with their standing, and what was void."""

    def __init__(self, log_file):
        self.chain = walk(log_file["charters"])
        self.coalition = self.chain[0]["id"]
        self.entries, self.certificates, self.latest = [], {}, {}
        self.keys, self.statements, self.voids = set(), set(), []
        # Member -> what its newest certificate, or an amendment since, says of it.
        self.said = {}
        # Member -> (arrangement hash, rules hash, when, entry) of each acceptance.
        self.accepted = {}
        for record in log_file["records"]:
            self.take(record)

    @property
    def head(self):
        return self.entries[-1] if self.entries else bytes(32)

    def in_force(self, height):
        return [c for c in self.chain if c["pin"] is None or c["pin"]["height"] < height][-1]

    def take(self, record):
        require(record["entry"] and record["statement"], "a record holds entry and statement")
        payload, signed = record["entry"]["payload"], record["statement"]
        entry = decode("LogEntry", payload)
        height = len(self.entries) + 1
        require(entry["coalition"] == self.coalition, "entry of another coalition")
        require(entry["height"] == height and entry["prev"] == self.head, "not the next entry")
        charter = self.in_force(height)
        require(len(signers(record["entry"], "log-entry", self.coalition, {charter["registrar"]})) == 1, "registrar")
        statement = decode("Statement", signed["payload"])
        identity = named("statement-id", self.coalition, signed["payload"])
        require(statement["coalition"] == self.coalition and len(statement["nonce"]) == 16, "statement")
        require(entry["statement"] == identity, "orders another statement")
        kind = signed_by_admins(self.chain, signed, statement, self.coalition)
        self.entries.append(named("entry-id", self.coalition, payload))
        try:
            self.effect(height, charter, kind, statement, identity)
        except Refused as reason:
            self.voids.append((height, str(reason)))

    def effect(self, height, charter, kind, statement, identity):
        decision = statement[kind]
        require(statement["charter_version"] >= charter["version"], "old charter")
        require(kind in REMOVALS or statement["made"] < charter["expires"], "the charter had expired")
        require(identity not in self.statements, "ordered twice")
        if kind == "issue":
            require(decision["certificate"], "no certificate")
            member, held = decision["certificate"]["member"], None
        elif kind == "amend":
            member, held = decision["member"], None
            require(len(member) == 16 and decision["organisation"], "amend")
            require(member in self.latest, "no such member")
        else:
            held = self.certificates.get(decision["serial"])
            require(held, "no such certificate")
            member = held["member"]
        require(kind in REMOVALS or (self.latest.get(member) or b"") == statement["previous"], "not the latest")
        status = held and held["status"]
        if kind in ("issue", "supersede"):
            body = decision["certificate"]
            check_certificate(body, charter)
            require(kind == "issue" or status == "active" and body["member"] == member, "supersede")
            keys = set(body["keys"].values())
            require(not keys & self.keys, "key reused")
            self.keys |= keys
            if held:
                held["status"] = "superseded"
                held["cuts"].append(cut_of(decision["cut"]))
            self.certificates[height] = dict(
                body, status="active", roles={g["group"]: g["role"] for g in body["groups"]}, cuts=[])
            self.said[member] = body["organisation"]
            texts = (charter["arrangement"], charter["rules_of_conduct"])
            if tuple(t["version"] for t in texts) == (body["arrangement_version"], body["rules_version"]):
                self.note_accepted(member, charter, statement["made"], height)
        elif kind == "amend":
            self.amend(member, decision["organisation"], charter, statement["made"])
        elif kind == "renew":
            require(status == "active" and decision["not_after"] > held["validity"]["not_after"], "renew")
            held["validity"]["not_after"] = decision["not_after"]
        elif kind == "suspend":
            require(status == "active", "suspend")
            held["status"] = "suspended"
            held["cuts"].append(cut_of(decision["cut"]))
        elif kind == "resume":
            require(status == "suspended", "resume")
            held["status"] = "active"
            lift(held["cuts"], height)
        elif kind == "revoke":
            require(1 <= decision["reason"] <= 6 and decision["member"] == member, "revoke")
            effective = 0 if status in ("suspended", "superseded") else decision["effective"]
            require(status != "revoked" or held["effective"] > decision["effective"], "revoked already")
            held.update(status="revoked", effective=effective)
            # A departure announced for later keeps what is written until then, unless it comes with a cut.
            if effective <= statement["made"] or decision["cut"]:
                held["cuts"].append(cut_of(decision["cut"]))
        elif kind == "entitle":
            require(status == "active" and not held["carrier"] and decision["groups"], "entitle")
            check_groups(decision["groups"], held["organisation"], charter)
            new = {g["group"]: g["role"] for g in decision["groups"]}
            require(all(new[g] >= held["roles"].get(g, 0) for g in new), "lowers a role")
            held["roles"].update(new)
            lift([cut for cut in held["cuts"] if any(concerns(cut, group) for group in new)], height)
        elif kind == "disentitle":
            require(decision["groups"], "disentitle")
            for group in decision["groups"]:
                held["roles"].pop(group, None)
            held["cuts"].append(cut_of(decision["cut"], decision["groups"]))
        elif kind == "accept":
            require(status == "active", "accept")
            at = self.acceptance(decision["acceptance"], held["keys"]["signing"], charter)
            require(not self.has_accepted(member, charter), "accepted already")
            self.note_accepted(member, charter, at, height)
        else:
            require(decision["cut"] and held["cuts"], "not cut")
            for cut in held["cuts"]:
                extend(cut, decision["cut"])
        self.latest[member] = identity
        self.statements.add(identity)

    def amend(self, member, organisation, charter, made):
        """Changed data in every certificate of a member that is not over; a group is not left by them."""
        check_organisation(organisation)
        going = [
            held for held in self.certificates.values() if held["member"] == member and held["status"] != "superseded"
            and not (held["status"] == "revoked" and held["effective"] <= made)
        ]
        require(going, "nobody to amend")
        require(any(held["organisation"] != organisation for held in going) or self.said[member] != organisation,
                "changes nothing")
        for held in going:
            for group in (charter["by_id"][g] for g in held["roles"] if g in charter["by_id"]):
                require(not admits(group, held["organisation"]) or admits(group, organisation), "class not admitted")
        for held in going:
            held["organisation"] = organisation
        self.said[member] = organisation

    def acceptance(self, signed, key, charter):
        """When the holder of `key` accepted the texts of `charter`."""
        require(len(signers(signed, "rules-acceptance", self.coalition, {key})) == 1, "acceptance: not signed")
        acceptance = decode("RulesAcceptance", signed["payload"])
        require(acceptance["coalition"] == self.coalition, "acceptance to another coalition")
        require(acceptance["arrangement_hash"] == charter["arrangement"]["hash"], "another arrangement")
        require(acceptance["rules_hash"] == charter["rules_of_conduct"]["hash"], "other rules")
        return acceptance["accepted"]

    def note_accepted(self, member, charter, at, height):
        texts = (charter["arrangement"]["hash"], charter["rules_of_conduct"]["hash"])
        self.accepted.setdefault(member, []).append((*texts, at, height))

    def has_accepted(self, member, charter):
        texts = (charter["arrangement"]["hash"], charter["rules_of_conduct"]["hash"])
        return any(one[:2] == texts for one in self.accepted.get(member, []))

    def overdue(self, member, charter, at):
        """What the charter holds against a member: 0 nothing, 1 it publishes nothing, 2 it is in no group."""
        due = charter["accept_by"] and at >= charter["accept_by"]
        return charter["unaccepted"] if due and not self.has_accepted(member, charter) else 0

    def departure(self, signed):
        """Who leaves: (member, decided, effective), signed by a key that the member has or had."""
        departure = decode("Departure", signed["payload"])
        require(departure["coalition"] == self.coalition and len(departure["member"]) == 16, "departure")
        require(departure["decided"] <= departure["effective"], "effective before it was decided")
        require(departure["decided"] <= departure["made"], "decided after it was signed")
        keys = {c["keys"]["signing"] for c in self.certificates.values() if c["member"] == departure["member"]}
        require(len(signers(signed, "notice", self.coalition, keys)) == 1, "departure: not signed")
        return departure["member"], departure["decided"], departure["effective"]

    def amendment(self, signed):
        """What a member asks to have said of it: (member, organisation), signed by a key that it has or had."""
        request = decode("AmendmentRequest", signed["payload"])
        require(request["coalition"] == self.coalition and len(request["member"]) == 16, "amendment request")
        require(request["organisation"] and request["roster"], "amendment request")
        check_organisation(request["organisation"])
        height = request["roster"]["height"]
        require(1 <= height <= len(self.entries) and self.entries[height - 1] == request["roster"]["head"], "made of another log")
        keys = {c["keys"]["signing"] for c in self.certificates.values() if c["member"] == request["member"]}
        require(len(signers(signed, "amendment", self.coalition, keys)) == 1, "amendment request: not signed")
        return request["member"], request["organisation"]

    def standing(self, serial, now):
        held = self.certificates.get(serial)
        if held is None:
            return "unknown"
        if held["status"] == "revoked" and now >= held["effective"]:
            return "revoked"
        if held["status"] in ("suspended", "superseded"):
            return held["status"]
        if now < held["validity"]["not_before"]:
            return "not yet valid"
        return "expired" if now >= held["validity"]["not_after"] else "valid"

    def message(self, data):
        """Who signed an envelope; refuses it unless that certificate's key did."""
        require(len(data) <= 256 * 1024, "envelope too long")
        envelope = decode("Envelope", data)
        header = decode("Header", envelope["header"])
        require(len(envelope["header"]) <= 16 * 1024 and header["coalition"] == self.coalition, "header")
        body = envelope["body"]
        require(body is None or body and envelope["body_len"] == len(body)
                and envelope["body_hash"] == named("body-hash", body), "another body")
        if header["audience"] == 3 and body is not None:
            require(envelope["recipients"] is not None
                    and header["recipients_hash"] == named("recipients", envelope["recipients"]), "other recipients")
        roster = header["roster"]
        require(roster and 1 <= roster["height"] <= len(self.entries), "ahead of the log")
        require(self.entries[roster["height"] - 1] == roster["head"], "another branch of the log")
        certificate = self.certificates.get(header["serial"])
        require(certificate and header["serial"] <= roster["height"], "no such certificate")
        require(certificate["member"] == header["member"], "another member")
        keys = certificate["keys"]
        log = named("log-id", self.coalition, header["group"], header["member"], keys["signing"], keys["node"],
                    header["log_instance"])
        require(log == header["log"], "not a log of this certificate")
        require((header["sequence"] == 1) == (header["prev"] == bytes(32)) and header["sequence"] >= 1, "sequence")
        parts = (envelope["header"], envelope["body_hash"], envelope["body_len"])
        require(verify_ed25519(keys["signing"], pae("envelope", self.coalition, *parts), envelope["signature"]),
                "bad signature")
        identity = named("message-id", self.coalition, *parts, envelope["signature"])
        return identity, header, certificate

    def admitted(self, identity, header, certificate):
        """Holds a message to what the log allowed its author: how it stands to the cuts of its key, and what was judged."""
        created, height = header["created"], header["roster"]["height"]
        validity, group = certificate["validity"], self.in_force(height)["by_id"].get(header["group"])
        require(validity["not_before"] <= created < validity["not_after"], "outside the certificate's validity")
        stands = stand(certificate, identity, header)
        require(stands != "beyond", "beyond a cut of its key")
        judged = ["signature", "log", "certificate's validity", "cuts"]
        # What a cut keeps stands whatever was taken since: it names only what was in order.
        if stands == "open":
            role = certificate["roles"].get(header["group"], 0)
            require(group and role >= group["may_publish"], "no publisher of the group")
            judged.append("role")
            if header["kind"] == DATA:
                overdue = self.overdue(header["member"], self.in_force(height), created)
                require(not overdue, "its author had not accepted the texts, and has not since")
                known = [c for c in self.chain if c["pin"] is None or c["pin"]["height"] <= height]
                require(created < known[-1]["expires"], "the charter had expired")
                judged += ["acceptance of the texts", "charter's end"]
        return stands, judged


# --- Cuts and places ----------------------------------------------------------------------------------------------

def cut_of(points, groups=()):
    """What of a key stays: in these groups, or in all."""
    cut = {"groups": list(groups), "points": {}, "lifted": None}
    extend(cut, points)
    return cut


def extend(cut, points):
    """A point never moves down."""
    for point in points:
        known = cut["points"].get(point["log"])
        if known is None or known[0] < point["sequence"]:
            cut["points"][point["log"]] = (point["sequence"], point["message"])


def lift(cuts, height):
    """What is written by a roster from here on, into logs that they do not list, is free of them."""
    for cut in cuts:
        cut["lifted"] = cut["lifted"] or height


def concerns(cut, group):
    return not cut["groups"] or group in cut["groups"]


def stand(certificate, identity, header):
    """Where a message is to the cuts of its key: open, at a point, below one, or beyond."""
    cuts = [cut for cut in certificate["cuts"] if concerns(cut, header["group"])]
    listed = [cut["points"][header["log"]] for cut in cuts if header["log"] in cut["points"]]
    for cut in cuts:
        if header["log"] not in cut["points"] and (not cut["lifted"] or header["roster"]["height"] < cut["lifted"]):
            return "beyond"
    for sequence, message in listed:
        if header["sequence"] > sequence or header["sequence"] == sequence and identity != message:
            return "beyond"
    if listed:
        return "at" if all(header["sequence"] == sequence for sequence, _ in listed) else "below"
    ended = certificate["status"] == "revoked" and header["created"] >= certificate["effective"]
    return "beyond" if ended else "open"


def together(messages):
    """Messages of one certificate by their places: no two histories, and which of those below a cut lead up to its point.

    `messages` are (identity, header, how it stands) each; gives the ids that stand for sure.
    """
    places = {}
    for identity, header, _ in messages:
        other = places.setdefault((header["log"], header["sequence"]), identity)
        require(other == identity, "a fork: two messages for one place")
    for _, header, _ in messages:
        before = places.get((header["log"], header["sequence"] - 1))
        require(before in (None, header["prev"]), "a fork: it follows another message than the one before")
    sure = {identity for identity, _, stands in messages if stands in ("open", "at")}
    for identity, header, stands in sorted(messages, key=lambda one: -one[1]["sequence"]):
        # Whoever is named by what stands is its ancestor, and stands.
        if identity in sure:
            sure.add(header["prev"])
    return {identity for identity, _, _ in messages} & sure


def equivocation(log_file):
    """Two entries of one height by one registrar's key: (height, key, both entry ids)."""
    chain = walk(log_file["charters"])
    coalition, registrars = chain[0]["id"], {c["registrar"] for c in chain}
    require(len(log_file["records"]) == 2, "a proof holds two entries")
    heights, ids, keys = [], [], []
    for record in log_file["records"]:
        require(record["entry"] and record["statement"], "a record holds entry and statement")
        entry, statement = decode("LogEntry", record["entry"]["payload"]), decode("Statement", record["statement"]["payload"])
        require(entry["coalition"] == coalition == statement["coalition"], "of another coalition")
        require(entry["height"] >= 1 and (entry["height"] == 1) == (entry["prev"] == bytes(32)), "height")
        identity = named("statement-id", coalition, record["statement"]["payload"])
        require(entry["statement"] == identity, "orders another statement")
        by = signers(record["entry"], "log-entry", coalition, registrars)
        require(by, "registrar")
        signed_by_admins(chain, record["statement"], statement, coalition)
        heights.append(entry["height"])
        ids.append(named("entry-id", coalition, record["entry"]["payload"]))
        keys.append(by)
    require(heights[0] == heights[1] and ids[0] != ids[1], "no contradiction")
    require(keys[0] & keys[1], "not signed by one key")
    return heights[0], min(keys[0] & keys[1]), ids


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


def read_log(text):
    return Log(decode("LogFile", armoured(text, "BELFRY LOG")))


def main(arguments):
    if arguments[0] == "--equivocation":
        with open(arguments[1], encoding="ascii") as file:
            proof = decode("LogFile", armoured(file.read(), "BELFRY EQUIVOCATION"))
        height, key, entries = equivocation(proof)
        print("coalition", walk(proof["charters"])[0]["id"].hex())
        print("equivocation at", height, "by", key.hex(), *(entry.hex() for entry in entries))
        return
    with open(arguments[0], encoding="ascii") as file:
        log = read_log(file.read())
    print("coalition", log.coalition.hex())
    print("head", len(log.entries), log.head.hex())
    for serial, certificate in sorted(log.certificates.items()):
        print("certificate", serial, certificate["status"], certificate["organisation"]["name"])
    files = [arguments[i + 1] for i, argument in enumerate(arguments) if argument == "--message"]
    by_certificate = {}
    for name in files:
        with open(name, encoding="ascii") as file:
            identity, header, certificate = log.message(armoured(file.read(), "BELFRY MESSAGE"))
        stands, judged = log.admitted(identity, header, certificate)
        by_certificate.setdefault(header["serial"], []).append((identity, header, stands))
        print("message", identity.hex(), "by", certificate["organisation"]["name"], "in group", header["group"])
        print("place: log", header["log"].hex(), "message", header["sequence"])
        print("judged:", ", ".join(judged))
        print("not judged: clocks, content")
    for messages in by_certificate.values():
        sure = together(messages)
        for identity, _, stands in messages:
            told = "yes" if identity in sure else "below a cut: yes, if the cut's message links back to it"
            print("stands:", identity.hex(), told)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as reason:
        sys.exit(f"refused: {reason}")
