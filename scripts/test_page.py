"""What people see of the program in a browser; scripts/test-page runs it.

The shop that it looks at has lost the database of orders: a real fault, after which what inventory and payments say is
about orders that nobody knows, and becomes dead letters.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

WIDTHS = (360, 768, 1440)
LIGHTS = ("light", "dark")
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()


@contextmanager
def running(program, data):
    """The program at work on a folder; its address."""
    log = open(data / "log", "w+")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    command = [program, "up", "--listen", "127.0.0.1:0", "--data", data / "shop"]
    server = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL, env=environment)
    try:
        for _ in range(200):
            address = re.search(r'"address":"(http://[0-9.:]+)"', (data / "log").read_text())
            if address or server.poll() is not None:
                break
            time.sleep(0.05)
        if not address:
            sys.exit(f"The program does not say where it listens:\n{(data / 'log').read_text()}")
        yield address[1]
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def put(address, path, body):
    headers = {"content-type": "application/json", "prefer": "wait=10"}
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def get(address, path):
    with urllib.request.urlopen(address + path) as answer:
        return json.load(answer)


def trade(address):
    """A few orders, of goods whose name would be a script."""
    for sku in ("TEA-250", "<script>alert(1)</script>"):
        movement = {"type": "receive", "sku": sku, "warehouse": "main", "quantity": 5}
        put(address, f"/v1/stock-movements/in-{len(sku)}", movement)
    for number, method in enumerate(("pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined")):
        price = {"amount": 1999, "currency": "GBP"}
        lines = [{"sku": sku, "quantity": 1, "unit_price": price} for sku in ("TEA-250", "<script>alert(1)</script>")]
        order = put(address, f"/v1/orders/order-{number}", {"lines": lines, "payment": {"method": method}})
        assert order["status"] in ("confirmed", "cancelled"), order


class Person:
    """Somebody before a browser, who notes what the browser complains of."""

    def __init__(self, browser, address, width=1440, light="light", javascript=True):
        size = {"width": width, "height": 900}
        self.context = browser.new_context(
            base_url=address, viewport=size, color_scheme=light, java_script_enabled=javascript
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.complaints = []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda fault: self.complaints.append(str(fault)))
        self.asked = []
        self.page.on("request", lambda request: self.asked.append(request.url))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            assert not self.complaints, self.complaints

    def opens(self, path):
        self.page.goto(path)
        return self.page

    def tabs_to(self, element):
        """Goes there with the keyboard alone."""
        for _ in range(200):
            self.page.keyboard.press("Tab")
            if element.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"no way leads to {element}")

    def is_shut_out_by(self):
        """What axe finds fault with, as text."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        return [(rule["id"], rule["help"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]


def a_shop_that_works_says_so(browser, address):
    with Person(browser, address) as person:
        page = person.opens("/")
        assert page.title() == "All is well · Banyan", page.title()
        rows = page.get_by_role("table", name=re.compile("Events is the position")).get_by_role("row")
        for service in ("inventory", "orders", "payments"):
            expect(rows.filter(has_text=service)).to_contain_text("works")
        expect(page.get_by_role("row", name=re.compile("OrderConfirmed")).first).to_be_visible()
        expect(page.get_by_role("row", name="confirmed 2")).to_be_visible()
        expect(page.get_by_role("img", name=re.compile("^Requests over the last ten minutes"))).to_be_visible()
        outside = [url for url in person.asked if not url.startswith((address, "data:"))]
        assert not outside, outside


def a_name_that_would_be_a_script_is_shown_as_it_is(browser, address):
    with Person(browser, address) as person:
        page = person.opens("/")
        expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
        assert page.locator("script").count() == 0


def every_page_fits_every_width_in_the_light_and_the_dark(browser, address, paths):
    for light in LIGHTS:
        for width in WIDTHS:
            with Person(browser, address, width, light) as person:
                for path in paths:
                    page = person.opens(path)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width, f"{path} is {wide} wide where there is room for {width}"
                    # Contrast depends on the light, all else on the width: these two have all of it.
                    if (width, light) in ((360, "dark"), (1440, "light")):
                        faults = person.is_shut_out_by()
                        assert not faults, f"{path} at {width}, {light}: {faults}"


def a_dead_letter_is_discarded_with_the_keyboard_alone(browser, address, javascript):
    letter = get(address, "/v1/dead-letters")["items"][0]
    event, place = letter["event"], (letter["service"], letter["source"], letter["position"])
    reason = f"its order is lost <{javascript}>"
    with Person(browser, address, javascript=javascript) as person:
        page = person.opens("/")
        assert "needs somebody" in page.title() or "need somebody" in page.title(), page.title()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="To the content")).to_be_focused()
        page.keyboard.press("Enter")
        way = page.get_by_role("link", name=f"Discard {event['type']} about {event['subject']}", exact=True).first
        person.tabs_to(way)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"{event['type']} about {event['subject']}")
        expect(page.get_by_text("could not deal with it: there is no such order")).to_be_visible()
        form = page.get_by_role("region", name="Discard it")
        # The link has led to the form: the next stop is its field.
        page.keyboard.press("Tab")
        expect(form.get_by_role("textbox", name="Why?")).to_be_focused()
        page.keyboard.press("Enter")
        assert "/put-aside/" in page.url, "without a reason nothing is sent"
        page.keyboard.type(reason)
        page.keyboard.press("Enter")
        expect(page.get_by_role("row").filter(has_text=reason)).to_contain_text("discarded")
        expect(page.get_by_role("row").filter(has_text=reason)).to_contain_text("local")
    left = [(left["service"], left["source"], left["position"]) for left in get(address, "/v1/dead-letters")["items"]]
    assert place not in left, "it is gone"
    settled = [settled for settled in get(address, "/v1/settled-letters")["items"] if settled["reason"] == reason]
    assert [(one["service"], one["source"], one["position"]) for one in settled] == [place], settled
    assert (settled[0]["status"], settled[0]["actor"]) == ("discarded", "local"), settled


def a_person_with_a_key_signs_in_and_out(browser, address, key):
    with Person(browser, address) as person:
        page = person.opens("/")
        assert page.url.endswith("/sign-in"), page.url
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        person.tabs_to(page.get_by_label("Key", exact=True))
        page.keyboard.type("bk_1_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("This is no key that is known here")
        faults = person.is_shut_out_by()
        assert not faults, faults
        person.complaints = [said for said in person.complaints if "401" not in said]
        page.get_by_label("Key", exact=True).fill(key)
        page.keyboard.press("Enter")
        expect(page.get_by_text("seen by client:ops")).to_be_visible()
        assert page.evaluate("document.cookie") == "", "no script sees the session"
        person.tabs_to(page.get_by_role("button", name="Sign out"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        assert person.opens("/").url.endswith("/sign-in")


def main(program):
    began = time.monotonic()

    def done(sentence):
        print(f"{time.monotonic() - began:5.1f} s  {sentence.__name__.replace('_', ' ')}", flush=True)

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        data = Path(folder)
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=sandbox)
        with running(program, data) as address:
            trade(address)
            for sentence in (a_shop_that_works_says_so, a_name_that_would_be_a_script_is_shown_as_it_is):
                sentence(browser, address)
                done(sentence)
        for file in (data / "shop").glob("orders.db*"):
            file.unlink()
        with running(program, data) as address:
            for _ in range(100):
                letters = get(address, "/v1/dead-letters")["items"]
                if len(letters) >= 4:
                    break
                time.sleep(0.05)
            place = "/".join(str(letters[-1][name]) for name in ("service", "source", "position"))
            paths = ("/", f"/put-aside/{place}", "/sign-in", "/problems", "/problems/out-of-stock", "/docs")
            every_page_fits_every_width_in_the_light_and_the_dark(browser, address, paths)
            done(every_page_fits_every_width_in_the_light_and_the_dark)
            for javascript in (True, False):
                a_dead_letter_is_discarded_with_the_keyboard_alone(browser, address, javascript)
                done(a_dead_letter_is_discarded_with_the_keyboard_alone)
        keys = [program, "keys", "create", "ops", "--scope", "admin", "--json", "--data", data / "shop"]
        key = json.loads(subprocess.run(keys, check=True, capture_output=True).stdout)["key"]
        with running(program, data) as address:
            a_person_with_a_key_signs_in_and_out(browser, address, key)
            done(a_person_with_a_key_signs_in_and_out)
        browser.close()


main(sys.argv[1])
