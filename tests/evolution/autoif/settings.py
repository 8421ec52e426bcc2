"""What AutoIF works with in tests: scripted models and the shipped templates."""

from dataclasses import replace
from typing import Any

from evolvent.evolution.autoif.rules import PROFILES
from evolvent.evolution.autoif.settings import AutoIF, load_prompts
from evolvent.models.protocols import Sampling

PROMPTS = load_prompts(None)


def settings(profile: str = "autoif-paper", **changes: Any) -> AutoIF:
    rules = PROFILES[profile]
    judge = "judge" if rules.quality else None
    sampling = Sampling(0.7, 0.95, 200)
    made = AutoIF("scripted", "teacher", judge, None, profile, rules, PROMPTS, sampling, 0)
    return replace(made, **changes)
