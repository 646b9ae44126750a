"""A short differential run (issue 4): the whole one is `tests/differential/run`."""

import subprocess

from rc.server import ROOT

QUERIES = 2000


def test_no_difference_without_a_reason():
    """Random questions about a zone file: Knot and NSD answer as we do, but for what is listed with its reason."""
    command = [ROOT / "tests/differential/run", "--seed", "4", "--queries", str(QUERIES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{QUERIES} questions" in done.stdout and "0 without" in done.stdout
