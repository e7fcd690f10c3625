"""One operation of one third-party S3 client, measured from inside.

    python -I bench/s3_peers.py NOTES CLIENT OPERATION LOCAL

CLIENT is `mlflow` (its S3 repository, which is boto3) or `obstore`; OPERATION is `upload-tree`, `download-tree`, `upload-file` or
`download-file`. The tree stands at `tree` of the bucket `bench`, the file at `file/file.bin`; the environment says where and with
which keys. Wall and CPU seconds of the operation alone go to the file NOTES: importing the client and making its objects does not
count. `urls` as CLIENT prints signed URLs instead: of the file for OPERATION `put` and `get`, of the names in the file LOCAL.
"""

import asyncio
import os
import sys
import time

BUCKET, TREE, FILE = "bench", "tree", "file/file.bin"
AT_ONCE = 16


def mlflow(operation, local):
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    repository = S3ArtifactRepository(f"s3://{BUCKET}")
    # Its client is made, and its connection too.
    repository.list_artifacts("none")
    directory, name = os.path.split(FILE)
    return {
        "upload-tree": lambda: repository.log_artifacts(local, TREE),
        "upload-file": lambda: repository.log_artifact(local, directory),
        "download-tree": lambda: repository.download_artifacts(TREE, local),
        "download-file": lambda: repository.download_artifacts(f"{directory}/{name}", os.path.dirname(local)),
    }[operation]


def obstore(operation, local):
    """As a careful user writes it: many files at once, and one file in chunks as they come."""
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region="us-east-1",
        client_options={"allow_http": True},
    )

    async def many(work, items):
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(item):
            async with gate:
                await work(item)

        await asyncio.gather(*map(one, items))

    async def put(path):
        await obstore.put_async(store, f"{TREE}/{os.path.relpath(path, local)}", path_of(path))

    async def get(key):
        target = os.path.join(local, os.path.relpath(key, TREE))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        content = await (await obstore.get_async(store, key)).bytes_async()
        with open(target, "wb") as file:
            file.write(content)

    async def get_file():
        answer = await obstore.get_async(store, FILE)
        with open(local, "wb") as file:
            async for chunk in answer.stream(min_chunk_size=1 << 20):
                file.write(chunk)

    def list_tree():
        return [entry["path"] for page in obstore.list(store, TREE) for entry in page]

    return {
        "upload-tree": lambda: asyncio.run(many(put, files_of(local))),
        "upload-file": lambda: obstore.put(store, FILE, path_of(local)),
        "download-tree": lambda: asyncio.run(many(get, list_tree())),
        "download-file": lambda: asyncio.run(get_file()),
    }[operation]


def path_of(path):
    from pathlib import Path

    return Path(path)


def files_of(top):
    return [os.path.join(at, name) for at, _, names in os.walk(top) for name in names]


def urls(operation, names):
    import boto3

    client = boto3.client("s3", region_name="us-east-1")
    with open(names, encoding="utf-8") as file:
        for name in file.read().splitlines():
            method = {"put": "put_object", "get": "get_object"}[operation]
            print(client.generate_presigned_url(method, Params={"Bucket": BUCKET, "Key": name}))


def main():
    notes, client, operation, local = sys.argv[1:]
    if client == "urls":
        urls(operation, local)
        return
    action = {"mlflow": mlflow, "obstore": obstore}[client](operation, local)
    wall, cpu = time.monotonic(), time.process_time()
    action()
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    with open(notes, "w", encoding="ascii") as file:
        file.write(f"{wall:.6f} {cpu:.6f}")
    # Their threads may crash the interpreter on its way out.
    sys.stdout.flush()
    os._exit(0)


main()
