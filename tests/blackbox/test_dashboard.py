"""The dashboard in real Chromium: what it shows, as it happens, to everybody, and what it never does."""

import json
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rc.browser import DESKTOP, PHONE, Browser
from rc.server import run
from rc.wait import Background, until

WEB = "/api/v1/services/web/instances"
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;"


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def open_page(browser):
    pages = []

    def open_page(*arguments, **options):
        pages.append(browser.open(*arguments, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def filled(servers):
    """A server with something of everything."""
    server = servers({"lease": {"min_secs": 1}})
    api = server.api
    for n in range(1, 5):
        api.register("web", f"web-{n}", addresses=[f"10.0.0.{n}"], lease_secs=60 * n, version="2.1.0", tags=["blue"], meta={"commit": "1f3a"})
    api.state("web", "web-2", "draining", "deploy 42").expect(200)
    api.override("web", "web-3", "down", "broken disk").expect(200)
    api.register("payments", "p1", addresses=["10.1.0.1", "fd00::1"], lease_secs=None, ports={"metrics": 9090})
    api.register("queue", "q1", addresses=["10.2.0.1"], state="down", lease_secs=600)
    for n in range(1, 4):
        api.register("held", f"h{n}", addresses=[f"10.3.0.{n}"], lease_secs=2)
    until(lambda: api.get("held", "h1")["standing"] == "held", 10, what="the brake")
    return server


PAGES = {
    "services": ("#/", "tbody tr"),
    "service": ("#/services/web", ".instances li"),
    "history": ("#/history", ".timeline li"),
    "history-of-one": ("#/history?service=web&id=web-2", ".timeline li"),
    "explain": ("#/explain?name=web&type=A", ".records"),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_every_page_is_whole_for_everybody(filled, open_page, page, scheme, device):
    for n in range(1, 4):
        filled.api.renew("held", f"h{n}")
    fragment, content = PAGES[page]
    shown = open_page(filled, fragment, scheme=scheme, viewport=PHONE if device == "phone" else DESKTOP)
    shown.wait(content)
    shown.wait("#connection", "Live")
    if page in ("service", "services"):
        shown.wait(".timeline li")
    shown.shoot(f"{page}-{device}-{scheme}")
    assert shown.faults() == [] and "[object" not in shown.text("body")
    assert not shown.is_wider_than_its_window()


def test_what_happens_is_on_the_page_as_it_happens(filled, open_page):
    page = open_page(filled, "#/services/web")
    page.wait(".summary", "2 of 4 instances are answering")
    assert "deploy 42" in page.text(".instances") and "An operator set it to down: broken disk" in page.text(".instances")
    page.wait(".records", "web.svc.internal. 5 IN A 10.0.0.1")
    filled.api.call("DELETE", f"{WEB}/web-3/override").expect(200)
    page.wait(".summary", "3 of 4 instances are answering")
    page.wait(".timeline li:first-child", "web-3 is no longer overridden")
    page.wait(".records", "10.0.0.3")
    filled.api.deregister("web", "web-4").expect(204)
    page.wait(".summary", "2 of 3 instances are answering")
    filled.api.register("web", "brief", addresses=["10.0.0.9"], lease_secs=4)  # so it is a suspect for 1.3 s
    page.wait(".instances li.bad", "Its lease has lapsed")
    page.wait(".timeline li", "brief lapsed")
    page.wait(".timeline li", "brief expired")
    page.wait(".summary", "2 of 3 instances are answering")
    page.page.get_by_role("button", name="SRV").click()
    page.wait(".records", "web-1.web.svc.internal.")


def test_a_lease_runs_down_and_is_seen_to_be_renewed(filled, open_page):
    filled.api.register("lease", "l1", addresses=["10.0.0.1"], lease_secs=12)
    page = open_page(filled, "#/services/lease")
    page.wait(".instances li")
    share = lambda: page.page.evaluate("new DOMMatrix(getComputedStyle(document.querySelector('.bar i')).transform).a")
    until(lambda: share() < 0.6, 10, what="the bar to run down")
    filled.api.renew("lease", "l1")
    until(lambda: share() > 0.65, 10, what="the bar of a renewed lease")


def test_the_server_may_go_and_come_back(filled, open_page):
    page = open_page(filled, "#/services/web")
    page.wait("#connection", "Live")
    filled.stop()
    page.wait("#connection", "Reconnecting")
    filled.start()
    filled.api.state("web", "web-1", "down", "after the restart").expect(200)
    page.wait("#connection", "Live", 20)
    page.wait(".instances li.bad", "after the restart")
    page.wait("#trouble section", state="detached")
    filled.kill()
    page.wait("#connection", "Reconnecting")
    filled.start()
    filled.api.state("web", "web-1", "down", "after the crash").expect(200)
    page.wait(".instances li.bad", "after the crash", 20)
    page.wait("#trouble section", state="detached")
    page.expects("410")  # after a crash it is not known what was told


def test_an_open_page_says_that_the_server_is_away_and_recovers_by_itself(filled, open_page):
    page = open_page(filled, "#/services/web")
    page.wait(".records")
    filled.stop()
    page.wait("#trouble section", "The server cannot be reached", 20)
    assert page.page.locator(".instances li").count() == 4, "what was known is still shown"
    filled.start()
    page.wait("#trouble section", state="detached", seconds=20)


def test_whatever_a_service_says_of_itself_stays_text(servers, open_page):
    server = servers()
    fields = {"meta": {EVIL: EVIL}, "tags": [EVIL], "version": EVIL}
    server.api.register("web", EVIL, addresses=["10.0.0.1"], **fields)
    server.api.state("web", EVIL, "draining", EVIL).expect(200)
    server.api.override("web", EVIL, "down", EVIL).expect(200)
    for fragment, content in (("#/services/web", ".instances li"), ("#/", ".timeline li"), ("#/history", ".timeline li"), ("#/explain?name=web", ".halves li")):
        page = open_page(server, fragment)
        page.wait(content, EVIL)
        for details in page.page.locator("summary").all():
            details.click()
        assert EVIL in page.text()
        assert page.page.locator("main img, main script").count() == 0
    # Nor does the address do more than name a page.
    for name in (EVIL, "%", "%E0%A4%A"):
        page = open_page(server, f"#/services/{name}")
        page.wait("#trouble", "The server refused")
        assert page.page.locator("main img, main script").count() == 0
        page.expects("422")
    open_page(server, "#/nothing/there?is=here&&=").wait("h1", "Services")


def test_ten_thousand_instances_are_there_at_once(servers, open_page):
    server = servers()

    def fill(part):
        api = server.api.kept()
        for n in range(part, 9_500, 8):
            api.register("big", f"b{n:05}", addresses=[f"10.{n >> 8}.{n & 255}.1"], lease_secs=3600)
        for n in range(part, 500, 8):
            api.register(f"s{n:03}", "one", addresses=["10.0.0.1"], lease_secs=3600)
        api.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, range(8)))
    times = {}
    for name, fragment, content, text in (("services", "#/", "tbody tr", "big"), ("service", "#/services/big", ".instances li", "b00000")):
        page = open_page(server, fragment)
        # As the page's own clock has it, from the moment that somebody went there.
        shown = page.page.wait_for_function(f"document.querySelector('{content}')?.textContent.includes('{text}') && performance.now()")
        times[f"first paint of {name}"] = shown.json_value() / 1000
        page.wait("#connection", "Live")
        page.wait(".summary" if name == "service" else ".found", "9,500 of 9,500" if name == "service" else "501 services")
        began = time.monotonic()
        if name == "service":
            server.api.state("big", "b07777", "down", "on screen").expect(200)
            page.wait(".instances li:first-child", "on screen")
        else:
            server.api.register("aaa", "new", addresses=["10.0.0.1"])
            page.wait(content, "aaa")
        times[f"a change on {name}"] = time.monotonic() - began
        page.page.get_by_label("Find").fill("b09499" if name == "service" else "s499")
        page.wait(content, "b09499" if name == "service" else "s499")
        assert page.page.locator(content).count() == 1
        page.shoot(f"ten-thousand-{name}")
    print(json.dumps({what: round(secs, 3) for what, secs in times.items()}))
    # Names of services and instances add no series.
    series = lambda: len([line for line in server.api.call("GET", "/metrics").text.splitlines() if not line.startswith("#")])
    before = series()
    server.api.register("yet-another", "one", addresses=["10.0.0.1"])
    assert series() == before and "s123" not in server.api.call("GET", "/metrics").text


FOCUSED = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return [one.id || one.textContent, style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


def test_it_is_used_by_keyboard(filled, open_page):
    page = open_page(filled)
    page.wait("tbody tr")
    keys, focused = page.page.keyboard, lambda: page.page.evaluate(FOCUSED)[0]
    keys.press("Tab")
    assert focused() == "Skip to content"
    keys.press("Enter")
    assert focused() == "main"
    keys.press("Tab")
    assert focused() == "find"
    keys.type("web")
    page.wait(".found", "1 service of")
    walked = []
    while not walked or walked[-1][0] != "web":
        keys.press("Tab")
        walked.append(page.page.evaluate(FOCUSED))
        assert len(walked) < 5, walked
    assert [name for name, _, _ in walked] == ["All 1", "Some not answering 1", "web"]
    assert all(style == "solid" and width >= 2 for _, style, width in walked), walked
    keys.press("Enter")
    page.wait("h1", "web")
    page.wait(".instances li")
    assert focused() == "main"
    page.page.locator("summary").first.focus()
    keys.press("Enter")
    page.wait(".details", "commit")
    page.page.go_back()
    page.wait("h1", "Services")
    assert page.page.get_by_label("Find").input_value() == "web", "what was looked for is part of the address"


def test_what_happens_takes_nobodys_place(filled, open_page):
    page = open_page(filled)
    page.page.get_by_role("link", name="web", exact=True).first.focus()
    filled.api.register("aaa", "first", addresses=["10.0.0.1"])
    filled.api.state("queue", "q1", "up").expect(200)
    page.wait("tbody tr:first-child", "aaa")
    assert page.page.evaluate("document.activeElement.textContent") == "web"
    page = open_page(filled, "#/services/web")
    opened = page.wait(".instances li[data-id='web-4'] summary")
    opened.press("Enter")
    page.wait("[data-id='web-4'] .details", "commit")
    filled.api.state("web", "web-4", "down", "to the top").expect(200)
    page.wait(".instances li.bad", "to the top")
    page.wait("[data-id='web-4'] .details", "down: to the top")
    assert page.page.evaluate("document.activeElement.closest('li').dataset.id") == "web-4"
    filled.api.deregister("web", "web-4").expect(204)
    page.wait("[data-id='web-4']", state="detached")
    assert page.page.evaluate("document.activeElement.id") == "main"


def test_instances_are_found_by_where_they_stand(filled, open_page):
    page = open_page(filled, "#/services/web?show=draining")
    page.wait(".instances li", "web-2")
    ids = lambda: sorted(page.page.locator(".instances h3").all_inner_texts())
    assert ids() == ["web-2"]
    page.page.get_by_role("button", name="Not answering").click()
    until(lambda: ids() == ["web-2", "web-3"], what="those that are not answering")
    assert page.page.url.endswith("#/services/web?show=out")
    page.page.get_by_label("Find").fill("broken")
    until(lambda: ids() == ["web-3"], what="the one with the reason")
    page.page.locator("summary").click()
    page.page.get_by_role("link", name="Its history").click()
    page.wait("h1", "History of web / web-3")
    until(lambda: page.page.locator(".timeline li").count() == 2, what="its history")
    page.page.go_back()
    page.wait(".instances li", "web-3")
    assert ids() == ["web-3"]


def test_after_much_has_happened_the_page_shows_what_is(servers, open_page):
    """Answers and events cross on their way: nothing comes back that is gone, and nothing is left out."""
    server = servers()
    page = open_page(server, "#/services/web")
    page.wait("#connection", "Live")

    def play(part):
        api, dice = server.api.kept(), random.Random(part)
        for _ in range(400):
            id = f"i{part}-{dice.randrange(20)}"
            match dice.randrange(4):
                case 0 | 1:
                    api.register("web", id, addresses=[f"10.0.0.{dice.randrange(1, 250)}"], lease_secs=600)
                case 2:
                    api.state("web", id, dice.choice(["up", "down", "draining"]))
                case 3:
                    api.deregister("web", id)
        api.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(play, range(4)))
    listed = server.api.listed("web").values()
    assert len(listed) > 20
    expected = sorted((one["id"], "answering" if one["answering"] else "not answering", one["addresses"][0] + ":8080") for one in listed)
    script = "[...document.querySelectorAll('.instances > li')].map((one) => [one.dataset.id, one.querySelector('.pill').textContent, one.querySelector('.facts code').textContent])"
    shown = lambda: sorted(tuple(one) for one in page.page.evaluate(script))
    until(lambda: shown() == expected, 10, every=0.1, what="the page to show what is listed")
    answering = sum(one["answering"] for one in listed)
    page.wait(".summary", f"{answering} of {len(listed)} instances")
    newest = [event["revision"] for event in server.api.call("GET", "/api/v1/history?service=web&limit=50").expect(200).json["events"]]
    told = lambda: [int(one) for one in page.page.evaluate("[...document.querySelectorAll('.timeline > li')].map((one) => one.dataset.revision)")]
    until(lambda: told() == newest, 10, every=0.1, what="the timeline to be the history")
    page.expects("404")  # it had no instance at first, and some had gone when they were asked for


def test_a_lease_that_is_renewed_is_never_shown_as_over(servers, open_page):
    """Also beyond the first page of a long list, whose leases nobody reads all the time."""
    server = servers()
    ids = [f"i{n:04}" for n in range(1, 1201)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda id: server.api.register("many", id, addresses=["10.0.0.1"], lease_secs=8), ids))

    def renew(stop):
        api = server.api.kept()
        while not stop.wait(2):
            api.renewals([["many", id] for id in ids])
        api.close()

    with Background(renew):
        page = open_page(server, "#/services/many?find=i11")
        page.wait(".instances li", "i1100")
        page.page.locator("[data-id='i1190']").scroll_into_view_if_needed()
        end = time.monotonic() + 12
        while time.monotonic() < end:
            for text in page.page.evaluate("[...document.querySelectorAll('.lease')].filter((one) => one.getBoundingClientRect().top < innerHeight && one.getBoundingClientRect().bottom > 0).map((one) => one.textContent)"):
                assert text.endswith("of 8 s"), text
            time.sleep(0.25)


class Tokens:
    """The tokens of a server, made and revoked by one that may everything. With the first, nobody comes without one."""

    def __init__(self, server):
        self._options = ["--server", server.url]
        self._ids = {}
        self._options += ["--token", self.make("root", "admin")]

    def make(self, principal, verb, service="*"):
        made = run(*self._options, "token", "create", principal, "--verb", verb, "--service", service)
        assert made.returncode == 0, made.stderr
        self._ids[principal] = re.search(r"token (\S+) of", made.stderr)[1]
        return made.stdout.strip()

    def revoke(self, principal):
        assert run(*self._options, "token", "revoke", self._ids[principal]).returncode == 0


@pytest.fixture
def tokens(filled):
    return Tokens(filled)


def give(page, text):
    page.wait("h1", "A token is needed")
    page.page.get_by_label("Token").fill(text)
    page.page.get_by_role("button", name="Use it").click()


def test_a_token_is_asked_for_where_one_is_needed(filled, tokens, open_page):
    reader = tokens.make("reader", "read")
    page = open_page(filled, "#/services/web")
    page.wait("h1", "A token is needed")
    page.shoot("token-desktop-light")
    assert page.faults() == []
    give(page, reader)
    page.wait(".instances li")
    page.wait("#connection", "Live")
    assert page.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert reader not in page.page.content()
    other = open_page(filled, "#/services/web")
    other.wait("h1", "A token is needed")
    other.expects("401")
    # It is taken back: on this page, and then for everybody, who is asked for another.
    page.page.get_by_role("button", name="Forget the token").click()
    give(page, reader)
    page.wait(".instances li")
    tokens.revoke("reader")
    page.wait("h1", "A token is needed", 20)
    assert page.page.locator("#notices p").count() == 0 and page.text("#about") == ""
    page.expects("401")


def test_a_token_for_some_services_shows_those(filled, tokens, open_page):
    reader, writer = tokens.make("web-reader", "read", "web"), tokens.make("writer", "register")
    page = open_page(filled)
    give(page, reader)
    page.wait(".found", "1 service")
    page.wait(".tile", "Instances")
    assert page.page.locator(".tile .figure").all_inner_texts() == ["1", "4", "2", "2"]
    page.wait(".timeline li", "web-3")
    assert "payments" not in page.text("body") and "held" not in page.text("body")
    page.page.get_by_role("link", name="web", exact=True).first.click()
    page.wait(".copy", f"dig -p {filled.dns_port} @127.0.0.1 web.svc.internal. A")
    page.expects("401")
    other = open_page(filled)
    give(other, writer)
    other.wait("#trouble", "The server refused")
    other.page.get_by_role("button", name="Use another token").click()
    give(other, reader)
    other.wait(".found", "1 service")
    other.expects("401", "403")


def test_what_everybody_is_to_know_stands_above_all_pages(filled, open_page):
    page = open_page(filled)
    page.wait(".notice.warn", "The brake holds instances of a service")
    database = filled.database()
    aside = database.with_suffix(".aside")
    database.rename(aside)
    try:
        filled.api.call("PUT", f"{WEB}/web-1/state", {"state": "down"}).expect(503)
        page.wait(".notice.bad", "Changes are refused")
    finally:
        aside.rename(database)


def test_pages_stand_still_for_those_who_want_that(filled, open_page):
    page = open_page(filled, "#/services/web", motion="reduce")
    page.wait(".instances li")
    assert page.page.evaluate("document.getAnimations().length") == 0
