"""The independent verifier against the golden vectors, good and bad, and against what a running coalition exported."""

import json
import os
import unittest
from pathlib import Path

import records
import verifier
import wire
from primitives import blake3, verify_ed25519
from verifier import Log, check_organisation
from wire import Refused, armoured, decode, encode

VECTORS = json.loads(Path(os.environ["BELFRY_VECTORS"], "trust.json").read_text())
FILES = VECTORS["files"]


def raw(text):
    return bytes.fromhex(text)


def log_file():
    return decode("LogFile", armoured(FILES["log"], "BELFRY LOG"))


class Primitives(unittest.TestCase):
    def test_blake3_of_its_own_test_vectors(self):
        data = bytes(i % 251 for i in range(5000))
        # github.com/BLAKE3-team/BLAKE3, test_vectors.json
        for length, expected in [
            (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
            (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
            (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
        ]:
            self.assertEqual(blake3(data[:length]).hex(), expected, length)

    def test_ed25519_of_rfc_8032_and_no_other_encoding_of_it(self):
        key = raw("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        signature = raw("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
        self.assertTrue(verify_ed25519(key, b"\x72", signature))
        self.assertFalse(verify_ed25519(key, b"\x73", signature))
        larger = int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493
        self.assertFalse(verify_ed25519(key, b"\x72", signature[:32] + larger.to_bytes(32, "little")))
        self.assertFalse(verify_ed25519(bytes([1]) + bytes(31), b"", bytes([1]) + bytes(63)), "small order")


class Good(unittest.TestCase):
    def test_charters_and_log_hold_and_end_where_the_vectors_say(self):
        log = Log(log_file())
        ids = VECTORS["ids"]
        self.assertEqual(log.coalition.hex(), ids["coalition"])
        self.assertEqual((str(len(log.entries)), log.head.hex()), (ids["height"], ids["head"]))
        self.assertEqual([c["id"].hex() for c in log.chain], [VECTORS["charter_1"]["id"], VECTORS["charter_2"]["id"]])
        self.assertEqual(log.entries[0].hex(), VECTORS["issue"]["entry_id"])
        self.assertEqual(log.voids, [])
        self.assertEqual(log.certificates[1]["status"], "revoked")

    def test_an_acceptance_of_new_rules_is_the_members_own_and_in_the_log(self):
        rules = VECTORS["rules"]
        log = Log(decode("LogFile", armoured(rules["log"], "BELFRY LOG")))
        self.assertEqual((log.voids, len(log.entries)), ([], 2))
        member = log.certificates[1]["member"]
        self.assertEqual([height for *_, height in log.accepted[member]], [1, 2])
        self.assertTrue(log.has_accepted(member, log.chain[0]) and log.has_accepted(member, log.chain[1]))
        signed = decode("Signed", armoured(rules["acceptance"], "BELFRY ACCEPTANCE"))
        key = raw(VECTORS["keys"]["signing_public"])
        self.assertEqual(log.acceptance(signed, key, log.chain[1]), log.accepted[member][1][2])
        with self.assertRaisesRegex(Refused, "other rules"):
            log.acceptance(signed, key, log.chain[0])
        with self.assertRaisesRegex(Refused, "no such role"):
            log.acceptance(signed, raw(VECTORS["keys"]["node_public"]), log.chain[1])

    def test_an_amendment_changes_what_the_certificate_says_and_takes_the_admins_of_an_issue(self):
        file = decode("LogFile", armoured(VECTORS["amend"]["log"], "BELFRY LOG"))
        log = Log(file)
        self.assertEqual((log.voids, len(log.entries)), ([], 2))
        organisation = log.certificates[1]["organisation"]
        self.assertEqual((organisation["name"], organisation["supplier_of"]), ("Golden Bank & Sons", []))
        self.assertEqual(log.certificates[1]["keys"]["signing"].hex(), VECTORS["keys"]["signing_public"])
        file["records"][1]["statement"]["signatures"].clear()
        with self.assertRaisesRegex(Refused, "0 of 1 admins signed"):
            Log(file)

    def test_a_departure_is_signed_by_the_member_that_leaves(self):
        log = Log(log_file())
        signed = decode("Signed", armoured(VECTORS["rules"]["departure"], "BELFRY DEPARTURE"))
        member, decided, effective = log.departure(signed)
        self.assertEqual(member, log.certificates[1]["member"])
        self.assertLess(decided, effective)
        signed["signatures"].clear()
        with self.assertRaisesRegex(Refused, "not signed"):
            log.departure(signed)

    def test_a_contact_is_signed_by_the_member_and_its_id_covers_what_it_says(self):
        log, vector = Log(log_file()), VECTORS["contact"]
        signed = decode("Signed", raw(vector["signed"]))
        contact = decode("ContactRecord", signed["payload"])
        key = raw(VECTORS["keys"]["signing_public"])
        self.assertEqual(wire.signers(signed, "contact", log.coalition, {key}), {key})
        self.assertEqual(contact["member"], log.certificates[1]["member"])
        self.assertEqual([m["email"] for m in contact["mailboxes"]], ["csirt@bank.example", "dpo@bank.example"])
        identity = wire.named("contact-id", log.coalition, signed["payload"])
        self.assertEqual(identity.hex(), vector["id"])
        self.assertEqual(wire.named("contacts", log.coalition, contact["member"] + identity).hex(), vector["hash"])

    def test_a_request_for_changed_data_is_signed_by_the_member_and_made_of_the_log(self):
        log = Log(decode("LogFile", armoured(VECTORS["amend"]["log"], "BELFRY LOG")))
        signed = decode("Signed", armoured(VECTORS["amend"]["request"], "BELFRY AMENDMENT REQUEST"))
        member, organisation = log.amendment(signed)
        self.assertEqual((member, organisation), (log.certificates[1]["member"], log.certificates[1]["organisation"]))
        self.assertNotEqual(organisation, Log(log_file()).certificates[1]["organisation"])
        log.entries.clear()
        with self.assertRaisesRegex(Refused, "another log"):
            log.amendment(signed)
        signed["signatures"].clear()
        with self.assertRaisesRegex(Refused, "not signed"):
            Log(log_file()).amendment(signed)

    def test_a_statements_nonce_is_drawn_from_its_decision_record(self):
        nonce = wire.decision_nonce(bytes([7]) * 32, bytes([1]) * 16, "Board", 1, "minutes 9")
        self.assertEqual(nonce.hex(), "c7dfc5a071a1e7902a398fd8083d31e3")

    def test_two_entries_of_one_height_prove_that_the_registrar_signed_two_logs(self):
        proof = decode("LogFile", armoured(VECTORS["equivocation"]["proof"], "BELFRY EQUIVOCATION"))
        height, key, entries = records.equivocation(proof)
        self.assertEqual((height, key.hex()), (2, VECTORS["keys"]["registrar_1_public"]))
        self.assertEqual(len(set(entries)), 2)
        none = decode("LogFile", armoured(VECTORS["equivocation"]["no_proof"], "BELFRY EQUIVOCATION"))
        with self.assertRaisesRegex(Refused, "no contradiction"):
            records.equivocation(none)
        for spoil, words in [
            (lambda f: f["records"].pop(), "two entries"),
            (lambda f: f["records"][1]["entry"]["signatures"].clear(), "registrar"),
            (lambda f: f["records"][1]["statement"]["signatures"].clear(), "admins signed"),
            (lambda f: f["charters"].pop(), "no charter"),
        ]:
            file = decode("LogFile", armoured(VECTORS["equivocation"]["proof"], "BELFRY EQUIVOCATION"))
            spoil(file)
            with self.assertRaisesRegex(Refused, words):
                records.equivocation(file)

    def test_the_certificate_is_the_logs_first_record(self):
        record = decode("Record", armoured(FILES["certificate"], "BELFRY CERTIFICATE"))
        self.assertEqual(record, log_file()["records"][0])
        self.assertEqual(record, decode("Record", raw(VECTORS["issue"]["record"])))

    def test_messages_are_signed_by_the_member_they_name_and_the_cut_keeps_the_first_alone(self):
        log = Log(log_file())
        for name in ("one", "two", "fork"):
            identity, header, certificate = log.message(raw(VECTORS["messages"][name]))
            self.assertEqual(certificate["keys"]["signing"].hex(), VECTORS["keys"]["signing_public"])
            self.assertEqual(header["log"].hex(), VECTORS["ids"]["log"])
            if name == "one":
                self.assertEqual(identity.hex(), VECTORS["ids"]["message_one"])
                stands, judged = log.admitted(identity, header, certificate)
                self.assertEqual(stands, "at")
                self.assertIn("cuts", judged)
                continue
            with self.assertRaisesRegex(Refused, "beyond a cut"):
                log.admitted(identity, header, certificate)

    def test_every_payload_writes_itself_back(self):
        for name, payload in [("Charter", VECTORS["charter_1"]["payload"]), ("Charter", VECTORS["charter_2"]["payload"]),
                              ("Statement", VECTORS["revoke"]["statement_payload"]),
                              ("LogEntry", VECTORS["renew"]["entry_payload"])]:
            self.assertEqual(encode(name, decode(name, raw(payload))).hex(), payload)


class Organisations(unittest.TestCase):
    def test_a_name_may_hold_what_is_no_control_character_and_numbers_are_ascii_digits(self):
        said = Log(log_file()).certificates[1]["organisation"]
        for name in ("Bank\u00a0NV", "Bank\u200dNV", "Bank\u00adNV", "Bank\u2028NV"):
            check_organisation(dict(said, name=name))
        for name in ("", " \u00a0", "Bank\tNV", "Bank\x7f", "Bank\x85NV"):
            with self.assertRaisesRegex(Refused, "organisation name", msg=repr(name)):
                check_organisation(dict(said, name=name))
        check_organisation(dict(said, kbo="0123456789"))
        for kbo in ("\u0660123456789", "\uff10123456789", "0123456789\n"):
            with self.assertRaisesRegex(Refused, "kbo", msg=repr(kbo)):
                check_organisation(dict(said, kbo=kbo))

    def test_an_amendment_of_nobody_names_nobody_whatever_it_follows(self):
        log = Log(log_file())
        statement = {"amend": {"member": bytes([9] * 16), "organisation": log.certificates[1]["organisation"]},
                     "charter_version": len(log.chain), "made": 0, "previous": bytes([9] * 32)}
        with self.assertRaisesRegex(Refused, "no such member"):
            log.effect(len(log.entries) + 1, log.chain[-1], "amend", statement, bytes(32))


class Bad(unittest.TestCase):
    def refused(self, change, words=""):
        """A changed log file is refused, or, if the change is of a message, that is."""
        file = log_file()
        change(file)
        with self.assertRaisesRegex(Refused, words):
            Log(file)

    def test_signatures_that_are_missing_doubled_foreign_or_bad(self):
        self.refused(lambda f: f["records"][0]["statement"]["signatures"].clear(), "admins signed")
        self.refused(lambda f: f["records"][0]["entry"]["signatures"].clear(), "registrar")
        self.refused(lambda f: f["charters"][0]["signatures"].pop(), "too few root keys")
        self.refused(lambda f: f["charters"][1]["signatures"].pop(), "too few root keys")

        def doubled(file):
            signatures = file["charters"][0]["signatures"]
            signatures[1] = signatures[0]
        self.refused(doubled, "one key twice")

        def flipped(file):
            signature = file["records"][1]["statement"]["signatures"][0]
            signature["signature"] = bytes([signature["signature"][0] ^ 1]) + signature["signature"][1:]
        self.refused(flipped, "bad signature")

        def by_the_registrar(file):
            file["records"][0]["statement"]["signatures"] = file["records"][0]["entry"]["signatures"]
        self.refused(by_the_registrar, "no such role")

    def test_records_that_are_missing_swapped_or_another_logs(self):
        self.refused(lambda f: f["records"].pop(0), "not the next entry")
        self.refused(lambda f: f["records"].reverse(), "not the next entry")
        self.refused(lambda f: f["records"].insert(1, f["records"][0]), "not the next entry")
        self.refused(lambda f: f["charters"].pop(0), "versions follow")
        self.refused(lambda f: f["charters"].pop(1), "charter ahead|no such role|registrar")

        def statements_exchanged(file):
            one, other = file["records"][0], file["records"][1]
            one["statement"], other["statement"] = other["statement"], one["statement"]
        self.refused(statements_exchanged, "orders another statement")

    def test_any_flipped_bit_of_a_payload(self):
        for part in ("entry", "statement"):
            payload = log_file()["records"][0][part]["payload"]
            for bit in range(0, len(payload) * 8, 997):
                def flip(file, part=part, bit=bit):
                    signed = file["records"][0][part]
                    changed = bytearray(signed["payload"])
                    changed[bit // 8] ^= 1 << bit % 8
                    signed["payload"] = bytes(changed)
                self.refused(flip)

    def test_second_encodings(self):
        payload = raw(VECTORS["charter_1"]["payload"])
        for second in (payload + b"\x78\x00", payload + b"\xf8\x3f\x00", payload[:-1] + bytes([payload[-1] | 128, 0])):
            with self.assertRaises(Refused):
                decode("Charter", second)

    def test_messages_that_were_changed_or_are_somebody_elses(self):
        log = Log(log_file())
        message = raw(VECTORS["messages"]["one"])
        for bit in range(0, len(message) * 8, 613):
            changed = bytearray(message)
            changed[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(Refused, msg=bit):
                log.message(bytes(changed))
        file = log_file()
        del file["records"][:]
        with self.assertRaises(Refused):
            Log(file).message(message)


    def test_messages_that_the_log_did_not_allow_their_author(self):
        log = Log(log_file())
        identity, header, certificate = log.message(raw(VECTORS["messages"]["one"]))
        group, end = header["group"], certificate["validity"]["not_after"]
        allowed = dict(certificate, cuts=[], status="active", roles={group: 3})
        stands, judged = log.admitted(identity, dict(header, kind=verifier.DATA), allowed)
        self.assertEqual(stands, "open")
        self.assertIn("role", judged)
        with self.assertRaisesRegex(Refused, "validity"):
            log.admitted(identity, dict(header, created=end), allowed)
        with self.assertRaisesRegex(Refused, "no publisher"):
            log.admitted(identity, header, dict(allowed, roles={}))
        log.chain[-1]["expires"] = header["created"]
        height = max(header["roster"]["height"], (log.chain[-1]["pin"] or {"height": 1})["height"])
        over = dict(header, kind=verifier.DATA, roster=dict(header["roster"], height=height))
        with self.assertRaisesRegex(Refused, "charter had expired"):
            log.admitted(identity, over, allowed)
        log.admitted(identity, dict(over, kind=verifier.DATA + 1), allowed)

    def test_what_a_member_writes_that_has_not_accepted_the_texts_in_time(self):
        silent = VECTORS["silence"]
        file = decode("LogFile", armoured(silent["log"], "BELFRY LOG"))
        log = Log(file)
        before, after = (log.message(raw(silent[name])) for name in ("before", "after"))
        self.assertIn("acceptance of the texts", log.admitted(*before)[1])
        with self.assertRaisesRegex(Refused, "had not accepted the texts"):
            log.admitted(*after)
        # What takes back counts all the same, and so does everything once the member has accepted.
        identity, header, certificate = after
        log.admitted(identity, dict(header, kind=verifier.DATA + 1), certificate)
        log.note_accepted(header["member"], log.chain[-1], header["created"] + 1, 3)
        log.admitted(*after)

    def test_messages_together_are_one_history_or_none(self):
        log = Log(log_file())
        one, two, fork = (log.message(raw(VECTORS["messages"][name])) for name in ("one", "two", "fork"))
        standing = [(identity, header, stands) for (identity, header, _), stands in [(one, "below"), (two, "at")]]
        self.assertEqual(verifier.together(standing), {one[0], two[0]}, "the cut's message links back to it")
        self.assertEqual(verifier.together(standing[:1]), set(), "nobody says so")
        for others in ([two, fork], [one, two, fork]):
            with self.assertRaisesRegex(Refused, "two messages for one place"):
                verifier.together([(identity, header, "open") for identity, header, _ in others])
        astray = (two[0], dict(two[1], prev=bytes(32)), "open")
        with self.assertRaisesRegex(Refused, "follows another"):
            verifier.together([(*one[:2], "open"), astray])

    def test_cuts_by_group_point_and_lifting(self):
        identity, header, certificate = Log(log_file()).message(raw(VECTORS["messages"]["two"]))
        log, group = header["log"], header["group"]
        point = lambda sequence, message=bytes(32): [{"log": log, "sequence": sequence, "message": message}]
        listed, elsewhere = verifier.cut_of(point(3)), verifier.cut_of([], [group + 1])
        wholly, lifted = verifier.cut_of([]), dict(verifier.cut_of([]), lifted=header["roster"]["height"])
        late = dict(lifted, lifted=lifted["lifted"] + 1)
        for cuts, expected in [
            ([], "open"), ([elsewhere], "open"), ([lifted], "open"), ([late], "beyond"), ([wholly], "beyond"),
            ([listed], "below"), ([verifier.cut_of(point(2, identity))], "at"), ([verifier.cut_of(point(2))], "beyond"),
            ([verifier.cut_of(point(1))], "beyond"), ([listed, verifier.cut_of(point(2, identity))], "below"),
            ([listed, wholly], "beyond"), ([dict(listed, lifted=1)], "below"),
        ]:
            held = dict(certificate, cuts=cuts, status="active")
            self.assertEqual(verifier.stand(held, identity, header), expected, cuts)
        ended = dict(certificate, cuts=[], status="revoked", effective=header["created"])
        self.assertEqual(verifier.stand(ended, identity, header), "beyond")
        self.assertEqual(verifier.stand(dict(ended, cuts=[listed]), identity, header), "below", "a cut keeps it")
        self.assertEqual(verifier.stand(dict(ended, effective=header["created"] + 1), identity, header), "open")
        raised = verifier.cut_of(point(2, identity))
        verifier.extend(raised, point(1))
        self.assertEqual(raised["points"][log], (2, identity), "a point never moves down")


@unittest.skipUnless("BELFRY_LOG" in os.environ, "no running coalition exported anything")
class Exported(unittest.TestCase):
    def test_what_a_running_coalition_exported_holds(self):
        log = verifier.read_log(Path(os.environ["BELFRY_LOG"]).read_text())
        self.assertEqual(log.coalition.hex(), os.environ["BELFRY_COALITION"])
        envelope = armoured(Path(os.environ["BELFRY_MESSAGE"]).read_text(), "BELFRY MESSAGE")
        identity, header, certificate = log.message(envelope)
        stands, _ = log.admitted(identity, header, certificate)
        self.assertEqual(stands, "open")
        self.assertEqual(identity.hex(), os.environ["BELFRY_MESSAGE_ID"])
        self.assertEqual(certificate["organisation"]["name"], os.environ["BELFRY_AUTHOR"])


if __name__ == "__main__":
    unittest.main()
