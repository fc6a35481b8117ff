"""What a driver's exception means for those who wait for an answer."""

import enum

from sqlalchemy.exc import DBAPIError


class DatabaseRefused(Exception):
    """The database cannot be used now. The text says which and why: no secrets, but files, so not for the wire."""


class CommitInDoubt(Exception):
    """The connection was lost in COMMIT; `token` names the session that was committing."""

    def __init__(self, token: object) -> None:
        super().__init__("connection lost during COMMIT")
        self.token = token


class Fault(enum.Enum):
    BAD = "bad"
    """This write cannot be made; another one can."""
    FULL = "full"
    """No room for this write; a smaller one may fit."""
    AWAY = "away"
    """The database cannot be reached, or somebody holds it."""
    CORRUPT = "corrupt"
    """The file is damaged."""


def driver_error(error: BaseException) -> BaseException:
    """The driver's own exception under SQLAlchemy's."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig
    return error
