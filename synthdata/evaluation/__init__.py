"""An encoder in, scores out.

In come an encoder and labelled images (linear probe, k-NN, few labels, fine-tuning), unlabelled ones (alignment and
uniformity), or two sets of features (Fréchet distance, precision and recall); out come numbers, tables of them, and of
an encoder its linear probe as a classifier. Training, emission and benchmarks call it, as do
the recipes that score a saved encoder.
"""

from synthdata.evaluation.alignment import alignment, uniformity
from synthdata.evaluation.classify import fit_classifier
from synthdata.evaluation.features import extract_features, map_images
from synthdata.evaluation.fidelity import precision_recall
from synthdata.evaluation.frechet import frechet_distance
from synthdata.evaluation.inception import find_inception_weights, inception_features, load_inception
from synthdata.evaluation.labelled import load_labelled
from synthdata.evaluation.probe import knn_top1, label_subset, linear_probe
from synthdata.evaluation.score import score_encoder, scores_and_draws

__all__ = [
    "alignment",
    "extract_features",
    "find_inception_weights",
    "fit_classifier",
    "frechet_distance",
    "inception_features",
    "knn_top1",
    "label_subset",
    "linear_probe",
    "load_inception",
    "load_labelled",
    "map_images",
    "precision_recall",
    "score_encoder",
    "scores_and_draws",
    "uniformity",
]
