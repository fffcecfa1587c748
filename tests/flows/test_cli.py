"""The command line: plain errors, exit codes, instant help, and the data verbs end to end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows import cli
from rlrec.corpus import Corpus
from rlrec.tables import EVENTS, VOCABULARY
from tasks.warehouse import read_description
from tests.tiny import USERS, write_tiny

ROOT = Path(__file__).resolve().parents[2]
HELP_SECONDS = 0.5
TRIES = 5
LOG_COLUMNS = ("event_id", "action", "request_id", "user_id", "position", "reward", "propensity")
HEAVY = ("torch", "prefect", "mlflow", "polars", "duckdb", "pyarrow", "rich")


def invoke(*words: object):
    """Run the command in this process."""
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The tiny world's raw files."""
    return write_tiny(tmp_path / "raw")


def test_ingest_makes_a_corpus_and_says_what_became_of_the_lines(raw, tmp_path):
    with (raw / "u.data").open("a") as stream:
        stream.write("1\t1\t9\t875000000\n")
    result = invoke("ingest", "ml-100k", "--path", raw, "--out", tmp_path / "corpus")
    assert result.exit_code == 0, result.output
    assert read_description(tmp_path / "corpus")["counts"]["users"] == USERS
    for words in ("research use only", "quarantined", "outside 1 to 5", str(tmp_path / "raw"), "knowledge graph"):
        assert words in result.stdout.replace("\n", ""), words


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    """A mapping of a log of three visits."""
    (tmp_path / "visits.csv").write_text("who,what\nzoe,b\nadam,a\nzoe,a\n", encoding="utf-8")
    mapping = tmp_path / "visits.toml"
    mapping.write_text(
        '[[source]]\nfiles = "visits.csv"\nbehaviour = "view"\n[source.columns]\nuser = "who"\nitem = "what"\n',
        encoding="utf-8",
    )
    return mapping


def test_a_warehouse_built_anew_takes_the_ids_of_another(visits, tmp_path):
    log, old, new = tmp_path / "visits.csv", tmp_path / "old", tmp_path / "new"
    assert invoke("ingest", visits, "--out", old).exit_code == 0
    log.write_text("who,what\nbea,a\n" + log.read_text("utf-8").partition("\n")[2], encoding="utf-8")
    result = invoke("ingest", visits, "--out", new, "--vocabulary", old)
    assert result.exit_code == 0, result.output
    before, after = (
        {row[:2]: row[2] for row in Corpus.of(place).scan(VOCABULARY).select("kind", "external", "id").collect().rows()}
        for place in (old, new)
    )
    assert before.items() < after.items()
    assert after["user", "bea"] == 3
    result = invoke("ingest", visits, "--out", tmp_path / "third", "--vocabulary", tmp_path)
    assert result.exit_code == 2
    assert "is no warehouse" in " ".join(result.output.split())


def test_a_folder_beside_a_mapping_is_refused_not_ignored(visits, tmp_path):
    result = invoke("ingest", visits, "--path", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "leave the folder out" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_ingest_without_out_goes_home(raw, own_home):
    assert invoke("ingest", "ml-100k", "--path", raw).exit_code == 0
    assert Corpus.of(own_home / "corpora" / "ml-100k").has(EVENTS)


def test_data_list_names_datasets_and_terms():
    result = invoke("data", "list")
    assert result.exit_code == 0
    assert "ml-100k" in result.stdout
    assert "ml-1m" in result.stdout


def test_data_fetch_describes_a_local_copy(raw):
    result = invoke("data", "fetch", "ml-100k", "--path", raw)
    assert result.exit_code == 0
    assert "not verified" in result.stdout
    assert "research use only" in result.stdout


def test_ope_shows_estimates_intervals_and_verdict(logged, tmp_path):
    logs, targets = logged
    result = invoke("ope", "--logs", logs, "--target", targets, "--out", tmp_path / "ope", "--level", 0.9)
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "ope" / "estimates.json").read_text())["estimates"]
    (snips,) = [row for row in written if row["estimator"] == "snips" and row["interval"] == "delta"]
    assert snips["value"] == pytest.approx(0.5)  # half of the requests with the second item were clicked
    shown = next(line for line in result.stdout.splitlines() if "SNIPS" in line and "delta" in line)
    assert [cell.strip() for cell in shown.strip("│").split("│")] == [
        "SNIPS", *(cli.number(snips[name]) for name in ("value", "low", "high")), "delta"
    ]  # fmt: skip
    again = invoke("ope", "--logs", logs, "--target", targets, "--out", tmp_path / "ope", "--fail-on", "caution")
    assert again.exit_code == 0
    for words in (
        "second: trust",
        "90% from",
        "400 rows of 50 users, effective sample size 200 rows; the log itself earned 0.25",
        "DR skipped: the targets have no columns q_hat and q_hat_target",
        *(
            f"written: {tmp_path / 'ope' / name}"
            for name in (
                "estimates.json",
                "curve.parquet",
                "curve.png",
                "diagnostics.json",
                "report.html",
                "decision.json",
            )
        ),
        "more than what served earned",
        "gate: second passes against what served",
    ):
        assert words in result.stdout, words


def test_ope_names_the_rules_that_failed(logged, tmp_path):
    logs, targets = logged
    pq.write_table(pq.read_table(logs).slice(0, 40), logs)
    pq.write_table(pq.read_table(targets).slice(0, 40), targets)
    result = invoke("ope", "--logs", logs, "--target", targets, "--out", tmp_path / "ope")
    verdict = json.loads((tmp_path / "ope" / "diagnostics.json").read_text())["second"]
    assert verdict["verdict"] == "no_support"
    assert "second: no_support" in result.stdout
    assert "  no_support: effective_sample_size is 20, limit 100" in result.stdout
    for failed in verdict["failed"]:
        assert f"{failed['grade']}: {failed['rule']} is " in result.stdout
    for grade, code in (("caution", cli.EXIT_VERDICT), ("no_support", cli.EXIT_VERDICT), ("trust", cli.EXIT_INPUT)):
        words = ("ope", "--logs", logs, "--target", targets, "--out", tmp_path / grade, "--fail-on", grade)
        assert invoke(*words).exit_code == code
    assert (tmp_path / "caution" / "estimates.json").exists()


def test_ope_refuses_in_plain_words(logged, tmp_path):
    logs, targets = logged
    result = invoke("ope", "--logs", logs, "--target", logs, "--out", tmp_path / "ope")
    assert result.exit_code == cli.EXIT_INPUT
    assert "target_probability" in result.stderr
    assert not (tmp_path / "ope").exists()
    result = invoke("ope", "--logs", logs, "--target", targets, "--out", tmp_path / "ope", "--reference", "first")
    assert result.exit_code == cli.EXIT_INPUT
    assert "choose among: logging, second" in result.stderr


def test_ope_loads_no_torch_prefect_or_mlflow(logged, tmp_path):
    logs, targets = logged
    words = ["rlrec", "ope", "--logs", str(logs), "--target", str(targets), "--out", str(tmp_path / "ope")]
    program = (
        f"import sys; sys.argv = {words}\n"
        "import flows.cli\n"
        "try: flows.cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('heavy:', [name for name in ('torch', 'prefect', 'mlflow', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert (tmp_path / "ope" / "diagnostics.json").exists()


def test_an_input_error_is_a_few_plain_lines_and_exit_code_two(tmp_path):
    result = invoke("data", "fetch", "ml-100k", "--path", tmp_path / "nowhere")
    assert result.exit_code == cli.EXIT_INPUT
    lines = result.stderr.splitlines()
    assert lines[0] == "rlrec: the path does not exist"
    assert any(line.startswith("  remedy: ") for line in lines)
    assert len(lines) < 6
    assert "Traceback" not in result.output


def test_debug_shows_the_traceback(tmp_path):
    result = invoke("--debug", "data", "fetch", "ml-100k", "--path", tmp_path / "nowhere")
    assert result.exit_code != 0
    assert type(result.exception).__name__ == "InputError"


def test_an_unforeseen_fault_is_one_line_that_names_debug(raw, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.warehouse.ingest", lambda *_, **__: 1 // 0)
    result = invoke("ingest", "ml-100k", "--path", raw, "--out", tmp_path / "corpus")
    assert result.exit_code == cli.EXIT_FAULT
    assert result.stderr.splitlines()[-1].startswith("rlrec: ZeroDivisionError: ")
    assert "--debug" in result.stderr
    assert "Traceback" not in result.output


def test_ctrl_c_is_one_line(raw, tmp_path, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.warehouse.ingest", interrupt)
    result = invoke("ingest", "ml-100k", "--path", raw, "--out", tmp_path / "corpus")
    assert result.exit_code == cli.EXIT_INTERRUPTED
    assert result.stderr.splitlines()[-1] == "interrupted; the same command resumes"


def test_a_real_interrupt_ends_the_process_plainly(raw, tmp_path):
    endless = raw / "u.data"
    endless.unlink()
    os.mkfifo(endless)
    reading = threading.Event()

    def write_without_end() -> None:
        with suppress(BrokenPipeError), endless.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"1\t1\t5\t875000000\n" * 1000)
                reading.set()

    threading.Thread(target=write_without_end, daemon=True).start()
    words = ["ingest", "ml-100k", "--path", str(raw), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert reading.wait(timeout=60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == cli.EXIT_INTERRUPTED
    assert errors == "interrupted; the same command resumes\n"
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_is_a_usage_error():
    result = invoke("ingest", "ml-100k", "--pth", "x")
    assert result.exit_code == 2
    assert "--pth" in result.stderr


@pytest.mark.parametrize("words", [[], ["data"], ["data", "fetch"], ["ingest"], ["ope"]], ids=" ".join)
def test_help_teaches(words):
    result = invoke(*words, "--help")
    assert result.exit_code == 0
    if words and words != ["data"]:
        assert f"Example:  rlrec {' '.join(words)} " in result.output


def test_help_of_ope_names_the_columns_of_both_tables():
    text = invoke("ope", "--help").output
    for name in (*LOG_COLUMNS, "target_policy", "target_probability", "q_hat", "q_target"):
        assert name in text, name


def test_help_is_instant_and_loads_nothing_heavy():
    program = (
        "import sys; sys.argv = ['rlrec', '--help']\n"
        "import flows.cli\n"
        "try: flows.cli.main()\n"
        "except SystemExit: pass\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert min(seconds) < HELP_SECONDS


@pytest.mark.slow
def test_a_flow_refuses_a_preset_of_another_kind():
    done = subprocess.run(
        [sys.executable, "-m", "flows.finetune", "open-bandit/exchange"], capture_output=True, text=True
    )
    assert done.returncode == cli.EXIT_INPUT
    assert "rlrec run open-bandit/exchange" in done.stderr
