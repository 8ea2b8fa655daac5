"""Drives JupyterLab and Notebook 7 in Chromium as a user would: .ci/browser.py FOLDER writes its screenshots to FOLDER.

Needs jupyterlab, notebook, ipywidgets and playwright (its Python package alone) and Debian's Chromium; the kernel bayesrm is installed.
"""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from playwright.sync_api import expect, sync_playwright

CELLS = {
    "interact": """k := widgets.NewFloatSlider(&widgets.FloatSliderOptions{Max: 4, Value: 1})
v, err := widgets.Interact(func(k float64, kind string) any {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s at %.1f", kind, k)
	p.Add(plotter.NewFunction(func(x float64) float64 { return math.Sin(k * x) }))
	p.X.Max, p.Y.Min, p.Y.Max = 10, -1, 1
	return p
}, k, widgets.NewDropdown(&widgets.DropdownOptions{Options: []string{"std", "var"}}))
v""",
    "button": """n := 0
more := widgets.NewButton(&widgets.ButtonOptions{Description: "more"})
label := widgets.NewLabel(nil)
more.OnClick(func() { n++; label.SetValue(fmt.Sprint("clicked ", n)) })
widgets.NewHBox(&widgets.HBoxOptions{Children: []widgets.Widget{more, label}})""",
    "table": "[]struct{ Name string; Age int }{{\"ann\", 3}, {\"bob\", 4}}",
    "chart": """x := []float64{1, 2, 4, 8}
one := figures.Series{Label: "MAP", X: x, Y: []float64{1, 2, 2, 1}, Lo: []float64{0, 1, 1, 0}, Hi: []float64{2, 3, 3, 2}}
two := figures.Series{Label: "LA", X: x, Y: []float64{1, 2, 3, 4}}
dots := figures.Series{Label: "single", X: x, Y: []float64{2, 1, 2, 1}, Points: true}
figures.Panels(figures.Panel{Title: "left", X: "n", Y: "gain", Series: []figures.Series{one, two}}, figures.Panel{Title: "right", X: "n", Y: "gain", LogX: true, Series: []figures.Series{two, dots}})""",
    "error": "lable.Value()",
    "empty": "",
}


def notebook(path):
    cells = [
        {"cell_type": "code", "id": name, "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for name, source in CELLS.items()
    ]
    kernel = {"name": "bayesrm", "display_name": "Go (bayesrm)", "language": "go"}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def serve(folder, port, log):
    lab = pathlib.Path(sys.executable).with_name("jupyter-lab")
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    own = [f"--LabApp.{d}_dir={folder}/.lab/{d}" for d in ("workspaces", "user_settings")]  # nothing is left from another run
    server = subprocess.Popen([lab, *options, *own], stdout=log, stderr=subprocess.STDOUT)
    for _ in range(120):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=1)
            return server
        except OSError:
            time.sleep(0.5)
    server.kill()
    raise SystemExit("JupyterLab did not start")


class Page:
    """A notebook in JupyterLab; cells by their place."""

    def __init__(self, page, url, shots):
        self.page, self.url, self.shots = page, url, shots

    def open(self):
        self.page.goto(self.url, timeout=60000)
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60000)
        expect(self.page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle", timeout=60000)

    def cell(self, name):
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(list(CELLS).index(name))

    def run(self, name):
        prompt = self.cell(name).locator(".jp-InputPrompt").first
        for _ in range(10):  # the page takes no key strokes yet when it shows the notebook
            self.cell(name).locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")
            self.page.wait_for_timeout(500)
            if prompt.inner_text() != "[ ]:":
                break
        expect(self.cell(name).locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]"), timeout=30000)

    def picture(self, name):
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=str(self.shots / f"{name}.png"))

    def title(self):
        """What the interactive plot is called: an SVG, shown as an image or inline."""
        out = self.cell("interact").locator(".jp-OutputArea-output .jp-RenderedSVG").last
        src = out.locator("img").get_attribute("src") if out.locator("img").count() else out.inner_html()
        return re.sub(r"%20", " ", src)


def drag(lab):
    """Runs the cell with the controls and moves both."""
    lab.run("interact")
    lab.page.wait_for_selector(".noUi-handle")
    assert "std at 1.0" in lab.title(), lab.title()[:3000]
    handle = lab.page.locator(".noUi-handle").first
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    lab.page.mouse.move(x, y)
    lab.page.mouse.down()
    for step in range(25):
        lab.page.mouse.move(x + 4 * step, y)
        lab.page.wait_for_timeout(10)
    lab.page.mouse.up()
    moved = lambda: re.search(r"std at ([2-4]\.\d)", lab.title())
    wait(moved, "the slider was dragged, and the curve is the same")
    lab.page.locator(".widget-dropdown select").first.select_option("var")
    wait(lambda: re.search(r"var at ([2-4]\.\d)", lab.title()), "the menu was changed, and the curve is the same")


def check(lab):
    lab.open()
    no_news = lab.page.get_by_role("button", name="No", exact=True)
    if no_news.count():
        no_news.click()
    drag(lab)
    lab.picture("1-dragged")

    lab.run("button")
    button = lab.page.locator("button.jupyter-button")
    button.click()
    button.click()
    expect(lab.cell("button")).to_contain_text("clicked 2")

    lab.run("table")
    expect(lab.cell("table").locator("th").first).to_have_text("Name")
    lab.run("chart")
    marks = lab.cell("chart").locator(".vega-embed canvas, .vega-embed svg")
    expect(marks.first).to_be_visible(timeout=20000)
    box = marks.first.bounding_box()
    assert box["width"] > 600, box
    lab.cell("chart").scroll_into_view_if_needed()
    lab.picture("2-chart")
    lab.run("error")
    expect(lab.cell("error")).to_contain_text("did you mean label?")

    lab.cell("empty").locator(".cm-content").click()
    lab.page.keyboard.type("laplace.Fi")
    lab.page.keyboard.press("Tab")
    popup = lab.page.locator(".jp-Completer")
    expect(popup).to_be_visible()
    lab.picture("3-completion")
    lab.page.keyboard.press("Enter")
    expect(lab.cell("empty")).to_contain_text("laplace.Fit")
    lab.page.keyboard.press("Shift+Tab")
    expect(lab.page.locator(".jp-Tooltip")).to_contain_text("ctx context.Context,")
    lab.picture("4-inspect")
    lab.cell("empty").locator(".cm-content").click()
    lab.page.keyboard.press("End")
    for _ in "Fit":
        lab.page.keyboard.press("Backspace")
    lab.page.keyboard.press("Tab")
    expect(popup).to_be_visible()
    expect(popup).to_contain_text("TuneOptions")
    lab.picture("5-members")
    lab.page.keyboard.press("Escape")

    lab.page.keyboard.press("Control+s")
    lab.page.wait_for_timeout(1500)
    lab.open()  # the page anew: the kernel still runs, and the controls come back
    lab.page.wait_for_selector(".noUi-handle", timeout=20000)
    lab.picture("6-reloaded")
    lab.page.locator(".widget-dropdown select").first.select_option("std")
    wait(lambda: re.search(r"std at ([2-4]\.\d)", lab.title()), "after a reload the menu does nothing")


def wait(done, what):
    for _ in range(100):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError(what)


def main():
    shots = pathlib.Path(sys.argv[1])
    shots.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, open(shots / "jupyterlab.log", "w") as log:
        notebook(pathlib.Path(folder) / "w.ipynb")
        notebook(pathlib.Path(folder) / "n.ipynb")
        server = serve(folder, port, log)
        try:
            with sync_playwright() as p:
                quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
                browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=quiet)
                page = browser.new_page(viewport={"width": 1100, "height": 1000})
                lab = Page(page, f"http://127.0.0.1:{port}/lab/tree/w.ipynb", shots)
                classic = Page(page, f"http://127.0.0.1:{port}/notebooks/n.ipynb", shots)
                try:
                    check(lab)
                    classic.open()
                    drag(classic)
                    classic.picture("7-notebook")
                except BaseException:
                    lab.picture("failed")
                    raise
                browser.close()
        finally:
            server.terminate()
            server.wait()
    print("Chromium: widgets, reload, completion, inspection, errors in JupyterLab, widgets in Notebook 7: well")


main()
