"""Simulated users: what an evaluator prepares, and what chat creates on the fly (USER-01..05)."""

from collections import OrderedDict
from datetime import UTC, datetime
from time import monotonic

from greenroom.core.errors import UserExists, UserNotFound
from greenroom.core.limits import Limits
from greenroom.core.ports import Store
from greenroom.core.records import Page, UserRecord
from greenroom.core.request import Principal, check_id, check_user_id, read_object

_CACHED = 10_000
_FRESH = 5.0  # seconds for which a user that another process may change is taken from memory, within a conversation


class Users:
    """The users of a store, the ones used last kept in memory."""

    def __init__(self, store: Store, limits: Limits, *, replace_existing: bool = True) -> None:
        self._store = store
        self._limits = limits
        self._replace = replace_existing
        self._cache: OrderedDict[tuple[str, str], tuple[UserRecord, float]] = OrderedDict()

    async def create(self, principal: Principal, user_id: str, metadata_json: str, profile_json: str) -> UserRecord:
        """Stores the user, replacing what an earlier one of this id had. Raises `InvalidRequest`; `UserExists` where
        existing users are not to be replaced and the body differs."""
        check_user_id(user_id)
        read_object(metadata_json, "metadata", self._limits.metadata_bytes)
        read_object(profile_json, "profile", self._limits.metadata_bytes)
        now = datetime.now(UTC)
        user = UserRecord(principal.namespace, user_id, now, metadata_json or "{}", profile_json or "{}")
        if not self._replace:
            known = await self._store.load_user(principal.namespace, user_id)
            if known and (known.metadata_json, known.profile_json) != (user.metadata_json, user.profile_json):
                raise UserExists(f"user {user_id} exists with another body", field="user_id")
        stored = await self._store.put_user(user)
        self._keep(stored)
        return stored

    async def get(self, principal: Principal, user_id: str) -> UserRecord:
        """Raises `UserNotFound`."""
        user = await self.find(principal.namespace, check_id(user_id, "user_id"), fresh=True)
        if user is None:
            raise UserNotFound(f"there is no user {user_id}", field="user_id")
        return user

    async def find(self, namespace: str, user_id: str, *, fresh: bool = False) -> UserRecord | None:
        """The user, or None. `fresh` asks the store where another process may have changed it."""
        known = self._cache.get((namespace, user_id))
        if known is not None and (self._store.exclusive or (not fresh and monotonic() - known[1] < _FRESH)):
            return known[0]
        user = await self._store.load_user(namespace, user_id)
        if user is not None:
            self._keep(user)
        return user

    async def list(self, principal: Principal, page_size: int, page_token: str) -> Page[UserRecord]:
        return await self._store.list_users(principal.namespace, page_size, page_token)

    def created(self, user: UserRecord) -> None:
        """A commit has created this user on the fly, unless it was created otherwise meanwhile."""
        if (user.namespace, user.user_id) not in self._cache:
            self._keep(user)

    def forget(self, namespace: str, user_id: str) -> None:
        self._cache.pop((namespace, user_id), None)

    def _keep(self, user: UserRecord) -> None:
        name = (user.namespace, user.user_id)
        self._cache[name] = (user, monotonic())
        self._cache.move_to_end(name)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
