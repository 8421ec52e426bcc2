"""What a coding agent must know to use the tool, on two pages: made of what the tool itself is made of."""

import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path

from evolvent.commands.table import COMMANDS, interface_of
from evolvent.errors import BudgetReachedError, EvolventError, InputError, RunError
from evolvent.interrupts import Interrupted, ToldToEnd
from evolvent.models.uri import JUDGES, MODELS
from evolvent.options import Option, option, options_in, takes, typed_name
from evolvent.records import Record
from evolvent.stages import STAGES
from evolvent.streams import ReaderGoneError

PAGE = Path(__file__).with_name("agent.md.j2")
WIDTH = 160

ENDS: tuple[type[EvolventError], ...] = (
    RunError,
    InputError,
    BudgetReachedError,
    Interrupted,
    ReaderGoneError,
    ToldToEnd,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """In which form it is told."""

    skill: bool = option("With the head of a SKILL.md, the file that a coding agent reads when it needs it.", False)


@takes(Telling)
def agent(given: Telling) -> str:
    """Say what a coding agent must know to use the tool: in at most 200 lines of at most 160 characters.

    Returns:
        The text.
    """
    import jinja2

    explained: set[str] = set()  # options whose words stand further up
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        skill=given.skill,
        version=metadata.version("evolvent"),
        summary=metadata.metadata("evolvent")["Summary"],
        models=MODELS,
        stages=_filled(["- Stages, what each reads of a run folder -> what it writes there:", *_stages()]),
        statuses=_filled(["- Exit statuses: 0: Done, or nothing to do.", *_statuses()]),
        shared="\n".join(_shared(explained)),
        commands="\n".join(_commands(explained)),
        recipe=_recipe(),
        columns="\n".join(_columns()),
    )


def _stages() -> Iterator[str]:
    for name, row in STAGES.items():
        what = name if name in COMMANDS else f"{name} (part of {row.command.split()[1]} --method autoif)"
        reads = [one for one in row.reads if one in COMMANDS]
        yield f"{what}: {', '.join(reads) or 'other data'} -> {row.writes};"


def _statuses() -> Iterator[str]:
    for kind in ENDS:
        yield f"{kind.exit_status}: {(kind.__doc__ or '').splitlines()[0]}"


def _shared(explained: set[str]) -> Iterator[str]:
    for group in _shared_groups():
        yield _filled([f"{_title(group)}:", *_options(options_in(group).values(), explained)])


def _shared_groups() -> list[type]:
    """The groups of options that several commands have."""
    functions = {(one.module, one.name): one for one in map(interface_of, COMMANDS)}
    groups = Counter(group for one in functions.values() for group in one.groups if group is not None)
    return [group for group, times in groups.items() if times > 1]


def _title(group: type) -> str:
    return group.__name__.upper()


def _commands(explained: set[str]) -> Iterator[str]:
    shared = _shared_groups()
    for name, command in COMMANDS.items():
        interface = interface_of(name)
        arguments = [f"[{one.metavar}]" if one.optional else str(one.metavar) for one in interface.arguments.values()]
        parts = [f"evolvent {' '.join([name, *arguments])}: {command.help}"]
        parts += [_told(str(one.metavar), one.text, explained) for one in interface.arguments.values()]
        own = [group for group in interface.groups if group is not None and group not in shared]
        options = [one for group in own for one in options_in(group).values() if one.name not in interface.without]
        parts += _options(options, explained)
        parts += ["--json."] if command.json else []
        also = [_title(group) for group in interface.groups if group in shared]
        parts += [f"+ {', '.join(also)}."] if also else []
        without = [f"--{one}".replace("_", "-") for one in interface.without]
        parts += [f"Not: {', '.join(without)}."] if without else []
        for method, group in interface.methods.items():
            parts += [f"With --{interface.choice} {method}:", *_options(options_in(group).values(), explained)]
        yield _filled(parts)


def _options(options: Iterable[Option], explained: set[str]) -> Iterator[str]:
    for one in options:
        if one.about.typed:
            notes = [_default(one), "repeatable" if one.about.repeatable else ""]
            value = one.about.metavar or ("NAME" if one.about.names else "")
            shown = ", ".join(filter(None, notes))
            name = one.about.flag or typed_name(one)
            form = " ".join(filter(None, [name, value, "*" if one.required else "", shown and f"({shown})"]))
            lines = f" {'; '.join(one.about.lines)}." if one.about.lines else ""
            yield _told(form, f"{one.about.text}{lines}", explained, key=one.name)


def _told(form: str, text: str, explained: set[str], key: str = "") -> str:
    """An option or argument, with its words where they come first."""
    words = text.replace(MODELS, "MODELS").replace(JUDGES, "JUDGES")
    seen = f"{key}: {words}" in explained
    explained.add(f"{key}: {words}")
    return f"{form}." if seen else f"{form}: {words}"


def _default(one: Option) -> str:
    if isinstance(one.default, tuple):
        return ",".join(map(str, one.default))
    return "" if one.required or one.default is None or one.default is False else str(one.default)


def _recipe() -> str:
    from evolvent.recipe import COMMON, FUNCTIONS, taken_by

    data = ", ".join(f"{stage} {taken_by(stage)[0]}" for stage in FUNCTIONS)
    return _filled(
        [
            f"Keys: out, and the stages {', '.join(FUNCTIONS)}; respond:brief is another respond, in the folder brief.",
            "A stage's keys are its command's options, with _ for - (--no-breadth: breadth: false), and its data",
            f"({data}), what the stage before made if not named; out is the run folder if not named.",
            f"Options of evolvent run, not of a stage: {', '.join(COMMON)}; preview is of commands alone.",
        ]
    )


def _columns() -> Iterator[str]:
    """The columns of records in the words of ``Record``, and those of scores."""
    from evolvent.evaluation.tasks import TASKS
    from evolvent.metrics.all_metrics import METRICS
    from evolvent.metrics.all_metrics import MODELS as NAMED_IN
    from evolvent.models.output_breadth import COLUMNS

    words = dict(re.findall(r"(?ms)^    (\w+): (.*?)(?=^    \w+:|\Z)", inspect.cleandoc(Record.__doc__ or "")))
    yield _filled(
        ["A record's:", *(f"{one.name}: {words[one.name]}" for one in fields(Record) if one.name != "scores")]
    )
    scores = [column for metric in METRICS.values() for column in metric.columns]
    good = {None: "", "lower": ", low", "higher": ", high"}
    yield _filled(
        [
            "Behind them, of score (null where there is none; high or low: which is good):",
            *(f"{one.name} ({one.unit or one.kind}{good[one.better]})," for one in scores),
            f"and the models that they are by: {', '.join(NAMED_IN.values())};",
            f"of evolve --logprobs: {', '.join(one.name for one in COLUMNS)};",
            f"of evaluate: those of its tasks, which are {', '.join(TASKS)}.",
        ]
    )


def _filled(parts: Iterable[str]) -> str:
    words = " ".join(" ".join(parts).split())
    return textwrap.fill(words, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
