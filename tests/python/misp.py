"""What a MISP event names and who may have it, read from its JSON alone: an oracle that shares no code with belfry."""

import ipaddress
import json
import re
import time
from typing import NamedTuple

HASHES = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
# MISP's attribute types, part by part: what each names; None is context.
TYPES = {
    "ip-src": ["ip"], "ip-dst": ["ip"], "ip-src|port": ["ip", None], "ip-dst|port": ["ip", None],
    "domain": ["domain-name"], "hostname": ["domain-name"], "hostname|port": ["domain-name", None],
    "domain|ip": ["domain-name", "ip"], "url": ["url"], "uri": ["url"],
    "email": ["email-addr"], "email-src": ["email-addr"], "email-dst": ["email-addr"],
    "email-reply-to": ["email-addr"], "target-email": ["email-addr"], "whois-registrant-email": ["email-addr"],
    "mac-address": ["mac-addr"], "AS": ["autonomous-system"], "mutex": ["mutex"],
    "regkey": ["windows-registry-key"], "regkey|value": ["windows-registry-key", None],
    "filename": ["file-name"], "malware-sample": ["file-name", "md5"], "vulnerability": ["cve"],
    **{kind: [kind] for kind in [*HASHES, "ssdeep", "tlsh"]},
    **{f"filename|{kind}": ["file-name", kind] for kind in [*HASHES, "ssdeep", "tlsh"]},
    **{f"x509-fingerprint-{kind}": [kind] for kind in ["md5", "sha1", "sha256"]},
}
# What files' names end with and no name of a host.
FILES = {"bat", "dll", "doc", "docm", "docx", "exe", "gif", "htm", "html", "jpg", "js", "lnk", "pdf", "php", "png", "rtf",
         "txt", "xls", "xlsm", "xlsx"}
RULES = {"yara": "yar", "sigma": "yml", "snort": "rules"}
PROSE = {"text", "comment", "other"}
HIVES = {
    "hklm": "hkey_local_machine", "hkcu": "hkey_current_user", "hkcr": "hkey_classes_root", "hku": "hkey_users",
    "hkcc": "hkey_current_config",
}
LEVELS = ["clear", "green", "amber", "amber+strict", "red"]
# Days after which a value is worth nothing; the README's table.
LIFETIMES = {
    **dict.fromkeys(["ipv4-addr", "ipv6-addr", "url"], 120), **dict.fromkeys(["domain-name", "email-addr"], 180),
    **dict.fromkeys(["autonomous-system", "mac-addr", "file-name", "mutex", "windows-registry-key"], 365),
    **dict.fromkeys([*HASHES, "ssdeep", "tlsh"], 3 * 365),
}


def refanged(text):
    text = re.sub(r"^hxxp", "http", text, flags=re.I)
    return re.sub(r"\[(\.|dot)\]|\((\.|dot)\)", ".", text, flags=re.I).replace("[:]", ":").replace("[@]", "@")


def address(text):
    try:
        net = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    value = str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)
    return (f"ipv{net.version}-addr", value)


def host(text):
    found = address(text) if "/" not in text else None
    if found:
        return found
    try:
        name = text.rstrip(".").lower() if text.isascii() else text.rstrip(".").encode("idna").decode()
    except UnicodeError:
        return None
    labels = name.split(".")
    return ("domain-name", name) if all(re.fullmatch(r"[a-z0-9_-]{1,63}", label) for label in labels) else None


def named(text, read):
    """The host of `198.51.100.7:443`, `[2001:db8::1]:443` or `evil.example|443`."""
    match = re.fullmatch(r"\[([^\]]*)\]:(\d{1,5})|([^:|]*):(\d{1,5})|([^|]*)\|(\d{1,5})", text)
    name, port = [part for part in match.groups() if part is not None] if match else ("", "0")
    found = read(name) if 0 < int(port) < 65536 else None
    return found if found and "/" not in found[1] and re.search("[.:]", found[1]) else None


def schemeless(text):
    """What an event calls a URL that has no scheme: a host is that host, and what follows one is HTTP's there. A path alone,
    and what may be a file or a folder, is nothing to look for."""
    authority = re.match(r"[^/?#]*", text)[0]
    found, path = host(authority) or named(authority, host), text[len(authority):]
    if not found or re.search(r"\s", text):
        return None
    if found[0] == "domain-name":
        last = found[1].rpartition(".")
        if not last[1] or last[2] in FILES or not re.fullmatch("[a-z]{2,}|xn--[a-z0-9-]+", last[2]):
            return None
    elif re.fullmatch(r"/\d+", path):
        return None
    return url(f"{'https' if authority.endswith(':443') else 'http'}://{text}") if path else found


def url(text):
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", text, flags=re.S)
    if not match:
        return schemeless(text)
    scheme, authority, rest = match.groups()
    name, colon, port = authority.rpartition(":")
    name, port = (name, port) if colon and port.isdigit() else (authority, "")
    found, scheme = host(name), scheme.lower()
    if not found:
        return None
    port = "" if port in ("", {"http": "80", "https": "443", "ftp": "21"}.get(scheme)) else f":{port}"
    return ("url", f"{scheme}://{found[1]}{port}{rest if rest.startswith('/') else '/' + rest}")


def normal(kind, text):
    """(kind, value) in the one spelling that lists have, None if it is no such thing."""
    text = text.strip()
    lower = text.lower()
    if not text:
        return None
    if kind == "ip":
        return address(refanged(text)) or named(refanged(text), address)
    if kind == "domain-name":
        return host(refanged(text)) or named(refanged(text), host)
    if kind == "url":
        return url(refanged(text))
    if kind == "email-addr":
        local, at, domain = refanged(text).lower().rpartition("@")
        return (kind, f"{local}@{host(domain)[1]}") if at and local and host(domain) else None
    if kind == "mac-addr":
        digits = re.sub("[^0-9a-f]", "", lower)
        return (kind, ":".join(re.findall("..", digits))) if len(digits) == 12 else None
    if kind == "autonomous-system":
        return (kind, str(int(lower.removeprefix("as")))) if lower.removeprefix("as").isdigit() else None
    if kind in HASHES or kind == "tlsh":
        digits = lower if kind in HASHES else lower.removeprefix("t1")
        return (kind, digits) if re.fullmatch(f"[0-9a-f]{{{HASHES.get(kind, 70)}}}", digits) else None
    if kind == "file-name":
        return (kind, lower)
    if kind == "windows-registry-key":
        hive, slash, rest = lower.rstrip("\\").partition("\\")
        return (kind, HIVES.get(hive, hive) + slash + rest)
    if kind == "cve":
        return (kind, text.upper()) if re.fullmatch(r"CVE-\d{4}-\d{4,}", text.upper()) else None
    return (kind, text)


class Attribute(NamedTuple):
    place: str
    type: str
    text: str
    # What it names, part by part; empty if nothing.
    values: tuple
    to_ids: bool
    seen: float

    def is_of_certificate(self):
        """Whether its hash is no file's: lookup finds it, and it stands in no list of files."""
        return self.type.startswith("x509-fingerprint-")

    def ended(self, kind, now):
        return now - self.seen > LIFETIMES.get(kind, 3650) * 86400


class Event(NamedTuple):
    name: str
    # Everything goes out under the narrowest marking of what is taken.
    tlp: str
    pap: str
    attributes: list
    # Where something stands that nobody looks for.
    nothing: set
    links: set
    # What deleted items named.
    deleted: set

    def rules(self):
        return {(RULES[a.type], a.text) for a in self.attributes if a.type in RULES and a.to_ids}


def marked(item):
    """Levels that an item's own tags and distribution come to."""
    said = [tag["name"].strip().lower() for tag in item.get("Tag", [])]
    tlps = [LEVELS.index(tag[4:]) for tag in said if tag.startswith("tlp:")]
    if str(item.get("distribution", "")) in ("0", "4"):
        tlps.append(LEVELS.index("amber+strict"))
    return tlps, [tag[4:] for tag in said if tag.startswith("pap:")]


def attribute_of(place, item, around):
    text, kinds = str(item["value"]).strip(), TYPES.get(item["type"])
    parts = text.split("|", len(kinds) - 1) if kinds else []
    values = tuple(normal(kind, part) for kind, part in zip(kinds or [], parts) if kind)
    if not kinds or len(parts) != len(kinds) or None in values:
        values = ()
    seen = item.get("first_seen")
    seen = time.mktime(time.strptime(seen[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone if seen else None
    return Attribute(place, item["type"], text, values, bool(item["to_ids"]), seen or float(item.get("timestamp") or around))


def unrelated(place, event, became):
    """Where objects relate to what is not one thing; `became` has what each attribute is, by its uuid."""
    things, nothing = event.get("Object", []), set()
    for thing in things:
        taken = [item for item in thing["Attribute"] if item["uuid"] in became and item["type"] in TYPES]
        if thing.get("deleted") or not taken:
            continue
        is_file = any(kind in [*HASHES, "ssdeep", "tlsh", "file-name"] for item in taken for kind in TYPES[item["type"]]
                      if not item["type"].startswith("x509-"))
        if thing["name"] == "file" and is_file:
            became[thing["uuid"]] = thing["uuid"]
        elif len(taken) == 1:
            became[thing["uuid"]] = became[taken[0]["uuid"]]
    for i, thing in enumerate(things):
        for n, reference in enumerate([] if thing.get("deleted") else thing.get("ObjectReference", [])):
            ends = became.get(thing["uuid"]), became.get(reference["referenced_uuid"])
            if reference.get("deleted"):
                nothing.add(f"{place}.Object[{i}].ObjectReference[{n}]")
            elif None in ends or ends[0] == ends[1]:
                nothing.add(f"{place}.Object[{i}]")
    return nothing


def read(path, unmarked="amber+strict"):
    """Every attribute of a file's one event, those of its objects, too."""
    with open(path, encoding="utf-8") as file:
        whole = json.load(file)
    place, event = "Event", whole.get("Event")
    if event is None:
        place, event = "response[0].Event", whole["response"][0]["Event"]
    tlps, paps = marked(event)
    attributes, nothing, links, deleted = [], set(), set(), set()
    items = [(f"{place}.Attribute[{i}]", item, None) for i, item in enumerate(event.get("Attribute", []))]
    for i, thing in enumerate(event.get("Object", [])):
        if thing.get("deleted"):
            nothing.add(f"{place}.Object[{i}]")
            deleted |= {value for item in thing["Attribute"] for value in attribute_of("", item, 0).values}
            continue
        items += [(f"{place}.Object[{i}].Attribute[{n}]", item, thing) for n, item in enumerate(thing["Attribute"])]
    nothing |= {f"{place}.ShadowAttribute[{i}]" for i in range(len(event.get("ShadowAttribute", [])))}
    became = {}
    for at, item, thing in items:
        attribute = attribute_of(at, item, event["timestamp"])
        if item.get("deleted"):
            nothing.add(at)
            deleted |= set(attribute.values)
            continue
        if item["type"] == "link":
            links.add(attribute.text)
            continue
        if not (attribute.values or item["type"] in RULES or (item["type"] in PROSE and not thing and attribute.text)):
            nothing.add(at)
            continue
        own = [marked(item), marked({"distribution": thing.get("distribution")} if thing else {})]
        tlps += [level for levels, _ in own for level in levels]
        paps += [pap for _, said in own for pap in said]
        attributes.append(attribute)
        if attribute.values or (item["type"] in RULES and attribute.to_ids):
            became[item["uuid"]] = item["uuid"]
    nothing |= unrelated(place, event, became)
    order = ["clear", "white", "green", "amber", "red"]
    return Event(
        path, LEVELS[max(tlps)] if tlps else unmarked, max(paps, key=order.index) if paps else None, attributes, nothing,
        links, deleted)
