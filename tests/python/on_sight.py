"""Removals that a log has not decided on (proto/WIRE.md, "On sight"): what they take away, for how long, and from whom."""

from records import admits, check_record, check_statement
from wire import REMOVALS, require

# Held at a time; of revocations, twice as many.
MOST = 1024


class Sight:
    """What was met beside a log. It takes, and moves nothing in the log."""

    def __init__(self, log):
        self.log = log
        # Heights at which the registrar is proven to have signed two entries.
        self.proven = set()
        # Statement id -> the statement, as `records.check_statement` gives it.
        self.seen = {}
        self.taken = {"suspended": set(), "revoked": {}, "groups": set()}

    @property
    def newest(self):
        return self.log.chain[-1]

    @property
    def pinned(self):
        return self.newest["pin"]["height"] if self.newest["pin"] else 0

    @property
    def forked_at(self):
        """The lowest height of two entries that no pin has settled."""
        return min((height for height in self.proven if height > self.pinned), default=None)

    def meet(self, record):
        """A record of another branch, ahead of the log, or without entry. Refused unless it proves a fork or takes something away."""
        require(record["statement"], "a record holds a statement")
        if record["entry"]:
            checked = check_record(self.log.chain, record)
            proves = self.prove(checked)
            ordered = checked["by"] == {self.newest["registrar"]}
        else:
            checked, proves, ordered = check_statement(self.log.chain, record["statement"]), False, False
        if proves and checked["kind"] not in REMOVALS:
            return
        require(checked["kind"] in REMOVALS, "only removals hold before the log has decided on them")
        require(ordered or self.forked_at, "the registrar of today did not order it, and the log is not forked here")
        require(self.see(checked) or proves, "it takes nothing away that is not gone already")

    def prove(self, checked):
        """Whether the entry and the log's own of that height are proof that the registrar signed two logs, and a new one."""
        height = checked["height"]
        if not self.pinned < height <= len(self.log.entries) or self.log.entries[height - 1] == checked["entry"]:
            return False
        if checked["by"] != {self.log.ordered_by[height - 1]} or height in self.proven:
            return False
        self.proven.add(height)
        self.weigh()
        return True

    def see(self, checked):
        """Keeps a removal if it takes something away; says whether it does."""
        identity = checked["statement"]
        most = 2 * MOST if checked["kind"] == "revoke" else MOST
        # Who was an admin by an older charter may have been taken out of this one for what its keys sign now.
        require(checked["says"]["charter_version"] == self.newest["version"], "made under a charter that is over")
        require(identity not in self.log.decided, "the log has decided on it")
        if identity in self.seen or len(self.seen) >= most:
            return False
        before = self.taken
        self.seen[identity] = checked
        self.weigh()
        if self.taken == before:
            del self.seen[identity]
        return self.taken != before

    def over(self, log):
        """The same once the log, or its charters, have gone on: what these have settled is forgotten."""
        later = Sight(log)
        later.proven = set(self.proven)
        # Between a charter and the branch that it pins, which is still on its way, what was seen before goes on to hold.
        is_on_its_way = len(log.entries) < later.pinned
        for identity, checked in self.seen.items():
            is_current = checked["says"]["charter_version"] >= later.newest["version"]
            if (is_current or is_on_its_way) and identity not in log.decided:
                later.seen[identity] = checked
        later.weigh()
        return later

    def weigh(self):
        """What all that is held comes to. In whatever order it was met, it is the same."""
        suspended, revoked, groups = set(), {}, set()
        for checked in self.seen.values():
            decision = checked["says"][checked["kind"]]
            serial = decision["serial"]
            held = self.log.certificates.get(serial)
            if held is None:
                continue
            # From the fork on a number means another certificate on the other branch; a member's id means the member.
            is_the_same = self.forked_at is None or serial < self.forked_at
            if checked["kind"] == "revoke" and decision["member"] == held["member"]:
                effective = 0 if held["status"] in ("suspended", "superseded") else decision["effective"]
                if held["status"] != "revoked" or effective < held["effective"]:
                    revoked[serial] = min(effective, revoked.get(serial, effective))
            elif checked["kind"] == "suspend" and is_the_same and held["status"] == "active":
                suspended.add(serial)
            elif checked["kind"] == "disentitle" and is_the_same:
                groups |= {(serial, group) for group in decision["groups"] if group in held["roles"]}
        self.taken = {"suspended": suspended, "revoked": revoked, "groups": groups}

    def removed(self, serial, now):
        """What a certificate is by sight alone, if anything."""
        if serial in self.taken["revoked"] and now >= self.taken["revoked"][serial]:
            return "revoked"
        return "suspended" if serial in self.taken["suspended"] else None

    def standing(self, serial, now):
        by_log = self.log.standing(serial, now)
        gone = by_log in ("unknown", "revoked", "suspended", "superseded")
        return by_log if gone else self.removed(serial, now) or by_log

    def role(self, serial, group, now):
        """1 reader, 2 publisher, 3 steward, 0 none."""
        held, rules = self.log.certificates.get(serial), self.newest["by_id"].get(group)
        if held is None or rules is None or not admits(rules, held["organisation"]) or (serial, group) in self.taken["groups"]:
            return 0
        if self.standing(serial, now) != "valid" or self.log.overdue(held["member"], self.newest, now) == 2:
            return 0
        return held["roles"].get(group, 0)

    def waits(self, header, now):
        """Whether a message that is not held yet waits until the log, or a charter, says what stands of it."""
        serial = header["serial"]
        return self.removed(serial, now) is not None or (serial, header["group"]) in self.taken["groups"]
