"""MISP's warning lists by MISP's own rules, and the few values of the samples that belfry lists by itself."""

import glob
import ipaddress
import json
import os

import misp

# Public resolvers are in belfry's own lists.
BUILT_IN = {("ipv4-addr", "8.8.8.8")}


class Lists:
    def __init__(self, folder):
        self.exact, self.hosts, self.nets = {}, {}, []
        for path in glob.glob(os.path.join(folder, "*.json")):
            with open(path, encoding="utf-8") as file:
                one = json.load(file)
            # Of these types of MISP's: what they name.
            kinds = {kind for of in one["matching_attributes"] if not of.startswith("x509-") for kind in misp.TYPES.get(of, [])}
            if "ip" in kinds:
                kinds |= {"ipv4-addr", "ipv6-addr"}
            for entry in one["list"]:
                if one["type"] == "cidr":
                    self.nets.append((ipaddress.ip_network(entry.strip(), strict=False), kinds))
                elif one["type"] == "hostname" or entry.startswith("."):
                    self.hosts.setdefault(entry.strip().lstrip(".").lower(), set()).update(kinds)
                else:
                    self.exact.setdefault(entry.strip().lower(), set()).update(kinds)

    def block(self, kind, value):
        if (kind, value) in BUILT_IN or kind in self.exact.get(value.lower(), ()):
            return True
        if kind == "domain-name":
            labels = value.split(".")
            return any(kind in self.hosts.get(".".join(labels[i:]), ()) for i in range(len(labels)))
        if kind in ("ipv4-addr", "ipv6-addr"):
            net = ipaddress.ip_network(value)
            # A range hurts by whatever it holds.
            return any(kind in kinds and net.version == listed.version and net.overlaps(listed) for listed, kinds in self.nets)
        return False
