"""Every row once an epoch, in an order that the seed decides, within the memory of the buffer."""

import tracemalloc
from collections import Counter
from datetime import UTC, datetime
from itertools import chain, islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rlrec import streaming
from rlrec.errors import InputError
from rlrec.streaming import Stream, ahead

FILES, ROWS, GROUP = 3, 530, 100  # of each file; its last row group is smaller


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("table")
    for file in range(FILES):
        number = np.arange(file * ROWS, (file + 1) * ROWS)
        table = pa.table({"number": number, "half": (number / 2).astype(np.float32), "odd": number % 2 == 1})
        (place / f"day={file}").mkdir()
        pq.write_table(table, place / f"day={file}" / "part.parquet", row_group_size=GROUP)
    return place


def stream(folder, **changes) -> Stream:
    return Stream.over(folder, ["number", "half", "odd"], **({"size": 64, "seed": 3, "buffer": 350} | changes))


def order(batches) -> list[int]:
    return [number for batch in batches for number in batch["number"].tolist()]


@pytest.mark.parametrize("buffer", [GROUP, 350, 10_000])
@pytest.mark.parametrize("size", [1, 64, 5_000])
def test_every_row_is_there_once_and_whole(folder, size, buffer):
    found = list(stream(folder, size=size, buffer=buffer).batches(0))
    assert sorted(order(found)) == list(range(FILES * ROWS))
    assert {len(batch["number"]) for batch in found[:-1]} <= {size}
    assert len(found) == stream(folder, size=size, buffer=buffer).count(0) == -(-FILES * ROWS // size)
    for batch in found:
        assert (batch["number"].dtype, batch["half"].dtype, batch["odd"].dtype) == (
            torch.int64,
            torch.float32,
            torch.bool,
        )
        assert torch.equal(batch["half"], batch["number"].float() / 2)
        assert torch.equal(batch["odd"], batch["number"] % 2 == 1)


def test_the_last_batch_can_be_dropped(folder):
    found = list(stream(folder, keep_last=False).batches(0))
    assert {len(batch["number"]) for batch in found} == {64}
    assert len(found) == stream(folder, keep_last=False).count(0) == FILES * ROWS // 64


@pytest.mark.parametrize("world_size", [2, 4, 30])
def test_ranks_share_the_rows(folder, world_size):
    for epoch in range(2):
        ranks = [stream(folder, rank=rank, world_size=world_size) for rank in range(world_size)]
        found = [order(one.batches(epoch)) for one in ranks]
        assert sorted(chain.from_iterable(found)) == list(range(FILES * ROWS))
        assert [one.count(epoch) for one in ranks] == [-(-len(rows) // 64) for rows in found]


def test_the_order_follows_from_seed_and_epoch(folder):
    first = order(stream(folder).batches(0))
    assert order(stream(folder).batches(0)) == first
    others = [order(stream(folder).batches(1)), order(stream(folder, seed=4).batches(0)), sorted(first)]
    for other in others:
        assert np.mean(np.array(first) == other) < 0.1


def test_rows_of_several_row_groups_are_mixed(folder):
    groups = [
        len({(n // ROWS, n % ROWS // GROUP) for n in batch["number"].tolist()}) for batch in stream(folder).batches(0)
    ]
    assert min(groups[:-1]) >= 3


@pytest.mark.parametrize("position", [0, 1, 5, 6, 24, 25, 26])
def test_an_epoch_resumes_where_it_was_left(folder, position):
    whole = list(stream(folder).batches(2))
    again = list(stream(folder).batches(2, position))
    assert order(again) == order(whole[position:])
    assert [len(batch["number"]) for batch in again] == [len(batch["number"]) for batch in whole[position:]]


def test_what_lies_before_the_position_is_not_read(folder, monkeypatch):
    read = []
    shuffled = Stream.shuffled
    monkeypatch.setattr(
        Stream, "shuffled", lambda self, window, seed: read.append(seed[-1]) or shuffled(self, window, seed)
    )
    list(stream(folder).batches(0, position=20))
    assert min(read) > 0


def test_only_two_buffers_are_read_before_they_are_wanted(folder, monkeypatch):
    read = Counter()
    shuffled = Stream.shuffled

    def counted(self, window, seed):
        read[seed[-1]] = sum(group.rows for group in window)
        return shuffled(self, window, seed)

    monkeypatch.setattr(Stream, "shuffled", counted)
    batches = stream(folder).batches(0)
    next(batches)
    batches.close()
    assert set(read) <= {0, 1}
    assert max(read.values()) <= 350


def test_memory_is_that_of_the_buffer_not_of_the_table(tmp_path):
    rows, buffer = 400_000, 20_000
    pq.write_table(pa.table({"number": np.arange(rows)}), tmp_path / "long.parquet", row_group_size=10_000)
    long = Stream.over(tmp_path, ["number"], size=1_000, seed=0, buffer=buffer)
    tracemalloc.start()
    for _ in long.batches(0):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * buffer * 8 < rows * 8 / 2


def test_a_fault_in_the_thread_is_raised_where_the_batch_is_wanted():
    def fail():
        raise InputError("broken")

    results = ahead([lambda: 1, fail, lambda: 3])
    assert list(islice(results, 1)) == [1]
    with pytest.raises(InputError, match="broken"):
        next(results)


def test_times_are_microseconds(tmp_path):
    at = datetime(2020, 1, 1, 0, 0, 1, 5, tzinfo=UTC)
    for unit in ("us", "ns"):
        pq.write_table(pa.table({"at": pa.array([at], pa.timestamp(unit, "UTC"))}), tmp_path / f"{unit}.parquet")
        (batch,) = Stream.over(tmp_path / f"{unit}.parquet", ["at"], size=1, seed=0).batches(0)
        assert batch["at"].tolist() == [int(at.timestamp()) * 1_000_000 + 5]


def test_what_cannot_be_read_is_named(tmp_path, folder):
    with pytest.raises(InputError, match="no Parquet file in this folder"):
        stream(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        stream(tmp_path / "missing.parquet")
    with pytest.raises(InputError, match="a batch needs a row"):
        stream(folder, size=0)
    with pytest.raises(InputError, match=r"larger than the buffer of 99 rows(?s:.)*rows:   100"):
        stream(folder, buffer=99)
    with pytest.raises(InputError, match=r"missing(?s:.)*column: other(?s:.)*choose among number, half, odd"):
        Stream.over(folder, ["other"], size=1, seed=0)
    pq.write_table(pa.table({"word": ["a"], "number": pa.array([None], pa.int32())}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"type string(?s:.)*column: word"):
        Stream.over(tmp_path, ["word"], size=1, seed=0)
    with pytest.raises(InputError, match=r"nulls(?s:.)*a.parquet(?s:.)*column: number(?s:.)*rows:   1"):
        next(Stream.over(tmp_path, ["number"], size=1, seed=0).batches(0))
    pq.write_table(pa.table({"number": [1]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"int64, and int32(?s:.)*b.parquet"):
        Stream.over(tmp_path, ["number"], size=1, seed=0)
    (tmp_path / "a.parquet").write_bytes(b"PAR0")
    with pytest.raises(InputError, match=r"no Parquet file(?s:.)*a.parquet"):
        Stream.over(tmp_path, ["number"], size=1, seed=0)


def test_a_table_without_rows_has_no_batches(tmp_path):
    pq.write_table(pa.table({"number": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    empty = Stream.over(tmp_path, ["number"], size=4, seed=0)
    assert (list(empty.batches(0)), empty.count(0), streaming.BUFFER) == ([], 0, empty.buffer)
