"""The dashboard in real Chromium: what it shows, as it happens, to everybody, and what it never does."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rc.browser import DESKTOP, PHONE, Browser
from rc.server import run
from rc.wait import until

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
    filled.api.register("web", "brief", addresses=["10.0.0.9"], lease_secs=1)
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
    filled.kill()
    page.wait("#connection", "Reconnecting")
    filled.start()
    filled.api.state("web", "web-1", "down", "after the crash").expect(200)
    page.wait(".instances li.bad", "after the crash", 20)


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
    page = open_page(server, f"#/services/{EVIL}")
    page.wait("#trouble", "The server refused")
    assert page.page.locator("main img, main script").count() == 0
    page.complaints[:] = [one for one in page.complaints if "422" not in one]


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
        page.wait(".summary" if name == "service" else ".find + p", "9500 of 9,500" if name == "service" else "501 services")
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


def test_it_is_used_by_keyboard(filled, open_page):
    page = open_page(filled)
    page.wait("tbody tr")
    keys, focused = page.page.keyboard, lambda: page.page.evaluate("document.activeElement.textContent || document.activeElement.id")
    keys.press("Tab")
    assert focused() == "Skip to content"
    keys.press("Enter")
    assert page.page.evaluate("document.activeElement.id") == "main"
    keys.press("Tab")
    assert page.page.evaluate("document.activeElement.id") == "find"
    keys.type("web")
    keys.press("Tab")
    assert focused() == "web"
    assert page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keys.press("Enter")
    page.wait("h1", "web")
    page.wait(".instances li")
    assert page.page.evaluate("document.activeElement.id") == "main"
    page.page.locator("summary").first.focus()
    keys.press("Enter")
    page.wait(".details", "commit")
    page.page.go_back()
    page.wait("h1", "Services")


def test_a_token_is_asked_for_where_one_is_needed(filled, open_page):
    token = run("--server", filled.url, "token", "create", "reader", "--verb", "read", "--service", "*").stdout.strip()
    page = open_page(filled, "#/services/web")
    page.wait("h1", "A token is needed")
    page.shoot("token-desktop-light")
    assert page.faults() == []
    page.page.get_by_label("Token").fill(token)
    page.page.get_by_role("button", name="Use it").click()
    page.wait(".instances li")
    page.wait("#connection", "Live")
    assert page.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    # It was turned away on the way there, as it should be.
    page.complaints[:] = [one for one in page.complaints if "401" not in one]
    other = open_page(filled, "#/services/web")
    other.wait("h1", "A token is needed")
    other.complaints[:] = [one for one in other.complaints if "401" not in one]


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
