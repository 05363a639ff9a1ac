"""Real MISP events, by misp-stix into one member's node, and out of another's: none lost, none invented."""

import glob
import json
import os
import time
import unittest
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone

try:
    from misp_stix_converter import MISPtoSTIX21Parser
    from pymisp import MISPEvent
except ImportError:
    MISPtoSTIX21Parser = None

from stix2patterns.v21.pattern import Pattern

PATIENCE = 180
# What belfry looks up, by the path of a comparison.
PATHS = {
    "ipv4-addr:value": None, "ipv6-addr:value": None, "domain-name:value": "domain-name", "url:value": "url",
    "email-addr:value": "email-addr", "file:name": "file-name", "mutex:name": "mutex",
    "windows-registry-key:key": "windows-registry-key", "autonomous-system:number": "autonomous-system",
}
HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512", "SSDEEP": "ssdeep", "TLSH": "tlsh"}


def ask(url, token, body=None, kind="application/json"):
    request = urllib.request.Request(url, data=body, headers={"Authorization": f"Bearer {token}"})
    if body is not None:
        request.add_header("Content-Type", kind)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


def looked_for(pattern):
    """(type or None, value) of every equality in a pattern, by the reference parser."""
    found = set()
    for root, comparisons in Pattern(pattern).inspect().comparisons.items():
        for path, operator, value in comparisons:
            if operator not in ("=", "IN", "=="):
                continue
            steps = [step for step in path if isinstance(step, str)]
            name = f"{root}:{'.'.join(steps)}"
            values = value if isinstance(value, (list, tuple, set)) else [value]
            for one in values:
                one = one.strip("'").replace("\\'", "'").replace("\\\\", "\\") if isinstance(one, str) else str(one)
                if name in PATHS:
                    found.add((PATHS[name], one))
                elif root in ("network-traffic", "email-message") and steps[-1] == "value":
                    found.add((None, one))
                elif root == "file" and steps[:1] == ["hashes"] and steps[-1].upper() in HASHES:
                    found.add((HASHES[steps[-1].upper()], one))
    return found


def told(objects):
    """(type, value) of every observable object, in lower case."""
    found = set()
    for thing in objects:
        kind = thing["type"]
        if kind == "file":
            found |= {(HASHES[name], value) for name, value in thing.get("hashes", {}).items() if name in HASHES}
            found |= {("file-name", thing["name"])} if "name" in thing else set()
        elif kind in ("ipv4-addr", "ipv6-addr", "domain-name", "url", "email-addr"):
            found.add((kind, thing["value"].rstrip("/")))
        elif kind in ("windows-registry-key", "mutex"):
            found.add((kind, thing.get("key", thing.get("name"))))
        elif kind == "vulnerability":
            found.add((kind, thing["name"]))
    return {(kind, value.lower()) for kind, value in found}


@unittest.skipIf(MISPtoSTIX21Parser is None, "misp-stix is not installed")
class Events(unittest.TestCase):
    def setUp(self):
        self.source, self.publisher = os.environ["BELFRY_FROM"], os.environ["BELFRY_PUBLISHER"]
        self.target, self.reader = os.environ["BELFRY_TO"], os.environ["BELFRY_READER"]

    def bundles(self):
        for path in sorted(glob.glob(os.path.join(os.environ["BELFRY_EVENTS"], "*.json"))):
            parser = MISPtoSTIX21Parser()
            event = MISPEvent()
            event.load_file(path)
            parser.parse_misp_event(event)
            bundle = json.loads(parser.bundle.serialize())
            # Campaigns of years ago would have aged away.
            recent = (datetime.now(timezone.utc) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for thing in bundle["objects"]:
                if thing["type"] == "indicator":
                    thing["valid_from"] = recent
                    thing.pop("valid_until", None)
            yield path, bundle

    def lookup(self, wanted):
        found = []
        for at in range(0, len(wanted), 5000):
            values = [{"type": kind, "value": value} if kind else value for kind, value in wanted[at:at + 5000]]
            body = json.dumps({"values": values}).encode()
            found += json.loads(ask(f"{self.target}/api/v1/lookup", self.reader, body))["results"]
        return found

    def test_everything_is_found_and_everything_for_detection_comes_out(self):
        wanted = set()
        for path, bundle in self.bundles():
            body = json.dumps(bundle).encode()
            url = f"{self.source}/api/v1/publications?group=cidr&tlp=green&reason=mailboxes+of+adversaries"
            try:
                ask(url, self.publisher, body, "application/stix+json;version=2.1")
            except urllib.error.HTTPError as error:
                self.fail(f"{path}: {error.read().decode()}")
            for thing in bundle["objects"]:
                if thing["type"] == "indicator" and thing["pattern_type"] == "stix":
                    wanted |= looked_for(thing["pattern"])
        self.assertGreater(len(wanted), 100)
        wanted = sorted(wanted, key=str)
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.lookup(wanted)
            missing = [w for w, f in zip(wanted, found) if f["state"] != "active"]
            if not missing:
                break
            self.assertLess(time.monotonic(), deadline, f"{len(missing)} of {len(wanted)} missing: {missing[:10]}")
        # In its own spelling, as the lists have it.
        normal = {(f["type"], f["normalised"]) for f in found}
        self.listed(normal)
        self.fed(normal)

    def test_an_import_names_what_misp_stix_names(self):
        for path in sorted(glob.glob(os.path.join(os.environ["BELFRY_EVENTS"], "*.json"))):
            event, parser = MISPEvent(), MISPtoSTIX21Parser()
            event.load_file(path)
            parser.parse_misp_event(event)
            expected = told(json.loads(parser.bundle.serialize())["objects"])
            # A host that an event calls a URL is a host here, and a path alone is nothing to look for.
            bare = {(kind, value) for kind, value in expected if kind == "url" and "://" not in value}
            hosts = {("domain-name", value) for _, value in bare if "/" not in value}
            expected = (expected - bare) | hosts
            with open(path, "rb") as file:
                body = file.read()
            url = f"{self.source}/api/v1/import?group=cidr&name={os.path.basename(path)}"
            try:
                answer = json.loads(ask(url, self.publisher, body, "application/octet-stream"))
            except urllib.error.HTTPError as error:
                self.fail(f"{path}: {error.read().decode()}")
            self.assertEqual((answer["format"], answer["held"]), ("misp", True))
            draft = json.loads(ask(f"{self.source}/api/v1/drafts/{answer['publication']}", self.publisher))
            # References of the report are none to look for; MISP's converter says them as URLs.
            links = {("url", link.value.lower().rstrip("/")) for link in event.attributes if link.type == "link"}
            found = told(draft["content"])
            self.assertEqual(expected - found - links, set(), f"{path}: lost")
            # MISP's converter keeps some objects' values as custom ones.
            attributes = list(event.attributes) + [a for thing in event.objects for a in thing.attributes]
            written = {part.lower().rstrip("/") for a in attributes for part in str(a.value).split("|")}
            self.assertEqual({value for _, value in found - expected} - written, set(), f"{path}: invented")

    def listed(self, normal):
        for kind in {kind for kind, _ in normal}:
            text = ask(f"{self.target}/api/v1/exports/list/{kind}.txt", self.reader).decode()
            lines, expected = text.splitlines(), {value for of, value in normal if of == kind}
            self.assertEqual(len(lines), len(set(lines)))
            if kind == "url":
                # Written as RFC 3986 has them.
                self.assertEqual(len(lines), len(expected))
                continue
            self.assertEqual(set(lines) - expected, set(), f"invented among {kind}")
            unwritten = {value for value in expected - set(lines) if value == value.strip() and value[:1] not in "#;/"}
            self.assertEqual(unwritten, set(), f"lost among {kind}")
        report = json.loads(ask(f"{self.target}/api/v1/exports/csv/report", self.reader))
        self.assertEqual(report["entries"], len(normal), report["held_back"])

    def fed(self, normal):
        base = f"{self.target}/api/v1/exports/misp"
        manifest, values = json.loads(ask(f"{base}/manifest.json", self.reader)), set()
        for uuid in manifest:
            event = MISPEvent()
            event.load(ask(f"{base}/{uuid}.json", self.reader).decode())
            values |= {attribute.value for attribute in event.attributes}
        expected = {value for kind, value in normal if kind != "cve"}
        self.assertEqual({str(v).lower() for v in values} ^ {v.lower() for v in expected}, set())


if __name__ == "__main__":
    unittest.main()
