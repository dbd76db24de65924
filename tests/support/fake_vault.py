"""A secrets backend for tests, which stores connections as JSON files.

A test can make the lookups of connections fail.
"""

from __future__ import annotations

import os
from pathlib import Path

try:
    from airflow.sdk.bases.secrets_backend import BaseSecretsBackend
except ImportError:  # Airflow 2
    from airflow.secrets import BaseSecretsBackend


#: The name of the environment variable that contains the folder's path.
FOLDER = "STITCH_TEST_VAULT"


class Vault:
    """The folder in which the secrets backend stores connections."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, conn_id: str, text: str) -> None:
        (self.folder / conn_id).write_text(text)

    def read(self, conn_id: str) -> str | None:
        file = self.folder / conn_id
        return file.read_text() if file.exists() else None

    @property
    def connections(self) -> set[str]:
        return {file.name for file in self.folder.iterdir() if not file.name.startswith(".")}

    def seal(self) -> None:
        """Make all later lookups of connections fail."""
        (self.folder / ".sealed").touch()


class VaultBackend(BaseSecretsBackend):
    """The secrets backend that Airflow uses, which reads the connections from a folder.

    The backend looks up the folder's path for each connection, because Airflow uses the same backend object
    in all tests.
    """

    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        folder = os.environ.get(FOLDER)
        if folder is None:
            return None
        if (Path(folder) / ".sealed").exists():
            raise ConnectionError("the vault is sealed")
        return Vault(Path(folder)).read(conn_id)
