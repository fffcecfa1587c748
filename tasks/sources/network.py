"""Ask the network for an archive or a wheel, and give up within seconds when it does not answer."""

import http.client
import queue
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from tasks.artifacts import CHUNK

CONNECT_SECONDS = 5.0
BODY_SECONDS = 300.0
WHEEL_SECONDS = 60.0


def download_archive(url: str, folder: Path) -> Path:
    """Save what the address answers; give up early when it does not."""
    archive = folder / "archive"
    deadline = time.monotonic() + BODY_SECONDS
    with ask(url) as answer, archive.open("wb") as stream:
        while chunk := answer.read(CHUNK):
            stream.write(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError(f"still incomplete after {BODY_SECONDS:.0f} s")
    return archive


def ask(url: str) -> http.client.HTTPResponse:
    """The open response. In a thread of its own, because looking up a name knows no time limit."""
    answers: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue()

    def connect() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=CONNECT_SECONDS))
        except (OSError, http.client.HTTPException) as fault:
            answers.put(fault)

    threading.Thread(target=connect, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS + 1)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def download_wheel(requirement: str, folder: Path) -> Path:
    """Let pip download the wheel, alone, and give up early."""
    answer = ask_pip(requirement, folder, "--quiet")
    if answer.returncode:
        raise refused(answer)
    return next(folder.glob("*.whl"))


def download_sdist(requirement: str, folder: Path) -> Path:
    """Save the source distribution `name==version`, which pip tells the address of.

    pip itself would build it, which runs its code; asked for a wheel alone it names the archive that it passes over.
    """
    answer = ask_pip(requirement, folder, "-vv", "--ignore-requires-python")
    archive = re.escape(f"{requirement.replace('==', '-')}.tar.gz")
    found = re.search(rf"\w+://\S+/{archive}", answer.stdout)
    if found is None:
        raise refused(answer)
    return download_archive(found[0], folder)


def ask_pip(requirement: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """The end of a `pip download` of one wheel. Flags, because a user's pip may be set to wait."""
    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(folder), "--timeout", f"{CONNECT_SECONDS:.0f}", "--retries", "0"]
    command += ["--no-input", "--disable-pip-version-check", *flags]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=WHEEL_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"pip did not end within {WHEEL_SECONDS:.0f} s") from None


def refused(answer: subprocess.CompletedProcess[str]) -> OSError:
    """The last error line of pip."""
    lines = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")] or answer.stderr.split("\n")[
        -2:-1
    ]
    return OSError(lines[-1] if lines else f"pip ended with exit code {answer.returncode}")
