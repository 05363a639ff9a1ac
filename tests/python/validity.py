"""Every page is STIX 2.1 as others read it, and the author's own bytes."""

import json
import os
import unittest
import uuid
from collections import Counter

import requests
import stix2
from stix2validator import ValidationOptions, validate_string

import belfry

READER = os.environ["BELFRY_READER"]
OBJECTS = f"{belfry.URL}/taxii2/root/collections/cidr/objects/"


def pages(limit, **params):
    """Raw pages, one after the other."""
    params = {"limit": limit, "match[version]": "all", **params}
    while True:
        got = requests.get(OBJECTS, auth=("", READER), params=params, timeout=60)
        got.raise_for_status()
        yield got.content
        following = got.json().get("next")
        if following is None:
            return
        params["next"] = following


class Validity(unittest.TestCase):
    # External references SHOULD have hashes (302): the samples' point to web pages.
    options = ValidationOptions(strict=True, version="2.1", disabled="302")

    def test_every_page_is_valid_and_parsed_by_stix2(self):
        seen = 0
        for limit in [1, 5, 500]:
            for page in pages(limit):
                objects = json.loads(page)["objects"]
                seen += len(objects)
                bundle = {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": objects}
                results = validate_string(json.dumps(bundle), self.options)
                self.assertTrue(results.is_valid, [str(error) for error in results.errors])
                for thing in objects:
                    parsed = stix2.parse(thing, version="2.1")
                    self.assertEqual(parsed["id"], thing["id"])
        self.assertGreater(seen, 0)

    def test_the_validator_would_notice(self):
        broken = {"type": "bundle", "id": f"bundle--{uuid.uuid4()}",
                  "objects": [{"type": "indicator", "id": "indicator--1", "spec_version": "2.1"}]}
        self.assertFalse(validate_string(json.dumps(broken), self.options).is_valid)

    def test_markings_used_are_defined_on_their_page(self):
        used = set()
        for page in pages(1):
            objects = json.loads(page)["objects"]
            refs = {ref for thing in objects for ref in thing.get("object_marking_refs", [])}
            self.assertLessEqual(refs, {thing["id"] for thing in objects})
            used |= refs
        self.assertEqual(len(used), 2, "GREEN and AMBER of the sample")


class Bytes(unittest.TestCase):
    def test_objects_are_the_authors_json_minified_and_otherwise_untouched(self):
        expected = Counter(text for _, text in belfry.published())
        for limit in [1, 4, 500]:
            found = Counter()
            for page in pages(limit):
                for text in belfry.spans(page.decode("utf-8")):
                    if not belfry.is_definition(json.loads(text)):
                        found[text] += 1
            self.assertEqual(found, expected, f"limit {limit}")

    def test_the_odd_spellings_survive(self):
        everything = b"".join(pages(500)).decode("utf-8")
        for spelling in ["\\u00c9nergie", "first version \\/ caf\\u00e9, naïve, \\ud83d\\udd14", "\\n\\tthen"]:
            self.assertIn(spelling, everything)


if __name__ == "__main__":
    unittest.main()
