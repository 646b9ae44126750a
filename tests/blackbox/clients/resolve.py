"""Asks Python: getaddrinfo for `addresses NAME`, dnspython with resolv.conf for `services NAME` and `resolve4 NAME`.

Each line of standard input is answered with a line of words; `! reason` when it fails.
"""

import socket
import sys

import dns.exception
import dns.resolver


def addresses(name):
    found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
    return [address[0] for _, _, _, _, address in found]


def resolve4(name):
    return [record.address for record in dns.resolver.resolve(name, "A", search=True)]


def services(name):
    return [
        f"{record.priority}:{record.weight}:{record.port}:{record.target}"
        for record in dns.resolver.resolve(name, "SRV", search=True)
    ]


for line in sys.stdin:
    verb, name = line.split()
    try:
        print(*globals()[verb](name))
    except (OSError, dns.exception.DNSException) as error:
        print("!", repr(error).replace("\n", " "))
