"""The README's command blocks, and what they are said to print."""

import re

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# The ports that the README uses, replaced if something on this machine has them.
PORTS = re.compile(r"(?<!\d)(5300|5301|5302|5303|5304|8053|8054|8055|8056|8057|8457|8000|8530)(?!\d)")


class Block:
    """One `sh` block, its line in the README, and the `text` block right behind it, if there is one."""

    def __init__(self, line, script):
        self.line, self.script, self.expected = line, script, None

    @property
    def serves(self):
        """Whether it is a server in the foreground: a reader runs it in a terminal of its own."""
        last = self.script.strip().splitlines()[-1]
        return re.match(r"(cargo run --release -- |rollcall )serve\b", last) and not last.endswith("&")

    def __str__(self):
        return f"README.md line {self.line}"


def blocks(text):
    """All `sh` blocks in order."""
    found, end = [], 0
    for match in FENCE.finditer(text):
        language, body = match.groups()
        line = text.count("\n", 0, match.start()) + 2
        if language == "sh":
            found.append(Block(line, body))
        elif language == "text":
            # What is between it and the commands is a blank line, or a sentence such as "prints".
            assert found and found[-1].expected is None, f"line {line}: output without commands"
            found[-1].expected = body
        end = match.end()
    assert text.count("```", end) == 0, "a fence is not closed"
    return found


def example(text, language):
    """The only block in this language: a configuration for another program."""
    found = [match.group(2) for match in FENCE.finditer(text) if match.group(1) == language]
    assert len(found) == 1, f"{len(found)} blocks of {language}"
    return found[0]


def recipes(text):
    """What is under each heading of the section "Recipes": {"Unbound": {path: file}}. A file's first line is its path; a
    command has none, and is at ""."""
    section = text.split("\n## Recipes\n")[1].split("\n## ")[0]
    found = {}
    for part in section.split("\n### ")[1:]:
        files = found[part.splitlines()[0]] = {}
        for _, body in FENCE.findall(part):
            path = re.match(r"(?:# (/\S+)\n)?", body).group(1) or ""
            assert path not in files, f"twice: {path}"
            files[path] = body
    return found


def matches(expected, output):
    """Whether the output is what is expected, line by line; `…` stands for anything within a line."""
    wanted, got = expected.strip().splitlines(), output.strip().splitlines()
    return len(wanted) == len(got) and all(_line(want, line) for want, line in zip(wanted, got))


def _line(want, line):
    pattern = ".*".join(re.escape(part) for part in want.rstrip().split("…"))
    return re.fullmatch(pattern, line.rstrip()) is not None
