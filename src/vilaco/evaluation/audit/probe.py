"""A simple classifier asked, across scenes it has not seen, to tell the labels; and how sure its AUC is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vilaco.evaluation.bootstrap import Interval, bootstrap_intervals
from vilaco.evaluation.image_metrics import ImageScores, image_auc
from vilaco.evaluation.metrics import Floats, divide

MakeClassifier = Callable[[int], ClassifierMixin]
"""From a seed to a fresh classifier with ``fit`` and ``predict_proba``."""


def forest(seed: int) -> ClassifierMixin:
    """Random forest, for metadata: takes tables and flags as they are. Classes weigh the same."""
    return RandomForestClassifier(40, min_samples_leaf=2, class_weight="balanced", random_state=seed, n_jobs=1)


def linear(seed: int) -> ClassifierMixin:
    """Logistic regression on standardised features, for picture statistics. Classes weigh the same."""
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, class_weight="balanced", random_state=seed)
    )


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """Scores of images by classifiers that saw neither the image nor its scene.

    Attributes:
        scores: Probability of "tampered", shape ``(n,)``.
        labels: Truth, bool, shape ``(n,)``.
        folds: Which fold held the image out, shape ``(n,)``.
        classifiers: By fold, fitted on the other folds.
    """

    scores: Floats
    labels: NDArray[np.bool_]
    folds: NDArray[np.int64]
    classifiers: Mapping[int, ClassifierMixin]

    def rescore(self, features: Floats, chosen: NDArray[np.int64]) -> Floats:
        """Scores of changed versions of some images, each by the classifier that never saw its scene.

        Args:
            features: Shape ``(m, F)``.
            chosen: Which images they are versions of, shape ``(m,)``.

        Returns:
            Shape ``(m,)``.
        """
        scores = np.empty(len(chosen))
        for fold, classifier in self.classifiers.items():
            here = self.folds[chosen] == fold
            if here.any():
                scores[here] = classifier.predict_proba(features[here])[:, 1]
        return scores


def scene_folds(labels: NDArray[np.bool_], groups: Sequence[str], *, folds: int, seed: int) -> NDArray[np.int64]:
    """Assign every image to a fold, scenes whole, both labels spread as evenly as scenes allow.

    Args:
        labels: Shape ``(n,)``.
        groups: Scene of each image, ``n`` of them.
        folds: How many.
        seed: Of the assignment.

    Returns:
        Fold of each image, shape ``(n,)``.
    """
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    assigned = np.zeros(len(labels), np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros((len(labels), 1)), labels, groups)):
        assigned[held_out] = fold
    return assigned


def probe(
    features: Floats, labels: NDArray[np.bool_], folds: NDArray[np.int64], *, make: MakeClassifier, seed: int
) -> Probed:
    """Score every image by a classifier fitted on the other folds.

    Args:
        features: Shape ``(n, F)``, finite.
        labels: Shape ``(n,)``.
        folds: From :func:`scene_folds`.
        make: :func:`forest` or :func:`linear`.
        seed: Of the classifier.

    Returns:
        Scores, and the classifiers.
    """
    scores = np.empty(len(labels))
    classifiers = {}
    for fold in np.unique(folds).tolist():
        held_out = folds == fold
        classifier = make(seed).fit(features[~held_out], labels[~held_out])
        scores[held_out] = classifier.predict_proba(features[held_out])[:, 1]
        classifiers[fold] = classifier
    return Probed(scores, labels, folds, classifiers)


def auc_within_folds(
    scores: Floats, labels: NDArray[np.bool_], folds: NDArray[np.int64], *, seed: int = 0
) -> tuple[float, Interval]:
    """AUC over pairs of images of the same fold, with its 95% bootstrap interval.

    Scores of different folds come from different classifiers; mixing them pulls the AUC of an uninformative
    feature below 0.5, because a classifier's bias leans against the fold it has not seen.

    Args:
        scores: In [0, 1], shape ``(n,)``.
        labels: Shape ``(n,)``.
        folds: Shape ``(n,)``.
        seed: Of the bootstrap.

    Returns:
        The AUC (NaN if no fold has both labels) and its interval over images.

    Example:
        >>> scores, labels = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, True, False, True])
        >>> auc_within_folds(scores, labels, np.array([0, 0, 1, 1]))[0]
        1.0
        >>> auc_within_folds(scores, labels, np.zeros(4, np.int64))[0]
        0.75
    """
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    images = [(part, ImageScores(labels[part], scores[part])) for part in parts]

    def statistic(weights: NDArray) -> Floats:
        wins, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for part, image_scores in images:
            own = weights[:, part]
            possible = own[:, image_scores.labels].sum(1) * own[:, ~image_scores.labels].sum(1)
            wins += np.nan_to_num(image_auc(image_scores, own)) * possible
            pairs += possible
        return divide(wins, pairs)

    (interval,) = bootstrap_intervals([statistic], len(scores), seed=seed)
    return float(statistic(np.ones((1, len(scores))))[0]), interval
