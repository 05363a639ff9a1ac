"""The independent verifier against the golden vectors, good and bad, and against what a running coalition exported."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import on_sight
import records
import verifier
import wire
from on_sight import Sight
from primitives import blake3, verify_ed25519
from verifier import Log, check_organisation
from wire import Refused, armoured, decode, encode

VECTORS = json.loads(Path(os.environ["BELFRY_VECTORS"], "trust.json").read_text())
FILES, SEEN = VECTORS["files"], VECTORS["on_sight"]


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


class OnSight(unittest.TestCase):
    """The same removals as `proto/src/trust/vectors/on_sight.rs`, and the same answers."""

    NOW = 1767225600_000000

    def at(self, hours):
        return self.NOW + hours * 3600_000000

    def sight(self, log="log"):
        return Sight(Log(decode("LogFile", armoured(SEEN[log], "BELFRY LOG"))))

    def record(self, name):
        if SEEN[name].startswith("-----BEGIN"):
            return {"entry": None, "statement": decode("Signed", armoured(SEEN[name], "BELFRY STATEMENT"))}
        return decode("Record", raw(SEEN[name]))

    def refused(self, sight, name, words):
        before = (sight.standing(1, self.at(10)), sight.role(1, 1, self.at(8)), dict(sight.seen))
        with self.assertRaisesRegex(Refused, words):
            sight.meet(self.record(name))
        self.assertEqual(before, (sight.standing(1, self.at(10)), sight.role(1, 1, self.at(8)), sight.seen), name)

    def test_what_the_registrar_of_today_ordered_elsewhere_holds_at_once_and_moves_no_log(self):
        for name in ("beyond", "other_branch"):
            sight = self.sight()
            self.assertEqual((sight.standing(1, self.at(7)), sight.role(1, 1, self.at(7))), ("valid", 2))
            head = sight.log.head
            sight.meet(self.record(name))
            self.assertEqual((sight.standing(1, self.at(7)), sight.role(1, 1, self.at(7))), ("suspended", 0))
            self.assertEqual((sight.log.head, sight.log.certificates[1]["status"], sight.log.certificates[1]["cuts"]),
                             (head, "active", []))
            self.assertEqual(sight.forked_at, 2 if name == "other_branch" else None)

    def test_a_group_alone_goes_where_that_alone_was_taken(self):
        sight = self.sight()
        sight.meet(self.record("group"))
        self.assertEqual((sight.standing(1, self.at(7)), sight.role(1, 1, self.at(7))), ("valid", 0))
        self.assertEqual([sight.waits({"serial": 1, "group": group}, self.at(7)) for group in (1, 2)], [True, False])

    def test_what_nobody_or_a_former_registrar_ordered_holds_where_the_log_is_forked_and_from_its_moment(self):
        # With a former registrar's key anything may stand at any height: it proves nothing against the log.
        sight = self.sight()
        self.refused(sight, "former_branch", "not forked here")
        self.assertIsNone(sight.forked_at)
        for name in ("unordered", "former_registrar"):
            sight = self.sight()
            self.refused(sight, name, "not forked here")
            sight.meet(self.record("other_branch"))
            sight.meet(self.record(name))
            self.assertEqual([sight.removed(1, self.at(hour)) for hour in (8, 9)], ["suspended", "revoked"])
            header = {"serial": 1, "group": 1}
            self.assertTrue(sight.waits(header, self.at(8)))
            self.refused(sight, name, "nothing away")

    def test_what_is_somebody_elses_word_takes_nothing(self):
        sight = self.sight()
        sight.meet(self.record("other_branch"))
        for name, words in [
            ("too_few", "1 of 2 admins signed"), ("one_key_twice", "one key twice"), ("gives", "only removals"),
            ("other_coalition", "another coalition"), ("other_member", "nothing away"), ("old_charter", "charter that is over"),
        ]:
            self.refused(sight, name, words)
        # A copy that lost its signatures on the way does not decide what is believed of the statement.
        sight.meet(self.record("unordered"))
        self.assertEqual(sight.standing(1, self.at(9)), "revoked")

    def test_any_flipped_bit_of_a_removal_takes_nothing(self):
        log = self.sight().log
        for part in ("entry", "statement"):
            for field in ("payload", "signature"):
                length = len(self.record("beyond")[part]["payload"]) if field == "payload" else 64
                for bit in range(0, length * 8, 97):
                    sight, record = Sight(log), self.record("beyond")
                    signed = record[part] if field == "payload" else record[part]["signatures"][0]
                    changed = bytearray(signed[field])
                    changed[bit // 8] ^= 1 << bit % 8
                    signed[field] = bytes(changed)
                    with self.assertRaises(Refused, msg=(part, field, bit)):
                        sight.meet(record)
                    self.assertEqual(sight.seen, {})

    def test_it_ends_where_the_log_or_a_charter_has_decided(self):
        self.refused(self.sight("decided"), "other_branch", "has decided")
        self.assertEqual(self.sight("decided").standing(1, self.at(7)), "suspended", "by the log itself")
        met = self.sight()
        met.meet(self.record("other_branch"))
        for log, standing, is_held, forked_at in [
            ("decided", "suspended", False, 2), ("settled", "valid", False, None), ("on_its_way", "suspended", True, None),
        ]:
            later = met.over(self.sight(log).log)
            self.assertEqual((later.standing(1, self.at(7)), bool(later.seen), later.forked_at), (standing, is_held, forked_at), log)
        # Who meets it only now has the newer charter's word on who decides.
        self.refused(self.sight("on_its_way"), "beyond", "charter that is over")

    def test_a_number_that_two_branches_gave_is_taken_only_with_its_members_name(self):
        sight = self.sight("early_log")
        sight.meet(self.record("early_branch"))
        self.assertEqual(sight.forked_at, 1)
        self.refused(sight, "early_suspend", "nothing away")
        sight.meet(self.record("early_revoke"))
        self.assertEqual(sight.standing(1, self.at(9)), "revoked")
        # Below a newer charter's pin the same two entries are settled, and prove nothing that is still open.
        self.refused(self.sight(), "early_branch", "only removals")

    def test_in_whatever_order_removals_are_met_they_come_to_the_same(self):
        names = ["other_branch", "group", "unordered"]
        found = []
        for order in (names, [names[0], names[2], names[1]], [names[1], names[0], names[2]]):
            sight = self.sight()
            for name in order:
                sight.meet(self.record(name))
            found.append(sight.taken)
        self.assertEqual(found, [found[0]] * 3)
        self.assertEqual(found[0], {"suspended": {1}, "revoked": {1: self.at(9)}, "groups": {(1, 1)}})

    def test_one_admins_flood_leaves_room_for_revocations(self):
        sight = self.sight()
        sight.meet(self.record("other_branch"))
        sight.seen.update((bytes([n >> 8, n & 255]), next(iter(sight.seen.values()))) for n in range(on_sight.MOST - 1))
        self.refused(sight, "group", "nothing away")
        sight.meet(self.record("unordered"))
        self.assertEqual(sight.standing(1, self.at(9)), "revoked")

    def test_the_command_says_what_is_removed_and_refuses_its_message(self):
        with tempfile.TemporaryDirectory() as folder:
            def written(name, text):
                path = Path(folder, name)
                path.write_text(text)
                return str(path)
            log = written("log.pem", SEEN["log"])
            proof = decode("LogFile", armoured(SEEN["log"], "BELFRY LOG"))
            proof["records"] = [proof["records"][1], self.record("other_branch")]
            armour = base64.b64encode(encode("LogFile", proof)).decode()
            proof = written("proof.pem", f"-----BEGIN BELFRY EQUIVOCATION-----\n{armour}\n-----END BELFRY EQUIVOCATION-----\n")
            envelope = base64.b64encode(raw(VECTORS["messages"]["one"])).decode()
            message = written("message.pem", f"-----BEGIN BELFRY MESSAGE-----\n{envelope}\n-----END BELFRY MESSAGE-----\n")
            revoke = written("revoke.pem", SEEN["unordered"])
            ran = lambda *given: subprocess.run([sys.executable, "-B", verifier.__file__, *given], capture_output=True, text=True)
            self.assertEqual(ran(log, "--message", message).returncode, 0)
            alone = ran(log, "--seen", revoke)
            self.assertEqual((alone.returncode, "not forked here" in alone.stderr), (1, True), alone.stderr)
            both = ran(log, "--seen", proof, "--seen", revoke)
            self.assertEqual(both.returncode, 0, both.stderr)
            for line in ("forked from 2 on", "on sight: certificate 1 suspended", "on sight: certificate 1 revoked from"):
                self.assertIn(line, both.stdout)
            waits = ran(log, "--seen", proof, "--message", message)
            self.assertEqual((waits.returncode, "removed on sight" in waits.stderr), (1, True), waits.stderr)


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
