"""What the conformance tests ask: zones of services, of files and of addresses, on one server."""

# A zone file of a zone without services. SOA has its own TTL and minimum; names are of every kind.
CORP = r"""
$TTL 300
@          SOA   ns hostmaster 4294967290 3600 600 86400 30
@          NS    ns
@          NS    ns2
@          MX    10 mail
@          MX    20 mail2
@          TXT   "one" "two"
@          CAA   0 issue "ca.example"
ns         A     192.0.2.53
ns2        A     192.0.2.54
ns2        AAAA  2001:db8::54
mail       A     192.0.2.25
mail2      A     192.0.2.26
mail2      AAAA  2001:db8::26
twice      A     192.0.2.1
twice      A     192.0.2.1
ttls   60  A     192.0.2.1
ttls   90  A     192.0.2.2
eternal 2147483647 A 192.0.2.3
zero    0  A     192.0.2.4
; Aliases
www        CNAME front
front      CNAME mail
away       CNAME www.example.org.
loop1      CNAME loop2
loop2      CNAME loop1
self       CNAME self
dangling   CNAME nosuch
intosub    CNAME host.sub
intodeep   CNAME host.deep
service    CNAME web.svc.internal.
tonobody   CNAME nobody.svc.internal.
; Wildcards, by the closest encloser
*.wild     TXT   "wild"
*.wild     MX    10 host1.wild
sub.*.wild TXT   "not wild"
host1.wild A     192.0.2.31
_ssh._tcp.host1.wild SRV 0 0 22 host1.wild
_ssh._tcp.host2.wild SRV 0 0 22 host1.wild
subdel.wild NS   ns.subdel.wild
ns.subdel.wild A 192.0.2.32
*.alias    CNAME mail
*.srv      SRV   0 5 80 mail
x.y.*.empty A    192.0.2.33
; An empty non-terminal
a.b.ent    A     192.0.2.40
; Delegations: inside, with a DS, to a zone that is here, to more servers than fit
sub        NS    ns1.sub
sub        NS    ns.elsewhere.example.
ns1.sub    A     192.0.2.60
ns1.sub    AAAA  2001:db8::60
signed     NS    ns1.signed
signed     DS    12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
ns1.signed A     192.0.2.61
deep       NS    ns.deep
deep       DS    54321 13 2 FEDCBA9876543210FEDCBA9876543210FEDCBA9876543210FEDCBA9876543210
ns.deep    A     192.0.2.62
sibling    NS    ns1.sub
{many}
; Services
_not._tcp  SRV   0 0 0 .
_imap._tcp SRV   10 60 143 mail
_imap._tcp SRV   10 40 143 mail2
_imap._tcp SRV   20 0 143 mail.example.org.
https      HTTPS 1 mail2 alpn=h2
alone      HTTPS 1 . alpn=h2
; Types that nobody knows, and known ones written as unknown
odd        TYPE65280 \# 5 C00C010203
odd        TYPE731   \# 0
generic    A     \# 4 C0000246
; Labels of any octets
brace\123  A     192.0.2.70
latin\196  A     192.0.2.71
dot\.label A     192.0.2.72
nul\000    A     192.0.2.73
UPPER      A     192.0.2.74
{label63}  A     192.0.2.75
{longest}  A     192.0.2.76
; RRsets that do not fit
{big}
""".replace(
    "{many}",
    "\n".join(
        f"many NS ns{number:02}-of-the-many.many\nns{number:02}-of-the-many.many A 192.0.2.{number + 100}"
        for number in range(20)
    ),
)
LABEL63 = "l" * 63
# With `corp.test.` 255 octets.
LONGEST = ".".join(["n" * 63, "n" * 63, "n" * 63, "n" * 51])
CORP = CORP.replace("{label63}", LABEL63).replace("{longest}", LONGEST)
# Records of `big`, which 1,232 octets do not hold; of `huge`, whose reply goes beyond what a pointer reaches; of `extra`,
# which 512 octets hold without their addresses.
BIG, HUGE, EXTRA = 80, 1500, 10
CORP = CORP.replace(
    "{big}",
    "\n".join(
        [f"big A 10.9.0.{number}" for number in range(BIG)]
        + [f"extra SRV 0 0 {number} target-{number:04}" for number in range(EXTRA)]
        + [f"huge SRV 0 0 {number} target-{number:04}" for number in range(HUGE)]
        + [f"target-{number:04} A 10.8.{number // 250}.{number % 250}" for number in range(HUGE)]
    ),
)
# A part of corp.test. that is here as well: its SOA's TTL is below its minimum.
DEEP = """
$TTL 300
@ 20 SOA ns hostmaster 1 3600 600 86400 900
@    NS  ns
ns   A   192.0.2.62
host A   192.0.2.63
"""
# What a zone of services has beside them.
LAB = """
$TTL 300
@     SOA   ns hostmaster 1 3600 600 86400 900
@     NS    ns
ns    A     192.0.2.80
alias CNAME web
*     A     192.0.2.81
"""
CONFIG = {
    "dns": {
        "zones": ["svc.internal.", "lab.internal.", "home.arpa."],
        "reverse_zones": ["10.in-addr.arpa.", "d.f.ip6.arpa."],
        "tcp_idle_secs": 2,
    }
}
ZONE_FILES = {"corp.test.zone": CORP, "deep.corp.test.zone": DEEP, "lab.internal.zone": LAB}
MANY = 90


def register(server):
    """The services: `web` with three instances, `many` with more than fit, `tiers` with priorities."""
    for number in (1, 2, 3):
        server.api.register(
            "web", f"w{number}", 8080, addresses=[f"10.0.0.{number}", f"fd00::{number}"], lease_secs=None,
            weight=number, tags=["blue"], ports={"metrics": 9090},
        )  # fmt: skip
    for number in range(MANY):
        server.api.register("many", f"m-{number:02}", addresses=[f"10.1.0.{number}"], lease_secs=None)
    for priority in (10, 20):
        server.api.register(
            "tiers", f"t{priority}", priority, addresses=[f"10.2.0.{priority}"], priority=priority, weight=7,
            lease_secs=None,
        )  # fmt: skip
    return server
