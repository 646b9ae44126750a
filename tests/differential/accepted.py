"""The differences that are known, each with its reason. What is not here fails the run."""

from collections.abc import Callable
from typing import NamedTuple

import replies

ANY, NSEC, NSEC3, RRSIG = 255, 47, 50, 46
DO = 0x8000
SECTIONS = ("answer", "authority", "additional")
# Aliases that Knot follows at most.
KNOT_LINKS = 5
# Aliases from one of the two zones into the other.
BETWEEN_ZONES = {"to-child.diff.test.", "up.child.diff.test."}
# The glue that a service names as its target.
GLUE = "ns1.sub.diff.test."
# Octets of the largest address RRset that an answer names: two A records.
LARGEST_ADDITIONAL = 32


class Accepted(NamedTuple):
    """One difference that is known: to whom, in which fields, why, and how it is told from others."""

    references: tuple
    fields: tuple
    reason: str
    holds: Callable


def reason(reference, field, question, mine, theirs):
    """Why a field differs, or None."""
    for known in ACCEPTED:
        if reference in known.references and field in known.fields and known.holds(question, mine, theirs):
            return known.reason
    return None


def is_any(question, mine, theirs):
    return question.type == ANY and mine.types("answer") <= {"CNAME", "HINFO"} and mine.rcode == theirs.rcode


def alias_is_not_followed(question, mine, theirs):
    return question.type in (NSEC, RRSIG) and "CNAME" in mine.types("answer") and theirs.answer < mine.answer


def nsec3_alias_is_not_followed(question, mine, theirs):
    return question.type == NSEC3 and "CNAME" in mine.types("answer") and not theirs.answer


def alias_between_zones(question, mine, theirs):
    links = [record for record in theirs.answer if record[1] == "CNAME"]
    return any(owner in BETWEEN_ZONES for owner, *_ in links) and theirs.answer <= mine.answer


def is_full(question, reply):
    """Whether an address RRset more might not have fitted."""
    return not question.tcp and replies.limit(question) - reply.octets < LARGEST_ADDITIONAL


def other_additional_records_fit(question, mine, theirs):
    return mine.answer == theirs.answer and is_full(question, mine) and not mine.tc


def circle_of_a_wildcard(question, mine, theirs):
    """Beyond ours they have one alias, of a name to itself."""
    more = theirs.answer - mine.answer
    return mine.answer < theirs.answer and {kind for _, kind, _, _ in more} == {"CNAME"} and len(more) == 1


def chain_is_cut(question, mine, theirs):
    links = [record for record in theirs.answer if record[1] == "CNAME"]
    return len(links) == KNOT_LINKS and theirs.answer < mine.answer


def glue_does_not_fit(question, mine, theirs):
    return not question.tcp and mine.tc and not theirs.tc and _is_referral(mine) and _is_referral(theirs)


def _is_referral(reply):
    return reply.types("authority") == {"NS"} and not reply.types("answer") - {"CNAME"}


def apex_servers_beside_an_answer(question, mine, theirs):
    return mine.answer == theirs.answer and not mine.authority and theirs.types("authority") == {"NS"}


def apex_servers_addresses(question, mine, theirs):
    """Theirs has what ours has, and more; unless theirs is full."""
    if not apex_servers_beside_an_answer(question, mine, theirs):
        return False
    return mine.additional <= theirs.additional or is_full(question, theirs)


def addresses_of_https(question, mine, theirs):
    return mine.types("answer") & {"HTTPS", "SVCB"} and mine.answer == theirs.answer


def addresses_below_a_cut(question, mine, theirs):
    more = mine.additional - theirs.additional
    return mine.answer == theirs.answer and {owner for owner, *_ in more} == {GLUE}


def badvers_without_do(question, mine, theirs):
    return mine.rcode == theirs.rcode == "BADVERS" and mine.edns == (0, DO) and theirs.edns == (0, 0)


BOTH = ("knot", "nsd")
ACCEPTED = (
    Accepted(
        BOTH, ("cd",), "CD is copied, as RFC 4035, section 3.1.6, demands; they clear it",
        lambda question, mine, theirs: mine.cd and not theirs.cd,
    ),
    Accepted(
        BOTH, (*SECTIONS, "tc"),
        "ANY is answered with one HINFO (RFC 8482, section 4.2); they send one RRset, or all", is_any,
    ),
    Accepted(
        ("nsd",), ("edns",), "BADVERS copies DO (RFC 3225, section 3); NSD clears it", badvers_without_do,
    ),
    Accepted(
        ("knot",), (*SECTIONS, "rcode"), "Knot follows no alias for NSEC and RRSIG, which may stand beside one in signed zones",
        alias_is_not_followed,
    ),
    Accepted(
        ("knot",), SECTIONS, f"Knot follows {KNOT_LINKS} aliases at most, and says no more then", chain_is_cut,
    ),
    Accepted(
        ("nsd",), (*SECTIONS, "rcode"), "NSD follows no alias for NSEC3", nsec3_alias_is_not_followed,
    ),
    Accepted(
        ("knot",), SECTIONS,
        "an alias into another of our zones is followed (RFC 1034, section 4.3.2); Knot stays in the zone",
        alias_between_zones,
    ),
    Accepted(
        BOTH, ("additional",), "of additional records that do not all fit, which do depends on the order that rotates",
        other_additional_records_fit,
    ),
    Accepted(
        BOTH, ("answer",), "where a wildcard's alias leads into itself, its record is sent once, not once a name",
        circle_of_a_wildcard,
    ),
    Accepted(
        ("nsd",), ("tc", "additional"),
        "glue that does not fit sets TC (RFC 9471, section 3.1); NSD leaves it out silently", glue_does_not_fit,
    ),
    Accepted(
        ("knot",), ("tc", "additional"),
        "names in NS data are not compressed by us, so that less glue fits than in a reply of Knot", glue_does_not_fit,
    ),
    Accepted(
        ("nsd",), ("authority",), "NSD adds the zone's own NS to an answer", apex_servers_beside_an_answer,
    ),
    Accepted(
        ("nsd",), ("additional",), "NSD adds the addresses of the zone's own NS to an answer", apex_servers_addresses,
    ),
    Accepted(
        ("nsd",), ("additional",),
        "addresses of a target of HTTPS and SVCB are added (RFC 9460, section 4.1); NSD adds none", addresses_of_https,
    ),
    Accepted(
        ("nsd",), ("additional",),
        "the address of a target below a delegation is added where we have it; NSD does not", addresses_below_a_cut,
    ),
)  # fmt: skip
