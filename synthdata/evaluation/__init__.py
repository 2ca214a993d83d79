"""An encoder in, scores out."""

from synthdata.evaluation.features import extract_features
from synthdata.evaluation.fidelity import precision_recall
from synthdata.evaluation.frechet import frechet_distance
from synthdata.evaluation.probe import knn_top1, label_subset, linear_probe
from synthdata.evaluation.score import score_encoder

__all__ = [
    "extract_features",
    "frechet_distance",
    "knn_top1",
    "label_subset",
    "linear_probe",
    "precision_recall",
    "score_encoder",
]
