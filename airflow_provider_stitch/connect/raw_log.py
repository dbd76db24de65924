"""The lines of an extraction log, read while the log is downloaded."""

from __future__ import annotations

import codecs
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_LINE_LENGTH = 1024 * 1024  #: characters of one line in memory; a longer line is returned in parts


class RawExtractionLog:
    """An open extraction log: iterate over it for its lines, or save it to a file.

    The log is downloaded while it is read, so that a log of any size needs little memory. It can be read
    once, inside the `with` statement that opened it. Logs may contain source data and URLs: treat them as
    confidential.

    Reading raises ExtractionLogUnavailable if the download fails, and RuntimeError if the log was already
    read or closed.
    """

    def __init__(self, job_name: str, chunks: Iterable[bytes]) -> None:
        self.job_name = job_name  #: name of the replication job
        self._chunks = chunks
        self._state = "open"

    def __repr__(self) -> str:
        return f"RawExtractionLog({self.job_name}, {self._state})"

    def __iter__(self) -> Iterator[str]:
        """Yield each line without its line break. A line of more than 1,048,576 characters is split.

        Bytes that are not UTF-8 become replacement characters.
        """
        return split_text(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the unchanged bytes of the log in chunks of any size."""
        if self._state != "open":
            raise RuntimeError(
                f"The extraction log of {self.job_name} was already {self._state}. Open it again."
            )
        self._state = "read"
        return self._read()

    def save(self, path: str | Path) -> int:
        """Write the log to a file that only its owner can read, and return its size in bytes.

        An existing file is replaced once the download is complete. If it fails, there is no new file and an
        existing one is unchanged.

        :raises OSError: if the file cannot be written.
        """
        target = Path(path)
        size = 0
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f"{target.name}.", delete=False) as file:
            try:
                for chunk in self.chunks():
                    size += file.write(chunk)
                file.close()
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return size

    def close(self) -> None:
        """Forget the download. `StitchClient.open_extraction_log` closes each log that it opens."""
        self._state = "closed"

    def _read(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            yield chunk
            if self._state == "closed":
                raise RuntimeError(f"The extraction log of {self.job_name} was closed. Open it again.")


def split_text(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a text in UTF-8 without their line breaks."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    line = ""
    for chunk in chunks:
        first, *others = decoder.decode(chunk).split("\n")
        line += first
        for other in others:
            yield from _parts(line.removesuffix("\r"))
            line = other
        if len(line) > MAX_LINE_LENGTH:
            *full, line = _parts(line)
            yield from full
    line += decoder.decode(b"", final=True)
    if line:
        yield from _parts(line)


def _parts(line: str) -> list[str]:
    """Return a line in parts of the maximum length."""
    starts = range(0, max(len(line), 1), MAX_LINE_LENGTH)
    return [line[start : start + MAX_LINE_LENGTH] for start in starts]
