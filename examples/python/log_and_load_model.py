"""Logs a model to a tracking server and loads it again, as any client of MLflow does.

    MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python log_and_load_model.py

Nothing here names mlflow-artifacts: it is installed where the store is reached. That is the server, which was started with, for example,

    pip install 'mlflow-artifacts[mlflow]'
    ARTIFACTORY_AUTH_TOKEN=... mlflow server --artifacts-destination artifactory://artifacts.example/artifactory/models

or, if it was started with --no-serve-artifacts and --default-artifact-root, this program's machine as well.
"""

import pathlib
import tempfile

import mlflow


class Doubling(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: "list[float]", params=None) -> "list[float]":
        return [2 * number for number in model_input]


with mlflow.start_run() as run, tempfile.TemporaryDirectory() as directory:
    logged = mlflow.pyfunc.log_model(name="model", python_model=Doubling(), pip_requirements=["mlflow"])
    for number in range(10):
        (pathlib.Path(directory) / f"{number}.txt").write_text(f"{number}\n")
    mlflow.log_artifacts(directory, "numbers")

model = mlflow.pyfunc.load_model(logged.model_uri)
print(f"artifacts of the run are at {run.info.artifact_uri}")
print(f"numbers: {len(mlflow.artifacts.list_artifacts(run_id=run.info.run_id, artifact_path='numbers'))} files")
print(f"predicted {model.predict([1.0, 2.5])}")
