"""A node as PyMISP reports sightings to it."""

import os
import unittest

try:
    from pymisp import PyMISP, MISPSighting
except ImportError:
    PyMISP = None


@unittest.skipIf(PyMISP is None, "PyMISP is not installed")
class Sightings(unittest.TestCase):
    def setUp(self):
        self.misp = PyMISP(os.environ["BELFRY_API"], os.environ["BELFRY_PUBLISHER"])

    def test_a_value_is_sighted(self):
        sighted = self.misp.add_sighting({"value": "c2.be", "source": "proxy of the bank"})
        self.assertEqual(sighted["Sighting"]["type"], "0", sighted)
        self.assertEqual(sighted["message"], "1 sighted")

    def test_an_attribute_is_sighted(self):
        attribute = self.misp.search(controller="attributes", value="203.0.113.9", pythonify=True)[0]
        sighting = MISPSighting()
        sighting.from_dict(type="0", timestamp=1700000000)
        sighted = self.misp.add_sighting(sighting, attribute, pythonify=True)
        self.assertEqual(sighted.type, "0", sighted)

    def test_what_is_harmless_or_over_is_said_as_such(self):
        for kind in ("1", "2"):
            said = self.misp.add_sighting({"value": "c2.be", "type": kind})
            self.assertEqual(said["Sighting"]["type"], kind, said)

    def test_what_is_unknown_is_an_error(self):
        self.assertIn("errors", self.misp.add_sighting({"value": "nobody.example"}))


if __name__ == "__main__":
    unittest.main()
