"""The dashboard in real Chromium: pages as people see them, and everything that they complain of."""

import pathlib

from playwright.sync_api import sync_playwright

from rc.server import ROOT

CHROMIUM = "/usr/bin/chromium"
AXE = ROOT / "target/node/node_modules/axe-core/axe.min.js"
SCREENSHOTS = ROOT / "target/screenshots"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


class Browser:
    """One Chromium; each page has a context, and so a session, of its own."""

    def __init__(self):
        self._playwright = sync_playwright().start()
        assert pathlib.Path(CHROMIUM).exists(), "there is no chromium: tests/run install"
        self._browser = self._playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

    def open(self, server, fragment="#/", scheme="light", viewport=DESKTOP, motion="no-preference"):
        context = self._browser.new_context(color_scheme=scheme, viewport=viewport, reduced_motion=motion)
        return Page(context.new_page(), server).go(fragment)

    def close(self):
        self._browser.close()
        self._playwright.stop()


class Page:
    """A page, and what went wrong on it: errors, violations of its policy, calls that failed."""

    def __init__(self, page, server):
        self.page, self._server = page, server
        self.complaints, self.elsewhere = [], []
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)

    def _console(self, message):
        # A server that was stopped on purpose is no fault of the page.
        if message.type in ("error", "warning") and "ERR_CONNECTION" not in message.text and "ERR_INCOMPLETE" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request):
        if not request.url.startswith(self._server.url):
            self.elsewhere.append(request.url)

    def go(self, fragment):
        self.page.goto(f"{self._server.url}/{fragment}")
        return self

    def text(self, selector="main"):
        return self.page.locator(selector).first.inner_text()

    def wait(self, selector, text=None, seconds=10, state="visible"):
        found = self.page.locator(selector, has_text=text) if text else self.page.locator(selector)
        found.first.wait_for(state=state, timeout=seconds * 1000)
        return found.first

    def expects(self, *statuses):
        """Leaves aside that calls were answered with these, as they should have been: the browser itself complains of it."""
        of = [f"status of {status}" for status in statuses]
        self.complaints[:] = [one for one in self.complaints if not any(status in one for status in of)]

    def faults(self):
        """Serious faults that axe finds."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        return [(one["id"], [node["html"][:160] for node in one["nodes"]][:3]) for one in serious]

    def is_wider_than_its_window(self):
        return self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")

    def shoot(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def close(self):
        """Fails if anything went wrong meanwhile."""
        self.page.context.close()
        assert self.complaints == [] and self.elsewhere == [], (self.complaints, self.elsewhere)
