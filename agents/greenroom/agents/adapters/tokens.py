"""What the models of a turn have counted."""

from greenroom.sdk import Usage


class Tokens:
    """The tokens of a turn's requests to its models, together."""

    def __init__(self) -> None:
        self._prompt = 0
        self._completion = 0
        self._counted = False

    def add(self, prompt: int | None, completion: int | None) -> None:
        """Those of one request; None where the model does not tell."""
        if prompt is not None or completion is not None:
            self._counted = True
            self._prompt += prompt or 0
            self._completion += completion or 0

    @property
    def usage(self) -> Usage | None:
        """For `Reply.usage`."""
        return Usage(self._prompt, self._completion) if self._counted else None
