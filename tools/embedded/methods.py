"""Auto Evol-Instruct in the world: replies to evolving methods, analyses of trajectories, improved methods, names of ways.

A method is the shipped one, or that with sentences added to its steps and perhaps a fifth step. What a method says is
heeded: a method without a sentence against a fault lets the fault happen now and then.
"""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from dataclasses import dataclass, replace

from evolvent.evolution.auto_evol_instruct.proposal import NO_STAGE
from evolvent.evolution.templates import load_prompt
from tools.embedded.chats import Chat, grown, reworded, world_seed
from tools.embedded.evolutions import EVOLVE, OPERATORS
from tools.embedded.nonsense import nonsense_seed
from tools.embedded.seeds import Seed
from tools.embedded.ways import WAYS, Way, drawn_way, strange_way
from tools.embedded.words import lower_first, upper_first

FOLDER = "auto_evol_instruct"
INITIAL, ANALYSIS, OPTIMISATION, KEYWORD = (
    load_prompt(f"{FOLDER}/{name}")
    for name in ("initial_method", "trajectory_analysis", "method_optimization", "keyword")
)
SLOT = "{instruction}"
INPUT_HEAD = "#Input# (it belongs to the instruction: refer to it, do not copy it):"
LINES = INITIAL.render().split("\n")
HEADINGS = [line for line in LINES if line.startswith("Step ") and line.endswith("#:")]
STEPS = [line for line in LINES if line.startswith("Step ") and not line.endswith("#:")]

# What a method lets happen when no sentence of its own speaks against it, and how often.
FAULTS = {"stagnates": 0.06, "loses": 0.05, "refers": 0.11, "breaks": 0.0}
# Sentences for a fault: the step they join, and their wording.
MENDING: dict[str, tuple[tuple[int, str], ...]] = {
    "stagnates": (
        (2, "Plan at least one change that makes the instruction harder to follow."), (2, "A plan that only rewords the instruction does not count."), (2, "Choose a way that asks for something new."),
        (3, "The rewritten instruction has to ask for at least one thing more."), (3, "Never give the instruction back as it was."), (3, "Do not just use other words for the same task."),
        (3, "Add a requirement, a question or a step of thought every time."), (3, "It must be harder to answer than before."), (1, "List only ways that ask for more than the instruction does."), (1, "Leave out ways that change nothing but the words."),
        (4, "If it is no more complex than the instruction, add a requirement."), (4, "Compare it with the instruction: it has to ask for more."), (4, "If nothing was added, go back to the plan."), (2, "Say which new demand each way brings."),
    ),
    "loses": (
        (3, "Keep everything that the instruction asks for."), (3, "Keep all names, numbers and conditions of the instruction."), (3, "Leave out nothing that the instruction tells."), (3, "Every word of the instruction that matters has to stay."),
        (4, "Check that nothing of the instruction has been lost."), (4, "Put back whatever the rewritten instruction has lost."), (4, "It has to hold all that the instruction held."), (2, "Note what has to be kept before you plan."),
        (2, "No way may replace a part of the instruction."), (1, "Leave out ways that would drop a part of the instruction."), (4, "Compare the two word by word and mend what is missing."), (3, "Add to the instruction and take nothing away."),
        (2, "Plan additions only."), (3, "Repeat the task of the instruction in full."),
    ),
    "refers": (
        (3, "Do not speak of a text, a list or a table that is not there."), (3, "Refer only to what the instruction itself holds."), (4, "Take out every reference to something that is not given."), (4, "The instruction has to be understood on its own."),
        (2, "Use no way that needs a text nobody has given."), (1, "Leave out ways that need material the reader does not have."), (3, "Never ask for work on something that is missing."), (4, "If it points to a table or a list, that has to be there."),
        (3, "All that is needed to answer it has to be in it."), (2, "Plan for a reader who sees the instruction alone."), (4, "Remove words such as \"below\" where nothing stands below."), (3, "Do not pretend that something was attached."),
    ),
    "breaks": (
        (4, "Write nothing after it."), (4, "Keep strictly to the format of the reply."), (4, "It must stand under its own heading."), (3, "Write the whole of it, to its last word."), (3, "Give it as plain text."), (4, "Keep it short enough to be finished."), (2, "Keep the plan to two sentences."),
        (1, "Give each way one line."), (1, "List no more than four ways."), (4, "Never leave it empty."), (3, "Do not answer the instruction."), (4, "Do not answer it."),
    ),
    "": (
        (1, "List at least three ways that differ from one another."), (1, "Think of ways that need deeper knowledge."), (1, "Think of ways that need several steps of thought."), (1, "Choose ways that fit the subject of the instruction."), (1, "Prefer ways that change what has to be thought about."),
        (2, "Combine two ways that strengthen each other."), (2, "Begin with the way that adds the most."), (2, "Say in which order the ways are used."), (3, "Make one general word more specific."), (3, "Give a reason for a reader to think twice."),
        (3, "Write it as a person would who needs the answer."), (4, "Mend the grammar where it is wrong."), (4, "It should read like one instruction, not like two."), (4, "Take out what could not be answered by anybody."), (2, "Do not use more than two ways at once."), (3, "Let it be clear when the task is done."),
    ),
}  # fmt: skip
FIFTHS = (
    ('Step 5: Compare the "#Finally Rewritten Instruction#" with the "#Instruction#" once more and mend what is missing. Give it as the "#Final Rewritten Instruction#".', "Step 5 #Final Rewritten Instruction#:"),
    ('Step 5: Read the "#Finally Rewritten Instruction#" as a stranger would and make it clear. Call it the "#Final Rewritten Instruction#".', "Step 5 #Final Rewritten Instruction#:"),
    ('Step 5: Check that the "#Finally Rewritten Instruction#" is harder than the "#Instruction#". Write the result as the "#Checked Instruction#".', "Step 5 #Checked Instruction#:"),
    ('Step 5: Polish the "#Finally Rewritten Instruction#" without making it simpler, and give the "#Polished Instruction#".', "Step 5 #Polished Instruction#:"),
)  # fmt: skip
MISSING = (
    "Use the table below.", "Base it on the text that I sent you.", "Take the figures from the attached list.", "Work with the list below.", "Refer to the article above.", "Quote the passage below.", "Use the data in the attached file.", "Take the notes below into account.",
    "Start from the draft that I gave you.", "Use only the words of the list below.", "Compare it with the text above.", "Follow the outline in the attached document.",
)  # fmt: skip
REASONS: dict[str, tuple[str, ...]] = {
    "stagnates": ("it adds nothing to stage {b}.", "stage {s} says the same as stage {b}.", "stage {s} is no more complex than stage {b}.", "only the wording of stage {b} has changed.", "nothing new is asked for in stage {s}.", "stage {s} repeats stage {b}.", "the task is as easy as before."),
    "loses": ('stage {s} has lost "{x}".', 'the words "{x}" of stage {b} are gone.', "stage {s} leaves out a part of stage {b}.", 'it no longer says "{x}".', "something that stage {b} asked for is missing.", 'stage {s} drops "{x}".'),
    "breaks": ("stage {s} holds no instruction.", "there is no instruction in stage {s}.", "stage {s} is missing.", "nothing usable was written for stage {s}."),
    "refers": ("stage {s} speaks of something that is not there.", 'stage {s} says "{x}", but nothing is given.', "it refers to material that nobody has.", "stage {s} needs a text that is missing.", "it points to something outside the instruction."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Method:
    """A method: sentences added to steps 1 to 4 of the shipped one, and a fifth step (-1: none)."""

    added: tuple[tuple[int, str], ...] = ()
    fifth: int = -1

    @property
    def text(self) -> str:
        """The method as it is given to an evolver, slot included."""
        lines = []
        for line in LINES:
            if line in STEPS:
                number = STEPS.index(line) + 1
                line = " ".join([line, *(sentence for step, sentence in self.added if step == number)])
            lines.append(line)
            if self.fifth >= 0 and line.startswith("Step 4"):
                lines.append(FIFTHS[self.fifth][1 if line == HEADINGS[-1] else 0])
        return "\n".join(lines)

    def guards(self, fault: str) -> bool:
        """Whether a sentence of the method speaks against a fault."""
        return any(item in MENDING[fault] for item in self.added)


def improved(rng: random.Random, method: Method, faults: list[str]) -> Method:
    """The method with one or two sentences more against the faults that were found."""
    for fault in rng.sample(faults, min(len(faults), rng.choice([1, 1, 2]))) or [""]:
        new = [item for item in MENDING[fault] if item not in method.added]
        if new:
            method = replace(method, added=(*method.added, rng.choice(new)))
    if method.fifth < 0 and rng.random() < 0.08:
        method = replace(method, fifth=rng.randrange(len(FIFTHS)))
    return method


def method_drawn(rng: random.Random) -> Method:
    """The shipped method or an improved one."""
    method = Method()
    for _ in range(rng.choices([0, 1, 2, 3, 4, 6], [40, 18, 16, 12, 9, 5])[0]):
        method = improved(
            rng,
            method,
            rng.choices([["stagnates"], ["loses"], ["refers"], [], ["stagnates", "loses"]], [3, 3, 3, 4, 1])[0],
        )
    return method


def _seed(rng: random.Random) -> Seed:
    seed = nonsense_seed(rng) if rng.random() < 0.45 else world_seed(rng)
    return grown(rng, seed, rng.choices([0, 1, 2, 3], [66, 18, 10, 6])[0])


def _without(rng: random.Random, text: str) -> tuple[str, str]:
    """A text that has lost some of its words, and these words."""
    words = text.split(" ")
    if len(words) < 6:
        return " ".join(words[:-1]) or text, words[-1]
    count = rng.randint(2, min(5, len(words) - 3))
    place = rng.randint(2, len(words) - count)
    kept = " ".join(words[:place] + words[place + count :])
    return kept, " ".join(words[place : place + count]).strip('.?,:;!"\n').replace('"', "").replace("\n", " ")


def faulty(rng: random.Random, seed: Seed, fault: str) -> tuple[str, str]:
    """An instruction evolved with a fault, and the words that the fault is about."""
    if fault == "stagnates":
        return (seed.instruction if rng.random() < 0.6 else reworded(rng, seed.instruction)), ""
    if fault == "refers":
        said = rng.choice(MISSING)
        text = EVOLVE[rng.choice(OPERATORS)](rng, seed).instruction if rng.random() < 0.4 else seed.instruction
        return text + ("" if text.endswith((".", "?", "!")) else ".") + " " + said, said.rstrip(".")
    kept, lost = _without(rng, seed.instruction)
    if rng.random() < 0.5:
        kept = EVOLVE[rng.choice(OPERATORS)](rng, replace(seed, instruction=kept)).instruction
    return kept, lost


def _listed_ways(rng: random.Random, operators: list[str]) -> tuple[list[str], list[int]]:
    """Ways in a random order, and the numbers of those that are carried out."""
    ways: list[Way] = [rng.choice([way for way in WAYS if way.operator == operator]) for operator in operators]
    used = list(ways)
    while len(ways) < max(2, len(used)) + rng.choice([0, 1, 1, 2]) and len(ways) < 4:
        way = rng.choice(WAYS)
        if way not in ways:
            ways.append(way)
    rng.shuffle(ways)
    return [drawn_way(rng, way) for way in ways], [ways.index(way) + 1 for way in used]


def _plan(rng: random.Random, ways: list[str], used: list[int]) -> str:
    one = lower_first(ways[used[0] - 1])
    if len(used) == 1:
        return rng.choice([
            f"Use way {used[0]}: {one}.", f"Way {used[0]} fits best: {one}.", f"{upper_first(one)}, as way {used[0]} says. The rest stays as it is.", f"I take way {used[0]} and {one}.", f"Keep the task and {one}.", f"Way {used[0]} adds the most here. So {one}.",
        ])  # fmt: skip
    two = lower_first(ways[used[1] - 1])
    return rng.choice([
        f"First {one}, then {two}.", f"Combine ways {used[0]} and {used[1]}: {one}, and {two}.", f"Use way {used[0]} and then way {used[1]}.", f"{upper_first(one)}. After that, {two}.", f"Begin with way {used[0]}: {one}. Then {two}.",
    ])  # fmt: skip


def evolved_by(rng: random.Random, method: Method, seed: Seed) -> tuple[list[str], list[int], str, str]:
    """What a method makes of a seed: ways, the numbers of those used, the rewritten and the final instruction."""
    operators = rng.sample(OPERATORS, rng.choice([1, 1, 1, 2]))
    ways, used = _listed_ways(rng, operators)
    for fault, share in FAULTS.items():
        if rng.random() < share * (0.05 if method.guards(fault) else 1):
            text, _ = faulty(rng, seed, fault)
            return ways, used, text, text
    steps = [seed]
    for operator in operators:
        steps.append(EVOLVE[operator](rng, steps[-1]))
    text = steps[-1].instruction
    final = steps[1].instruction if len(steps) > 2 and rng.random() < 0.3 else text
    return ways, used, text, final


def method_chat(rng: random.Random) -> Chat:
    """A prompt and what one of the methods makes of it."""
    return method_reply(rng, method_drawn(rng), _seed(rng))


def method_reply(rng: random.Random, method: Method, seed: Seed) -> Chat:
    """A prompt and what a method makes of it; one reply in 70 does not keep to the format."""
    ways, used, text, final = evolved_by(rng, method, seed)
    heads = [*HEADINGS, *([FIFTHS[method.fifth][1]] if method.fifth >= 0 else [])]
    draw = rng.random()
    if draw < 0.008:
        heads = [f"**{head}**" for head in heads]
    bodies = ["\n".join(f"{i}. {way}" for i, way in enumerate(ways, 1)), _plan(rng, ways, used), text, final, final]
    parts = [f"{head}\n{body}" for head, body in zip(heads, bodies, strict=False)]
    if 0.008 <= draw < 0.014:
        del parts[rng.randrange(len(parts))]
    slot = seed.instruction
    if seed.input and rng.random() < 0.9:
        slot += f"\n\n{INPUT_HEAD}\n{seed.input}"
    return Chat("method", method.text.replace(SLOT, slot), "\n".join(parts))


def _case(rng: random.Random, fault: str) -> tuple[list[str], str]:
    """The stages of a case, and what is wrong with it, if anything."""
    seed = nonsense_seed(rng) if rng.random() < 0.4 else world_seed(rng)
    stages = [seed]
    for _ in range(rng.choices([1, 2, 3], [82, 12, 6])[0]):
        stages.append(EVOLVE[rng.choice(OPERATORS)](rng, stages[-1]))
    texts = [stage.instruction for stage in stages]
    if not fault:
        return texts, ""
    place = rng.randint(1, len(texts) - 1)
    texts[place], about = (NO_STAGE, "") if fault == "breaks" else faulty(rng, stages[place - 1], fault)
    del texts[place + 1 :]
    reasons = [reason for reason in REASONS[fault] if about or "{x}" not in reason]
    return texts, rng.choice(reasons).format(b=place - 1, s=place, x=about)


def feedback(rng: random.Random, count: int, bad: float) -> tuple[str, str, list[str]]:
    """Cases as the analysis sees them, what it says, and the faults it has found."""
    cases, lines, faults = [], [], []
    for number in range(1, count + 1):
        fault = rng.choices(list(FAULTS), [4, 3, 4, 1])[0] if rng.random() < bad else ""
        texts, reason = _case(rng, fault)
        shown = [f"Stage {stage}: {' '.join(text.split())}" for stage, text in enumerate(texts)]
        cases.append("\n".join([f"Case {number}", *shown]))
        if reason:
            lines.append(f"Case {number}: {reason}")
            faults.append(fault)
    return "\n\n".join(cases), "\n".join(lines) or "No case failed.", list(dict.fromkeys(faults))


def analysis_chat(rng: random.Random) -> Chat:
    """Cases, and which of them failed."""
    count = rng.choices([2, 3, 4, 5, 6, 8, 10], [25, 22, 18, 12, 8, 6, 9])[0]
    cases, said, _ = feedback(rng, count, rng.choice([0.0, 0.15, 0.3, 0.5]))
    return Chat("analysis", ANALYSIS.render(cases=cases), said)


def optimisation_chat(rng: random.Random) -> Chat:
    """A method improved by feedback; 8 % of the replies are no usable method."""
    _, said, faults = feedback(rng, rng.choices([2, 4, 10], [2, 5, 3])[0], rng.choice([0.0, 0.2, 0.4]))
    method = method_drawn(rng)
    text = improved(rng, method, faults).text
    before, after = "```Optimized Method\n", "\n```"
    draw = rng.random()
    if draw < 0.03:
        text = text.replace("\n\n#Instruction#:\n" + SLOT, "")
    elif draw < 0.05:
        before, after = "", ""
    elif draw < 0.08:
        text = "\n".join(line for line in text.split("\n") if not line.endswith("#:") or line == "#Instruction#:")
    return Chat("optimisation", OPTIMISATION.render(feedback=said, method=method.text), before + text + after)


def keyword_chat(rng: random.Random) -> Chat:
    """A way, and its name."""
    if rng.random() < 0.25:
        way, name = strange_way(rng)
    else:
        kind = rng.choice(WAYS)
        way, name = drawn_way(rng, kind), rng.choice(kind.names)
    if rng.random() < 0.2:
        way = f"{upper_first(name)}: {lower_first(way)}"
    elif rng.random() < 0.2:
        way = f"{rng.randint(1, 4)}. {way}"
    return Chat("keyword", KEYWORD.render(way=way + rng.choice(["", "", "."])), name)
