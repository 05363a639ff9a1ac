"""Exports as PyMISP, stix2 and Python's own csv read them."""

import csv
import hashlib
import io
import json
import os
import unittest
import urllib.request

import stix2

try:
    from pymisp import MISPEvent
except ImportError:
    MISPEvent = None


def get(path):
    request = urllib.request.Request(
        f"{os.environ['BELFRY_EXPORTS']}/{path}", headers={"Authorization": f"Bearer {os.environ['BELFRY_READER']}"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


class Exports(unittest.TestCase):
    @unittest.skipIf(MISPEvent is None, "PyMISP is not installed")
    def test_pymisp_reads_the_feed(self):
        manifest, hashes, values = json.loads(get("misp/manifest.json")), [], set()
        self.assertEqual(get("misp"), get("misp/manifest.json"))
        for uuid, about in manifest.items():
            event = MISPEvent()
            event.load(get(f"misp/{uuid}.json").decode())
            self.assertEqual((event.uuid, event.info, event.Orgc.name), (uuid, about["info"], "alice"))
            self.assertIn("tlp:amber", [tag.name for tag in event.tags])
            for attribute in event.attributes:
                self.assertTrue(attribute.to_ids)
                values.add(attribute.value)
                hashes.append((hashlib.md5(attribute.value.encode()).hexdigest(), uuid))
        self.assertLessEqual({"evil.example", "198.51.100.7", "x@evil.example", "ab" * 32}, values)
        rows = [tuple(row) for row in csv.reader(io.StringIO(get("misp/hashes.csv").decode()))]
        self.assertEqual(sorted(rows), sorted(hashes))

    def test_stix2_reads_the_bundle(self):
        bundle = stix2.parse(get("stix"), allow_custom=False)
        kinds = [thing.type for thing in bundle.objects]
        self.assertEqual((kinds.count("indicator"), kinds.count("marking-definition")), (7, 1))

    def test_csv_reads_the_tables(self):
        rows = list(csv.DictReader(io.StringIO(get("csv").decode())))
        self.assertIn(("domain-name", "evil.example"), [(row["type"], row["value"]) for row in rows])
        self.assertTrue(all(0 < int(row["score"]) <= 100 and row["sources"] == "alice" for row in rows))
        for name, column in [("ip", "ip"), ("domain", "domain"), ("file", "file_hash"), ("http", "url"), ("email", "src_user")]:
            table = list(csv.DictReader(io.StringIO(get(f"splunk-es/{name}_intel.csv").decode())))
            self.assertTrue(any(row[column] for row in table), name)
            self.assertTrue(all(1 <= int(row["weight"]) <= 100 for row in table), name)

    def test_companions_are_md5(self):
        for path in ["csv", "list/domain-name.txt"]:
            self.assertEqual(get(f"{path}.md5").decode().strip(), hashlib.md5(get(path)).hexdigest())


if __name__ == "__main__":
    unittest.main()
