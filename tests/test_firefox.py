"""The film under a hand in Firefox, which is asked over WebDriver BiDi: Playwright drives no Firefox but its own."""

import itertools
import json
import re
import shutil
import subprocess
import time

import pytest
from test_explorer import STYLE, WIDGET, driven_film

pytestmark = pytest.mark.slow


class Firefox:
    """A page of a Firefox of its own, whose profile lies in `folder`."""

    def __init__(self, path, folder):
        from websocket import create_connection

        command = [path, "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0"]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(600):
            time.sleep(0.1)
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)\n", (folder / "log").read_text()):
                break
            assert self.process.poll() is None, (folder / "log").read_text()
        self.socket = create_connection(f"{found[1]}/session", timeout=60, suppress_origin=True)
        self.ids, self.errors = itertools.count(), []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.page = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method, **parameters):
        """Its answer to a command; errors that a page logs meanwhile are noted."""
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            if answer.get("params", {}).get("level") == "error":
                self.errors.append(answer["params"]["text"])
        assert answer["type"] == "success", answer
        return answer["result"]

    def evaluate(self, expression):
        answer = self.ask("script.evaluate", expression=f"JSON.stringify({expression})", target={"context": self.page}, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def until(self, expression, seconds=30):
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"{expression}: {self.evaluate('document.body.innerText')} {self.errors}"
            time.sleep(0.1)

    def drag(self, begin, end):
        """Press at one point, move, and let go at another."""
        move = lambda point: {"type": "pointerMove", "x": round(point[0]), "y": round(point[1]), "duration": 100}
        actions = [move(begin), {"type": "pointerDown", "button": 0}, move(end), {"type": "pointerUp", "button": 0}]
        self.ask("input.performActions", context=self.page, actions=[{"type": "pointer", "id": "mouse", "actions": actions}])

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def firefox(tmp_path):
    path = shutil.which("firefox") or shutil.which("firefox-esr")
    if path is None:
        pytest.skip("no firefox: install Debian's firefox-esr")
    (tmp_path / "profile").mkdir()
    firefox = Firefox(path, tmp_path / "profile")
    yield firefox
    firefox.close()


def test_the_film_answers_a_hand(firefox, tmp_path):
    film = json.dumps(driven_film()).replace("<", "\\u003c")
    (tmp_path / "film.html").write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE.read_text()}</style><body><script type=module>({WIDGET})({film})</script>")
    firefox.ask("browsingContext.navigate", context=firefox.page, url=(tmp_path / "film.html").as_uri(), wait="complete")
    firefox.until("window.said?.().includes('Move the field')")
    firefox.evaluate("document.querySelector('.mbx-hold').scrollIntoView({ block: 'center' }) ?? null")
    left, top, width, height = firefox.evaluate("(box => [box.left, box.top, box.width, box.height])(document.querySelector('.mbx-hold').getBoundingClientRect())")
    middle = left + width / 2, top + height / 2
    firefox.drag(middle, (middle[0] - 0.4 * width, middle[1] + 0.05 * height))
    firefox.until("Math.hypot(values.field[0] + 0.8 * 53e-3, values.field[1] + 0.1 * 53e-3) < 2e-3")
    before = firefox.evaluate("said()")
    firefox.until("said().includes('points to the left')", 60)
    assert firefox.evaluate("said()") != before
    assert not firefox.errors
