"""The demo's story, told by driving the real binary. Standard library only; started by scripts/demo."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

BELFRY = os.environ["BELFRY_BIN"]
CHECK = "--check" in sys.argv[1:]
PATIENCE = float(os.environ.get("BELFRY_DEMO_PATIENCE", "120"))
TAXII = "application/taxii+json;version=2.1"
GROUP = "cidr"


class Failed(Exception):
    """A step's promise did not come true."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def eventually(what, condition):
    """Waits until the condition holds, and says what did not come true if it never does."""
    deadline, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (OSError, Failed, subprocess.CalledProcessError) as error:
            last = error
        time.sleep(0.1)
    raise Failed(f"{what}: not within {PATIENCE:.0f} s (last: {last!r})")


def run(*args, cwd=None):
    done = subprocess.run([BELFRY, *map(str, args)], cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"belfry {' '.join(map(str, args))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Member:
    """One organisation's node: its folder, its config, its process."""

    def __init__(self, story, name, org, entity_class):
        self.story, self.name, self.org = story, name, org
        self.dir = story.root / name
        self.api, self.port = free_port(), free_port()
        self.process = None
        self.entity_class = entity_class

    def configure(self, bootstrap):
        self.config = self.story.root / f"{self.name}.toml"
        self.config.write_text(
            f'[node]\ndata_dir = "{self.dir}"\n'
            f'[keys]\npassphrase_file = "{self.story.passphrase}"\n'
            f'[network]\nlisten = ["/ip4/127.0.0.1/udp/{self.port}/quic-v1", "/ip4/127.0.0.1/tcp/{self.port}"]\n'
            f"bootstrap = {json.dumps(bootstrap)}\n"
            f'[api]\nlisten = "127.0.0.1:{self.api}"\n'
        )

    def belfry(self, *args):
        return run(args[0], "--config", self.config, *args[1:]) if args[0] != "token" else run(
            "token", args[1], "--config", self.config, *args[2:])

    def start(self):
        self.log = open(self.story.root / f"{self.name}.log", "ab")
        self.process = subprocess.Popen(
            [BELFRY, "run", "--config", str(self.config)], stdout=self.log, stderr=self.log, start_new_session=True)
        eventually(f"{self.name} answers", lambda: self.status())

    def status(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended with {self.process.returncode}, see {self.log.name}")
        return json.loads(self.belfry("status", "--json"))

    def token(self, name, *args):
        out = self.belfry("token", "create", "--name", name, *args)
        words = [w for w in out.split() if w.startswith("belfry_")]
        if not words:
            raise Failed(f"no token in {out!r}")
        return words[0]

    def get(self, path, token, accept=TAXII):
        connection = http.client.HTTPConnection("127.0.0.1", self.api, timeout=60)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failed(f"GET {path}: {answer.status} {body[:300]!r}")
        return json.loads(body)

    def objects(self, token):
        """Every object of the group that the token may have, page by page, by id."""
        found, next_ = {}, None
        while True:
            query = {"limit": "500"} | ({"next": next_} if next_ else {})
            page = self.get(f"/taxii2/root/collections/{GROUP}/objects/?{urllib.parse.urlencode(query)}", token)
            for item in page.get("objects", []):
                found[item["id"], item.get("modified", item.get("created", ""))] = item
            next_ = page.get("next")
            if not page.get("more"):
                return found

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Story:
    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="belfry-demo-"))
        self.root.chmod(0o700)
        self.passphrase = self.root / "passphrase"
        self.passphrase.write_text("the bell of the demonstration\n")
        self.passphrase.chmod(0o600)
        self.admin = self.root / "coalition"
        self.members, self.passed, self.failed = {}, 0, 0
        self.serials, self.height = {}, 0

    # -- steps ------------------------------------------------------------------------------------

    def found_coalition(self):
        out = run("coalition", "init", "--name", "Demo Coalition", "--out", self.admin,
                  "--passphrase-file", self.passphrase)
        return next((line for line in out.splitlines() if "oalition" in line), "").strip()

    def certify(self):
        people = [
            ("alice", "Alice Energy", "essential", "publisher"),
            ("bob", "Bob Bank", "financial", "publisher"),
            ("carol", "Carol Clinic", "important", "reader"),
            ("dave", "Dave Data", "ict-provider", "publisher"),
            ("carrier", "Carrier Cloud", "ict-provider", None),
        ]
        for person in people:
            self.issue(*person)
        log = self.export("log.pem")
        for name in self.members:
            self.join(name, log)
        return f"{len(people)} certificates, log in {log}"

    def issue(self, name, org, entity_class, role):
        member = Member(self, name, org, entity_class)
        self.members[name] = member
        request = self.root / f"{name}.request.pem"
        wanted = ["--groups", GROUP] if role else ["--carrier"]
        run("enroll", "--charter", self.admin / "charter.pem", "--org", org, "--class", entity_class,
            "--dir", member.dir, "--out", request, "--passphrase-file", self.passphrase,
            "--accept-arrangement", "--accept-rules", *wanted)
        certificate = self.root / f"{name}.certificate.pem"
        granted = ["--groups", GROUP, "--role", role] if role else ["--carrier"]
        run("coalition", "issue", request, "--dir", self.admin, "--out", certificate, "--yes",
            "--until", "2035-12-31", "--passphrase-file", self.passphrase, *granted)
        self.height += 1
        self.serials[name] = self.height

    def join(self, name, log):
        run("join", self.root / f"{name}.certificate.pem", "--log", log, "--dir", self.members[name].dir,
            "--passphrase-file", self.passphrase)

    def export(self, name):
        out = self.root / name
        run("coalition", "export", "--dir", self.admin, "--out", out)
        return out

    def connect(self):
        alice = self.members["alice"]
        alice.configure([])
        alice.start()
        peer_id = alice.status()["node"]["peer_id"]
        self.bootstrap = bootstrap = [f"/ip4/127.0.0.1/udp/{alice.port}/quic-v1/p2p/{peer_id}"]
        for name, member in self.members.items():
            if name != "alice":
                member.configure(bootstrap)
                member.start()
        full = len(self.members) - 1
        for member in self.members.values():
            eventually(f"{member.name} has {full} peers",
                       lambda m=member: m.status()["node"]["connected"] == full)
        return "everyone found everyone from one address"

    def publish(self):
        alice, bob = self.members["alice"], self.members["bob"]
        sample = Path(os.environ["BELFRY_SAMPLE"]) if "BELFRY_SAMPLE" in os.environ else self.sample("sample.json", 1)
        self.sent = json.loads(sample.read_text())["objects"]
        out = alice.belfry("publish", sample, "--group", GROUP, "--tlp", "amber")
        self.bob_siem = bob.token("siem", "--read", GROUP, "--max-tlp", "amber")
        wanted = {(o["id"], o.get("modified", o.get("created", ""))): o for o in self.sent}

        def complete():
            got = bob.objects(self.bob_siem)
            missing = [k for k in wanted if k not in got]
            return not missing or Failed(f"{len(missing)} of {len(wanted)} objects missing")

        eventually("every object at bob", lambda: complete() is True)
        got = bob.objects(self.bob_siem)
        different = [k for k, o in wanted.items() if got[k] != o]
        if different:
            raise Failed(f"{len(different)} objects differ, the first {different[0]}")
        return f"{len(wanted)} objects read by TAXII at Bob Bank, each equal; {out.splitlines()[0] if out else ''}"

    def carrier_opens_nothing(self):
        carrier = self.members["carrier"]

        def carried():
            groups = carrier.status()["held"]["groups"]
            return next((g for g in groups if g["slug"] == GROUP and g["entries"] > 0), None)

        group = eventually("the carrier holds messages", carried)
        token = carrier.token("look", "--read", GROUP, "--max-tlp", "amber+strict")
        if carrier.objects(token):
            raise Failed("the carrier shows objects")
        return f"{group['entries']} sealed messages carried, 0 objects shown"

    def red_to_one(self):
        alice, bob, carol = (self.members[n] for n in ("alice", "bob", "carol"))
        secret = self.sample("red.json", 2)
        alice.belfry("publish", secret, "--group", GROUP, "--tlp", "red", "--to", bob.org)
        key = next((o["id"], o["modified"]) for o in json.loads(secret.read_text())["objects"] if o["type"] == "indicator")
        red = bob.token("analyst", "--read", GROUP, "--max-tlp", "red")
        eventually("RED at bob", lambda: key in bob.objects(red))
        if key in bob.objects(self.bob_siem):
            raise Failed("RED left through a token that does not say RED")
        carol_red = carol.token("analyst", "--read", GROUP, "--max-tlp", "red")
        held = lambda m: next(g for g in m.status()["held"]["groups"] if g["slug"] == GROUP)["entries"]
        eventually("carol carries the sealed message", lambda: held(carol) == held(bob))
        if key in carol.objects(carol_red):
            raise Failed("RED opened at a member it was not for")
        return "opened by Bob Bank alone, and there only for the token that says RED"

    def revoke(self):
        alice, bob, dave = (self.members[n] for n in ("alice", "bob", "dave"))
        dave_token = dave.token("look", "--read", GROUP, "--max-tlp", "amber")
        before = eventually("dave reads so far", lambda: dave.objects(dave_token))
        cut = self.root / "dave.cut"
        alice.belfry("heads", dave.org, "--out", cut)
        run("coalition", "revoke", self.serials["dave"], "--reason", "left", "--cut", cut, "--dir", self.admin,
            "--yes", "--passphrase-file", self.passphrase)
        alice.belfry("import-log", self.export("log-after-revocation.pem"))
        self.height += 1
        for name in ("alice", "bob", "carol", "carrier"):
            member = self.members[name]
            eventually(f"{name} knows of the revocation",
                       lambda m=member: m.status()["held"]["roster_height"] >= self.height)
        eventually("dave's connections drop", lambda: dave.status()["node"]["connected"] == 0)
        news = self.sample("news.json", 3)
        alice.belfry("publish", news, "--group", GROUP, "--tlp", "amber")
        key = next((o["id"], o["modified"]) for o in json.loads(news.read_text())["objects"] if o["type"] == "indicator")
        eventually("bob reads the news", lambda: key in bob.objects(self.bob_siem))
        if dave.objects(dave_token).keys() != before.keys():
            raise Failed("the revoked member reads something new")
        return "connections dropped everywhere, fresh key, nothing new for Dave Data"

    def late_joiner(self):
        self.issue("erin", "Erin Engineering", "essential", "publisher")
        self.join("erin", self.export("log-with-erin.pem"))
        erin, bob = self.members["erin"], self.members["bob"]
        erin.configure(self.bootstrap)
        erin.start()
        # Nobody told the others: Erin's own node brings the log that names it.
        eventually("erin is admitted everywhere but at the revoked",
                   lambda: erin.status()["node"]["connected"] == len(self.members) - 2)
        news = self.sample("from-erin.json", 4)
        erin.belfry("publish", news, "--group", GROUP, "--tlp", "green")
        key = next((o["id"], o["modified"]) for o in json.loads(news.read_text())["objects"] if o["type"] == "indicator")
        eventually("bob reads erin", lambda: key in bob.objects(self.bob_siem))
        return "admitted by everyone without an admin's help, and heard at once"

    # -- the play ---------------------------------------------------------------------------------

    def sample(self, name, n):
        """A small bundle in documentation ranges; `n` makes its ids and values its own."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        ident = f"identity--00000000-0000-4000-8000-00000000000{n}"
        indicator = f"indicator--00000000-0000-4000-8000-00000000010{n}"
        malware = f"malware--00000000-0000-4000-8000-00000000020{n}"
        objects = [
            {"type": "identity", "spec_version": "2.1", "id": ident, "created": now, "modified": now,
             "name": "Alice Energy CERT", "identity_class": "organization"},
            {"type": "indicator", "spec_version": "2.1", "id": indicator, "created_by_ref": ident, "created": now,
             "modified": now, "name": f"beacon of campaign {n}", "pattern": f"[ipv4-addr:value = '198.51.100.{n}']",
             "pattern_type": "stix", "pattern_version": "2.1", "valid_from": now,
             "indicator_types": ["malicious-activity"]},
            {"type": "malware", "spec_version": "2.1", "id": malware, "created_by_ref": ident, "created": now,
             "modified": now, "name": f"Carillon {n}", "is_family": True, "malware_types": ["backdoor"]},
            {"type": "relationship", "spec_version": "2.1", "id": f"relationship--00000000-0000-4000-8000-00000000030{n}",
             "created_by_ref": ident, "created": now, "modified": now, "relationship_type": "indicates",
             "source_ref": indicator, "target_ref": malware},
        ]
        path = self.root / name
        bundle = {"type": "bundle", "id": f"bundle--00000000-0000-4000-8000-00000000040{n}", "objects": objects}
        path.write_text(json.dumps(bundle, indent=2))
        return path

    def play(self):
        steps = [
            ("a coalition is founded, offline", self.found_coalition),
            ("four members and a carrier are certified and join", self.certify),
            ("nodes find each other", self.connect),
            ("Alice Energy publishes, Bob Bank's SIEM reads it by TAXII", self.publish),
            ("the carrier carries and opens nothing", self.carrier_opens_nothing),
            ("TLP:RED to Bob Bank alone", self.red_to_one),
            ("Dave Data is revoked", self.revoke),
            ("Erin Engineering joins while the others run", self.late_joiner),
        ]
        for what, step in steps:
            try:
                said = step()
                self.passed += 1
                print(f"ok      {what}: {said}", flush=True)
            except Exception as error:  # every step's failure is told, none hides the others' count
                self.failed += 1
                print(f"FAILED  {what}: {error}", flush=True)
                self.failed += len(steps) - self.passed - self.failed
                break

    def where_to_look(self):
        bob = self.members.get("bob")
        print(f"\nFolder of the demo: {self.root} (logs in NAME.log, configurations in NAME.toml)")
        if bob and self.failed == 0:
            print(f"TAXII of Bob Bank:  http://127.0.0.1:{bob.api}/taxii2/")
            print(f"  curl -H 'Accept: {TAXII}' -H 'Authorization: Bearer {self.bob_siem}' \\")
            print(f"    http://127.0.0.1:{bob.api}/taxii2/root/collections/{GROUP}/objects/")
            print(f"Status of a node:   {BELFRY} status --config {bob.config}")

    def stop(self):
        for member in self.members.values():
            member.stop()


def main():
    story = Story()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        story.play()
        if not CHECK or story.failed:
            story.where_to_look()
        if not CHECK and story.failed == 0:
            print("\nRunning until Ctrl-C.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("\nstopping")
    finally:
        story.stop()
        if CHECK and story.failed == 0:
            shutil.rmtree(story.root, ignore_errors=True)
    if CHECK:
        print(f"{story.passed} passed, {story.failed} failed")
    sys.exit(1 if story.failed else 0)


main()
