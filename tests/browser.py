"""A headless Chromium for tests, spoken to through a pipe: no package, no port, no driver.

`Page.open` shows an address and notes what goes wrong meanwhile: what the page asks for, and what it complains of.
"""

from __future__ import annotations

import base64
import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
WITHOUT = "needs Chromium, and none of chromium, chromium-browser, google-chrome, chrome is on the PATH"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


@dataclass
class Page:
    """One tab."""

    send: Any
    receive: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    session: str = ""
    number: int = 0

    def call(self, method: str, timeout: float = 60.0, **parameters: Any) -> dict[str, Any]:
        """The answer to one command; what happens until it comes is noted."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        self.send(message | ({"sessionId": self.session} if self.session else {}))
        end = time.monotonic() + timeout
        while True:
            answer = self.receive(end - time.monotonic())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.note(answer)

    def note(self, event: dict[str, Any]) -> None:
        """Keep what the page asked for or complained of."""
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(parameters["exceptionDetails"])[:500])
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "assert"):
                self.complaints.append(json.dumps(parameters["args"])[:500])

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Show an address in a window of this width, and wait until it has settled."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=address)
        for _ in range(600):
            if self.run("document.readyState") == "complete":
                break
            time.sleep(0.05)
        self.run("new Promise(done => setTimeout(done, 300))")

    def run(self, script: str) -> Any:
        """What a script of the page gives."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """A picture of the window, or of the whole page."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A tab of a browser of its own, which ends with it; ``profile`` is an empty folder for what it keeps."""
    to_browser, from_browser = os.pipe(), os.pipe()
    command = f'exec "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
    process = subprocess.Popen(
        ["bash", "-c", command, "bash", str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(to_browser[0], from_browser[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_browser[0])
    os.close(from_browser[1])
    waiting = bytearray()

    def send(message: dict[str, Any]) -> None:
        os.write(to_browser[1], json.dumps(message).encode() + b"\0")

    def receive(seconds: float) -> dict[str, Any]:
        while b"\0" not in waiting:
            ready, _, _ = select.select([from_browser[0]], [], [], max(seconds, 0))
            part = os.read(from_browser[0], 1 << 20) if ready else b""
            if not part:
                raise TimeoutError("the browser gave no answer" if not ready else "the browser has ended")
            waiting.extend(part)
        end = waiting.index(0)
        message: dict[str, Any] = json.loads(waiting[:end])
        del waiting[: end + 1]
        return message

    try:
        tab = Page(send, receive)
        target = tab.call("Target.createTarget", url="about:blank")["targetId"]
        tab.session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        yield tab
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(to_browser[1])
        os.close(from_browser[0])


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder, on this machine alone."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
