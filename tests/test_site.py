"""The built site: whole, alive in a browser, and without any other host, served and from the disk."""

import contextlib
import gzip
import http.server
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PAGES = [f"{name}.html" for name in [*re.findall(r"(?:root|file): *(\S+)", (ROOT / "_toc.yml").read_text()), "search"]]
HEAVIEST = 2.2e6  # bytes of a page and all that its first view loads, not compressed


def build(folder):
    """Build as `make book` does, with the letters of our site, which take long to cut."""
    for font in (ROOT / "_build/html/_static").glob("literata*.woff2"):
        there = Path(folder) / font.relative_to(ROOT)
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(font, there)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "-n", "--keep-going"]
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="session")
def site():
    """The folder of the built pages; what has not changed since the last build is not built again."""
    result = build(ROOT)
    assert result.returncode == 0, result.stdout[-8000:]
    return ROOT / "_build/html"


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def origins(site):
    """Where the pages are opened: from a server on this machine, and from the disk."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"http": f"http://127.0.0.1:{server.server_port}", "file": site.as_uri()}
        server.shutdown()


@contextlib.contextmanager
def opened(browser, origins):
    """A tab that notes in `page.complaints` what a reader should never meet, and in `page.asked` all addresses that it asks for."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.complaints, page.asked = complaints, asked = [], []

    def request(event):
        asked.append(event.url)
        parts = urlsplit(event.url)
        if parts.scheme not in {"file", "data", "blob"} and f"{parts.scheme}://{parts.netloc}" != origins["http"]:
            complaints.append(f"a request to another host: {event.url}")

    page.on("request", request)
    # What a page was about to load when the next one is opened is aborted
    page.on("requestfailed", lambda event: "ERR_ABORTED" in event.failure or complaints.append(f"failed: {event.url}"))
    page.on("response", lambda event: event.status >= 400 and complaints.append(f"{event.status}: {event.url}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("console", lambda message: message.type == "error" and complaints.append(f"console: {message.text}"))
    yield page
    context.close()


@pytest.fixture(scope="module")
def tabs(browser, origins):
    """One tab for each origin, since a browser has compiled the scripts of one page when it opens the next."""
    with contextlib.ExitStack() as stack:
        yield {origin: stack.enter_context(opened(browser, origins)) for origin in origins}


@pytest.fixture(scope="module")
def go(tabs, origins):
    """A function that opens a page of the site, and returns the tab with it. From 900 pixels on all figures would be drawn, for paper."""
    def go(origin, name, width=800, height=720):
        page = tabs[origin]
        page.complaints.clear()
        page.asked.clear()
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{origins[origin]}/{name}", wait_until="load")
        return page

    return go


@pytest.fixture(scope="module", params=PAGES)
def visit(go, request):
    """A page of the site, opened from the disk on a phone, for the tests that look at it one after the other."""
    return go("file", request.param, 390, 900)


def test_page(visit):
    """Light and soon there, and whole: on a phone, and as wide as a desk."""
    later = re.compile(r"plotly|explore-(?!module)")  # what comes with a figure, and the networks' weights
    files = {Path(unquote(urlsplit(url).path)) for url in visit.asked if url.startswith("file:")}
    loaded = {file: file.stat().st_size for file in files if not later.search(file.name)}
    assert 1e5 < sum(loaded.values()) < HEAVIEST, sorted(loaded.items(), key=lambda item: -item[1])[:10]
    visit.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")  # on a busy machine after "load"
    first = visit.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert first < 3000, f"ms: below 1000 where no other test runs, {first:.0f} here"
    draw(visit)
    whole(visit, 390)
    visit.set_viewport_size({"width": 1280, "height": 900})
    visit.wait_for_function("""() => [...document.querySelectorAll(".magbook-figure")].every(
        figure => !figure._fullLayout || !figure.clientWidth || Math.abs(figure._fullLayout.width - figure.clientWidth) <= 1)""")
    whole(visit, 1280)
    cut = visit.evaluate("""[...document.querySelectorAll("main table")].filter(table => table.checkVisibility()
        && table.parentElement.scrollWidth > table.parentElement.clientWidth + 1).map(table => table.innerText.slice(0, 100))""")
    assert not cut, f"tables wider than their column: {cut}"


# A contrast takes long to find. Text in the same colours and letters, with the same name and on the same grounds, has the same: the first will do
LOOKS = """() => {
    const named = node => `${node?.localName}.${node?.getAttribute("class")}`, grounds = new Map([[null, ""]]), seen = new Set();
    const ground = node => {
        if (!grounds.has(node)) {
            const { backgroundColor, backgroundImage, opacity } = getComputedStyle(node);
            grounds.set(node, [ground(node.parentElement), backgroundColor, backgroundImage, opacity].join("|"));
        }
        return grounds.get(node);
    };
    for (const node of document.body.querySelectorAll("*")) {
        const text = node.matches("input, select, textarea") || [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
        const { color, fontSize, fontWeight } = getComputedStyle(node);
        const look = [named(node), named(node.parentElement), color, fontSize, fontWeight, ground(node)].join();
        node.toggleAttribute("data-look", text && node.checkVisibility({ visibilityProperty: true }) && !seen.has(look));
        if (node.hasAttribute("data-look")) seen.add(look);
    }
}"""
# axe walks through what it leaves out too, most of a page: that goes, but not the room it takes. A copy of a figure draws itself no more
EMPTY = """drawn => {
    const nodes = [...document.querySelectorAll(drawn)], boxes = nodes.map(node => node.getBoundingClientRect());
    nodes.forEach((node, i) => {
        if (node.matches("mjx-container")) Object.assign(node.style, {display: "inline-block", width: `${boxes[i].width}px`});
        if (boxes[i].height) node.style.height = `${boxes[i].height}px`;
        node.replaceChildren();
    });
    document.querySelectorAll(".magbook-figure").forEach(figure => figure.replaceWith(figure.cloneNode(true)));
}"""


def test_a_page_is_accessible(visit):
    from axe_playwright_python.base import AXE_SCRIPT
    from axe_playwright_python.sync_playwright import Axe
    axe = Axe(AXE_SCRIPT + 'axe.configure({rules: [{id: "color-contrast", selector: "[data-look]"}]});')
    draw(visit)
    # Drawings are named by what holds them. Code is coloured alike on all pages, and entries of the package are made alike:
    # each section's first will do, since their many words take long
    drawn = [".main-svg", "mjx-container", ".cell ~ .cell .highlight" if PAGES[1] in visit.url else ".highlight", "dl.py ~ dl.py"]
    visit.evaluate(EMPTY, ", ".join(drawn))
    looks = [("light", 1280, {}), ("dark", 390, {"runOnly": ["color-contrast", "scrollable-region-focusable"]})]
    for theme, width, options in looks:
        visit.set_viewport_size({"width": width, "height": 900})
        visit.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        visit.wait_for_timeout(500)  # after a resize the theme's script makes what scrolls focusable, by and by
        visit.evaluate(LOOKS)
        found = [f"{theme}: {rule['id']} ({rule['impact']}): {node['html'][:200]}\n{node['failureSummary']}"
                 for rule in axe.run(visit, {"exclude": [[one] for one in drawn]}, options | {"resultTypes": ["violations"]}).response["violations"]
                 if rule["impact"] in {"serious", "critical"} for node in rule["nodes"]]
        assert not found, "\n\n".join(found[:20])


WOKEN = {}  # the options of explorers, and the page that woke them


def whole(page, width):
    """A page that is drawn: its figures have room, its formulas are set, its pictures are there, and nothing complained."""
    for figure in page.query_selector_all(".magbook-figure"):
        assert figure.get_attribute("role") == "group" and figure.get_attribute("aria-label")
        box = figure.query_selector(".main-svg").bounding_box()
        assert box["width"] > 200 and box["height"] > 100, box

    assert not page.query_selector_all("mjx-merror, [data-mjx-error]")
    assert not page.query_selector_all(".math:not(:has(mjx-container))")
    assert r"\(" not in page.inner_text("main")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)")
    assert not page.complaints, "\n".join(page.complaints)


def draw(page):
    """Wait until formulas, figures and explorers are drawn; of explorers with the same networks one page's."""
    page.evaluate("() => window.MathJax?.startup?.promise")
    for explorer in page.query_selector_all(".magbook-explorer:not(:has(canvas))"):
        if WOKEN.setdefault(explorer.get_attribute("data-options"), page.url) != page.url:
            continue
        explorer.scroll_into_view_if_needed()
        if button := explorer.query_selector(".magbook-wake"):
            button.click()
        explorer.wait_for_selector("canvas")
        if explorer.query_selector(".mbx-pad, .mbx-hold"):  # the networks compute for seconds, and the page's other scripts wait
            page.wait_for_function("node => /Mean absolute error|is off by|Move the field/.test(node.querySelector('.mbx-said').textContent)",
                                   arg=explorer, timeout=60_000)
    while figure := page.query_selector(".magbook-figure:not(:has(.main-svg))"):
        figure.scroll_into_view_if_needed()
        figure.wait_for_selector(".main-svg", state="attached")


@pytest.mark.parametrize("origin", ["http", "file"])
def test_the_letters_are_there(go, origin):
    page = go(origin, "book/references.html")
    faces = page.evaluate("document.fonts.ready.then(fonts => [...fonts].filter(face => face.status === 'loaded')"
                          ".map(face => `${face.family} ${face.style}`))")
    assert {"Literata normal", "Literata italic"} <= set(name.replace('"', "") for name in faces), faces


def test_paper_shows_figures_that_were_not_scrolled_to(go):
    page = go("file", "book/05_errors.html", 1280, 900)
    figures = page.locator(".magbook-figure:visible")
    blank = figures.count() - figures.locator(":scope > .plot-container").count()
    assert blank > 3, "most are out of sight"
    page.wait_for_function("document.querySelectorAll('.magbook-figure > .plot-container').length >= " + str(figures.count()), timeout=60_000)
    page.emulate_media(media="print")
    inks = figures.evaluate_all("all => all.map(one => one.querySelectorAll('.main-svg path, .main-svg image').length)")
    assert min(inks) > 3, inks
    assert set(figures.evaluate_all("all => all.map(one => getComputedStyle(one.closest('figure') ?? one).breakInside)")) == {"avoid"}
    assert len(page.pdf(format="A4")) > 100_000
    assert not page.complaints, "\n".join(page.complaints)


@pytest.fixture(scope="module")
def film(go, site):
    """A page with a film that plays, and the film."""
    source = next(path.name for path in (site / "_static/figures").iterdir() if '"frames":[' in path.read_text())
    page = go("http", next(name for name in PAGES if source in (site / name).read_text()))
    figure = page.query_selector(f'.magbook-figure[data-source*="{source}"]')
    figure.scroll_into_view_if_needed()
    figure.wait_for_selector(".updatemenu-button", state="attached")
    return page, figure


def test_figures_follow_the_theme(film):
    page, figure = film
    for theme in ["dark", "light"]:
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        page.wait_for_function("""figure => {
            const wanted = getComputedStyle(document.documentElement).getPropertyValue("--pst-color-text-base");
            return figure._fullLayout.font.color === wanted.trim();
        }""", arg=figure)
    assert not page.complaints, "\n".join(page.complaints)


def test_a_film_is_moved_by_keys(film):
    page, figure = film
    figure.focus()
    active = "figure => figure.layout.sliders[0].active"
    rest = figure.evaluate(active)
    assert rest > 3, "it rests where the film turns over"
    for key, place in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 0), ("ArrowLeft", -1)]:
        page.keyboard.press(key)
        page.wait_for_timeout(300)
        assert figure.evaluate(active) == rest + place
    for _ in range(rest + 1):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    assert figure.evaluate(active) == 0, "there is nothing before the first"
    page.keyboard.press(" ")
    page.wait_for_function("figure => figure.layout.sliders[0].active > 2", arg=figure)
    page.keyboard.press(" ")
    page.wait_for_timeout(300)
    stopped = figure.evaluate(active)
    page.wait_for_timeout(500)
    assert figure.evaluate(active) == stopped
    assert not page.complaints, "\n".join(page.complaints)


def test_a_film_stays_in_sight_while_it_plays(film):
    page, figure = film
    figure.query_selector(".updatemenu-button").dispatch_event("click")
    pictures = []
    for _ in range(10):
        page.wait_for_timeout(100)
        pictures.append(figure.evaluate("""figure => Math.max(0, ...[...figure.querySelectorAll("image")]
            .map(image => image.href.baseVal.length))"""))
    assert min(pictures) > 500, f"bytes of the largest picture at ten moments: {pictures}"
    assert len(set(pictures)) > 2, "it moves"
    assert not page.complaints, "\n".join(page.complaints)


def pixels(page, name):
    """What a canvas of the explorer shows."""
    return page.evaluate("name => document.querySelector(`.mbx-${name}`).toDataURL()", name)


@pytest.fixture
def explorer(go, request):
    """Chapter 7, with its explorer awake."""
    page = go(request.param, "book/07_better.html")
    page.get_by_role("button", name="Load the networks").click()
    page.wait_for_selector(".mbx-pad", timeout=60_000)
    page.wait_for_function("document.querySelector('.mbx-said').textContent.includes('Mean absolute error')", timeout=60_000)
    return page


@pytest.mark.parametrize("explorer", ["file"], indirect=True)
def test_a_dragged_field_switches_the_film_without_python(explorer):
    page, said = explorer, explorer.locator(".mbx-said")
    assert "Standard problem 4, field 2" in said.text_content() and "solver on 256 × 64" in said.text_content()
    assert 0 < float(said.text_content().split("average: ")[1].rstrip(".")) < 0.02
    shown = {name: pixels(page, name) for name in ["film", "curves", "pad"]}
    page.locator(".mbx-pad").scroll_into_view_if_needed()
    box = page.locator(".mbx-pad").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + 0.3 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_function("!document.querySelector('.mbx-said').textContent.includes('field 2')")
    page.wait_for_timeout(300)
    assert all(pixels(page, name) != before for name, before in shown.items())
    page.wait_for_function("document.querySelector('.mbx-said').textContent.includes('solver on 128 × 32')", timeout=60_000)
    page.mouse.click(box["x"] + 0.98 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_function("document.querySelector('.mbx-said').textContent.includes('Outside the fan')")
    assert not page.complaints, "\n".join(page.complaints)


@pytest.mark.parametrize("explorer", ["http"], indirect=True)
def test_the_explorer_obeys_the_keyboard(explorer):
    page = explorer
    page.focus("input[aria-label='direction of the field in degrees']")
    before = page.text_content(".mbx-said")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("before => document.querySelector('.mbx-said').textContent !== before", arg=before)
    page.focus("input[aria-label='time in nanoseconds']")
    film = pixels(page, "film")
    page.keyboard.press("End")
    page.wait_for_function("document.querySelector('.mbx-top output').textContent === '1.00 ns'")
    assert pixels(page, "film") != film
    page.focus(".mbx-play")
    page.keyboard.press("Enter")  # from the start again, in steps: this reader asked for less motion
    page.wait_for_function("document.querySelector('.mbx-top output').textContent === '0.10 ns'", timeout=10_000)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="SP4 field 1").press("Enter")
    page.wait_for_function("document.querySelector('.mbx-said').textContent.includes('field 1')")
    assert not page.complaints, "\n".join(page.complaints)


@pytest.mark.parametrize("origin", ["http", "file"])
def test_the_first_page_has_a_film_under_the_hand(go, site, origin):
    """The field is held by touch on a phone's screen; the equation answers, and the network when it is asked for."""
    page = go(origin, "book/index.html", 390, 844)
    page.wait_for_selector(".mbx-hold")
    sizes = page.evaluate("performance.getEntriesByType('resource').map((one) => [one.name, one.encodedBodySize])")
    assert not any("-model.js" in name for name, _ in sizes)
    if origin == "http":  # as a web server sends it, which this one does not: compressed
        files = [site / name.split("?")[0].split("/", 3)[3] for name, _ in sizes]
        sent = {file.name: len(gzip.compress(file.read_bytes())) for file in files}
        assert 2e5 < sum(sent.values()) < 1e6, sent
    pad = page.locator(".mbx-hold")
    pad.scroll_into_view_if_needed()
    box, film = pad.bounding_box(), page.locator(".mbx-film").first.bounding_box()
    assert film["y"] >= 0 and box["y"] + box["height"] <= 844, "film and field are in sight together"
    page.get_by_role("button", name="the network beside it").click()
    page.wait_for_function("document.querySelector('.mbx-gap').textContent.includes('off by')", timeout=30_000)
    box = pad.bounding_box()
    touch = lambda kind, x: page.evaluate("""([kind, x]) => {
        const canvas = document.querySelector(".mbx-hold"), box = canvas.getBoundingClientRect();
        canvas.setPointerCapture = () => {};
        canvas.hasPointerCapture = () => true;
        canvas.dispatchEvent(new PointerEvent(kind, { pointerType: "touch", pointerId: 7, isPrimary: true, bubbles: true,
            clientX: box.left + box.width * x, clientY: box.top + box.height * 0.53 }));
    }""", [kind, x])
    for kind, x in (("pointerdown", 0.5), ("pointermove", 0.3), ("pointermove", 0.12), ("pointerup", 0.12)):
        touch(kind, x)
    page.wait_for_function("document.querySelector('.mbx-said').textContent.includes('to the left')", timeout=60_000)
    assert 0 < float(page.text_content(".mbx-gap").split()[2].rstrip(",")) < 1
    assert not page.complaints, "\n".join(page.complaints)


def test_a_neuron_can_be_lit_on_the_page(go):
    page = go("file", "book/06_neurons.html")
    page.get_by_role("button", name="Load the networks").click()
    page.wait_for_selector(".mbx-sliders", timeout=60_000)
    first = pixels(page, "film")
    page.get_by_role("button", name="only latent number 3", exact=True).click()
    page.wait_for_function("before => document.querySelector('.mbx-film').toDataURL() !== before", arg=first)
    values = page.evaluate("[...document.querySelectorAll('.mbx-sliders output')].map((o) => parseFloat(o.textContent))")
    assert len(values) == 16 and values[3] > 0 and not any(values[:3] + values[4:])
    page.evaluate("document.documentElement.dataset.theme = 'dark'")  # for results the theme would lighten the ground
    ground = page.eval_on_selector(".magbook-explorer", "node => getComputedStyle(node.closest('.output')).backgroundColor")
    assert ground == "rgba(0, 0, 0, 0)"
    assert not page.complaints, "\n".join(page.complaints)


def test_without_scripts_the_explorer_is_a_picture(browser, origins):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in ["index", "06_neurons", "07_better"]:
        page.goto(f"{origins['http']}/book/{name}.html")
        picture = page.locator(".magbook-explorer img").first
        assert picture.bounding_box()["width"] > 200 and len(picture.get_attribute("alt").split()) > 5
    context.close()


@pytest.mark.parametrize("origin", ["http", "file"])
def test_search_finds(go, origin):
    page = go(origin, "search.html?q=magnetization")
    page.wait_for_selector("#search-results li .context")
    assert all("magneti" in text.lower() for text in page.locator("#search-results li .context").all_text_contents())
    icon, box = (page.locator(f"main form.bd-search {part}, article form.bd-search {part}").first for part in ("i", "input"))
    begin = box.evaluate("node => node.getBoundingClientRect().x + parseFloat(getComputedStyle(node).paddingLeft)")
    assert icon.bounding_box()["x"] + icon.bounding_box()["width"] <= begin, "the icon covers the query"
    assert not page.complaints, "\n".join(page.complaints)


class Links(HTMLParser):
    """The addresses that a page loads, those that it links to, and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.anchors = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.add(attributes.get("id"))
        if attributes.get("src"):
            self.loads.add(attributes["src"])
        if attributes.get("href"):
            (self.loads if tag == "link" else self.links).add(attributes["href"])


def test_powers_of_ten_are_written_as_such(site):
    numbers = re.findall(r'<span class="pasted-text">([^<]*)<(/span|sup)', (site / "book/01_llg_and_sp4.html").read_text())
    assert any(text.endswith(" × 10") and tag == "sup" for text, tag in numbers)
    assert not [text for text, _ in numbers if re.search(r"\de[+-]?\d", text)]


def test_every_page_is_whole_without_other_hosts(site):
    paths = (path for path in site.rglob("*.html") if "_static" not in path.parts)  # the theme's templates lie there
    pages = {path: Links(path.read_text()) for path in paths}
    assert {site / name for name in PAGES} <= pages.keys()
    wrong = [f"{path.name} points to {url}, which is not there" for path in site.rglob("*.css")
             for url in re.findall(r"url\(['\"]?([^)'\"]+)", path.read_text()) if not url.startswith("data:")
             and not url.endswith(".ttf") and not (path.parent / url).exists()]  # browsers take the icons' other format
    for path, page in pages.items():
        wrong += [f"{path.name} loads {url}" for url in page.loads if re.match(r"(\w+:)?//", url)]
        for url in page.loads | page.links:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                wrong.append(f"{path.name} points to {url}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{path.name} points to {url}, where there is no such place")
    assert not wrong, "\n".join(wrong)


def write_book(folder, code, settings=None):
    """A book of one chapter with these code cells, set up as ours but for `settings`."""
    (folder / "book").mkdir()
    for name in ["book/_ext", "book/_assets"]:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "book/references.bib", folder / "book")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    for key, values in (settings or {}).items():
        config[key] |= values
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    cells = [nbformat.v4.new_markdown_cell("# A chapter\n\nWhat it is about.\n\n## Run it\n\nSo."), *code]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "book/index.ipynb")


def test_a_cell_that_fails_fails_the_build(tmp_path):
    write_book(tmp_path, [nbformat.v4.new_code_cell("1 / 0")])
    for _ in range(2):  # and again: nothing of a failed build counts as done
        result = build(tmp_path)
        assert result.returncode != 0 and "ZeroDivisionError" in result.stdout, result.stdout[-4000:]


def test_what_readers_would_miss_fails_the_build(tmp_path):
    figure = nbformat.v4.new_code_cell(
        "from IPython.display import HTML\n"
        "HTML('<div class=\"magbook-figure\"><script type=\"application/json\">{}</script></div>')",
        metadata={"mystnb": {"figure": {"caption": "Nothing.", "name": "fig-nothing"}}})
    write_book(tmp_path, [figure, nbformat.v4.new_code_cell("import ipywidgets\nipywidgets.IntSlider()")])
    result = build(tmp_path)
    assert result.returncode != 0
    for message in ("a figure without alt text", "a widget is dead"):
        assert message in result.stdout, result.stdout[-4000:]


def test_a_published_book_starts_its_widgets_and_shows_its_card(tmp_path):
    cell = nbformat.v4.new_code_cell("1", metadata={"tags": ["live"]})
    write_book(tmp_path, [cell], {"html": {"baseurl": "https://example.org/book/"},
                                "repository": {"url": "https://github.com/someone/magbook", "branch": "main"},
                                "launch_buttons": {"binderhub_url": "https://mybinder.org"}})
    result = build(tmp_path)
    assert result.returncode == 0, result.stdout[-4000:]
    page = (tmp_path / "_build/html/book/index.html").read_text()
    start = "https://mybinder.org/v2/gh/someone/magbook/main?urlpath=lab/tree/book/index.ipynb"
    assert re.search(rf'<div class="magbook-live.*<a [^>]*href="{re.escape(start)}"', page, re.S)
    assert '<meta property="og:description" content="What it is about." />' in page
    picture = re.search('<meta property="og:image" content="https://example.org/book/(.*?)" />', page)[1]
    assert (tmp_path / "_build/html" / picture).exists()


def test_a_live_line_says_how_to_start_it(site):
    live = [path for path in (site / "book").glob("*.html") if "magbook-live" in path.read_text()]
    assert live and all('class="magbook-start" href="index.html#run-it"' in path.read_text() for path in live)
