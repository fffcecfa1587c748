"""The model registry: a policy is logged once for its content, with signature and example; alias `candidate`."""

import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import pandas as pd
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from pydantic import BaseModel, ConfigDict

from rlrec import recipes
from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.feedback.contexts import read_contexts
from rlrec.recipes import FineTuning
from tasks import ranker
from tasks import tracking as runs
from tasks.artifacts import Artifact
from tasks.checkpoints import read_tensors, write_tensors
from tasks.evidence import DEPLOYED, SERVING
from tasks.learn import CRITERION, best_score

logger = logging.getLogger(__name__)

ALIAS = "candidate"
LAYOUT = 2  # of the files in a version; one of an earlier layout is registered anew
LIBRARIES = ("mlflow", "torch", "numpy", "pandas", "polars", "pydantic", "jaxtyping", "safetensors", "scipy")
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "user")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "user"),
            ColSpec(DataType.long, "rank"),
            ColSpec(DataType.string, "item"),
            ColSpec(DataType.string, "title"),
            ColSpec(DataType.double, "score"),
            ColSpec(DataType.double, "propensity"),
        ]
    ),
    params=ParamSchema([ParamSpec("k", DataType.long, 10)]),
)


class Registered(BaseModel):
    """A version in the registry, and the policy it serves."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    alias: str
    seed: int
    uri: str
    policy: Artifact
    evidence: Artifact


def register(
    corpus: Artifact,
    evidence: Sequence[Artifact],
    policies: Sequence[Artifact],
    recipe: FineTuning,
    seeds: Sequence[int],
    name: str,
    tracking: str | None,
) -> Registered:
    """Register the seed with the best lower bound on `log_select`, unless that very policy is registered already."""
    scores = [best_score(policy, CRITERION) for policy in policies]
    place = scores.index(max(scores))
    chosen, known, seed = policies[place], evidence[place], seeds[place]
    api = runs.client()
    content = f"{chosen.digest[:60]}-{known.digest[:32]}-{LAYOUT}"
    version = next((v.version for v in _versions(api, name) if v.tags.get("content") == content), None)
    if version is None:
        version = _log(corpus, known, chosen, recipe, name, tracking)
        for key, value in (("content", content), ("seed", str(seed)), (CRITERION, f"{scores[place]:.6f}")):
            api.set_model_version_tag(name, str(version), key, value)
        logger.info("registered %s version %s (seed %d)", name, version, seed)
    api.set_registered_model_alias(name, ALIAS, str(version))
    return Registered(
        name=name, version=str(version), alias=ALIAS, seed=seed, uri=f"models:/{name}/{version}", policy=chosen,
        evidence=known,
    )  # fmt: skip


def write_served(folder: Path, corpus: Artifact, evidence: Artifact, policy: Artifact, recipe: FineTuning) -> None:
    """The files that the served model reads: actor, contexts with what each candidate may earn, vocabularies.

    `q_hat` was learned from `log_train` alone, and so never from a log on which the policy is judged.
    """
    tables = Corpus.of(corpus.path)
    weights = read_tensors(policy.path / "model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    for kind, file in ((DEPLOYED, ranker.DEPLOYED), (SERVING, ranker.SERVING)):
        known = read_contexts(Corpus.of(evidence.path / kind))
        fields = {name: getattr(known.contexts, name) for name in known.contexts.__dataclass_fields__}
        write_tensors(folder / file, {**fields, "q_hat": known.q_hat})
        if kind == DEPLOYED:
            actor = recipes.actor(recipe, known.contexts.features.shape[-1], weights)
            write_tensors(folder / "actor.safetensors", dict(actor.state_dict()))
    catalogue = tables.catalogue()
    facts = {
        "hidden": recipe.hidden, "layers": recipe.layers, "temperature": recipe.temperature,
        "users": list(tables.vocabulary("user").external), "items": list(catalogue.vocabulary.external),
        "titles": list(catalogue.titles),
    }  # fmt: skip
    (folder / "policy.json").write_text(json.dumps(facts), encoding="utf-8")


def _versions(api: mlflow.MlflowClient, name: str) -> list[ModelVersion]:
    return list(api.search_model_versions(f"name='{name}'"))


def _log(
    corpus: Artifact, evidence: Artifact, policy: Artifact, recipe: FineTuning, name: str, parent: str | None
) -> str:
    mlflow.set_tracking_uri(runs.uri())
    mlflow.set_registry_uri(runs.uri())
    root = Path(__file__).resolve().parents[1]
    with TemporaryDirectory() as scratch, runs.child(parent, "register") as run:
        served = Path(scratch) / "policy"
        write_served(served, corpus, evidence, policy, recipe)
        users = json.loads((served / "policy.json").read_text(encoding="utf-8"))["users"][1:3]
        options = {
            "name": "policy",
            "python_model": str(root / "tasks" / "ranker.py"),
            "artifacts": {"policy": str(served)},
            "code_paths": [str(root / "rlrec")],
            "signature": SIGNATURE,
            "input_example": pd.DataFrame({"user": users}),
            "pip_requirements": [f"{library}=={runs.version(library)}" for library in LIBRARIES],
            "registered_model_name": name,
        }
        with mlflow.start_run(run_id=run.run_id) if run.run_id else nullcontext():
            return str(mlflow.pyfunc.log_model(**options).registered_model_version)


def load(uri: str) -> mlflow.pyfunc.PyFuncModel:
    """A registered policy, ready to rank."""
    mlflow.set_tracking_uri(runs.uri())
    mlflow.set_registry_uri(runs.uri())
    return mlflow.pyfunc.load_model(uri)


def fetch(model: str, folder: Path) -> tuple[str, Path]:
    """`NAME/version` of `NAME@alias` or `NAME/version`, and its files (those of `write_served`), put into `folder`.

    Raises:
        InputError: there is no such model, alias or version.
    """
    uri, _ = find_version(model)
    mlflow.set_tracking_uri(runs.uri())
    mlflow.set_registry_uri(runs.uri())
    name = uri.removeprefix("models:/")
    place = folder / name
    place.mkdir(parents=True)
    found = download_artifacts(artifact_uri=f"{uri}/artifacts/policy", dst_path=str(place))
    return name, Path(found)


def find_version(model: str) -> tuple[str, str]:
    """The `models:/` URI and the version of `NAME@alias` or `NAME/version`.

    Raises:
        InputError: there is no such model, alias or version.
    """
    api = runs.client()
    name, at, alias = model.partition("@")
    name, _, number = (name, "", "") if at else model.rpartition("/")
    try:
        found = api.get_model_version_by_alias(name, alias) if at else api.get_model_version(name, number)
    except MlflowException as fault:
        known = sorted(entry.name for entry in api.search_registered_models())
        raise InputError(
            f"no registered model {model!r}",
            remedy=f"registered here: {', '.join(known) or 'none yet, run `rlrec run` first'}; write NAME@{ALIAS}",
        ) from fault
    return f"models:/{found.name}/{found.version}", str(found.version)
