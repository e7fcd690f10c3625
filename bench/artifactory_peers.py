"""One operation of one third-party Artifactory client, measured from inside.

    python -I bench/artifactory_peers.py NOTES CLIENT OPERATION HOST LOCAL

CLIENT is `plugin` (mlflow-jfrog-plugin) or `dohq` (dohq-artifactory); OPERATION is `upload-tree`, `download-tree`, `upload-file`
or `download-file`. The tree stands at `bench/tree` of the repository `generic-local`, the file at `bench/file.bin`. Wall and CPU
seconds of the operation alone go to the file NOTES: importing the client and making its objects does not count.
"""

import os
import sys
import time

REPOSITORY, TREE, FILE = "generic-local", "bench/tree", "bench/file.bin"
TOKEN = os.environ["ARTIFACTORY_AUTH_TOKEN"]


def plugin(host):
    import mlflow.artifacts  # noqa: F401  (first: it loads the plugin, which needs it)
    from plugin.artifactory_repository import JFrogArtifactoryRepository

    top, name = TREE.split("/")
    repository = JFrogArtifactoryRepository(f"artifactory://{host}/artifactory/{REPOSITORY}/{top}")
    return {
        "upload-tree": lambda local: repository.log_artifacts(local, name),
        "upload-file": lambda local: repository.log_artifact(local),
        # With a path of a file: with that of a directory, as MLflow calls it, this fails.
        "download-file": lambda local: repository.download_artifacts(os.path.basename(FILE), local),
    }


def dohq(host):
    """As a careful user writes it: all paths from one, so that they share its session."""
    from artifactory import ArtifactoryPath

    top = ArtifactoryPath(f"http://{host}/artifactory/{REPOSITORY}", token=TOKEN)

    def upload_tree(local):
        tree = top / TREE
        for directory, _, names in os.walk(local):
            for name in names:
                path = os.path.join(directory, name)
                (tree / os.path.relpath(path, local)).deploy_file(path)

    def download_tree(local):
        place = {"repo": REPOSITORY, "type": "file", "path": {"$match": f"{TREE}/*"}}
        for row in top.aql("items.find", place, ".include", ["repo", "path", "name"]):
            target = os.path.join(local, os.path.relpath(row["path"], TREE), row["name"])
            os.makedirs(os.path.dirname(target), exist_ok=True)
            (top / row["path"] / row["name"]).writeto(target, chunk_size=1 << 20, progress_func=None)

    return {
        "upload-tree": upload_tree,
        "download-tree": download_tree,
        "upload-file": lambda local: (top / FILE).deploy_file(local),
        "download-file": lambda local: (top / FILE).writeto(local, chunk_size=1 << 20, progress_func=None),
    }


def main():
    notes, client, operation, host, local = sys.argv[1:]
    action = {"plugin": plugin, "dohq": dohq}[client](host)[operation]
    wall, cpu = time.monotonic(), time.process_time()
    action(local)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    with open(notes, "w", encoding="ascii") as file:
        file.write(f"{wall:.6f} {cpu:.6f}")


main()
