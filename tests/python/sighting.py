"""A node as PyMISP reports sightings to it."""

import json
import os
import time
import unittest
import urllib.request

try:
    from pymisp import PyMISP, MISPSighting
except ImportError:
    PyMISP = None


def sightings_elsewhere(value):
    """How often another member's lookup says that it was seen."""
    request = urllib.request.Request(
        f"{os.environ['BELFRY_OTHER']}/api/v1/lookup", json.dumps({"values": [value]}).encode(),
        {"Authorization": f"Bearer {os.environ['BELFRY_READER']}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["results"][0]["sightings"]["count"]


@unittest.skipIf(PyMISP is None, "PyMISP is not installed")
class Sightings(unittest.TestCase):
    def setUp(self):
        self.misp = PyMISP(os.environ["BELFRY_API"], os.environ["BELFRY_PUBLISHER"])

    def test_a_value_is_sighted(self):
        sighted = self.misp.add_sighting({"value": "c2.be", "source": "proxy of the bank"})
        self.assertEqual(sighted["Sighting"]["type"], "0", sighted)
        deadline = time.monotonic() + 60
        while not sightings_elsewhere("c2.be"):
            self.assertLess(time.monotonic(), deadline, "another member learns of it")
            time.sleep(0.1)

    def test_an_attribute_is_sighted(self):
        attribute = self.misp.search(controller="attributes", value="203.0.113.9", pythonify=True)[0]
        sighting = MISPSighting()
        sighting.from_dict(type="0", timestamp=1700000000)
        sighted = self.misp.add_sighting(sighting, attribute, pythonify=True)
        self.assertEqual(sighted.type, "0", sighted)

    def test_what_is_unknown_is_an_error(self):
        self.assertIn("errors", self.misp.add_sighting({"value": "nobody.example"}))


if __name__ == "__main__":
    unittest.main()
