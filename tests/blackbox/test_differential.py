"""Short differential runs (issue 4): the whole ones are `tests/differential/run` and `run-registry`."""

import subprocess

from rc.server import ROOT

QUERIES, CHANGES = 2000, 500


def test_no_difference_without_a_reason():
    """Random questions about a zone file: Knot and NSD answer as we do, but for what is listed with its reason."""
    command = [ROOT / "tests/differential/run", "--seed", "4", "--queries", str(QUERIES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{QUERIES} questions" in done.stdout and "0 without" in done.stdout


def test_no_difference_from_the_model():
    """Random changes of a registry, with reloads in between: every answer is as a model of it has it."""
    command = [ROOT / "tests/differential/run-registry", "--seed", "4", "--changes", str(CHANGES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{CHANGES} changes" in done.stdout
