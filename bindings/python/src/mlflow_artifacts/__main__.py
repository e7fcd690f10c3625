"""`python -m mlflow_artifacts` says what is installed, and what MLflow uses of it."""

import mlflow_artifacts

print(f"mlflow-artifacts {mlflow_artifacts.__version__}, stores: {' '.join(mlflow_artifacts.schemes())}")
try:
    from mlflow_artifacts.plugin import answers
except ImportError as error:
    print(f"MLflow is not here: {error}")
else:
    print("MLflow's repositories:")
    for line in answers():
        print(f"  {line}")
