"""One operation of MLflow's own repository for FTP or SFTP, measured from inside.

    python -I bench/file_servers_peers.py NOTES URI OPERATION LOCAL

OPERATION is `upload` or `download`; LOCAL is a file or a directory, or where one is to stand, and the last segment of URI is its name there.
Wall and CPU seconds of the operation alone go to the file NOTES: importing MLflow does not count.
"""

import os
import sys
import time


def main():
    notes, uri, operation, local = sys.argv[1:]
    if uri.startswith("sftp:"):
        from mlflow.store.artifact.sftp_artifact_repo import SFTPArtifactRepository as Repository
    else:
        from mlflow.store.artifact.ftp_artifact_repo import FTPArtifactRepository as Repository
    above, _, name = uri.rpartition("/")
    begin, cpu = time.perf_counter(), time.process_time()
    if operation == "download":
        Repository(above).download_artifacts(name, os.path.dirname(local))
    elif os.path.isdir(local):
        Repository(above).log_artifacts(local, name)
    else:
        Repository(above).log_artifact(local)
    with open(notes, "w", encoding="ascii") as file:
        file.write(f"{time.perf_counter() - begin} {time.process_time() - cpu}")


main()
