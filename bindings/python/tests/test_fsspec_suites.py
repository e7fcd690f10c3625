"""fsspec's own suites over stores."""

import pytest
from fsspec.tests import abstract
from fsspec.tests.abstract import AbstractFixtures

from mlflow_artifacts.filesystem import ArtifactFileSystem


class Fixtures(AbstractFixtures):
    @pytest.fixture(scope="class")
    def fs(self, tmp_path_factory):
        return ArtifactFileSystem(str(tmp_path_factory.mktemp("store")))

    @pytest.fixture
    def fs_path(self):
        return "place"

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(parts)


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass
