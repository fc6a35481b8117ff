"""What is recorded and what is replayed, as a setting or a scenario says it."""

from pathlib import Path

import msgspec


class CassetteRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Files, "" for none. With both, what is not there yet is asked and recorded. `until_turn`: later turns of a session are
    not replayed; None: all are."""

    replay: str = ""
    record: str = ""
    until_turn: int | None = None

    def check(self) -> None:
        """Raises `ValueError` where a file to replay is not there, or one to record cannot be."""
        if self.replay and self.replay != self.record and not Path(self.replay).is_file():
            raise ValueError(f"there is no cassette {self.replay}; record one first")
        if self.record and not Path(self.record).absolute().parent.is_dir():
            raise ValueError(f"there is no folder for {self.record}")
        if self.until_turn is not None and not self.replay:
            raise ValueError("until_turn says how long a cassette is replayed, and none is")
