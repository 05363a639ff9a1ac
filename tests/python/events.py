"""MISP events, imported and released at one member: at another none of what they name is lost and none invented.

Judged by `misp`, which reads the events' JSON itself, and by misp-stix's conversion of them.
"""

import glob
import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.request
from collections import Counter

try:
    from misp_stix_converter import MISPtoSTIX21Parser
    from pymisp import MISPEvent
except ImportError:
    MISPtoSTIX21Parser = None
else:
    import formats

import listed
import misp

PATIENCE = 180


def ask(path, token, body=None, scheme="Bearer "):
    request = urllib.request.Request(f"{os.environ['BELFRY_TO']}{path}", headers={"Authorization": scheme + token})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


def exported(path):
    return ask(f"/api/v1/exports/{path}", os.environ["BELFRY_READER"])


def told(objects):
    """What observable objects and the patterns of indicators name."""
    found = set()
    for thing in objects:
        kind = thing["type"]
        if kind == "indicator" and thing["pattern_type"] == "stix":
            found |= formats.looked_for(thing["pattern"])
        elif kind in ("file", "x509-certificate"):
            found |= {misp.normal(name.lower().replace("-", ""), value) for name, value in thing.get("hashes", {}).items()
                      if name.lower().replace("-", "") in [*misp.HASHES, "ssdeep", "tlsh"]}
            found |= {misp.normal("file-name", thing["name"])} if kind == "file" and "name" in thing else set()
        elif kind in ("ipv4-addr", "ipv6-addr"):
            found.add(misp.address(thing["value"]))
        elif kind in ("domain-name", "url", "email-addr", "mac-addr"):
            found.add(misp.normal(kind, thing["value"]))
        elif kind == "autonomous-system":
            found.add(misp.normal(kind, str(thing["number"])))
        elif kind in ("windows-registry-key", "mutex"):
            found.add(misp.normal(kind, thing.get("key", thing.get("name"))))
        elif kind == "vulnerability":
            found.add(misp.normal("cve", thing["name"]))
    return {value for value in found - {None} if value[0] in misp.LIFETIMES or value[0] == "cve"}


@unittest.skipIf(MISPtoSTIX21Parser is None, "misp-stix is not installed")
class Events(unittest.TestCase):
    maxDiff = 5000

    @classmethod
    def setUpClass(cls):
        cls.now = time.time()
        cls.events, cls.answers, cls.drafts = [], {}, {}
        for path in sorted(glob.glob(os.path.join(os.environ["BELFRY_EVENTS"], "*.json"))):
            event = misp.read(path)
            cls.events.append(event)
            for kind, kept in (("answer", cls.answers), ("draft", cls.drafts)):
                with open(path.removesuffix(".json") + f".{kind}", encoding="utf-8") as file:
                    kept[path] = json.load(file)
        cls.profiles = json.loads(os.environ["BELFRY_PROFILES"])
        cls.lists = listed.Lists(os.environ["BELFRY_LISTS"])
        cls.values = {value for event in cls.events for attribute in event.attributes for value in attribute.values}
        cls.found = cls.arrived()

    @classmethod
    def lookup(cls, wanted):
        found = []
        for at in range(0, len(wanted), 5000):
            values = [{"type": kind, "value": value} for kind, value in wanted[at:at + 5000]]
            found += json.loads(ask("/api/v1/lookup", os.environ["BELFRY_ANALYST"], {"values": values}))["results"]
        return dict(zip(wanted, found))

    @classmethod
    def arrived(cls):
        wanted, deadline = sorted(cls.values), time.monotonic() + PATIENCE
        while True:
            found = cls.lookup(wanted)
            missing = [value for value in wanted if found[value]["state"] == "unknown"]
            if not missing:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(missing)} of {len(wanted)} values are lost: {missing[:10]}")
            time.sleep(0.2)

    def test_every_item_is_found_or_its_reason_is_told(self):
        for event in self.events:
            answer = self.answers[event.name]
            self.assertEqual((answer["format"], answer["held"], answer["more_skipped"]), ("misp", True, 0))
            skipped = {item["at"] for item in answer["skipped"]}
            self.assertEqual(skipped, event.nothing, event.name)

    def test_nothing_is_invented_in_a_draft(self):
        for event in self.events:
            draft = self.drafts[event.name]
            self.assertEqual(draft["tlp"], event.tlp, event.name)
            expected = {value for attribute in event.attributes for value in attribute.values}
            self.assertEqual(told(draft["content"]), expected, event.name)
            references = {ref["url"] for thing in draft["content"] if thing["type"] == "report"
                          for ref in thing.get("external_references", [])}
            self.assertEqual(references, event.links, event.name)

    def test_what_is_looked_for_is_active_until_it_is_over(self):
        for event in self.events:
            for attribute in event.attributes:
                for kind, value in attribute.values:
                    found = self.found[(kind, value)]
                    self.assertEqual(found["normalised"], value)
                    if kind != "cve" and attribute.to_ids:
                        states = {thing["state"] for thing in found["objects"] if thing["type"] == "indicator"}
                        wanted = "expired" if attribute.ended(kind, self.now) else "active"
                        self.assertIn(wanted, states, (event.name, attribute.place))

    def test_misp_stix_names_nothing_that_is_not_found(self):
        for event in self.events:
            source, parser = MISPEvent(), MISPtoSTIX21Parser()
            source.load_file(event.name)
            parser.parse_misp_event(source)
            theirs = told(json.loads(parser.bundle.serialize())["objects"])
            # References of the report are none to look for; MISP's converter says them as URLs.
            theirs -= {misp.normal("url", link) for link in event.links}
            # It takes what was deleted at its source.
            theirs -= event.deleted
            ours = {value for attribute in event.attributes for value in attribute.values}
            self.assertEqual(theirs - ours, set(), f"{event.name}: not read by the oracle")
            unknown = [value for value in theirs if self.found[value]["state"] == "unknown"]
            self.assertEqual(unknown, [], f"{event.name}: lost")

    def allowed(self, profile, event):
        if event.tlp == "red" or misp.LEVELS.index(event.tlp) > misp.LEVELS.index(profile["max_tlp"]):
            return False
        return profile["action"] == "detect" or event.pap in (None, "clear", "green")

    def expected(self, profile):
        """What an export has to hold, and what its format cannot write."""
        values = set()
        for event in self.events:
            if self.allowed(profile, event):
                sought = [each for each in event.attributes if each.to_ids and not each.is_of_certificate()]
                values |= {(kind, value) for attribute in sought
                           for kind, value in attribute.values if not attribute.ended(kind, self.now)}
        values = {value for value in values if value[0] in formats.KINDS[profile["format"]]}
        return {value for value in values if profile["warned"] or not self.lists.block(*value)}

    def test_every_export_holds_what_is_for_detection_and_allowed_and_nothing_else(self):
        self.assertEqual({profile["format"] for profile in self.profiles.values()}, {*formats.READERS, "rules"})
        for name, profile in self.profiles.items():
            of = profile["format"]
            if of == "rules":
                continue
            with self.subTest(export=name):
                expected = self.expected(profile)
                written = {formats.as_written(of, *value) for value in expected if formats.is_writable(of, *value)}
                found = formats.READERS[of](exported, name)
                self.assertEqual(sorted(written - found), [], f"lost in {name}")
                self.assertEqual(sorted(found - written), [], f"invented in {name}")
                report = json.loads(exported(f"{name}/report"))
                unwritable = sum(not formats.is_writable(of, *value) for value in expected)
                self.assertEqual(report["held_back"].get("unwritable", 0), unwritable, name)
                self.assertEqual(report["entries"], len(expected), name)
                self.assertGreater(len(written), 3)

    def test_misps_rest_interface_holds_the_same(self):
        token = os.environ["BELFRY_READER"]
        found = formats.rest(lambda body: json.loads(ask("/attributes/restSearch", token, body, scheme="")))
        self.assertEqual(found, self.expected(self.profiles["misp"]))
        lines = ask("/attributes/restSearch", token, {"returnFormat": "text"}, scheme="").decode().splitlines()
        self.assertEqual(Counter(lines), Counter(value for _, value in self.expected(self.profiles["misp"])))

    def test_rules_come_out_as_they_were_written(self):
        for name, profile in self.profiles.items():
            if profile["format"] != "rules":
                continue
            expected = Counter(rule for event in self.events if self.allowed(profile, event) for rule in event.rules())
            index = json.loads(exported(name))["rules"]
            found = Counter()
            for rule in index:
                text = exported(f"{name}/{rule['file']}").decode()
                found[(rule["file"].rpartition(".")[2], text.removesuffix("\n"))] += 1
                self.assertEqual(misp.RULES[rule["pattern_type"]], rule["file"].rpartition(".")[2])
                if rule["pattern_type"] == "yara":
                    self.compiles(text)
            self.assertEqual(found, expected, name)
            files = {file["name"] for file in json.loads(exported(f"{name}/report"))["files"]}
            self.assertEqual(files, {rule["file"] for rule in index} | {"index.json"})

    def compiles(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".yar") as file:
            file.write(text)
            file.flush()
            try:
                ran = subprocess.run(["yara", file.name, "/dev/null"], capture_output=True, text=True, check=False)
            except FileNotFoundError:
                return
            self.assertEqual((ran.returncode, ran.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
