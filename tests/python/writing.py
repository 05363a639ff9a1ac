"""A SOC's TAXII client adds objects and follows what becomes of them."""

import os
import time
import unittest
import uuid

import requests
from taxii2client.v21 import Server

import belfry

PUBLISHER = os.environ["BELFRY_PUBLISHER"]
READER = os.environ["BELFRY_READER"]


def collection(token, alias="cidr"):
    server = Server(f"{belfry.URL}/taxii2/", user="soar", password=token)
    return next(c for c in server.default.collections if c.alias == alias)


def indicator(value, version="2026-11-05T08:00:00.000Z", identifier=None):
    return {
        "type": "indicator", "spec_version": "2.1", "id": identifier or f"indicator--{uuid.uuid4()}",
        "created": "2026-11-05T08:00:00.000Z", "modified": version, "name": f"added by taxii2-client: {value}",
        "indicator_types": ["malicious-activity"], "pattern": f"[ipv4-addr:value = '{value}']",
        "pattern_type": "stix", "valid_from": "2026-11-05T08:00:00Z",
    }


class Adding(unittest.TestCase):
    def setUp(self):
        self.collection = collection(PUBLISHER)

    def add(self, *objects):
        return self.collection.add_objects({"objects": list(objects)}, poll_interval=0.2, timeout=100)

    def test_added_objects_come_to_success_and_can_be_read(self):
        sent = [indicator("203.0.113.1"), indicator("203.0.113.2")]
        status = self.add(*sent)
        self.assertEqual((status.status, status.total_count, status.success_count), ("complete", 2, 2))
        self.assertEqual((status.failure_count, status.pending_count), (0, 0))
        self.assertEqual([s["id"] for s in status.successes], [s["id"] for s in sent])
        self.assertEqual([s["version"] for s in status.successes], [s["modified"] for s in sent])
        for thing in sent:
            self.assertEqual(collection(READER).get_object(thing["id"])["objects"], [thing])

    def test_the_first_answer_is_a_sound_status(self):
        status = self.collection.add_objects({"objects": [indicator("203.0.113.3")]}, wait_for_completion=False)
        self.assertIn(status.status, ("pending", "complete"))
        self.assertEqual(status.total_count, 1)
        status.wait_until_final(0.2, 100)
        self.assertEqual(status.status, "complete")

    def test_a_new_version_is_the_last_and_the_old_one_stays(self):
        old = indicator("203.0.113.4")
        new = indicator("203.0.113.4", "2026-11-06T08:00:00.000Z", old["id"])
        self.add(old)
        self.add(new)
        reader = collection(READER)
        self.assertEqual(reader.get_object(old["id"])["objects"], [new])
        self.assertEqual(reader.get_object(old["id"], version="all")["objects"], [old, new])

    def test_adding_again_is_success_and_moves_nothing(self):
        thing = indicator("203.0.113.5")
        self.add(thing)
        before = collection(READER).get_manifest(id=thing["id"])
        status = self.add(thing)
        self.assertEqual((status.status, status.success_count), ("complete", 1))
        self.assertEqual(collection(READER).get_manifest(id=thing["id"]), before)

    def test_a_bundle_is_not_an_envelope(self):
        bundle = {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": [indicator("203.0.113.6")]}
        with self.assertRaises(requests.HTTPError) as refused:
            self.collection.add_objects(bundle)
        self.assertEqual(refused.exception.response.status_code, 422)
        self.assertEqual(refused.exception.response.json()["http_status"], "422")

    def test_a_bad_object_refuses_all_and_says_which(self):
        good, bad = indicator("203.0.113.7"), indicator("203.0.113.8")
        del bad["pattern_type"]
        with self.assertRaises(requests.HTTPError) as refused:
            self.collection.add_objects({"objects": [good, bad]})
        self.assertEqual(refused.exception.response.status_code, 422)
        self.assertIn(bad["id"], refused.exception.response.text)
        self.assertEqual(collection(READER).get_objects(id=good["id"]), {"more": False})

    def test_a_reader_may_not_add(self):
        reader = collection(READER)
        self.assertFalse(reader.can_write)
        got = requests.post(
            f"{reader.url}objects/", auth=("", READER), json={"objects": [indicator("203.0.113.9")]},
            headers={"Content-Type": belfry.MEDIA}, timeout=60)
        self.assertEqual((got.status_code, got.json()["http_status"]), (403, "403"))

    def test_a_deleted_object_is_told_as_revoked(self):
        thing = indicator("203.0.113.10")
        self.add(thing)
        self.collection.delete_object(thing["id"])
        deadline = time.monotonic() + 60
        shown = thing
        while not shown.get("revoked"):
            self.assertLess(time.monotonic(), deadline, shown)
            time.sleep(0.05)
            objects = collection(READER).get_object(thing["id"])["objects"]
            [shown] = [found for found in objects if found["id"] == thing["id"]]
        self.assertEqual(shown["pattern"], thing["pattern"])
        self.assertGreater(shown["modified"], thing["modified"])
        with self.assertRaises(requests.HTTPError) as refused:
            self.collection.delete_object(thing["id"])
        self.assertEqual(refused.exception.response.status_code, 404)


if __name__ == "__main__":
    unittest.main()
