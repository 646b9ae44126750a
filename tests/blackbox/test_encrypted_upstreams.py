"""Upstreams over TLS and HTTPS (RFC 7858, RFC 8310, RFC 8484; issue 4): a real Unbound that speaks nothing else."""

import concurrent.futures
import json
import re

import pytest

from rc.encrypted_upstream import NAME, Ca, Unbound
from rc.server import run
from rc.wait import until


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def unbound(tmp_path, ca):
    """An Unbound with a good certificate."""
    (tmp_path / "unbound").mkdir()
    unbound = Unbound(tmp_path / "unbound")
    unbound.start(*ca.sign())
    yield unbound
    unbound.stop()


@pytest.fixture(params=["tls", "https"])
def scheme(request):
    return request.param


def forwarding(upstream, ca, **more):
    return {"forward": {"upstreams": [upstream], "ca_file": str(ca.file)}, **more}


def test_names_are_asked_encrypted(servers, unbound, ca, scheme):
    """Short answers, long ones, what is not there, and the same from the cache."""
    server = servers(forwarding(unbound.upstream(scheme), ca))
    for _ in range(2):
        assert server.dns.ask("www.example.", timeout=6).data() == ["192.0.2.1"]
        assert len(server.dns.ask("big.example.", "TXT", tcp=True, timeout=6).data()) == 30
        assert server.dns.ask("none.example.", timeout=6).rcode == "NXDOMAIN"
    assert unbound.asked("www.example.") == 1


def test_many_questions_at_once(servers, unbound, ca, scheme):
    """A hundred clients with a question each: every one has its own answer."""
    server = servers(forwarding(unbound.upstream(scheme), ca))
    ask = lambda number: server.dns.ask(f"n{number}.example.", timeout=6).data()  # noqa: E731
    with concurrent.futures.ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(ask, range(1, 101)))
    assert answers == [[f"192.0.2.{number}"] for number in range(1, 101)]


def test_an_upstream_that_restarts(servers, unbound, ca, scheme):
    """Connections break and are opened again; nobody has to do anything."""
    server = servers(forwarding(unbound.upstream(scheme), ca))
    assert server.dns.ask("n1.example.", timeout=6).data() == ["192.0.2.1"]
    unbound.start(*ca.sign())
    assert server.dns.ask("n2.example.", timeout=6).data() == ["192.0.2.2"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("expired", "its certificate has expired: whoever runs it must renew it"),
        ("other", f"its certificate is not for `{NAME}` but for"),
        ("stranger", "from a CA that is not trusted here: name that CA's certificate in forward.ca_file"),
    ],
)
def test_a_wrong_certificate(servers, unbound, ca, tmp_path, scheme, made, reason):
    """Nothing is asked, in whatever way; the log says why, once; put right, it is used again."""
    stranger = Ca(tmp_path / "stranger", "Stranger")
    certificates = {"expired": lambda: ca.sign(days=-1), "other": lambda: ca.sign("other.example"), "stranger": stranger.sign}
    unbound.start(*certificates[made]())
    server = servers(forwarding(unbound.upstream(scheme), ca))
    server.api.register("web", "w1", 8080, addresses=["10.0.0.1"], lease_secs=600)
    for number in range(1, 6):
        answer = server.dns.ask(f"n{number}.example.", timeout=6)
        assert (answer.rcode, answer.ede()) == ("SERVFAIL", [22])
        assert unbound.asked(f"n{number}.example.") == 0
    assert server.dns.ask("web.svc.internal.").data() == ["10.0.0.1"]
    told = re.findall(r"upstream \S+ is not used: .*", server.log())
    assert len(told) == 1 and unbound.upstream(scheme) in told[0] and reason in told[0], told
    unbound.start(*ca.sign())
    names = iter(range(10, 100))

    def answers():
        return server.dns.ask(f"n{next(names)}.example.", timeout=6).rcode == "NOERROR"

    until(answers, 20, every=0.5, what="an answer over the good certificate")
    assert server.wait_log(f"upstream {re.escape(unbound.upstream(scheme))} is used again")


def test_no_plain_text_instead(servers, upstreams, ca):
    """A server of plain DNS behind the port is sent a handshake and never a query."""
    plain = upstreams(lambda query: query.reply(f"{query.name} 60 A 192.0.2.1"))
    server = servers(forwarding(f"tls://{plain.address}#{NAME}", ca))
    answer = server.dns.ask("www.example.", timeout=6)
    assert (answer.rcode, answer.ede()) == ("SERVFAIL", [22])
    assert server.wait_log("is not used: it has not completed a TLS handshake")
    assert plain.count() == 0


def test_the_ca_file_is_read_again(servers, unbound, ca, tmp_path):
    """SIGHUP takes what is in the file now, though its name is the same."""
    stranger, file = Ca(tmp_path / "stranger", "Stranger"), tmp_path / "cas.pem"
    file.write_text(stranger.file.read_text())
    server = servers({"forward": {"upstreams": [unbound.upstream("tls")], "ca_file": str(file)}})
    assert server.dns.ask("n1.example.", timeout=6).rcode == "SERVFAIL"
    file.write_text(stranger.file.read_text() + ca.file.read_text())
    server.signal(1)
    names = iter(range(2, 100))
    until(lambda: server.dns.ask(f"n{next(names)}.example.", timeout=6).rcode == "NOERROR", 20, every=0.3,
          what="an answer by the new CA")


def test_doctor_and_check_config(servers, unbound, ca, scheme):
    """The doctor asks as the server does, certificate and all; check-config names the way out."""
    good, wrong = unbound.upstream(scheme), unbound.upstream(scheme, "wrong.example")
    server = servers({"forward": {"upstreams": [good, wrong], "ca_file": str(ca.file)}}, start=False)
    done = run("doctor", "--config", server.config_file, "--json", "--timeout", "2s")
    found = [(found["standing"], found["text"]) for found in json.loads(done.stdout)["findings"] if found["about"] == "forward"]
    [(well, answers), (problem, refused)] = found
    assert well == "ok" and answers.startswith(f"{good} in forward.upstreams answers in "), found
    assert problem == "problem" and "its certificate is not for `wrong.example`" in refused, found
    checked = run("check-config", "--config", server.config_file)
    assert (checked.returncode, checked.stdout) == (0, "the configuration is good\n"), checked
    server.configure({"forward": {"upstreams": [good.split("#")[0]]}})
    checked = run("check-config", "--config", server.config_file)
    assert checked.returncode != 0
    assert "does not say for whom its certificate must be: put that name behind its address" in checked.stderr + checked.stdout


def test_the_systems_cas_are_trusted_without_a_file(servers, unbound, ca, monkeypatch):
    """Without forward.ca_file it is the system's CAs: SSL_CERT_FILE names them, as it does for others."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    server = servers({"forward": {"upstreams": [unbound.upstream("tls")]}})
    assert server.dns.ask("www.example.", timeout=6).data() == ["192.0.2.1"]
