"""A node as PyMISP searches it."""

import datetime
import os
import unittest

try:
    from pymisp import PyMISP
except ImportError:
    PyMISP = None


@unittest.skipIf(PyMISP is None, "PyMISP is not installed")
class Search(unittest.TestCase):
    def setUp(self):
        self.misp = PyMISP(os.environ["BELFRY_API"], os.environ["BELFRY_READER"])

    def test_everything_is_found_with_its_marking(self):
        found = self.misp.search(controller="attributes", pythonify=True)
        self.assertEqual(
            sorted((a.type, a.value, a.to_ids, [t.name for t in a.tags]) for a in found),
            [("domain", "c2.be", True, ["tlp:amber"]), ("ip-dst", "203.0.113.9", True, ["tlp:amber"])])

    def test_its_types_are_described_and_are_those_of_misp(self):
        described, misp = self.misp.describe_types_remote, self.misp.describe_types_local
        self.assertEqual(self.misp.describe_types, described)
        self.assertLess(set(described["types"]), set(misp["types"]))
        for category, types in described["category_type_mappings"].items():
            self.assertLessEqual(set(types), set(misp["category_type_mappings"][category]), category)
        for found in self.misp.search(controller="attributes", pythonify=True):
            self.assertIn(found.type, described["types"])

    def test_filters_narrow_the_answer(self):
        def values(**wanted):
            return [a.value for a in self.misp.search(controller="attributes", pythonify=True, **wanted)]
        self.assertEqual(values(type_attribute="ip-dst", value="203.0.113.%"), ["203.0.113.9"])
        self.assertEqual(values(value="nobody.example"), [])
        self.assertEqual(values(type_attribute=["!ip-dst"]), ["c2.be"])
        left_out = self.misp.build_complex_query(or_parameters=["tlp:amber"], not_parameters=["tlp:red"])
        self.assertEqual(sorted(values(tags=left_out)), ["203.0.113.9", "c2.be"])
        self.assertEqual(values(tags=["!tlp:amber"]), [])

    def test_times_are_what_pymisp_makes_of_them(self):
        def count(**wanted):
            return len(self.misp.search(controller="attributes", pythonify=True, **wanted))
        hour = datetime.timedelta(hours=1)
        now = datetime.datetime.now()
        self.assertEqual([count(last="1d"), count(publish_timestamp="1d"), count(timestamp=now - hour)], [2, 2, 2])
        self.assertEqual([count(timestamp=now + hour), count(timestamp=(now - 2 * hour, now - hour))], [0, 0])

    def test_a_filter_that_is_not_known_is_an_error(self):
        self.assertIn("errors", self.misp.search(controller="attributes", org="CERT"))

    def test_text_is_a_value_a_line(self):
        text = self.misp.search(controller="attributes", return_format="text", type_attribute=["domain"])
        self.assertEqual(text.strip(), "c2.be")

    def test_a_table_has_the_columns_that_its_readers_name(self):
        rows = self.misp.search(
            controller="attributes", return_format="csv", type_attribute=["domain"], pythonify=True)
        self.assertEqual([(row["type"], row["value"], row["to_ids"]) for row in rows], [("domain", "c2.be", "1")])
        self.assertEqual(list(rows[0])[-1], "object_meta_category")


if __name__ == "__main__":
    unittest.main()
