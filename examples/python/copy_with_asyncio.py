"""Copies what is below one URI to another, many artifacts at once, on one thread.

    python copy_with_asyncio.py artifactory://artifacts.example/artifactory/models/1 s3://bucket/models/1

Content passes through piece by piece: a model of many gigabytes needs no more memory than a small one. What fails stops the rest,
and is not half there.
"""

import asyncio
import sys

from mlflow_artifacts.aio import AsyncStore

AT_ONCE = 16


async def copy(source, target, artifact, turns):
    async with turns:
        reader = await source.open_reader(artifact.path)
        async with await target.open_writer(artifact.path, length=artifact.size) as writer:
            async for piece in reader:
                await writer.write(piece)
    return artifact.size


async def main(source_uri, target_uri):
    turns = asyncio.Semaphore(AT_ONCE)
    async with AsyncStore(source_uri) as source, AsyncStore(target_uri) as target:
        files = [found async for found in source.list(recursive=True) if not found.is_directory]
        sizes = await asyncio.gather(*(copy(source, target, file, turns) for file in files))
    print(f"copied {len(sizes)} files, {sum(sizes)} bytes")


asyncio.run(main(*sys.argv[1:]))
