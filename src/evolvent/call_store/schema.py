"""The schema of a call store: its tables, and what files of an older layout lack of them."""

import sqlite3
from pathlib import Path

from evolvent.errors import InputError

LAYOUT = 3
TABLES = """
CREATE TABLE calls (
    key BLOB PRIMARY KEY,
    stage TEXT NOT NULL,
    record TEXT NOT NULL,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    reply TEXT,
    error TEXT,
    at REAL NOT NULL,
    seconds REAL NOT NULL,
    checksum INTEGER
);
CREATE TABLE spent (
    stage TEXT NOT NULL,
    model TEXT NOT NULL,
    calls INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (stage, model)
);
CREATE TABLE limits (max_tokens INTEGER PRIMARY KEY);
CREATE TABLE identity AS SELECT lower(hex(randomblob(16))) AS id;
"""
# What a layout lacks of the next one. Calls of layout 1 have no checksum, and are not checked. In a request max_tokens
# stands first, so the pages that a long one goes on in are not read: 1 s for 300,000 calls of 4 kB.
LACKING = {
    1: "ALTER TABLE calls ADD COLUMN checksum INTEGER;",
    2: """CREATE TABLE IF NOT EXISTS limits (max_tokens INTEGER PRIMARY KEY);
        INSERT OR IGNORE INTO limits SELECT CAST(substr(request, 15, 20) AS INTEGER) FROM calls
        WHERE substr(request, 1, 14) = '{"max_tokens":' AND CAST(substr(request, 15, 20) AS INTEGER) > 0;""",
}


def lay_out(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file, and what those of an old one lack."""
    layout = layout_of(connection, path)
    if layout < LAYOUT:
        lacking = "".join(LACKING[older] for older in range(layout, LAYOUT)) if layout else TABLES
        connection.executescript(f"BEGIN; {lacking} PRAGMA user_version = {LAYOUT}; COMMIT;")


def identity_of(connection: sqlite3.Connection) -> str:
    """What tells a store and its copies from one that was made in its place; empty for one of an earlier version."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'identity'").fetchone() is None:
        return ""
    return str(connection.execute("SELECT id FROM identity").fetchone()[0])


def layout_of(connection: sqlite3.Connection, path: Path) -> int:
    """The layout of a file; 0 if it has no tables yet, and so no calls: what made it was stopped in its first moment.

    Raises:
        InputError: another version of evolvent made it.
    """
    layout = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    needed = {"calls", "spent", *(["limits"] if layout > 2 else [])}
    if (layout or tables) and not (1 <= layout <= LAYOUT and needed <= tables):
        raise InputError(
            f"{path} was made by another version of evolvent (layout {layout}, this one reads {LAYOUT})",
            fix="Go on with the version that made it, or use another --out.",
        )
    return layout
