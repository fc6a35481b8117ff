"""What a framework says in a turn, told as it comes."""

from greenroom.sdk import Turn


class Speech:
    """The text of one or several messages, each told piece by piece or at once; a blank line stands between two."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._told: dict[str, str] = {}
        self._last: str | None = None

    @property
    def begun(self) -> bool:
        """Whether anything has been said."""
        return self._last is not None

    async def piece(self, message: str, text: str) -> None:
        """A message's next piece. `message` is whatever tells messages of the turn apart."""
        if not text:
            return
        if self._last is not None and message != self._last:
            self._turn.say("\n\n")
        self._last = message
        self._told[message] = self._told.get(message, "") + text
        self._turn.say(text)
        await self._turn.keep_pace()

    async def whole(self, message: str, text: str) -> None:
        """A message in full, once it is known: what of it has not been told yet is told. One that was told otherwise stays
        as it was told."""
        told = self._told.get(message, "")
        if text.startswith(told):
            await self.piece(message, text[len(told) :])
