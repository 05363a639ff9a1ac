"""A cable between two network interfaces that loses, delays and withholds what it carries, in user space.

    link.py cable LEFT RIGHT --loss 0.1 --delay 0.03 --seed 1    carries frames until it is killed
    link.py cable INSIDE OUTSIDE --answers-only --no-udp         the same, as a firewall before INSIDE
    link.py plain INTERFACE...                                   has the kernel finish checksums and segments itself

A veth pair leaves checksums and segments to a device that does not exist; whoever reads raw frames from it would hand on
what every receiver drops. Needs CAP_NET_RAW and CAP_NET_ADMIN of its own network namespace only.
"""

import argparse
import ctypes
import fcntl
import heapq
import random
import select
import socket
import struct
import time

SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO
OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)
EVERY_PROTOCOL = 3
FRAME = 1 << 17


def plain(name):
    """Turns off what the device would do for the kernel, as far as it is on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            request = struct.pack("16sP", name.encode(), ctypes.addressof(value)).ljust(40, b"\0")
            try:
                fcntl.ioctl(handle, SIOCETHTOOL, request)
            except OSError as error:
                print(f"{name}: offload {command:#x} stays: {error}", flush=True)


def opened(name):
    """Every frame that arrives at the interface, and those alone."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    found.bind((name, 0))
    found.setblocking(False)
    return found


class Firewall:
    """Lets in what answers something that went out, as every office's does; and no UDP at all, as some do."""

    def __init__(self, answers_only, no_udp):
        self.answers_only, self.no_udp = answers_only, no_udp
        self.out = set()

    def passes(self, frame, is_outbound):
        """Whether the frame goes through; what is neither TCP nor UDP over IPv4 does (ARP, say)."""
        if frame[12:14] != b"\x08\x00" or frame[23] not in (6, 17):
            return True
        if self.no_udp and frame[23] == 17:
            return False
        ports = 14 + (frame[14] & 15) * 4
        source, target = (frame[26:30], frame[ports : ports + 2]), (frame[30:34], frame[ports + 2 : ports + 4])
        if is_outbound:
            self.out.add((frame[23], source, target))
            return True
        return not self.answers_only or (frame[23], target, source) in self.out


def cable(left, right, loss, delay, seed, firewall):
    chance = random.Random(seed)
    ends = {}
    one, other = opened(left), opened(right)
    ends[one], ends[other] = other, one
    waiting, number = [], 0
    print("up", flush=True)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, end, frame = heapq.heappop(waiting)
            try:
                end.send(frame)
            except OSError:
                pass  # The interface is down, or its queue full: lost, too.
        wait = max(0.0, waiting[0][0] - now) if waiting else None
        for end in select.select(list(ends), [], [], wait)[0]:
            try:
                frame, (_, _, kind, *_) = end.recvfrom(FRAME)
            except OSError:
                continue
            if kind == socket.PACKET_OUTGOING or chance.random() < loss:
                continue
            if not firewall.passes(frame, end is one):
                continue
            number += 1
            # Not all alike, so that some overtake others.
            due = time.monotonic() + delay * chance.uniform(0.5, 1.5)
            heapq.heappush(waiting, (due, number, ends[end], frame))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("cable")
    one.add_argument("left")
    one.add_argument("right")
    one.add_argument("--loss", type=float, default=0.0)
    one.add_argument("--delay", type=float, default=0.0)
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--answers-only", action="store_true")
    one.add_argument("--no-udp", action="store_true")
    commands.add_parser("plain").add_argument("interfaces", nargs="+")
    arguments = parser.parse_args()
    if arguments.command == "plain":
        for name in arguments.interfaces:
            plain(name)
    else:
        firewall = Firewall(arguments.answers_only, arguments.no_udp)
        cable(arguments.left, arguments.right, arguments.loss, arguments.delay, arguments.seed, firewall)


main()
