#!/usr/bin/env python3
"""Writes a small real MLflow model directory: a classifier of iris flowers.

    python examples/data/make_model.py DIRECTORY

DIRECTORY must not exist yet, or be empty. What it then holds is what every
`mlflow.sklearn.save_model` leaves behind: MLmodel, model.pkl, conda.yaml,
python_env.yaml, requirements.txt and the input examples.

Nothing in it depends on the day or the machine except the versions of Python
and of the packages: the data set comes with scikit-learn, the training has no
random part, and the model's id and creation time, which MLflow would otherwise
invent, are given. No network is used.
"""

import logging
import os
import sys
from importlib.metadata import version

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

import mlflow.sklearn  # noqa: E402  (the variables above must be set first)
from mlflow.models import Model, infer_signature  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

# Asking MLflow to find these out would start a second interpreter that loads the model.
REQUIREMENTS = ("mlflow", "cloudpickle", "numpy", "pandas", "scikit-learn", "scipy")

MODEL_UUID = "00000000000000000000000000000001"
CREATED = "2026-01-01 00:00:00.000000"


def train():
    """Returns the trained classifier and the measurements it was trained on."""
    iris = load_iris(as_frame=True)
    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(iris.data, iris.target)
    return classifier, iris.data


def save(directory):
    """Trains the classifier and saves it as an MLflow model in `directory`."""
    classifier, data = train()
    # MLflow warns that unpickling runs code. This pickle is made and read by us; the
    # format is the one most stored models have.
    logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)
    mlflow.sklearn.save_model(
        classifier,
        directory,
        mlflow_model=Model(model_uuid=MODEL_UUID, utc_time_created=CREATED),
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
        signature=infer_signature(data, classifier.predict(data)),
        input_example=data.head(3),
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
    )


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_model.py DIRECTORY")
    save(sys.argv[1])


if __name__ == "__main__":
    main()
