"""What goes when nothing has used it for a while, in steps small enough for a turn to wait for one."""

import sqlalchemy as sa

from greenroom.storage.tables import failed_turns, seeds, sessions, turns

SESSIONS_A_STEP = 50
ROWS_A_STEP = 500


def drop_sessions(connection: sa.Connection, idle_since: int) -> int:
    """Deletes some sessions not written to since then, their failed attempts too. Returns how many; 0: none is left."""
    idle = (
        sa.select(sessions.c.key, sessions.c.namespace, sessions.c.session_id)
        .where(sessions.c.created_at < idle_since, sessions.c.updated_at < idle_since)
        .limit(SESSIONS_A_STEP)
    )
    rows = connection.execute(idle).all()
    if not rows:
        return 0
    # Said again: one of them may have been written to since.
    still_idle = sa.and_(sessions.c.key.in_([row.key for row in rows]), sessions.c.updated_at < idle_since)
    gone = connection.execute(sessions.delete().where(still_idle)).rowcount
    for row in rows:
        theirs = sa.and_(failed_turns.c.namespace == row.namespace, failed_turns.c.session_id == row.session_id)
        connection.execute(failed_turns.delete().where(theirs))
    return gone


def drop_failures(connection: sa.Connection, failed_before: int) -> int:
    old = sa.select(failed_turns.c.key).where(failed_turns.c.failed_at < failed_before).limit(ROWS_A_STEP)
    keys = connection.execute(old).scalars().all()
    if keys:
        connection.execute(failed_turns.delete().where(failed_turns.c.key.in_(keys)))
    return len(keys)


def find_orphans(connection: sa.Connection, put_before: int) -> list[str]:
    """Hashes of starting worlds and scenarios that nothing starts from, superseded starts included. To be asked of a reader:
    it looks at every session."""
    begun = sa.select(sessions.c.seed_sha).union(sa.select(sessions.c.scenario_sha))
    # As the partial indexes say it, or SQLite would not use them.
    of_seed = sa.exists().where(turns.c.seed_sha == seeds.c.sha, turns.c.seed_sha != sa.literal_column("''"))
    of_scenario = sa.exists().where(
        turns.c.scenario_sha == seeds.c.sha, turns.c.scenario_sha != sa.literal_column("''")
    )
    query = sa.select(seeds.c.sha).where(
        seeds.c.put_at < put_before, seeds.c.sha.not_in(begun), sa.not_(of_seed), sa.not_(of_scenario)
    )
    return list(connection.execute(query).scalars())


def drop_orphans(connection: sa.Connection, shas: list[str], put_before: int) -> None:
    """One that was put again since it was found is about to be used, and stays."""
    connection.execute(seeds.delete().where(seeds.c.sha.in_(shas), seeds.c.put_at < put_before))
