"""An independent verifier of belfry's trust, written from proto/WIRE.md and the .proto layouts alone.

    verifier.py LOG [--seen FILE …] [--message FILE …]
                                      exits 0 if everything that it judges holds; of several messages, together
    verifier.py --equivocation FILE   the same of a proof that the registrar signed two logs

FILEs seen are what a node would meet beside its log: a statement, a record, a proof, another branch. What removes somebody holds.
It knows charters, the admin log, certificates, cuts, removals on sight and messages, and of a message it says what it did not
judge. A KEM key it takes for one by its length.
"""

import sys
import time

from on_sight import Sight
from primitives import verify_ed25519
from records import admits, check_certificate, check_groups, check_organisation, check_record, equivocation, walk
from wire import REMOVALS, Refused, armoured, decode, named, pae, require, signers

DATA = 1


# --- The admin log ------------------------------------------------------------------------------------------------

class Log:
    """The fold: certificates with their standing, and what was void."""

    def __init__(self, log_file):
        self.chain = walk(log_file["charters"])
        self.coalition = self.chain[0]["id"]
        self.entries, self.certificates, self.latest = [], {}, {}
        # The key that signed each entry, and every statement that was ordered, void or not.
        self.ordered_by, self.decided = [], set()
        self.keys, self.statements, self.voids = set(), set(), []
        # Member -> what its newest certificate, or an amendment since, says of it.
        self.said = {}
        # Member -> (arrangement hash, rules hash, when, entry) of each acceptance.
        self.accepted = {}
        for record in log_file["records"]:
            self.take(record)

    @property
    def head(self):
        return self.entries[-1] if self.entries else bytes(32)

    def in_force(self, height):
        return [c for c in self.chain if c["pin"] is None or c["pin"]["height"] < height][-1]

    def take(self, record):
        checked = check_record(self.chain, record)
        height = len(self.entries) + 1
        require(checked["height"] == height and checked["prev"] == self.head, "not the next entry")
        charter = self.in_force(height)
        require(checked["by"] == {charter["registrar"]}, "another registrar than that of the charter in force")
        self.entries.append(checked["entry"])
        self.ordered_by.append(charter["registrar"])
        try:
            self.effect(height, charter, checked["kind"], checked["says"], checked["statement"])
        except Refused as reason:
            self.voids.append((height, str(reason)))
        self.decided.add(checked["statement"])

    def effect(self, height, charter, kind, statement, identity):
        decision = statement[kind]
        require(statement["charter_version"] >= charter["version"], "old charter")
        require(kind in REMOVALS or statement["made"] < charter["expires"], "the charter had expired")
        require(identity not in self.statements, "ordered twice")
        if kind == "issue":
            member, held = decision["certificate"]["member"], None
        elif kind == "amend":
            member, held = decision["member"], None
            require(member in self.latest, "no such member")
        else:
            held = self.certificates.get(decision["serial"])
            require(held, "no such certificate")
            member = held["member"]
        require(kind in REMOVALS or (self.latest.get(member) or b"") == statement["previous"], "not the latest")
        status = held and held["status"]
        if kind in ("issue", "supersede"):
            body = decision["certificate"]
            check_certificate(body, charter)
            require(kind == "issue" or status == "active" and body["member"] == member, "supersede")
            keys = set(body["keys"].values())
            require(not keys & self.keys, "key reused")
            self.keys |= keys
            if held:
                held["status"] = "superseded"
                held["cuts"].append(cut_of(decision["cut"]))
            self.certificates[height] = dict(
                body, status="active", roles={g["group"]: g["role"] for g in body["groups"]}, cuts=[])
            self.said[member] = body["organisation"]
            texts = (charter["arrangement"], charter["rules_of_conduct"])
            if tuple(t["version"] for t in texts) == (body["arrangement_version"], body["rules_version"]):
                self.note_accepted(member, charter, statement["made"], height)
        elif kind == "amend":
            self.amend(member, decision["organisation"], charter, statement["made"])
        elif kind == "renew":
            require(status == "active" and decision["not_after"] > held["validity"]["not_after"], "renew")
            held["validity"]["not_after"] = decision["not_after"]
        elif kind == "suspend":
            require(status == "active", "suspend")
            held["status"] = "suspended"
            held["cuts"].append(cut_of(decision["cut"]))
        elif kind == "resume":
            require(status == "suspended", "resume")
            held["status"] = "active"
            lift(held["cuts"], height)
        elif kind == "revoke":
            require(decision["member"] == member, "revoke")
            effective = 0 if status in ("suspended", "superseded") else decision["effective"]
            announced = effective > statement["made"]
            # One at once takes more than an end that still waits for its moment.
            more = status != "revoked" or held["effective"] > decision["effective"] or held["announced"] and not announced
            require(more, "revoked already")
            if status == "revoked":
                effective = min(effective, held["effective"])
                held["announced"] = held["announced"] and announced
            else:
                held["announced"] = announced
            held.update(status="revoked", effective=effective)
            # A departure announced for later keeps what is written until then, unless it comes with a cut.
            if not announced or decision["cut"]:
                held["cuts"].append(cut_of(decision["cut"]))
        elif kind == "entitle":
            require(status == "active" and not held["carrier"], "entitle")
            check_groups(decision["groups"], held["organisation"], charter)
            new = {g["group"]: g["role"] for g in decision["groups"]}
            require(all(new[g] >= held["roles"].get(g, 0) for g in new), "lowers a role")
            held["roles"].update(new)
            lift([cut for cut in held["cuts"] if any(concerns(cut, group) for group in new)], height)
        elif kind == "disentitle":
            for group in decision["groups"]:
                held["roles"].pop(group, None)
            held["cuts"].append(cut_of(decision["cut"], decision["groups"]))
        elif kind == "accept":
            require(status == "active", "accept")
            at = self.acceptance(decision["acceptance"], held["keys"]["signing"], charter)
            require(not self.has_accepted(member, charter), "accepted already")
            self.note_accepted(member, charter, at, height)
        else:
            require(held["cuts"], "not cut")
            for cut in held["cuts"]:
                extend(cut, decision["cut"])
        self.latest[member] = identity
        self.statements.add(identity)

    def amend(self, member, organisation, charter, made):
        """Changed data in every certificate of a member that is not over; a group is not left by them."""
        check_organisation(organisation)
        going = [
            held for held in self.certificates.values() if held["member"] == member and held["status"] != "superseded"
            and not (held["status"] == "revoked" and held["effective"] <= made)
        ]
        require(going, "nobody to amend")
        require(any(held["organisation"] != organisation for held in going) or self.said[member] != organisation,
                "changes nothing")
        for held in going:
            for group in (charter["by_id"][g] for g in held["roles"] if g in charter["by_id"]):
                require(not admits(group, held["organisation"]) or admits(group, organisation), "class not admitted")
        for held in going:
            held["organisation"] = organisation
        self.said[member] = organisation

    def acceptance(self, signed, key, charter):
        """When the holder of `key` accepted the texts of `charter`."""
        require(len(signers(signed, "rules-acceptance", self.coalition, {key})) == 1, "acceptance: not signed")
        acceptance = decode("RulesAcceptance", signed["payload"])
        require(acceptance["coalition"] == self.coalition, "acceptance to another coalition")
        require(acceptance["arrangement_hash"] == charter["arrangement"]["hash"], "another arrangement")
        require(acceptance["rules_hash"] == charter["rules_of_conduct"]["hash"], "other rules")
        return acceptance["accepted"]

    def note_accepted(self, member, charter, at, height):
        texts = (charter["arrangement"]["hash"], charter["rules_of_conduct"]["hash"])
        self.accepted.setdefault(member, []).append((*texts, at, height))

    def has_accepted(self, member, charter):
        texts = (charter["arrangement"]["hash"], charter["rules_of_conduct"]["hash"])
        return any(one[:2] == texts for one in self.accepted.get(member, []))

    def overdue(self, member, charter, at):
        """What the charter holds against a member: 0 nothing, 1 it publishes nothing, 2 it is in no group."""
        due = charter["accept_by"] and at >= charter["accept_by"]
        return charter["unaccepted"] if due and not self.has_accepted(member, charter) else 0

    def departure(self, signed):
        """Who leaves: (member, decided, effective), signed by a key that the member has or had."""
        departure = decode("Departure", signed["payload"])
        require(departure["coalition"] == self.coalition and len(departure["member"]) == 16, "departure")
        require(departure["decided"] <= departure["effective"], "effective before it was decided")
        require(departure["decided"] <= departure["made"], "decided after it was signed")
        keys = {c["keys"]["signing"] for c in self.certificates.values() if c["member"] == departure["member"]}
        require(len(signers(signed, "notice", self.coalition, keys)) == 1, "departure: not signed")
        return departure["member"], departure["decided"], departure["effective"]

    def amendment(self, signed):
        """What a member asks to have said of it: (member, organisation), signed by a key that it has or had."""
        request = decode("AmendmentRequest", signed["payload"])
        require(request["coalition"] == self.coalition and len(request["member"]) == 16, "amendment request")
        require(request["organisation"] and request["roster"], "amendment request")
        check_organisation(request["organisation"])
        height = request["roster"]["height"]
        require(1 <= height <= len(self.entries) and self.entries[height - 1] == request["roster"]["head"], "made of another log")
        keys = {c["keys"]["signing"] for c in self.certificates.values() if c["member"] == request["member"]}
        require(len(signers(signed, "amendment", self.coalition, keys)) == 1, "amendment request: not signed")
        return request["member"], request["organisation"]

    def standing(self, serial, now):
        held = self.certificates.get(serial)
        if held is None:
            return "unknown"
        if held["status"] == "revoked" and now >= held["effective"]:
            return "revoked"
        if held["status"] in ("suspended", "superseded"):
            return held["status"]
        if now < held["validity"]["not_before"]:
            return "not yet valid"
        return "expired" if now >= held["validity"]["not_after"] else "valid"

    def message(self, data):
        """Who signed an envelope; refuses it unless that certificate's key did."""
        require(len(data) <= 256 * 1024, "envelope too long")
        envelope = decode("Envelope", data)
        header = decode("Header", envelope["header"])
        require(len(envelope["header"]) <= 16 * 1024 and header["coalition"] == self.coalition, "header")
        body = envelope["body"]
        require(body is None or body and envelope["body_len"] == len(body)
                and envelope["body_hash"] == named("body-hash", body), "another body")
        if header["audience"] == 3 and body is not None:
            require(envelope["recipients"] is not None
                    and header["recipients_hash"] == named("recipients", envelope["recipients"]), "other recipients")
        roster = header["roster"]
        require(roster and 1 <= roster["height"] <= len(self.entries), "ahead of the log")
        require(self.entries[roster["height"] - 1] == roster["head"], "another branch of the log")
        certificate = self.certificates.get(header["serial"])
        require(certificate and header["serial"] <= roster["height"], "no such certificate")
        require(certificate["member"] == header["member"], "another member")
        keys = certificate["keys"]
        log = named("log-id", self.coalition, header["group"], header["member"], keys["signing"], keys["node"],
                    header["log_instance"])
        require(log == header["log"], "not a log of this certificate")
        require((header["sequence"] == 1) == (header["prev"] == bytes(32)) and header["sequence"] >= 1, "sequence")
        parts = (envelope["header"], envelope["body_hash"], envelope["body_len"])
        require(verify_ed25519(keys["signing"], pae("envelope", self.coalition, *parts), envelope["signature"]),
                "bad signature")
        identity = named("message-id", self.coalition, *parts, envelope["signature"])
        return identity, header, certificate

    def admitted(self, identity, header, certificate):
        """Holds a message to what the log allowed its author: how it stands to the cuts of its key, and what was judged."""
        created, height = header["created"], header["roster"]["height"]
        validity, group = certificate["validity"], self.in_force(height)["by_id"].get(header["group"])
        require(validity["not_before"] <= created < validity["not_after"], "outside the certificate's validity")
        stands = stand(certificate, identity, header)
        require(stands != "beyond", "beyond a cut of its key")
        judged = ["signature", "log", "certificate's validity", "cuts"]
        # What a cut keeps stands whatever was taken since: it names only what was in order.
        if stands == "open":
            role = certificate["roles"].get(header["group"], 0)
            require(group and role >= group["may_publish"], "no publisher of the group")
            judged.append("role")
            if header["kind"] == DATA:
                overdue = self.overdue(header["member"], self.in_force(height), created)
                require(not overdue, "its author had not accepted the texts, and has not since")
                known = [c for c in self.chain if c["pin"] is None or c["pin"]["height"] <= height]
                require(created < known[-1]["expires"], "the charter had expired")
                judged += ["acceptance of the texts", "charter's end"]
        return stands, judged


# --- Cuts and places ----------------------------------------------------------------------------------------------

def cut_of(points, groups=()):
    """What of a key stays: in these groups, or in all."""
    cut = {"groups": list(groups), "points": {}, "lifted": None}
    extend(cut, points)
    return cut


def extend(cut, points):
    """A point never moves down."""
    for point in points:
        known = cut["points"].get(point["log"])
        if known is None or known[0] < point["sequence"]:
            cut["points"][point["log"]] = (point["sequence"], point["message"])


def lift(cuts, height):
    """What is written by a roster from here on, into logs that they do not list, is free of them."""
    for cut in cuts:
        cut["lifted"] = cut["lifted"] or height


def concerns(cut, group):
    return not cut["groups"] or group in cut["groups"]


def stand(certificate, identity, header):
    """Where a message is to the cuts of its key: open, at a point, below one, or beyond."""
    cuts = [cut for cut in certificate["cuts"] if concerns(cut, header["group"])]
    listed = [cut["points"][header["log"]] for cut in cuts if header["log"] in cut["points"]]
    for cut in cuts:
        if header["log"] not in cut["points"] and (not cut["lifted"] or header["roster"]["height"] < cut["lifted"]):
            return "beyond"
    for sequence, message in listed:
        if header["sequence"] > sequence or header["sequence"] == sequence and identity != message:
            return "beyond"
    if listed:
        return "at" if all(header["sequence"] == sequence for sequence, _ in listed) else "below"
    ended = certificate["status"] == "revoked" and header["created"] >= certificate["effective"]
    return "beyond" if ended else "open"


def together(messages):
    """Messages of one certificate by their places: no two histories, and which of those below a cut lead up to its point.

    `messages` are (identity, header, how it stands) each; gives the ids that stand for sure.
    """
    places = {}
    for identity, header, _ in messages:
        other = places.setdefault((header["log"], header["sequence"]), identity)
        require(other == identity, "a fork: two messages for one place")
    for _, header, _ in messages:
        before = places.get((header["log"], header["sequence"] - 1))
        require(before in (None, header["prev"]), "a fork: it follows another message than the one before")
    sure = {identity for identity, _, stands in messages if stands in ("open", "at")}
    for identity, header, stands in sorted(messages, key=lambda one: -one[1]["sequence"]):
        # Whoever is named by what stands is its ancestor, and stands.
        if identity in sure:
            sure.add(header["prev"])
    return {identity for identity, _, _ in messages} & sure


def read_log(text):
    return Log(decode("LogFile", armoured(text, "BELFRY LOG")))


def met(text):
    """The records of a file that a node may meet; a statement is one without entry."""
    if "BEGIN BELFRY STATEMENT" in text:
        return [{"entry": None, "statement": decode("Signed", armoured(text, "BELFRY STATEMENT"))}]
    if "BEGIN BELFRY CERTIFICATE" in text:
        return [decode("Record", armoured(text, "BELFRY CERTIFICATE"))]
    label = "BELFRY EQUIVOCATION" if "BEGIN BELFRY EQUIVOCATION" in text else "BELFRY LOG"
    return decode("LogFile", armoured(text, label))["records"]


def read(name):
    with open(name, encoding="ascii") as file:
        return file.read()


def look(log, names):
    """What was met beside a log, and what it comes to. Of a whole branch most says nothing of this; a statement that does not is refused."""
    sight = Sight(log)
    for name in names:
        records = met(read(name))
        for record in records:
            try:
                sight.meet(record)
            except Refused as reason:
                if len(records) == 1:
                    raise
                print("passed over:", reason)
    if sight.forked_at:
        print("forked from", sight.forked_at, "on")
    for serial in sorted(sight.taken["suspended"]):
        print("on sight: certificate", serial, "suspended")
    for serial, effective in sorted(sight.taken["revoked"].items()):
        print("on sight: certificate", serial, "revoked from", effective)
    for serial, group in sorted(sight.taken["groups"]):
        print("on sight: certificate", serial, "is not in group", group)
    return sight


def main(arguments):
    if arguments[0] == "--equivocation":
        proof = decode("LogFile", armoured(read(arguments[1]), "BELFRY EQUIVOCATION"))
        height, key, entries = equivocation(proof)
        print("coalition", walk(proof["charters"])[0]["id"].hex())
        print("equivocation at", height, "by", key.hex(), *(entry.hex() for entry in entries))
        return
    log, now = read_log(read(arguments[0])), time.time_ns() // 1000
    print("coalition", log.coalition.hex())
    print("head", len(log.entries), log.head.hex())
    for serial, certificate in sorted(log.certificates.items()):
        print("certificate", serial, certificate["status"], certificate["organisation"]["name"])
    given = lambda option: [arguments[i + 1] for i, argument in enumerate(arguments) if argument == option]
    sight, by_certificate = look(log, given("--seen")), {}
    for name in given("--message"):
        identity, header, certificate = log.message(armoured(read(name), "BELFRY MESSAGE"))
        stands, judged = log.admitted(identity, header, certificate)
        require(not sight.waits(header, now), "its author is removed on sight: it waits for the admin log")
        by_certificate.setdefault(header["serial"], []).append((identity, header, stands))
        print("message", identity.hex(), "by", certificate["organisation"]["name"], "in group", header["group"])
        print("place: log", header["log"].hex(), "message", header["sequence"])
        print("judged:", ", ".join(judged))
        print("not judged: clocks, content")
    for messages in by_certificate.values():
        sure = together(messages)
        for identity, _, stands in messages:
            told = "yes" if identity in sure else "below a cut: yes, if the cut's message links back to it"
            print("stands:", identity.hex(), told)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as reason:
        sys.exit(f"refused: {reason}")
