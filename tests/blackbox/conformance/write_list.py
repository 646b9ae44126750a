"""Writes tests/conformance.md from the clauses that the tests beside this file show."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from rc import clause  # noqa: E402 - found by the line above

if __name__ == "__main__":
    clause.LIST.write_text(clause.as_text())
    print(f"wrote {clause.LIST} with {len(clause.collect())} clauses")
