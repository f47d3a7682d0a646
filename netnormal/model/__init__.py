"""Baseline scaling, Isolation Forests, calibration, explanation, and a model's file.

The model knows no networks: a row has the key and kind of tables.FEATURES, and features are named columns whose prefix
says with whose past they are compared, and whose unit says on which scale.
"""

from netnormal.model.detector import Model
from netnormal.model.store import card_path, load, save

__all__ = ["Model", "card_path", "load", "save"]
