"""Patterns as belfry judges them are judged alike by stix2-patterns, OASIS's validator (STIX 2.1 section 9).

BELFRY_PATTERNS names a file of JSON lines: [pattern, whether belfry takes it from whoever publishes].
"""

import json
import os
import re
import unittest

from stix2patterns.validator import run_validator

# Where the two differ on purpose, by what belfry does.
DIFFERENCES = {
    # The validator wants a bracket before it looks at the grammar, which has comments anywhere.
    True: (r"^[\s(]*/[*/]",),
    # A qualifier asks for more than nothing (section 9.4).
    False: (r"WITHIN\s+\+?0*(\.0*)?\s", r"REPEATS\s+\+?0\s"),
}


class Patterns(unittest.TestCase):
    maxDiff = None

    def test_every_pattern_is_judged_alike(self):
        with open(os.environ["BELFRY_PATTERNS"], encoding="utf-8") as lines:
            patterns = [json.loads(line) for line in lines]
        taken = sum(1 for _, is_good in patterns if is_good)
        self.assertGreater(taken, len(patterns) // 5, "too few good ones")
        self.assertGreater(len(patterns) - taken, len(patterns) // 5, "too few bad ones")
        wrong = []
        for pattern, is_good in patterns:
            try:
                errors = run_validator(pattern, stix_version="2.1")
            except AttributeError:
                # It looks for the text of a list position that counts from the end and finds none.
                self.assertRegex(pattern, r"\[\s*-")
                continue
            if is_good == (not errors):
                continue
            if any(re.search(sign, pattern) for sign in DIFFERENCES.get(is_good, ())):
                continue
            wrong.append(f"belfry {'takes' if is_good else 'refuses'} {pattern!r}: {errors[:1]}")
        self.assertEqual([], wrong[:20], f"{len(wrong)} of {len(patterns)}")


if __name__ == "__main__":
    unittest.main()
