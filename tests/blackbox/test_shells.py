"""Completions and manual pages (issue 5, point 6): taken by the shells and the formatters themselves."""

import shlex
import subprocess

import pytest

from rc.server import BINARY, run

# A shell's own word for "what would you offer", with the script that it has read before.
BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD={last}
_rollcall rollcall "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "source {script}; complete --do-complete {line}"


def script(tmp_path, shell):
    done = run("completions", shell)
    assert done.returncode == 0 and done.stderr == "", done
    path = tmp_path / f"rollcall.{shell}"
    path.write_text(done.stdout)
    return path


def said(*command):
    """What a program says, if it complains of nothing."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stderr == "", (command, done)
    return done.stdout


def bash(path, *words):
    quoted = " ".join(map(shlex.quote, words))
    return said("bash", "--norc", "-c", BASH.format(script=path, words=quoted, last=len(words) - 1)).split()


def test_bash_completes(tmp_path):
    path = script(tmp_path, "bash")
    assert bash(path, "rollcall", "de") == ["deregister"]
    assert bash(path, "rollcall", "check") == ["check-config"]
    assert {"create", "list", "revoke"} <= set(bash(path, "rollcall", "token", ""))
    assert bash(path, "rollcall", "token", "create", "--max-i") == ["--max-instances"]
    assert {"bash", "fish", "zsh"} <= set(bash(path, "rollcall", "completions", ""))
    # Hidden: an option for tests.
    assert bash(path, "rollcall", "doctor", "--ro") == []
    assert bash(path, "rollcall", "doctor", "--dat") == ["--data-dir"]
    (tmp_path / "some.toml").touch()
    assert bash(path, "rollcall", "serve", "--config", f"{tmp_path}/some") == [f"{tmp_path}/some.toml"]


def test_fish_completes(tmp_path):
    path = script(tmp_path, "fish")

    def offered(line):
        out = said("fish", "--no-config", "-c", FISH.format(script=path, line=shlex.quote(line)))
        return [entry.split("\t")[0] for entry in out.splitlines()]

    assert offered("rollcall de") == ["deregister"]
    assert {"create", "list", "revoke"} <= set(offered("rollcall token "))
    assert offered("rollcall doctor --ro") == []


def test_zsh_takes_the_script(tmp_path):
    path = script(tmp_path, "zsh")
    path.rename(tmp_path / "_rollcall")
    load = f"fpath=({tmp_path}); autoload -Uz compinit; compinit -u -D; whence -w _rollcall; print $_comps[rollcall]"
    # Without zsh's own functions compinit is not found: they are behind ours.
    out = said("zsh", "-f", "-c", load.replace(f"({tmp_path})", f"({tmp_path} $fpath)"))
    assert out.split() == ["_rollcall:", "function", "_rollcall"]
    said("zsh", "-n", str(tmp_path / "_rollcall"))


def test_an_unknown_shell_is_refused():
    done = run("completions", "cmd")
    assert done.returncode == 2 and "bash" in done.stderr, done


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    directory = tmp_path_factory.mktemp("man")
    said(str(BINARY), "man", "--dir", str(directory))
    return sorted(directory.iterdir())


def test_each_subcommand_has_a_page(pages):
    names = {page.name for page in pages}
    listed = run("--help").stdout.split("Commands:")[1].split("Options:")[0]
    subcommands = [line.split()[0] for line in listed.splitlines() if line.strip()]
    subcommands.remove("help")
    assert "serve" in subcommands
    assert {f"rollcall-{subcommand}.1" for subcommand in subcommands} | {"rollcall.1"} <= names
    assert run("man").stdout == next(page for page in pages if page.name == "rollcall.1").read_text()


def test_formatters_have_no_complaints(pages):
    for page in pages:
        assert said("mandoc", "-T", "lint", "-W", "warning", str(page)) == "", page
        text = said("groff", "-man", "-ww", "-T", "utf8", "-P-cbou", str(page))
        assert "NAME" in text and "EXIT STATUS" in text, text


def test_pages_bear_the_date_of_the_sources(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert "1970-01-02" in said(str(BINARY), "man").splitlines()[2]


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    done = run("man", "--dir", tmp_path / "file")
    assert done.returncode == 1 and f"{tmp_path}/file" in done.stderr, done
