"""Read the lines of an extraction log while the log is downloaded."""

from __future__ import annotations

import codecs
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Maximum length of a line, in characters. A longer line is returned in several parts.
MAX_LINE_LENGTH = 1024 * 1024


class RawExtractionLog:
    """An open extraction log. Iterate over the log to read its lines, or save the log to a file.

    The log is downloaded while it is read, so even a large log uses little memory. A log can be read only
    once, inside the `with` statement that opened it. Treat logs as confidential, because they may contain
    source data and URLs.

    Reading a log raises ExtractionLogUnavailable if the download fails, and RuntimeError if the log was
    already read or closed.
    """

    def __init__(self, job_name: str, chunks: Iterable[bytes]) -> None:
        self.job_name = job_name  #: the name of the replication job
        self._chunks = chunks
        self._state = "open"

    def __repr__(self) -> str:
        return f"RawExtractionLog({self.job_name}, {self._state})"

    def __iter__(self) -> Iterator[str]:
        """Yield each line without its line break. Lines longer than 1,048,576 characters are split.

        Bytes that are not valid UTF-8 are replaced with the replacement character.
        """
        return split_text(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the unmodified bytes of the log in chunks of any size."""
        if self._state != "open":
            raise RuntimeError(
                f"The extraction log of {self.job_name} was already {self._state}. Open the log again."
            )
        self._state = "read"
        return self._read()

    def save(self, path: str | Path) -> int:
        """Write the log to a file that only its owner can read, and return its size in bytes.

        The file is created or replaced when the download is complete. If the download fails, no file is
        created, and an existing file is not changed.

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
        """Mark the log as closed, so that it can no longer be read.

        `StitchClient.open_extraction_log` closes the log at the end of the `with` statement.
        """
        self._state = "closed"

    def _read(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            yield chunk
            if self._state == "closed":
                raise RuntimeError(f"The extraction log of {self.job_name} was closed. Open the log again.")


def split_text(chunks: Iterable[bytes]) -> Iterator[str]:
    """Decode UTF-8 text, and yield its lines without line breaks."""
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
    """Split a line into parts of at most the maximum length."""
    starts = range(0, max(len(line), 1), MAX_LINE_LENGTH)
    return [line[start : start + MAX_LINE_LENGTH] for start in starts]
