"""Seeds of single calls: a hash of what the call is for, so that no call depends on another."""

import hashlib


def call_seed(run_seed: int, record_id: str, stage: str, *, sample: int = 0, attempt: int = 0) -> int:
    """The seed of one model call, in [0, 2**31)."""
    text = f"{run_seed}|{record_id}|{stage}|{sample}|{attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
