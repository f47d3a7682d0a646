"""A dashboard that runs, and a headless Chromium that looks at it: for tests, benchmarks and pictures of the docs."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MISSING = "needs chromium and chromedriver (apt-get install chromium-driver)"
PATIENCE_S = 180  # a busy machine is no failure
_BUSY = "[data-testid='stStatusWidget'], [data-testid='stSpinner'], [data-stale='true']"
_SEEN = f'return [document.body.innerText, document.querySelector("{_BUSY}") !== null]'


def there() -> bool:
    return shutil.which("chromedriver") is not None


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


class Dashboard:
    """`python dashboard.py` (or `streamlit run dashboard.py`) in `folder`, until `close`.

    log: where its output goes; further options as words.
    """

    def __init__(self, folder: Path, log: Path, *options: object, by_streamlit: bool = False) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        script, words = str(ROOT / "dashboard.py"), [str(word) for word in options]
        command = [sys.executable, script, "--port", str(self.port), *words]
        if by_streamlit:
            command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(self.port), "--", *words]
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self._log = log.open("w+")
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL
        )
        until(self._listens, "the dashboard does not listen", PATIENCE_S)

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            self._log.seek(0)
            raise AssertionError(f"the dashboard has ended: {self._log.read()}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> int:
        """Ends it as a service manager would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self._log.close()
        return code


class Browser:
    """A headless Chromium with a profile of its own in `place`, that reaches nothing but this computer."""

    def __init__(self, place: Path, width: int = 1280, height: int = 1600, dark: bool = False) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        self.downloads = place / "downloads"
        options = Options()
        for switch in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--hide-scrollbars"):
            options.add_argument(switch)
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        options.add_argument(f"--user-data-dir={place / 'profile'}")
        options.add_experimental_option("prefs", {"download.default_directory": str(self.downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.resize(width, height)
        if dark:
            self.dark()

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        """A window, or a phone, of this many CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def dark(self, wanted: bool = True) -> None:
        """A reader who prefers dark pages."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def close(self) -> None:
        self.driver.quit()

    def open(self, url: str, words: str) -> str:
        self.driver.get(url)
        return self.wait(words)

    def leave(self) -> None:
        """Look at nothing, so that what is asked for next is not asked of a dashboard that is gone."""
        self.driver.get("about:blank")

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def wait(self, words: str, absent: bool = False, still: bool = True) -> str:
        """The page's text at the moment it holds `words` (or no longer does), and is `still`: nothing is computed.

        After a click `words` must be those of the new page alone: the old one stands, and is still, for a moment.
        """
        text = ""

        def ready() -> bool:
            nonlocal text
            text, busy = self.run(_SEEN)
            return (words in text) != absent and not (still and busy)

        until(ready, lambda: f"{words!r} {'stays' if absent else 'does not come'}: {text[:3000]}", PATIENCE_S)
        return text

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def click(self, words: str, kind: str = "button") -> None:
        """The first button (or other element) that says `words`, as soon as there is one that takes a click."""
        from selenium.common import exceptions

        moved = (
            exceptions.StaleElementReferenceException,
            exceptions.ElementClickInterceptedException,
            exceptions.ElementNotInteractableException,
        )

        def clicked() -> bool:
            found = self.driver.find_elements("xpath", f"//{kind}[contains(., '{words}')]")
            try:
                for first in found[:1]:
                    self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", first)
                    first.click()
            except moved:  # the page was drawn anew in between
                return False
            return bool(found)

        until(clicked, f"no {kind} that says {words!r} takes a click", PATIENCE_S)

    def press(self, selector: str) -> None:
        """The first element that this CSS selects, whether it is in sight or only under the mouse."""
        until(lambda: self.all(selector), f"no {selector}", PATIENCE_S)
        self.driver.execute_script("arguments[0].click()", self.all(selector)[0])

    def type(self, name: str, words: str) -> None:
        """Fill the text field with this name, and press Enter."""
        until(lambda: self.all(f"input[aria-label='{name}']"), f"no text field is named {name!r}", PATIENCE_S)
        (field,) = self.all(f"input[aria-label='{name}']")
        field.send_keys("\ue009a\ue000", f"{words}\n")  # Control and a: all that was there goes
        until(lambda: field.get_attribute("value") == words, f"{name} does not take {words!r}", PATIENCE_S)

    def tab_to(self, words: str) -> None:
        """Go from control to control, as who has no mouse does, and press the first that says `words`."""
        for _ in range(100):
            self.driver.switch_to.active_element.send_keys("\ue004")  # Tab
            reached = self.driver.switch_to.active_element  # a page that scrolls can be reached too
            if reached.tag_name == "button" and words in reached.text:
                reached.send_keys("\ue007")  # Enter
                return
        raise AssertionError(f"the keyboard does not reach {words!r}")

    def choose(self, name: str, option: str) -> None:
        """Choose the option that contains these words in the list with this name."""
        until(lambda: self.all(f"input[aria-label='{name}']"), f"no list is named {name!r}", PATIENCE_S)
        self.all(f"input[aria-label='{name}']")[0].click()
        self.click(option, "div[@role='option']")

    def downloaded(self, ending: str) -> Path:
        """The one file that was downloaded, which is then forgotten."""
        until(lambda: list(self.downloads.glob(f"*{ending}")), f"no {ending} was downloaded", PATIENCE_S)
        (made,) = self.downloads.glob(f"*{ending}")
        return made.rename(self.downloads.parent / made.name)

    def settle(self) -> None:
        """Wait until the charts are drawn: two pictures alike, a quarter of a second apart."""
        last = ""
        for _ in range(80):
            time.sleep(0.25)
            shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
            if shot == last:
                return
            last = shot
        raise AssertionError("the page does not come to rest")

    def errors(self) -> list[str]:
        """What the console says, without Streamlit's own search for its base path."""
        said = [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]
        return [line for line in said if "/_stcore/" not in line]

    def picture(self, path: Path, selector: str = "", whole: bool = False) -> None:
        """A screenshot of what is in sight, of the whole page, or of one element."""
        if whole:
            inner = "[data-testid='stMain'], body"
            height = self.run(f'return Math.max(...[...document.querySelectorAll("{inner}")].map(e => e.scrollHeight))')
            width = self.run("return window.innerWidth")
            self.resize(width, min(int(height) + 20, 12_000))
            time.sleep(1)  # charts follow the new size
        if selector:
            self.all(selector)[0].screenshot(str(path))
            return
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        path.write_bytes(base64.b64decode(shot["data"]))


def until(ready: Callable[[], Any], complaint: str | Callable[[], str], seconds: float) -> None:
    """Wait until `ready()`; AssertionError with the complaint if it takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise AssertionError(complaint if isinstance(complaint, str) else complaint())
        time.sleep(0.1)
