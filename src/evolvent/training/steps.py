"""What is said of a training while it runs, and when it cannot go on."""

import math
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from evolvent.errors import RunError
from evolvent.runs.progress import LINE_SECONDS, time_words

# Steps after which the time that is left is told; the first one, which is slow, is not measured.
MEASURED = 10


class Steps(TrainerCallback):
    """Told of each step by TRL; tells of them in lines.

    Args:
        tell: is given the lines.
        loss_tokens: of a step, in the mean.

    Attributes:
        seconds: how long the steps of this command took, the first not counted.
        steps: how many they are.
    """

    def __init__(self, tell: Callable[[str], object], loss_tokens: float) -> None:
        self._tell = tell
        self._loss_tokens = loss_tokens
        self._since = self._last = time.monotonic()
        self._first: int | None = None
        self._told = False
        self.seconds, self.steps = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if state.global_step:
            self._tell(f"train: going on from step {state.global_step:,} of {state.max_steps:,}")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self._first is None:
            self._first, self._since = state.global_step, time.monotonic()
            return
        self.steps, self.seconds = state.global_step - self._first, time.monotonic() - self._since
        if not self._told and self.steps == MEASURED and state.global_step < state.max_steps:
            self._told = True
            left = (state.max_steps - state.global_step) * self.seconds / self.steps
            self._tell(f"train: by its first {MEASURED} steps: {time_words(left)} left, {self._pace()}")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise RunError(
                f"the loss is {loss} at step {state.global_step:,}: the weights are no numbers any more",
                fix="Lower --set learning_rate, and begin anew with --fresh.",
            )
        now, ended = time.monotonic(), state.global_step >= state.max_steps
        if now - self._last >= LINE_SECONDS or ended:
            self._last = now
            self._tell(f"train: step {state.global_step:,} of {state.max_steps:,}, loss {loss:.4g}{self._rest(state)}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._tell(f"train: checkpoint at step {state.global_step:,}")

    def _pace(self) -> str:
        return f"{self.tokens_per_second() or 0:,.0f} tokens with loss/s"

    def _rest(self, state: Any) -> str:
        if not self.steps:
            return ""
        left = (state.max_steps - state.global_step) * self.seconds / self.steps
        return f", {self._pace()}" + (f", {time_words(left)} left" if left else "")

    def tokens_per_second(self) -> float | None:
        """Tokens with loss a second, by the mean step; None if no step was measured."""
        return self._loss_tokens * self.steps / max(self.seconds, 1e-9) if self.steps else None
