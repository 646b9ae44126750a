"""The differential run: random questions to three servers, their replies side by side. `run --help` says how."""

import argparse
import collections
import contextlib
import pathlib
import random
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "blackbox"))

import accepted  # noqa: E402 - these find the black-box tests' modules by the line above
import questions  # noqa: E402
import replies  # noqa: E402
import servers  # noqa: E402

# Unexplained differences that are shown; more of them seldom say more.
SHOWN = 10


def main():
    arguments = read_arguments()
    random_source = random.Random(arguments.seed)
    zones = [HERE / name for name in ("diff.test.zone", "child.diff.test.zone")]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        started = servers.start(pathlib.Path(directory), zones, stack)
        generator = questions.Generator(random_source, zones)
        tally = compare(started, generator, arguments.queries)
    tally.report(arguments, time.monotonic() - began)
    return 1 if tally.unexplained or tally.asked < arguments.queries else 0


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed asks the same questions")
    parser.add_argument("--queries", type=int, default=20_000)
    return parser.parse_args()


def compare(started, generator, count):
    """Asks `count` questions of all servers."""
    ours, *references = started
    tally = Tally()
    for _ in range(count):
        question = generator.next()
        tally.asked += 1
        reply = ours.ask(question)
        assert not replies.repeats(reply), f"a record comes twice in the reply to {question}"
        mine = replies.read(reply, question)
        tally.replies[mine.rcode] += 1
        for reference in references:
            theirs = replies.read(reference.ask(question), question)
            for difference in replies.differences(mine, theirs):
                tally.judge(question, reference.name, difference, mine, theirs)
    return tally


class Tally:
    """What was asked, and how the differences were explained."""

    def __init__(self):
        self.asked, self.unexplained = 0, 0
        self.replies, self.explained = collections.Counter(), collections.Counter()

    def judge(self, question, reference, difference, mine, theirs):
        reason = accepted.reason(reference, difference, question, mine, theirs)
        if reason is not None:
            self.explained[reference, reason] += 1
            return
        self.unexplained += 1
        if self.unexplained <= SHOWN:
            print(f"DIFFERENCE in {difference} from {reference}: {question}: {mine.rcode}, {mine.octets} octets")
            print(f"  {replies.shown(difference, mine, theirs)}", flush=True)

    def report(self, arguments, seconds):
        for (reference, reason), count in sorted(self.explained.items()):
            print(f"{count:7} × {reference}: {reason}")
        codes = ", ".join(f"{count} {code}" for code, count in self.replies.most_common())
        print(
            f"seed {arguments.seed}: {self.asked} questions in {seconds:.0f} s ({codes}), "
            f"{self.explained.total()} differences with a reason, {self.unexplained} without"
        )


if __name__ == "__main__":
    sys.exit(main())
