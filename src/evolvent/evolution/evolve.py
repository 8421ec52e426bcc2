"""The evolve stage: seeds in, what a method makes of them out, in a run folder that can be stopped and gone on with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, get_args

from evolvent.errors import InputError
from evolvent.evolution.auto_evol_instruct.history import read_method
from evolvent.evolution.auto_evol_instruct.method import Method, initial_method
from evolvent.evolution.auto_evol_instruct.trajectory import METHOD as AUTO_EVOL_INSTRUCT
from evolvent.evolution.auto_evol_instruct.trajectory import AutoEvol
from evolvent.evolution.auto_evol_instruct.trajectory import trajectory as auto_trajectory
from evolvent.evolution.autoif.rules import METHOD as AUTOIF
from evolvent.evolution.autoif.rules import PROFILES, changed, check_used
from evolvent.evolution.evol_instruct import BREADTH, IN_DEPTH, EvolInstruct, Profile, trajectory
from evolvent.evolution.evol_instruct import METHOD as EVOL_INSTRUCT
from evolvent.evolution.templates import NO_OPERATORS, Prompt, load_prompt
from evolvent.models.opening import open_pair_classifier
from evolvent.models.protocols import ChatModel, Sampling
from evolvent.models.uri import parse_uri
from evolvent.records import Record
from evolvent.runs.folder import Run
from evolvent.runs.inputs import Data, StageInput, stage_input
from evolvent.runs.rehearsal import Work
from evolvent.runs.stage import Calling, run_stage

STAGE = "evolve"

# AutoIF's, where none are given.
SEED_INSTRUCTIONS = Path(__file__).parents[1] / "datasets" / "samples" / "verifiable_instructions.jsonl"

# A method's profiles, its own first, and how many rounds it makes.
METHOD_PROFILES: dict[str, tuple[str, ...]] = {
    EVOL_INSTRUCT: get_args(Profile),
    AUTO_EVOL_INSTRUCT: get_args(Profile),
    AUTOIF: tuple(PROFILES),
}
ROUNDS = {EVOL_INSTRUCT: 3, AUTO_EVOL_INSTRUCT: 1, AUTOIF: 1}

# Options that only some methods have.
OF_METHODS = {
    "rounds": (EVOL_INSTRUCT, AUTO_EVOL_INSTRUCT),
    "breadth": (EVOL_INSTRUCT,),
    "operators": (EVOL_INSTRUCT,),
    "templates": (EVOL_INSTRUCT, AUTOIF),
    "system": (EVOL_INSTRUCT, AUTO_EVOL_INSTRUCT),
    "method_file": (AUTO_EVOL_INSTRUCT,),
    "queries": (AUTOIF,),
    "queries_map": (AUTOIF,),
    "teacher": (AUTOIF,),
    "nli": (AUTOIF,),
    "samples": (AUTOIF,),
    "rule": (AUTOIF,),
    "unsafe_execution": (AUTOIF,),
}


def evolve(
    seeds: Data | None = None,
    *,
    model: str,
    out: str | Path,
    method: str = EVOL_INSTRUCT,
    profile: str | None = None,
    rounds: int | None = None,
    breadth: bool = True,
    operators: str | Sequence[str] | None = None,
    templates: str | Path | None = None,
    judge: str | None = None,
    system: str | None = None,
    method_file: str | Path | None = None,
    queries: Data | None = None,
    queries_map: Mapping[str, str] | None = None,
    teacher: str | None = None,
    nli: str | None = None,
    samples: int | None = None,
    rule: Mapping[str, Any] | None = None,
    unsafe_execution: bool = False,
    format: str | None = None,
    map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    limit: int | None = None,
    seed: int = 0,
    temperature: float = 0.7,
    top_p: float = 0.95,
    max_tokens: int = 2048,
    extra_body: Mapping[str, object] | None = None,
    **calling: Unpack[Calling],
) -> Run:
    """Evolve seeds, and write every seed and every evolution to ``OUT/evolved.parquet``.

    Run again with the same arguments it goes on where it stopped; calls that were answered are not made again.

    Args:
        seeds: a data file, a Hub id, an iterable of dicts, or a datasets.Dataset; of AutoIF seed instructions, 36 that
            come with the package if None.
        model: URI of the evolver.
        out: the run folder.
        method: ``evol-instruct``, ``auto-evol-instruct`` or ``autoif``.
        profile: of the first two ``default`` (shows the evolver the input and eliminates) or ``paper`` (does what
            paper 1's code does); of AutoIF ``autoif-paper``, ``autoif-code`` or ``paper1``.
        rounds: how many times each seed is evolved: 3 by Evol-Instruct, once by Auto Evol-Instruct if None.
        breadth: Evol-Instruct: whether the in-breadth operator takes its turn after the four in-depth ones.
        operators: Evol-Instruct: the operators by name, in their order, instead of all of them.
        templates: a folder with prompt templates of your own: OPERATOR.j2, or autoif/NAME.j2.
        judge: URI of the model that eliminates evolutions without information gain (rule R1); AutoIF: that scores
            answers, the evolver if None.
        system: system prompt for the evolver.
        method_file: Auto Evol-Instruct: the METHOD.yaml of ``optimize_method``; the paper's initial method if None.
        queries: AutoIF: the data whose questions the instructions are asked with.
        queries_map: AutoIF: which column of theirs is the instruction, for data of no known format.
        teacher: AutoIF: URI of the model that answers; the evolver if None.
        nli: AutoIF: URI of the cross-encoder that finds contradictions; without one that step is left out.
        samples: AutoIF: functions drawn for an instruction.
        rule: AutoIF: other constants than the profile's, by name (see ``Rules``).
        unsafe_execution: AutoIF: run the functions outside the sandbox.
        format: the seeds' format; detected if None.
        map: for seeds of no known format, which column is the instruction, the input, the output.
        skip_bad: leave bad rows out (counted) instead of stopping; of the queries, too.
        limit: take the first so many seeds only.
        seed: the run's random seed.
        temperature: of the evolver, and of AutoIF's teacher; 0 is greedy.
        top_p: nucleus mass.
        max_tokens: longest reply, in tokens.
        extra_body: extra request fields for ``openai:`` models.
        calling: how calls are made: concurrency, caps, price, budget, retry_failed, fresh, progress (see ``Calling``).

    Returns:
        The run: its path, counts, and the evolved records; of AutoIF the responses.

    Raises:
        InputError: wrong options, unreadable seeds, or a run folder that holds something else.
        ModelUnavailableError: the model cannot be used.
        BudgetReachedError: the budget is spent.
        RunError: the run could not finish, or every record failed.
    """
    given = {
        "rounds": rounds,
        "breadth": breadth,
        "operators": operators,
        "templates": templates,
        "system": system,
        "method_file": method_file,
        "queries": queries,
        "queries_map": queries_map,
        "teacher": teacher,
        "nli": nli,
        "samples": samples,
        "rule": rule,
        "unsafe_execution": unsafe_execution,
    }
    profile = check_options(method, profile, given)
    check_seeds(method, seeds)
    sampling = Sampling(temperature, top_p, max_tokens)
    templates = Path(templates) if templates else None
    out = Path(out)

    def opened() -> StageInput:
        data = SEED_INSTRUCTIONS if seeds is None else seeds
        return stage_input(data, before=None, out=out, format=format, map=map, skip_bad=skip_bad, limit=limit)

    if method == AUTOIF:
        # Imported here: the others need no sandbox.
        from evolvent.evolution.autoif.autoif import AutoIF, autoif, load_prompts, read_queries

        if queries is None:
            raise InputError("AutoIF needs queries to ask the instructions with", fix="Name a dataset: --queries DATA.")
        if samples is not None and "samples" in (rule or {}):
            raise InputError("--samples and --rule samples=N say the same", fix="Leave one of them out.")
        if samples is not None:
            rule = {"samples": samples, **(rule or {})}
        rules = changed(PROFILES[profile], rule or {})
        check_used(rules, profile, judge=judge, nli=nli)
        prompts_by_name = load_prompts(templates)
        questions, digest = read_queries(queries, queries_map, rules, skip_bad=skip_bad)
        run = AutoIF(
            out=out,
            model=model,
            teacher=teacher or model,
            judge=judge or model,
            nli=open_pair_classifier(nli) if nli else None,
            queries=questions,
            queries_digest=digest,
            rules=rules,
            profile=profile,
            prompts=prompts_by_name,
            sampling=sampling,
            seed=seed,
            unsafe=unsafe_execution,
            extra_body=extra_body,
            calling=calling,
        )
        return autoif(opened(), run)

    rounds = ROUNDS[method] if rounds is None else rounds
    if rounds < 1:
        raise InputError(f"rounds is {rounds}", fix="Evolve for at least one round.")
    if profile == "paper" and judge:
        raise InputError(
            "the paper profile eliminates nothing, so it takes no judge", fix="Leave --judge or --profile out."
        )
    evolver_uri, judge_uri = str(parse_uri(model)), str(parse_uri(judge)) if judge else None
    equality = load_prompt("equality") if judge else None
    settings = {
        "method": method,
        "profile": profile,
        "rounds": rounds,
        "model": evolver_uri,
        "judge": {judge_uri: equality.version} if judge_uri and equality else None,
        "system": system,
        "seed": seed,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "extra_body": dict(extra_body) if extra_body else None,
    }
    prompts: list[Prompt] = []
    evolving: Method | None = None
    if method == EVOL_INSTRUCT:
        prompts = choose_operators(operators, breadth=breadth, templates=templates)
        settings["operators"] = [[prompt.name, prompt.version] for prompt in prompts]
    else:
        evolving = read_method(Path(method_file)) if method_file else initial_method()
        settings["evolving_method"] = evolving.version

    def work(models: Mapping[str, ChatModel]) -> Work:
        common: dict[str, Any] = {
            "evolver": models[evolver_uri],
            "rounds": rounds,
            "profile": profile,
            "sampling": sampling,
            "seed": seed,
            "judge": models[judge_uri] if judge_uri else None,
            "equality": equality,
            "system": system,
        }
        if evolving is None:
            evol = EvolInstruct(operators=prompts, **common)
            return lambda record: trajectory(record, evol)
        auto = AutoEvol(method=evolving, **common)
        return lambda record: auto_trajectory(record, auto)

    source = opened()
    return run_stage(
        STAGE,
        out,
        settings=settings,
        source=source,
        models=[model, *([judge] if judge else [])],
        work=work,
        group=_round,
        counts={"seeds": source.rows, **source.counts},
        extra_body=extra_body,
        # A dry run's reply has to stand under the heading that the method's replies are read by.
        stand_in=lambda _, text: f"#{evolving.final_heading}#:\n{text}" if evolving else text,
        **calling,
    )


def check_seeds(method: str, seeds: Data | None) -> None:
    """Check that there are seeds; AutoIF has its own."""
    if seeds is None and method != AUTOIF:
        raise InputError(f"{method} needs seeds", fix="Name a data file or a Hub id.")


def check_options(method: str, profile: str | None, options: Mapping[str, Any]) -> str:
    """Check that a method takes the options that are given.

    Args:
        method: the method's name.
        profile: the profile's name, or None for the method's own.
        options: the values of those options that not every method has.

    Returns:
        The profile.

    Raises:
        InputError: an unknown method or profile, or an option of another method.
    """
    if method not in METHOD_PROFILES:
        raise InputError(f"unknown method {method!r}", fix=f"Methods: {', '.join(METHOD_PROFILES)}.")
    profiles = METHOD_PROFILES[method]
    if profile is not None and profile not in profiles:
        raise InputError(f"{method} has no profile {profile!r}", fix=f"Profiles: {', '.join(profiles)}.")
    for option, methods in OF_METHODS.items():
        given = options[option] is False if option == "breadth" else options[option] not in (None, False)
        if given and method not in methods:
            name = "no-breadth" if option == "breadth" else option.replace("_", "-")
            raise InputError(f"--{name} is an option of {' and '.join(methods)}, not of {method}", fix="Leave it out.")
    return profile or profiles[0]


def choose_operators(
    operators: str | Sequence[str] | None, *, breadth: bool = True, templates: Path | None = None
) -> list[Prompt]:
    """The operators' prompts in their order.

    Args:
        operators: names in the order wanted; None for the four in depth, and the one in breadth if ``breadth``.
        breadth: whether in-breadth is among them when none are named.
        templates: folder with the user's own templates.

    Raises:
        InputError: an unknown operator, or one named twice.
    """
    if templates is not None and not templates.is_dir():
        raise InputError(f"--templates {templates} is not a folder")
    if operators is None:
        operators = [*IN_DEPTH, *([BREADTH] if breadth else [])]
    names = [operators] if isinstance(operators, str) else list(operators)
    if not names:
        raise InputError("no operator is named", fix=f"Operators: {', '.join([*IN_DEPTH, BREADTH])}.")
    if BREADTH in names and not breadth:
        raise InputError("--operators names breadth and --no-breadth leaves it out", fix="Drop one of the two.")
    if len(set(names)) < len(names):
        raise InputError(f"an operator is named twice: {', '.join(names)}")
    reserved = NO_OPERATORS & set(names)
    if reserved:
        raise InputError(f"{', '.join(reserved)} is no operator", fix=f"Operators: {', '.join([*IN_DEPTH, BREADTH])}.")
    prompts = [load_prompt(name, templates) for name in names]
    for prompt in prompts:
        for shown in ("", "an input"):
            prompt.render(instruction="an instruction", input=shown)  # a wrong slot shows now, not at some later row
    return prompts


def _round(record: Record) -> str | None:
    return f"round {record.round}" if record.round else None
