"""Both pages come up on loopback, show what was run, and go down together."""

import json
import socket
import urllib.request

import pytest

from rlrec.errors import InputError


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_is_named():
    from tasks.servers import serving

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is in use"), serving(port, free_port()):
            pass


@pytest.mark.slow
def test_both_pages_answer_and_the_flows_are_deployed(monkeypatch):
    import time

    from tasks.servers import serving

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    first, second = free_port(), free_port()
    with serving(first, second) as pages:
        with urllib.request.urlopen(pages.prefect, timeout=10) as answer:
            assert b"<html" in answer.read(500).lower()
        with urllib.request.urlopen(f"{pages.prefect}/ui-settings", timeout=10) as answer:
            assert json.load(answer)["api_url"] == f"{pages.prefect}/api"
        with urllib.request.urlopen(pages.mlflow, timeout=10) as answer:
            assert answer.status == 200
        ask = urllib.request.Request(
            f"{pages.prefect}/api/deployments/filter", b"{}", {"Content-Type": "application/json"}, method="POST"
        )
        deadline = time.monotonic() + 90
        names: set[str] = set()
        while "pipeline" not in names and time.monotonic() < deadline:
            with urllib.request.urlopen(ask, timeout=10) as answer:
                found = json.load(answer)
            names = {"pipeline" for d in found if "plan" in d["parameter_openapi_schema"].get("properties", {})}
            time.sleep(1)
        assert "pipeline" in names
    for port in (first, second):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
