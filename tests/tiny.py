"""The synthetic world: a small MovieLens-like dataset with taste, popularity and a knowledge graph, always the same."""

from pathlib import Path

import numpy as np

from tasks.sources import GENRES, fetch
from tasks.warehouse import ingest

USERS, ITEMS, FACTORS = 60, 80, 3
RARE_USERS = 2  # so few ratings that the world's split keeps them in train
FILMS_OF_ACTOR = 10  # few enough to tell films apart, so that ingestion can measure whether the links fit
FIRST_SECOND = 874_724_710  # the first rating of ML-100K
SEED = 7


def write_tiny(folder: Path, seed: int = SEED) -> Path:
    """Write u.data, u.item, ml-100k.kg and ml-100k.link to the folder, in the official layout."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    taste, trait = draw.normal(size=(USERS, FACTORS)), draw.normal(size=(ITEMS, FACTORS))
    liking = taste @ trait.T / np.sqrt(FACTORS)
    popularity = -0.7 * np.log(1 + draw.permutation(ITEMS))
    ratings = np.clip(np.rint(3.6 + liking + 0.4 * draw.normal(size=liking.shape)), 1, 5).astype(int)
    lines = []
    for user in range(USERS):
        size = 5 if user < RARE_USERS else int(draw.integers(35, 70))
        chance = np.exp(popularity + 0.5 * liking[user])
        chosen = draw.choice(ITEMS, size=size, replace=False, p=chance / chance.sum())
        start = FIRST_SECOND + int(draw.integers(10_000_000))
        # several ratings within one second, as people click through a page
        seconds = start + np.cumsum(draw.choice([0, 0, 17, 3600], size=size))
        lines += [
            f"{user + 1}\t{item + 1}\t{ratings[user, item]}\t{at}" for item, at in zip(chosen, seconds, strict=True)
        ]
    (folder / "u.data").write_text("\n".join(draw.permutation(lines)) + "\n")
    (folder / "u.item").write_text("".join(item_line(item, trait[item]) for item in range(ITEMS)), encoding="latin-1")
    write_knowledge(folder, trait)
    return folder


def item_line(item: int, trait: np.ndarray) -> str:
    """One line of u.item: genres follow the traits, so that they tell something about taste."""
    flags = [0] * len(GENRES)
    for factor, value in enumerate(trait):
        flags[1 + 2 * factor + int(value > 0)] = int(abs(value) > 0.5)
    flags[0] = int(not any(flags))
    return f"{item + 1}|Señor Film {item + 1} ({1960 + item % 40})|01-Jan-1995||url|{'|'.join(map(str, flags))}\n"


def write_knowledge(folder: Path, trait: np.ndarray) -> None:
    """Directors and actors who prefer films of one trait, both ways as in Freebase; some films unlinked."""
    linked = [item for item in range(ITEMS) if item % 8]
    alike = sorted(linked, key=lambda item: (int(np.argmax(trait[item])), trait[item].max()))
    actors = {item: place // FILMS_OF_ACTOR for place, item in enumerate(alike)}
    links = ["item_id:token\tentity_id:token", *(f"{item + 1}\tm.film{item + 1}" for item in linked)]
    facts = ["head_id:token\trelation_id:token\ttail_id:token"]
    for item in linked:
        director, actor = f"m.director{int(np.argmax(trait[item]))}", f"m.actor{actors[item]}"
        facts += [
            f"m.film{item + 1}\tfilm.film.directed_by\t{director}",
            f"{director}\tfilm.director.film\tm.film{item + 1}",
            f"m.film{item + 1}\tfilm.film.actor\t{actor}",
        ]
    facts.append(f"m.film{linked[0] + 1}\tfilm.film.sequel\tm.film{linked[1] + 1}")
    (folder / "ml-100k.link").write_text("\n".join(links) + "\n")
    (folder / "ml-100k.kg").write_text("\n".join(facts) + "\n")


def tiny_corpus(folder: Path) -> Path:
    """Write the raw files to `folder/raw`, ingest them to `folder/corpus`, return the latter."""
    source = fetch("ml-100k", write_tiny(folder / "raw"))
    return ingest(source, folder / "corpus").path


def write_preset(folder: Path, raw: Path) -> Path:
    """A plan small enough for tests, over the raw files of the synthetic world."""
    preset = folder / "tiny.toml"
    preset.write_text(
        f"""
[data]
name = "ml-100k"
path = "{raw}"

[world]
candidates = 10
metapath_candidates = 2
tail_candidates = 1
slate = 5
train_requests = 8
select_requests = 2
eval_requests = 4
prefixes = 100

[pretraining]
algorithm = "graph_cl"
epochs = 3

[feedback]
trees = 20
smallest_leaf = 20

[fine_tuning]
slate = 5
epochs = 4
learning_rate = 0.003

[evaluation]
seeds = [1, 2]
cutoffs = [5, 8]
resamples = 100
target_prefixes = 100
select_prefixes = 50
""",
        encoding="utf-8",
    )
    return preset
