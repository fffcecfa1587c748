"""Plan, Exchange: the typed content of a preset, by its `kind`; the TOML files list only what differs from defaults."""

import difflib
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rlrec.errors import InputError
from rlrec.feedback.evidence import Feedback
from rlrec.pretrain.graph_cl import GraphCL
from rlrec.recipes import FineTuning, Pretraining
from rlrec.simulators.logged_slates import World
from tasks import settings
from tasks.settings import explained, read_toml

SUFFIX = ".toml"


class Data(BaseModel):
    """Which dataset, and where it lies if it is already here."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """A name that `rlrec data list` shows, or the mapping of your own logs: the path of a TOML file."""
    path: str | None = None
    """A folder or archive with the raw files; obtained from the official place when empty."""


class Evaluation(BaseModel, frozen=True):
    """How policies are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3)
    """Seeds of every trained row; each trains Stage A and Stage B anew."""
    cutoffs: tuple[int, ...] = (10, 20)
    """K of the ranking metrics on held-out interactions."""
    level: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Level of every interval."""
    resamples: Annotated[int, Field(ge=100)] = 1_000
    """Bootstrap resamples of users."""
    target_prefixes: Annotated[int, Field(ge=100)] = 2_000
    """Sampled prefixes behind the position marginals of target policies."""
    select_prefixes: Annotated[int, Field(ge=20)] = 200
    """The same while checkpoints are compared on `log_select`."""
    l2_grid: tuple[float, ...] = (50.0, 100.0, 200.0, 500.0)
    """Ridges that EASE baselines choose from, by NDCG@10 on the validation slice."""


class Plan(BaseModel):
    """Everything a run is."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["training"] = "training"
    """What sort of preset this is."""
    name: str = "unnamed"
    """The preset that this plan came from."""
    data: Data
    """The dataset."""
    world: World = World()
    """The simulated world that logged slates come from."""
    pretraining: Pretraining = GraphCL()
    """Stage A."""
    feedback: Feedback = Feedback()
    """How the log becomes contexts and counterfactual rewards."""
    fine_tuning: FineTuning = FineTuning()
    """Stage B."""
    evaluation: Evaluation = Evaluation()
    """How policies are compared."""

    @property
    def model_name(self) -> str:
        """The name of this plan's policy in the model registry."""
        return self.name.removesuffix(SUFFIX).strip("./").replace("/", "-")

    @model_validator(mode="after")
    def same_slate(self) -> "Plan":
        """Policies are trained on slates as long as those that are logged."""
        if self.fine_tuning.slate != self.world.slate:
            raise ValueError(f"fine_tuning.slate is {self.fine_tuning.slate}, but world.slate is {self.world.slate}")
        return self


class Terms(BaseModel):
    """How a policy is judged from another's log."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    draws: Annotated[int, Field(ge=1)] = 100_000
    """Lists that Thompson sampling draws from its beliefs, for its shares at each position."""
    seed: Annotated[int, Field(ge=0)] = 12_345
    """Seed of these draws."""
    folds: Annotated[int, Field(ge=2)] = 3
    """Folds of users that the reward model is cross-fitted over."""
    inverse_penalty: Annotated[float, Field(gt=0)] = 100.0
    """C of the reward model, a logistic regression."""
    rows: Annotated[int, Field(ge=2)] = 10_000
    """At most so many rows of each log, the first in time: every item is scored for each of them in memory."""
    level: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Level of every interval."""


class Exchange(BaseModel):
    """Two policies that served at once, each judged from the other's log."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["exchange"] = "exchange"
    """What sort of preset this is."""
    name: str = "unnamed"
    """The preset that this came from."""
    data: Data
    """The dataset."""
    campaigns: Annotated[tuple[Literal["all", "men", "women"], ...], Field(min_length=1)] = ("all", "men", "women")
    """Which parts of it."""
    judging: Terms = Terms()
    """How."""


KINDS: dict[str, type[Plan] | type[Exchange]] = {"training": Plan, "exchange": Exchange}


def folder() -> Path:
    """Where presets lie: `RLREC_PRESETS`, or the folder shipped with rlrec."""
    shipped = Path(__file__).resolve().parents[1] / "deployments" / "presets"
    return Path(os.environ.get("RLREC_PRESETS", shipped))


def names() -> list[str]:
    """All presets, as `dataset/name`."""
    return sorted(p.relative_to(folder()).with_suffix("").as_posix() for p in folder().rglob(f"*{SUFFIX}"))


def load(preset: str, changes: Sequence[str] = (), path: str | None = None) -> Plan | Exchange:
    """The typed content of a preset (a name, or a path to a TOML file) with `key=value` changes on top.

    Raises:
        InputError: no such preset, no such key (names the nearest), or a value that does not fit.
    """
    file = Path(preset) if preset.endswith(SUFFIX) else folder() / f"{preset}{SUFFIX}"
    if not file.is_file():
        near = difflib.get_close_matches(preset, names(), n=1, cutoff=0.3)
        raise InputError(
            f"there is no preset {preset!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            remedy=f"choose one of: {', '.join(names())}; or give the path of a TOML file",
        )
    values = read_toml(file, "preset")
    model = KINDS.get(kind := values.get("kind", "training"))
    if model is None:
        raise InputError(f"there is no kind of preset {kind!r}", file=file, remedy=f"choose one of: {', '.join(KINDS)}")
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"--set {change!r} has no '='", remedy="write --set section.key=value")
        _put(model, values, key.strip(), _value(text.strip()))
    values["name"] = preset
    if path is not None:
        if not Path(path).exists():
            raise InputError("the path of the data does not exist", file=path, remedy="correct --data, or leave it out")
        values.setdefault("data", {})["path"] = path
    try:
        return model.model_validate(values)
    except ValidationError as fault:
        raise explained(fault, file, model) from fault


def known_keys(model: type[BaseModel]) -> list[str]:
    """Every key that `--set` accepts."""
    return [key for key in settings.known_keys(model) if key not in ("kind", "name")]


def _put(model: type[BaseModel], values: dict[str, Any], key: str, value: object) -> None:
    known = known_keys(model)
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
        tail = [name for name in known if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
        raise InputError(
            f"--set: there is no key {key!r}; the nearest is {(tail or near)[0]!r}",
            remedy="`rlrec run --help` says how to list all keys",
        )
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
