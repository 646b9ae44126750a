"""Clauses of standards, each shown by one test; `tests/conformance.md` lists them."""

import importlib.util
import inspect
import pathlib
import re
import sys
from typing import NamedTuple

from rc.server import ROOT

DIRECTORY = ROOT / "tests/blackbox/conformance"
LIST = ROOT / "tests/conformance.md"
COMMAND = "target/blackbox-venv/bin/python tests/blackbox/conformance/write_list.py"


class Clause(NamedTuple):
    """What a standard says, in our words."""

    rfc: str
    section: str
    text: str

    def order(self):
        numbers = tuple(int(number) for number in re.findall(r"\d+", self.section))
        return int(self.rfc.split()[1]), numbers, self.text


def clause(rfc, section, text):
    """Says which clause a test shows."""
    assert re.fullmatch(r"RFC \d+", rfc) and re.fullmatch(r"[\dA-Z.]+", section) and text, (rfc, section, text)

    def mark(function):
        assert not hasattr(function, "clause"), f"{function.__name__} shows two clauses"
        function.clause = Clause(rfc, section, text)
        return function

    return mark


def collect():
    """[(clause, file, test)] of the tests, in the order of the standards; fails where a test shows none."""
    found = []
    for path in sorted(DIRECTORY.glob("test_*.py")):
        for name, function in _functions(path):
            if name.startswith("test_"):
                assert hasattr(function, "clause"), f"{path.name}: {name} shows no clause"
                found.append((function.clause, path.name, name))
    return sorted(found, key=lambda item: item[0].order())


def _functions(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return inspect.getmembers(module, lambda item: inspect.isfunction(item) and item.__module__ == path.stem)


def as_text():
    """The list, as `tests/conformance.md` has it."""
    rows = collect()
    lines = [
        "# Conformance",
        "",
        f"What the standards ask of a server's answers, one test a clause: {len(rows)} clauses of "
        f"{len({clause.rfc for clause, _, _ in rows})} standards. `tests/run` shows them on every change, with the release",
        "binary, over its sockets. Those of RFC 8906 are asked of a zone of services, a zone file and a reverse zone.",
        "",
        f"This page is written by `{COMMAND}`.",
    ]
    last = None
    for shown, file, name in rows:
        if shown.rfc != last:
            number = shown.rfc.split()[1]
            lines += ["", f"## [{shown.rfc}](https://www.rfc-editor.org/rfc/rfc{number})", ""]
            lines += ["| section | clause | test |", "|---|---|---|"]
            last = shown.rfc
        lines.append(f"| {shown.section} | {shown.text} | `{pathlib.Path(file).stem}::{name}` |")
    return "\n".join(lines) + "\n"
