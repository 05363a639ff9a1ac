"""A SOC's TAXII client against a running daemon: discovery, paging, filters, refusals."""

import os
import unittest
from collections import Counter
from datetime import datetime, timedelta, timezone

import requests
from taxii2client.common import TokenAuth
from taxii2client.v21 import ApiRoot, Collection, Server, as_pages

import belfry

READER = os.environ["BELFRY_READER"]
OTHER = os.environ["BELFRY_OTHER_GROUP"]
GREEN = os.environ["BELFRY_GREEN"]


def collection(token=READER, alias="cidr"):
    server = Server(f"{belfry.URL}/taxii2/", user="siem", password=token)
    return next(c for c in server.default.collections if c.alias == alias)


def time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Discovery(unittest.TestCase):
    def test_a_server_url_leads_to_the_collections(self):
        server = Server(f"{belfry.URL}/taxii2/", user="siem", password=READER)
        self.assertTrue(server.title)
        self.assertEqual([root.url for root in server.api_roots], [f"{belfry.URL}/taxii2/root/"])
        self.assertEqual(server.default.url, f"{belfry.URL}/taxii2/root/")
        root = server.default
        self.assertEqual(root.versions, [belfry.MEDIA])
        self.assertGreater(root.max_content_length, 0)
        self.assertEqual({c.alias for c in root.collections}, {"cidr", "cloud-security"})

    def test_a_root_url_alone_is_enough(self):
        root = ApiRoot(f"{belfry.URL}/taxii2/root/", user="siem", password=READER)
        found = next(c for c in root.collections if c.alias == "cidr")
        self.assertTrue(found.can_read)
        self.assertFalse(found.can_write, "this token does not publish")
        self.assertEqual(found.media_types, ["application/stix+json;version=2.1"])

    def test_a_collection_url_alone_is_enough_by_id_and_by_alias(self):
        known = collection()
        by_id = Collection(f"{belfry.URL}/taxii2/root/collections/{known.id}/", user="x", password=READER)
        self.assertEqual((by_id.title, by_id.id), (known.title, known.id))
        pages = requests.get(f"{belfry.URL}/taxii2/root/collections/cidr/objects/", auth=("x", READER), timeout=60)
        self.assertEqual(pages.json(), by_id.get_objects())

    def test_bearer_basic_and_token_authorise_alike(self):
        known = collection()
        for auth in [TokenAuth(READER), ("", READER), ("anyone", READER)]:
            got = requests.get(known.url, auth=auth, timeout=60)
            self.assertEqual((got.status_code, got.json()["id"]), (200, known.id))
        got = requests.get(known.url, headers={"Authorization": f"Bearer {READER}"}, timeout=60)
        self.assertEqual(got.status_code, 200)


class Paging(unittest.TestCase):
    def setUp(self):
        self.collection = collection()
        self.everything = Counter(belfry.name(thing) for thing, _ in belfry.published())

    def all_of(self, **filters):
        """Everything, by the client's own paging, at one page size after the other."""
        total = sum(self.everything.values())
        for limit in [1, 2, 3, 7, total - 1, total, total + 1]:
            pages = as_pages(self.collection.get_objects, per_request=limit, **filters)
            yield limit, [thing for page in pages for thing in belfry.without_definitions(page.get("objects", []))]

    def test_no_object_is_lost_or_doubled_at_any_page_size(self):
        for limit, found in self.all_of(version="all"):
            with self.subTest(limit=limit):
                self.assertEqual(Counter(map(belfry.name, found)), self.everything)

    def test_the_order_is_the_order_of_the_manifest(self):
        manifest = self.collection.get_manifest(version="all")["objects"]
        order = [row["id"] for row in manifest]
        dates = [row["date_added"] for row in manifest]
        self.assertEqual(dates, sorted(set(dates)), "strictly increasing, each its own")
        for limit, found in self.all_of(version="all"):
            with self.subTest(limit=limit):
                self.assertEqual([thing["id"] for thing in found], order)

    def test_pages_by_manifest_agree(self):
        found = Counter()
        for page in as_pages(self.collection.get_manifest, per_request=3, version="all"):
            found.update(row["id"] for row in page.get("objects", []))
        self.assertEqual(found, Counter(identifier for identifier, _ in self.everything.elements()))

    def test_a_client_that_keeps_only_the_last_date_misses_nothing(self):
        found, after = Counter(), "1970-01-01T00:00:00Z"
        for _ in range(10_000):
            got = requests.get(
                f"{self.collection.url}objects/", auth=("", READER), timeout=60,
                params={"limit": 2, "added_after": after, "match[version]": "all"})
            page = got.json()
            found.update(map(belfry.name, belfry.without_definitions(page.get("objects", []))))
            if not page["more"]:
                break
            after = got.headers["X-TAXII-Date-Added-Last"]
        self.assertEqual(found, self.everything)

    def test_polling_again_after_the_last_date_brings_nothing(self):
        got = requests.get(f"{self.collection.url}objects/", auth=("", READER), timeout=60)
        last = got.headers["X-TAXII-Date-Added-Last"]
        self.assertEqual(self.collection.get_objects(added_after=last), {"more": False})

    def test_added_after_is_strict_at_every_precision(self):
        manifest = self.collection.get_manifest(version="all")["objects"]
        for at in [0, len(manifest) // 2, len(manifest) - 2]:
            date = manifest[at]["date_added"]
            rest = [row["id"] for row in manifest[at + 1:]]
            before = (time(date) - timedelta(microseconds=1)).astimezone(timezone.utc)
            for after, expected in [
                (date, rest),
                (date.replace("Z", "9Z"), rest),
                (before.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), [manifest[at]["id"], *rest]),
            ]:
                with self.subTest(after=after):
                    found = self.collection.get_manifest(version="all", added_after=after).get("objects", [])
                    self.assertEqual([row["id"] for row in found], expected)


class Filters(unittest.TestCase):
    def setUp(self):
        self.collection = collection()
        self.published = [thing for thing, _ in belfry.published()]

    def found(self, **filters):
        return belfry.without_definitions(self.collection.get_objects(**filters).get("objects", []))

    def names(self, **filters):
        return sorted(belfry.name(thing) for thing in self.found(**filters))

    def versions_of(self, identifier):
        return sorted(belfry.name(thing)[1] for thing in self.published if thing["id"] == identifier)

    def many_versions(self):
        counts = Counter(thing["id"] for thing in self.published)
        return next(identifier for identifier, n in counts.items() if n > 1)

    def test_type(self):
        for kinds in ["indicator", "malware,relationship", "ipv4-addr", "tool"]:
            expected = {thing["id"] for thing in self.published if thing["type"] in kinds.split(",")}
            with self.subTest(kinds=kinds):
                self.assertEqual({thing["id"] for thing in self.found(type=kinds)}, expected)

    def test_id(self):
        ids = sorted({thing["id"] for thing in self.published})[:3]
        self.assertEqual({thing["id"] for thing in self.found(id=ids[0])}, {ids[0]})
        self.assertEqual({thing["id"] for thing in self.found(id=",".join(ids))}, set(ids))
        self.assertEqual(self.found(id="indicator--00000000-0000-4000-8000-000000000000"), [])

    def test_version(self):
        identifier = self.many_versions()
        versions = self.versions_of(identifier)
        for wanted, expected in [
            ("first", versions[:1]), ("last", versions[-1:]), ("all", versions), (versions[1], versions[1:2]),
            (f"first,{versions[1]}", versions[:2]), ("2001-01-01T00:00:00Z", []),
        ]:
            with self.subTest(version=wanted):
                got = [version for _, version in self.names(id=identifier, version=wanted)]
                self.assertEqual(got, expected)
        self.assertEqual([v for _, v in self.names(id=identifier)], versions[-1:], "the last unless asked")

    def test_spec_version(self):
        self.assertEqual(self.names(spec_version="2.1"), self.names())
        self.assertEqual(self.names(spec_version="2.0"), [])

    def test_fields_together(self):
        identifier = self.many_versions()
        self.assertEqual(self.names(id=identifier, type="malware"), [])
        self.assertEqual(len(self.names(id=identifier, type="indicator,malware", version="all")), 3)

    def test_one_object_and_its_versions(self):
        identifier = self.many_versions()
        versions = self.versions_of(identifier)
        one = self.collection.get_object(identifier)
        self.assertEqual(belfry.name(one["objects"][0]), (identifier, versions[-1]))
        every = self.collection.get_object(identifier, version="all")
        self.assertEqual(sorted(belfry.name(thing)[1] for thing in every["objects"]), versions)
        self.assertEqual(sorted(self.collection.object_versions(identifier)["versions"]), versions)

    def test_a_green_token_gets_no_amber(self):
        found = collection(GREEN).get_objects(version="all").get("objects", [])
        self.assertEqual(found, [], "everything here went out as AMBER or stricter")


class Refusals(unittest.TestCase):
    def status(self, expected, path, token=READER, **more):
        auth = ("", token) if token else None
        got = requests.get(f"{belfry.URL}/taxii2/{path}", auth=auth, timeout=60, **more)
        self.assertEqual(got.status_code, expected, f"{path}: {got.text}")
        self.assertEqual(got.headers["Content-Type"], belfry.MEDIA)
        if expected >= 400:
            self.assertEqual(got.json()["http_status"], str(expected))
            self.assertTrue(got.json()["title"])
        return got

    def test_no_or_a_wrong_token(self):
        wrong = READER[:-4] + ("0000" if not READER.endswith("0000") else "1111")
        for token in [None, "wrong", wrong]:
            got = self.status(401, "root/collections/cidr/objects/", token)
            self.assertIn("Basic", got.headers["WWW-Authenticate"])
            self.assertIn("Bearer", got.headers["WWW-Authenticate"])
        with self.assertRaises(requests.HTTPError) as refused:
            Server(f"{belfry.URL}/taxii2/", user="siem", password=wrong).title
        self.assertEqual(refused.exception.response.status_code, 401)

    def test_another_group_is_forbidden_and_no_group_unknown(self):
        known = collection()
        for tail in ["objects/", "manifest/", "", "objects/identity--5d1c7b1e-6f0f-4f5b-9a43-0d8f4f2a7e11/"]:
            self.status(403, f"root/collections/cidr/{tail}", OTHER)
            self.status(403, f"root/collections/{known.id}/{tail}", OTHER)
            self.status(404, f"root/collections/none-such/{tail}", OTHER)
        visible = Server(f"{belfry.URL}/taxii2/", user="siem", password=OTHER).default.collections
        self.assertEqual([c.alias for c in visible], ["cloud-security"])
        with self.assertRaises(requests.HTTPError):
            Collection(known.url, user="", password=OTHER).get_objects()

    def test_bad_parameters(self):
        path = "root/collections/cidr/objects/"
        for bad in [{"limit": "0"}, {"limit": "-1"}, {"limit": "many"}, {"added_after": "today"},
                    {"match[version]": "newest"}, {"next": "nonsense"}, {"match[confidence]": "3"}]:
            with self.subTest(**bad):
                self.status(400, path, params=bad)

    def test_a_cursor_with_other_filters(self):
        path = "root/collections/cidr/objects/"
        page = self.status(200, path, params={"limit": 1, "match[type]": "indicator"}).json()
        self.status(200, path, params={"limit": 1, "match[type]": "indicator", "next": page["next"]})
        self.status(400, path, params={"limit": 1, "match[type]": "malware", "next": page["next"]})
        self.status(400, path, params={"limit": 1, "next": page["next"]})

    def test_media_types(self):
        for accept in ["*/*", "application/json", "application/taxii+json", belfry.MEDIA]:
            self.status(200, "", headers={"Accept": accept})
        for accept in ["application/taxii+json;version=2.0", "text/html", "application/vnd.oasis.taxii+json"]:
            self.status(406, "", headers={"Accept": accept})

    def test_what_is_not_there(self):
        self.status(404, "root/collections/cidr/objects/indicator--00000000-0000-4000-8000-000000000000/")
        self.status(404, "root/status/00000000-0000-4000-8000-000000000000/", os.environ["BELFRY_PUBLISHER"])
        self.status(404, "other-root/")


if __name__ == "__main__":
    unittest.main()
