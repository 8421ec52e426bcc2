"""An estimate as it is told: the first prompts, a table for each model, and what the figures rest on."""

from evolvent.costs.estimates import Estimate, ModelEstimate
from evolvent.costs.prices import HOW, money
from evolvent.models.short_names import short_names
from evolvent.report.tables import Table
from evolvent.runs.progress import time_words
from evolvent.words import number_of


def tables_of(estimate: Estimate) -> list[Table]:
    """A table for each model, and one for all together if there are several."""
    tables = []
    for model in [*estimate.models, *([_together(estimate)] if len(estimate.models) > 1 else [])]:
        columns = ["", "calls", "tokens in", "tokens out"]
        prompt = ("" if model.exact else "~") + f"{model.prompt_tokens:,}" if model.prompt_tokens is not None else ""
        completion = f"~{model.completion_tokens:,}" if model.completion_tokens is not None else ""
        prompt_most = f"{model.prompt_tokens_at_most:,}" if model.prompt_tokens_at_most is not None else ""
        expected = ["expected" if estimate.rehearsed else "calls at most", f"{model.calls:,}", prompt, completion]
        most = ["at most", "", prompt_most, f"{model.completion_tokens_at_most:,}"]
        if model.cost is not None:
            columns.append("cost")
            free = model.cost_at_most == 0
            expected.append("0" if free else f"~{money(model.cost)}")
            most.append("0" if free else "" if model.cost_at_most is None else money(model.cost_at_most))
        title = f"{estimate.stage}: what it would take of {model.model}"
        tables.append(Table(title, tuple(columns), [tuple(expected), tuple(most)]))
    return tables


def notes_of(estimate: Estimate) -> list[str]:
    """What the figures rest on, a line each."""
    stage, records, rehearsed = estimate.stage, estimate.records, estimate.rehearsed
    lines = []
    if estimate.differences:
        lines.append(
            f"the folder holds {stage} with other settings: {'; '.join(estimate.differences)}. "
            "Without --fresh it would be refused"
        )
    if estimate.finished:
        lines.append(f"{stage} is finished in the folder with these settings: nothing would be called")
    if rehearsed or not records:
        every = number_of(records, "records")
        of = f"all {every}" if rehearsed == records else f"{rehearsed:,} of {every}"
        lines.append(f"{stage}, rehearsed on {of}; nothing was called")
    lines += estimate.lines
    lines.append("~: estimated; at most: if every reply is as long as max_tokens allows")
    names, _ = short_names(model.model for model in estimate.models)
    for model in estimate.models:
        lines.append(f"{names[model.model]}:")
        lines += [f"  tokens in: {model.prompts}", f"  tokens out: {model.replies}", f"  time: {_time(model)}"]
    if len(estimate.models) > 1 and estimate.seconds is not None:
        lines.append(f"time together: about {time_words(estimate.seconds)}; the models work side by side")
    lines.append("not counted: replies that cannot be used and are asked for again, twice at the most")
    if estimate.failing:
        lines.append(f"{estimate.failing[0]:,} rehearsed rows would fail; the first: {estimate.failing[1]}")
    if estimate.stored:
        lines.append(
            f"the folder holds {number_of(estimate.stored, 'calls')} of this stage; those that are the same are not "
            "paid again and are not subtracted here"
        )
    unpriced = [model.model for model in estimate.models if model.cost is None and model.prompt_tokens is not None]
    if unpriced:
        lines.append(f"no cost: {', '.join(unpriced)} has no price. {HOW}")
    if any(model.seconds is None and model.call_lengths is None for model in estimate.models):
        lines.append(
            "no time: how fast a model answers is not known. --concurrency N tells how many calls follow one "
            "another; --max-requests-per-minute and --max-tokens-per-minute tell the least time of a server"
        )
    return lines


def prompts_of(estimate: Estimate) -> list[str]:
    """The first prompts as text."""
    return [
        f"prompt {number}, to {model}\n" + "\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in messages)
        for number, (model, messages) in enumerate(estimate.prompts, 1)
    ]


def _together(estimate: Estimate) -> ModelEstimate:
    def total(name: str) -> int | None:
        amounts = [getattr(model, name) for model in estimate.models]
        return None if None in amounts else sum(amounts)

    return ModelEstimate(
        model="all models together",
        calls=estimate.calls,
        prompt_tokens=total("prompt_tokens"),
        completion_tokens=total("completion_tokens"),
        prompt_tokens_at_most=total("prompt_tokens_at_most"),
        completion_tokens_at_most=sum(model.completion_tokens_at_most for model in estimate.models),
        cost=estimate.cost,
        cost_at_most=estimate.cost_at_most,
        seconds=estimate.seconds,
        prompts="",
        replies="",
        exact=all(model.exact for model in estimate.models),
    )


def _time(model: ModelEstimate) -> str:
    known = []
    if model.seconds is not None:
        known.append(f"about {time_words(model.seconds)}, the least that the caps allow")
    if model.call_lengths is not None:
        known.append(f"about {time_words(model.call_lengths)} for each second that a call takes, at this --concurrency")
    return "; ".join(known) or "not known"
