"""Writes a table to a store and reads it with pandas, which finds the store by its URL through fsspec.

    pip install 'mlflow-artifacts[fsspec]' pandas pyarrow
    python read_tables.py artifactory://artifacts.example/artifactory/tables

Schemes that other packages have file systems for are found with `artifacts+` in front: artifacts+s3://bucket/tables.
"""

import sys

import pandas

url = sys.argv[1]
measured = pandas.DataFrame({"epoch": range(1, 101), "loss": [1 / epoch for epoch in range(1, 101)]})
measured.to_parquet(f"{url}/measured.parquet")

# Parquet keeps columns apart: only what is asked for is fetched. Without `pre_buffer=False` Arrow reads ahead in threads that may still
# hold Python's file when a short program ends, and then it aborts now and then (with every file system of fsspec, up to Python 3.13).
losses = pandas.read_parquet(f"{url}/measured.parquet", columns=["loss"], pre_buffer=False)
print(f"{len(losses)} epochs, the last loss is {losses.loss.iloc[-1]}")
