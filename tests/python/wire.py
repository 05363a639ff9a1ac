"""The bytes of proto/WIRE.md: message layouts, the one encoding of each, domains, hashes, signatures, files."""

import base64
import re

from primitives import blake3, usable_key, verify_ed25519

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
            require(repeated, f"{name}.{field}: wire type")
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
