"""Exports read back to what they name, each by its format's own rules; nothing of belfry's code.

Every reader gives a set of (kind, value), or fails on a line that its format has no place for. What a format has no
way to write is said beside it.
"""

import base64
import csv
import hashlib
import io
import ipaddress
import json
import re
from urllib.parse import quote

from pymisp import MISPEvent
from stix2patterns.v21.pattern import Pattern

import misp

ADDRESSES, FILES = {"ipv4-addr", "ipv6-addr"}, {"md5", "sha1", "sha256"}
NET = ADDRESSES | {"domain-name", "url"}
EVERY = NET | FILES | {
    "email-addr", "mac-addr", "autonomous-system", "sha512", "ssdeep", "tlsh", "file-name", "mutex", "windows-registry-key"}
KINDS = {
    "list": EVERY, "csv": EVERY, "stix": EVERY, "misp": EVERY,
    "splunk-es": NET | FILES | {"email-addr", "sha512", "file-name"}, "suricata": NET | FILES,
    "zeek": NET | FILES | {"email-addr", "file-name"}, "rpz": ADDRESSES | {"domain-name"},
}
LENGTHS = {length: kind for kind, length in misp.HASHES.items()}
MISP = {
    "domain": "domain-name", "url": "url", "email-src": "email-addr", "mac-address": "mac-addr",
    "AS": "autonomous-system", "filename": "file-name", "mutex": "mutex", "regkey": "windows-registry-key",
    **{kind: kind for kind in [*misp.HASHES, "ssdeep", "tlsh"]},
}


def encoded(value):
    """A URL with what RFC 3986 has no place for in percents."""
    return quote(value, safe="!#$%&'()*+,-./:;=?@[]_~")


def is_writable(kind_of_export, kind, value):
    if kind_of_export == "list":
        return kind == "url" or value[0] not in "#;/"
    if kind_of_export == "suricata":
        return kind != "url" or value.startswith("http://")
    if kind_of_export == "zeek":
        return value[0] != "#" and value != "-"
    return True


def lists(get, name):
    found = set()
    for kind in EVERY | {"cve"}:
        lines = get(f"{name}/{kind}.txt").decode().splitlines()
        assert len(lines) == len(set(lines)) and lines == sorted(lines), kind
        assert get(f"{name}/{kind}.txt.md5").decode().strip() == hashlib.md5(get(f"{name}/{kind}.txt")).hexdigest()
        found |= {(kind, line) for line in lines}
    return found


def cell(text):
    return text[1:] if re.match(r"'\s*[=+\-@|%]", text) else text


def table(get, name):
    rows = list(csv.DictReader(io.StringIO(get(name).decode(), newline="")))
    found = {(row["type"], cell(row["value"])) for row in rows}
    assert len(rows) == len(found)
    return found


def splunk(get, name):
    found = set()
    for of, columns in {
        "ip": {"ip": "ip"}, "domain": {"domain": "domain-name"}, "http": {"url": "url"}, "email": {"src_user": "email-addr"},
        "file": {"file_hash": None, "file_name": "file-name"},
    }.items():
        for row in csv.DictReader(io.StringIO(get(f"{name}/{of}_intel.csv").decode(), newline="")):
            assert 1 <= int(row["weight"]) <= 100
            (column, value), = [(column, cell(row[column])) for column in columns if row[column]]
            if columns[column] == "ip":
                found.add(misp.address(value))
            else:
                found.add((columns[column] or LENGTHS[len(value)], value))
    return found


def of_misp(attribute_type, value):
    return misp.address(value) if attribute_type == "ip-dst" else (MISP[attribute_type], value)


def feed(get, name):
    found, hashes = set(), set()
    for uuid, about in json.loads(get(f"{name}/manifest.json")).items():
        event = MISPEvent()
        event.load(get(f"{name}/{uuid}.json").decode())
        assert (event.uuid, event.info) == (uuid, about["info"])
        for attribute in event.attributes:
            assert attribute.to_ids
            found.add(of_misp(attribute.type, str(attribute.value)))
            hashes.add((hashlib.md5(str(attribute.value).encode()).hexdigest(), uuid))
    rows = {tuple(row) for row in csv.reader(io.StringIO(get(f"{name}/hashes.csv").decode()))}
    assert rows == hashes
    return found


def rest(search):
    told = search({"returnFormat": "json", "to_ids": True})["response"]["Attribute"]
    return {of_misp(attribute["type"], attribute["value"]) for attribute in told}


def bundle(get, name):
    found, things = set(), json.loads(get(name)).get("objects", [])
    identities = {thing["id"] for thing in things if thing["type"] == "identity"}
    for thing in things:
        if thing["type"] in ("marking-definition", "identity"):
            continue
        assert thing["type"] == "indicator"
        assert thing.get("created_by_ref") in {None, *identities}, "its creator does not go along"
        found |= looked_for(thing["pattern"])
    return found


PATHS = {
    "ipv4-addr:value": "ip", "ipv6-addr:value": "ip", "domain-name:value": "domain-name", "url:value": "url",
    "email-addr:value": "email-addr", "mac-addr:value": "mac-addr", "autonomous-system:number": "autonomous-system",
    "file:name": "file-name", "mutex:name": "mutex", "windows-registry-key:key": "windows-registry-key",
}


def looked_for(pattern):
    """What the equalities of a pattern look for, by the reference parser; None as kind where the path does not say."""
    found = set()
    for root, comparisons in Pattern(pattern).inspect().comparisons.items():
        for path, operator, value in comparisons:
            if operator not in ("=", "IN", "==", "ISSUBSET"):
                continue
            steps = [step for step in path if isinstance(step, str)]
            kind = PATHS.get(f"{root}:{'.'.join(steps)}")
            if root == "file" and steps[:1] == ["hashes"]:
                kind = steps[-1].lower().replace("-", "")
            elif root in ("network-traffic", "email-message") and steps[-1] == "value":
                kind = "any"
            for one in value if isinstance(value, (list, tuple, set)) else [value]:
                text = re.sub(r"\\(.)", r"\1", one.strip().removeprefix("'").removesuffix("'")) if isinstance(one, str) else str(one)
                if kind == "any":
                    guess = misp.address(text) or (misp.normal("email-addr", text) if "@" in text else misp.host(text))
                    found |= {guess} if guess else set()
                elif kind:
                    found.add(misp.normal(kind, text))
    return found - {None}


def suricata(get, name):
    found, below, rules = set(), set(), get(f"{name}/{name}.rules").decode()
    for line in rules.splitlines():
        if line.startswith("#"):
            continue
        end = re.search(r'content:"\.([^"]*)"; (?:nocase; )?endswith;', line)
        if end:
            below.add(end[1])
            continue
        options = line[line.index("("):]
        head = line[:line.index("(")]
        ranges = re.search(r"ip \[([^]]*)\]", head)
        if ranges:
            found |= {misp.address(net) for net in ranges[1].split(",")}
        elif "http.uri.raw" in options:
            parts = [re.sub(r"\|([0-9a-f ]+)\|", lambda m: bytes.fromhex(m[1]).decode("latin-1"), text)
                     for text in re.findall(r'content:"([^"]*)"', options)]
            assert [len(part) for part in parts] == [int(size) for size in re.findall(r"bsize:(\d+)", options)]
            found.add(("url", f"http://{parts[0]}{parts[1].encode('latin-1').decode()}"))
        else:
            file = re.search(r"load ([^,;]+)|file(?:md5|sha1|sha256):([^;]+)", options)
            file, = [group for group in file.groups() if group]
            for value in get(f"{name}/{file}").decode().splitlines():
                if file.endswith("-domain.lst"):
                    found.add(("domain-name", base64.b64decode(value).decode()))
                elif file.endswith("-ip.lst"):
                    found.add(misp.address(value))
                else:
                    found.add((LENGTHS[len(value)], value))
    sids = re.findall(r"sid:(\d+)", rules)
    assert len(sids) == len(set(sids))
    assert_all_below(found, below)
    return found


def assert_all_below(found, below):
    """Every name with all below it, but for suffixes below which anybody has names: `co.uk`, `dyn.example.net`."""
    names = {value for kind, value in found if kind == "domain-name"}
    assert below <= names and all(name.count(".") <= 2 for name in names - below), names ^ below


def zeek(get, name):
    lines, found = get(name).decode().split("\n"), set()
    assert lines[0] == "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.url\tmeta.do_notice" and not lines[-1]
    kinds = {
        "Intel::DOMAIN": "domain-name", "Intel::URL": "url", "Intel::EMAIL": "email-addr", "Intel::FILE_NAME": "file-name"}
    for line in lines[1:-1]:
        value, kind, _, _, _, _ = line.split("\t")
        if kind in ("Intel::ADDR", "Intel::SUBNET"):
            assert (kind == "Intel::SUBNET") == ("/" in value)
            found.add(misp.address(value))
        else:
            found.add((LENGTHS[len(value)] if kind == "Intel::FILE_HASH" else kinds[kind], value))
    return found


def zone(get, name):
    found, below = set(), set()
    for line in get(name).decode().splitlines():
        owner, _, rest = line.partition(" ")
        if rest.endswith(" ; between two names"):
            continue
        if not rest.startswith("CNAME"):
            assert owner in ("$TTL", "@"), line
        elif owner.startswith("*."):
            below.add(owner[2:])
        elif owner.endswith(".rpz-ip"):
            prefix, *parts = owner.removesuffix(".rpz-ip").split(".")
            parts.reverse()
            text = ".".join(parts) if "zz" not in parts and len(parts) == 4 else ":".join(parts).replace("zz", "")
            text = ":" + text if text.startswith(":") else text
            text = text + ":" if text.endswith(":") and not text.endswith("::") else text
            found.add(misp.address(str(ipaddress.ip_network(f"{text}/{prefix}"))))
        else:
            found.add(("domain-name", owner))
    assert_all_below(found, below)
    return found


READERS = {
    "list": lists, "csv": table, "splunk-es": splunk, "misp": feed, "stix": bundle, "suricata": suricata, "zeek": zeek,
    "rpz": zone,
}


def as_written(format_name, kind, value):
    """A value as its format has it."""
    if kind == "url":
        if format_name in ("list", "csv", "splunk-es"):
            return (kind, encoded(value))
        if format_name == "zeek":
            return (kind, encoded(value).split("://", 1)[1])
        if format_name == "suricata":
            # Its buffer for hosts knows no port, and fragments do not travel.
            return (kind, re.sub(r"^(http://[^/]*?):\d+/", r"\1/", value.split("#", 1)[0]))
    return (kind, value)
