"""A model's file: written with its card, and read without trusting it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import platform
import warnings
from pathlib import Path
from typing import Any

import joblib
import numba
import numpy as np
import sklearn
from joblib.numpy_pickle import NumpyUnpickler

import netnormal
from netnormal import tables
from netnormal.known import COUNTED, Known
from netnormal.model.detector import Model

#: Everything a model is made of. Unpickling anything else, such as os.system, is refused before it is called.
_ALLOWED = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    ("netnormal.known", "Known"),
    ("netnormal.model.baseline", "Baseline"),
    ("netnormal.model.baseline", "Usual"),
    ("netnormal.model.calibration", "Tail"),
    ("netnormal.model.detector", "Model"),
    ("netnormal.model.detector", "WindowModel"),
    ("netnormal.settings", "TrainModel"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "scalar"),
    ("sklearn.ensemble._iforest", "IsolationForest"),
    ("sklearn.tree._classes", "ExtraTreeRegressor"),
    ("sklearn.tree._tree", "Tree"),
}
_TRAIN = "train it again with  python train_model.py"


class _Unpickler(NumpyUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ValueError(f"it holds {module}.{name}, which no model of netnormal does")
        return super().find_class(module, name)


def card_path(path: str | os.PathLike[str]) -> Path:
    """The readable model_card.json beside a model."""
    return Path(path).with_name("model_card.json")


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the model with joblib, and its card with the model's SHA-256 beside it."""
    with tables.atomic(path) as temporary:
        joblib.dump(model, temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    versions = {
        "netnormal": netnormal.__version__,
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
    }
    card = {"model": Path(path).name, "sha256": digest, "versions": versions} | model.card()
    tables.write_json(card_path(path), card)


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model. Nothing in the file is called but the classes a model is made of.

    Raises tables.InputError if the file is missing, no model, of another version, or does not match its card.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise tables.InputError(path, "does not exist", "make it with  python train_model.py") from None
    except OSError as error:
        raise tables.InputError(path, f"cannot be read ({error.strerror})", "name another with --model") from error
    if card_path(path).exists():
        card = tables.read_json(card_path(path), _TRAIN)
        if card.get("sha256") != hashlib.sha256(data).hexdigest():
            raise tables.InputError(path, f"is not the model that {card_path(path).name} describes", _TRAIN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", sklearn.exceptions.InconsistentVersionWarning)
            model = _Unpickler(str(path), io.BytesIO(data), ensure_native_byte_order=False).load()
        if not isinstance(model, Model):
            raise ValueError("it holds something else")
        _check_fields(model)
        _check(model)
    # A hostile or damaged stream can raise anything at all, here and only here.
    except Exception as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise tables.InputError(path, f"is not a model this netnormal can read ({words})", _TRAIN) from error
    known = {column.name: column.side for column in tables.FEATURE_COLUMNS}
    if model.sides != known:
        differing = sorted(set(model.sides) ^ set(known)) or sorted(known)
        raise tables.InputError(path, f"was trained on other features ({', '.join(differing[:3])} …)", _TRAIN)
    return model


def _check_fields(value: Any) -> None:
    """That each object has what its class has now: a pickle of an earlier version may lack some. Raises ValueError."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if not hasattr(value, field.name):
                raise ValueError(f"its {type(value).__name__} has no {field.name}: it is of an earlier version")
            _check_fields(getattr(value, field.name))
    elif isinstance(value, (dict, list, tuple)):
        for one in value.values() if isinstance(value, dict) else value:
            _check_fields(one)


def _check(model: Model) -> None:
    """That array shapes agree with each other, as every use of the model assumes. Raises ValueError."""
    known = getattr(model, "known", None)
    if not isinstance(known, Known) or any(one.shape != (len(known.talks), COUNTED) for one in known.counts.values()):
        raise ValueError("it does not hold what its baseline had seen")
    if sorted(known.talks.values()) != list(range(len(known.talks))):
        raise ValueError("what its baseline had seen is not numbered")
    for part in model.windows.values():
        n_columns = len(part.baseline.names)
        if part.forest.n_features_in_ != n_columns or part.trees.feature.max(initial=0) >= n_columns:
            raise ValueError("forest and features disagree")
        for usual in part.baseline.usual:
            shape = (len(usual.groups), len(usual.names))
            if usual.centre.shape != shape or usual.spread.shape != shape or not (usual.spread > 0).all():
                raise ValueError("baseline and features disagree")
