"""Leakage: what is made from training passes, each deliberate leak is caught and counted."""

import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.graph import bipartite
from rlrec.leakage import LeakError, assure_no_leak, held_out
from rlrec.splits import WORLD
from rlrec.tables import EDGES, EVENTS


@pytest.fixture(scope="module")
def training(tiny):
    """The events that are not held out."""
    return tiny.scan(EVENTS).join(held_out(tiny, WORLD).select("event"), on="event", how="anti")


def edges_of(events: pl.LazyFrame) -> pl.LazyFrame:
    """Their pairs as user-item edges."""
    return events.select(
        source="user", relation=pl.lit("user-item"), target="item", weight=pl.lit(1.0, pl.Float32)
    ).unique()


def test_what_is_made_from_training_passes(tiny, training):
    popularity = training.group_by("item").agg(count=pl.len())
    assure_no_leak(tiny, WORLD, events=training, edges=edges_of(training), popularity=popularity)


def test_the_graph_that_the_pipeline_builds_knows_no_held_out_pair(tiny):
    edges = pl.concat(bipartite.edges(bipartite.interactions(tiny, ["train"]))).lazy()
    assert edges.select(pl.len()).collect().item() > 0
    assure_no_leak(tiny, WORLD, edges=edges)


def test_one_held_out_event_in_each_is_caught(tiny, training):
    out = held_out(tiny, WORLD)
    one = out.join(training.select("user", "item"), on=["user", "item"], how="anti").sort("event").head(1)
    both = pl.concat([training, one])
    with pytest.raises(LeakError, match="held-out events") as refusal:
        assure_no_leak(tiny, WORLD, events=both)
    assert refusal.value.rows == 1
    with pytest.raises(LeakError, match="no training event") as refusal:
        assure_no_leak(tiny, WORLD, edges=edges_of(both))
    assert refusal.value.rows == 1
    with pytest.raises(LeakError, match="count held-out") as refusal:
        assure_no_leak(tiny, WORLD, popularity=both.group_by("item").agg(count=pl.len()))
    assert refusal.value.rows == 1


def test_edges_of_items_among_themselves_are_not_judged(tiny):
    edge = {"source": [1], "relation": ["item-genre-item"], "target": [2], "weight": [1.0]}
    assure_no_leak(tiny, WORLD, edges=pl.LazyFrame(edge, schema=EDGES.schema))


def test_an_unknown_protocol_is_named(tiny):
    with pytest.raises(InputError, match="no protocol 'sessions'"):
        held_out(tiny, "sessions")
