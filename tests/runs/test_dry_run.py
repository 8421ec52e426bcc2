"""The dry run: as many calls as the stages really make, the very prompts, and nothing hidden in the figures."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evolvent
from evolvent.concurrency import run_sync
from evolvent.costs.budget import Spent
from evolvent.costs.estimates import Caps, Estimate
from evolvent.costs.prices import Price
from evolvent.datasets.load import load
from evolvent.errors import InputError
from evolvent.evolution.elimination import RULES
from evolvent.evolution.evol_instruct import choose_operators
from evolvent.evolution.templates import load_prompt
from evolvent.evolution.trajectory import Evolution
from evolvent.models.models import Need
from evolvent.models.protocols import ChatModel, Sampling, StageModels
from evolvent.records import Message, Record
from evolvent.report.estimates import notes_of, prompts_of, tables_of
from evolvent.responses.respond import Answering, respond
from evolvent.runs.dry_run import ANSWER_TOKENS, SAMPLE, calculated, rehearse, sample
from evolvent.runs.inputs import Listed
from evolvent.runs.stage import Formula, Make, Rehearsed, Stage, Work
from tests.scripted import Scripted

SEEDS = Path(evolvent.__file__).parent / "datasets" / "samples" / "demo_seeds.jsonl"
SERVER, JUDGE = "openai:evolver?base_url=http://host:1/v1", "openai:judge?base_url=http://host:1/v1"
RECORDS = list(load(SEEDS))
BREAD = Record("s", "s", 0, "Bake bread")


def evolving(uri: str = SERVER, judge: str | None = None, rounds: int = 3, **options: Any) -> Work:
    return Evolution(
        evolver=uri,
        rewritings=choose_operators(None),
        rounds=rounds,
        profile=options.get("profile", "default"),
        sampling=Sampling(0.7, 0.95, options.get("max_tokens", 2048)),
        seed=0,
        judge=judge,
        equality=load_prompt("equality") if judge else None,
        without=RULES,
    )


def answering(*teachers: str, max_tokens: int = 2048) -> Work:
    return Answering(teachers, Sampling(0.0, 1.0, max_tokens), 0, None)


def rehearsed(
    work: Work,
    uris: Sequence[str],
    records: Sequence[Record] = RECORDS,
    *,
    stage: str = "evolve",
    reply_tokens: int | None = None,
    prices: Mapping[str, Price] = {},
    spent: Sequence[Spent] = (),
    caps: Caps | None = None,
) -> Estimate:
    made = Stage(stage, {}, Listed(records, {}), tuple(Need("chat", uri) for uri in uris), work)
    before = {use.model: use for use in spent if use.stage == stage}
    return asyncio.run(rehearse(made, Rehearsed(reply_tokens), uris, prices, before, caps or Caps()))


class Given(dict[str, Any]):
    """Models that a test gives."""

    at_once = 1

    def chat(self, uri: str) -> Any:
        return self[uri]

    def model(self, capability: str, uri: str) -> Any:
        raise AssertionError(capability, uri)


def really(work: Work, models: Mapping[str, Scripted], records: Sequence[Record] = RECORDS) -> list[Record]:
    async def all_() -> list[Record]:
        async with work.open(Given(models)) as make:
            return [row for record in records for rows in await make([record]) for row in rows]

    return asyncio.run(all_())


def longer(prompt: str, _: Sampling) -> str:
    return prompt.split("Prompt#:\n", 1)[1].rsplit("\n\n#", 1)[0].replace("\n\n#Input#:\n", " ") + " and say why"


@pytest.mark.parametrize("rounds", [1, 3, 6])
@pytest.mark.parametrize("profile", ["default", "paper"])
def test_evolution_makes_the_calls_that_were_estimated(rounds: int, profile: str) -> None:
    model = Scripted(longer)
    rows = really(evolving(rounds=rounds, profile=profile), {SERVER: model})
    assert {row.status for row in rows} == {"ok"}
    estimate = rehearsed(evolving(rounds=rounds, profile=profile), [SERVER])
    assert (estimate.calls, estimate.failing) == (len(model.asked), None)
    assert estimate.calls == rounds * len(RECORDS)


def test_a_judge_is_asked_as_often_as_estimated() -> None:
    model, judge = Scripted(longer), Scripted(lambda *_: "Not Equal")
    really(evolving(judge=JUDGE), {SERVER: model, JUDGE: judge})
    estimate = rehearsed(evolving(judge=JUDGE), [SERVER, JUDGE])
    assert [model.calls for model in estimate.models] == [len(model.asked), len(judge.asked)]


def test_no_stand_in_reply_is_thrown_away() -> None:
    # the hardest instructions: a verdict, words of the scaffold, a marker, a heading, nothing but signs
    hard = ["Are they equal?", "Rewritten prompt: sing", "New instruction: sing", "# Title\nsing", "?!", "Sorry"]
    seen: list[Record] = []

    class Watched:
        """The work, and a look at its rows."""

        @asynccontextmanager
        async def open(self, models: StageModels) -> AsyncIterator[Make]:
            async with evolving(judge=JUDGE, rounds=5).open(models) as make:

                async def one(window: Sequence[Record]) -> Sequence[Sequence[Record]]:
                    made = await make(window)
                    seen.extend(row for rows in made for row in rows)
                    return made

                yield one

    records = [replace(BREAD, id=text, seed_id=text, instruction=text) for text in hard]
    estimate = rehearsed(Watched(), [SERVER, JUDGE], records)
    assert estimate.calls == 2 * 5 * len(hard)
    assert {(row.status, row.reason) for row in seen} == {("ok", None)}
    for text in hard:
        words = [len(row.instruction.split()) for row in seen if row.seed_id == text]
        grown = [after - before for before, after in pairwise(words)]
        assert grown[1:] == [15] * 4
        assert 0 < grown[0] <= 15  # a marker before the seed is taken away in the first round


def test_answers_are_called_for_as_estimated() -> None:
    teachers = {uri: Scripted(lambda *_: "Seven loaves") for uri in (SERVER, JUDGE)}
    really(answering(*teachers), teachers)
    estimate = rehearsed(answering(*teachers), list(teachers), stage="respond", reply_tokens=ANSWER_TOKENS)
    assert [model.calls for model in estimate.models] == [len(model.asked) for model in teachers.values()]
    assert [model.completion_tokens for model in estimate.models] == [60 * ANSWER_TOKENS] * 2
    assert "assumed: 500 tokens each" in estimate.models[0].replies


def test_tokens_of_a_server_are_estimated_by_length_and_marked() -> None:
    prompts: list[str] = []
    model = Scripted(lambda prompt, _: prompts.append(prompt) or "x")
    really(answering(SERVER), {SERVER: model})
    found = rehearsed(answering(SERVER), [SERVER]).models[0]
    assert found.prompt_tokens == sum(-(-len(prompt) // 4) for prompt in prompts)
    assert not found.exact
    assert "about 4 characters a token" in found.prompts


def test_prompt_tokens_of_the_embedded_model_are_exact_in_round_1() -> None:
    from evolvent.models.opening import open_chat

    model = open_chat("embedded")
    records = RECORDS[:6]

    counted = Counted(model)
    really(evolving("embedded", rounds=1, max_tokens=1), {"embedded": counted}, records)
    run_sync(model.close())
    estimate = rehearsed(evolving("embedded", rounds=1, max_tokens=1), ["embedded"], records)
    assert estimate.models[0].exact
    assert estimate.models[0].prompt_tokens == counted.prompt_tokens
    assert not rehearsed(evolving("embedded", rounds=2), ["embedded"], records).models[0].exact


class Counted:
    """A model whose prompt tokens are added up, each prompt's once."""

    def __init__(self, model: ChatModel) -> None:
        self.uri, self.identity, self.concurrency, self.model = model.uri, model.identity, model.concurrency, model
        self.seen: dict[str, int] = {}

    @property
    def prompt_tokens(self) -> int:
        return sum(self.seen.values())

    async def chat(self, messages: Sequence[Message], sampling: Sampling) -> Any:
        reply = await self.model.chat(messages, sampling)
        self.seen[messages[-1]["content"]] = reply.usage.prompt_tokens
        return reply


def test_the_first_prompts_are_shown_as_they_will_be_sent() -> None:
    asked = Scripted(longer)
    really(evolving(rounds=1), {SERVER: asked})
    estimate = rehearsed(evolving(rounds=1), [SERVER])
    assert [(uri, turns[-1]["content"]) for uri, turns in estimate.prompts] == [
        (SERVER, prompt) for prompt, _ in asked.asked[:2]
    ]
    assert prompts_of(estimate)[0].startswith(f"prompt 1, to {SERVER}\n[user]\nYou are a Prompt")


def test_what_is_expected_and_what_is_the_most() -> None:
    estimate = rehearsed(
        answering(SERVER, max_tokens=600),
        [SERVER],
        [BREAD] * 10,
        stage="respond",
        reply_tokens=ANSWER_TOKENS,
        prices={SERVER: Price(1, 2)},
    )
    found = estimate.models[0]
    assert (found.completion_tokens, found.completion_tokens_at_most) == (5_000, 6_000)
    assert found.prompt_tokens == found.prompt_tokens_at_most == 30  # "Bake bread" is 10 characters
    assert estimate.cost == pytest.approx((30 + 2 * 5_000) / 1e6)
    assert estimate.cost_at_most == pytest.approx((30 + 2 * 6_000) / 1e6)


def test_at_most_counts_replies_that_come_back_in_prompts() -> None:
    found = rehearsed(evolving(judge=SERVER, rounds=2, max_tokens=100), [SERVER], [BREAD]).models[0]
    # round 1: the judge reads one reply; round 2: the evolver reads one, the judge two
    assert found.prompt_tokens_at_most == found.prompt_tokens + 4 * 100
    assert found.completion_tokens_at_most == 4 * 100


def test_no_reply_is_expected_to_pass_its_limit() -> None:
    found = rehearsed(answering(SERVER, max_tokens=7), [SERVER], stage="respond", reply_tokens=ANSWER_TOKENS).models[0]
    assert found.completion_tokens == found.completion_tokens_at_most == 60 * 7
    assert found.replies == "assumed: 500 tokens each, or max_tokens where that is fewer"


def test_the_folders_own_calls_say_how_long_a_reply_is() -> None:
    spent = [Spent("evolve", SERVER, 40, 4_000, 1_000, False, 80.0), Spent("respond", SERVER, 9, 9, 9_000, False, 9.0)]
    estimate = rehearsed(evolving(), [SERVER], spent=spent)
    found = estimate.models[0]
    assert found.completion_tokens == 180 * 25
    assert found.replies == "the mean of 40 calls in this folder"
    assert estimate.seconds is None  # how long a call took includes the time that it waited for its turn
    assert estimate.stored == 40
    assert any("holds 40 calls of this stage" in line for line in notes_of(estimate))


def test_time_is_that_of_the_narrowest_cap() -> None:
    found = rehearsed(evolving(), [SERVER], caps=Caps(requests_per_minute=60))
    assert found.seconds == pytest.approx(180)
    tokens = found.models[0].prompt_tokens + found.models[0].completion_tokens
    both = rehearsed(evolving(), [SERVER], caps=Caps(requests_per_minute=1e9, tokens_per_minute=tokens))
    assert both.seconds == pytest.approx(60)
    servers = rehearsed(evolving(), [f"{SERVER}&base_url=http://b/v1"], caps=Caps(requests_per_minute=60))
    assert servers.seconds == pytest.approx(90)  # each has the cap


@pytest.mark.parametrize(("concurrency", "lengths"), [(10, 18), (1, 180), (1_000, 3)])
def test_how_many_calls_follow_one_another(concurrency: int, lengths: float) -> None:
    # three rounds of 60 records: a record's calls wait for each other
    (found,) = rehearsed(evolving(), [SERVER], caps=Caps(concurrency=concurrency)).models
    assert (found.seconds, found.call_lengths) == (None, pytest.approx(lengths))


def test_a_prompt_to_which_several_replies_are_drawn_is_shown_once() -> None:
    class Both:
        """Asks the same several times."""

        @asynccontextmanager
        async def open(self, models: StageModels) -> AsyncIterator[Make]:
            async def ask_all(window: Sequence[Record]) -> list[list[Record]]:
                for text in ("first", "first", "second", "third"):
                    await models.chat(SERVER).chat([Message(role="user", content=text)], Sampling())
                return [[] for _ in window]

            yield ask_all

    prompts = prompts_of(rehearsed(Both(), [SERVER], [BREAD]))
    assert [prompt.splitlines()[-1] for prompt in prompts] == ["first", "second"]


def test_a_stand_in_that_is_shown_says_that_it_is_one() -> None:
    one, two = prompts_of(rehearsed(evolving(rounds=2), [SERVER], [BREAD]))
    assert "stand-in" not in one
    assert (
        "Bake bread Give your reasons for each step, and two examples of it that are not equal. (stand-in for a reply)"
        in two
    )


def test_what_is_not_known_is_said() -> None:
    estimate = rehearsed(evolving(judge="embedded"), [SERVER, "embedded"], prices={"embedded": Price(0, 0)})
    assert estimate.cost is estimate.cost_at_most is estimate.seconds is None
    assert [model.cost for model in estimate.models] == [None, 0.0]
    notes = "\n".join(notes_of(estimate))
    assert f"no cost: {SERVER} has no price. Write --price" in notes
    assert "no time: how fast a model answers is not known" in notes
    server, embedded, together = tables_of(estimate)
    assert [table.title.split(" of ")[1] for table in tables_of(estimate)] == [
        SERVER,
        "embedded",
        "all models together",
    ]
    assert "cost" not in server.columns + together.columns
    assert [row[-1] for row in embedded.rows] == ["0", "0"]


def test_the_estimate_is_scaled_to_all_records() -> None:
    records = [replace(BREAD, id=str(n), seed_id=str(n), seed_index=n) for n in range(1_000)]
    estimate = rehearsed(evolving(), [SERVER], records, prices={SERVER: Price(1, 1)})
    assert (estimate.rehearsed, estimate.records, estimate.calls) == (SAMPLE, 1_000, 3_000)
    whole = [replace(record, instruction="Bake bread") for record in records[:SAMPLE]]
    part = rehearsed(evolving(), [SERVER], whole, prices={SERVER: Price(1, 1)})
    # the operators' prompts differ in length, and a sample does not hold each equally often
    assert estimate.models[0].prompt_tokens == pytest.approx(1_000 / SAMPLE * part.models[0].prompt_tokens, rel=0.01)
    assert any(f"rehearsed on {SAMPLE} of 1,000 records" in line for line in notes_of(estimate))


@given(st.integers(0, 2_000))
def test_a_sample_is_as_large_as_said_in_order_and_begins_at_the_beginning(total: int) -> None:
    drawn = [int(record.id) for record in sample((replace(BREAD, id=str(n)) for n in range(total)), total)]
    assert len(drawn) == min(total, SAMPLE)
    assert drawn == sorted(set(drawn))
    assert drawn[:1] == [0] * min(total, 1)


def test_no_records_no_calls() -> None:
    assert rehearsed(evolving(), [SERVER], []).calls == 0


def test_a_model_that_cannot_be_asked_is_refused_as_the_stage_would() -> None:
    with pytest.raises(InputError, match="embedded-reward is a reward model"):
        rehearsed(evolving("embedded-reward"), ["embedded-reward"])


def test_a_formula_says_how_many_calls_there_are_and_what_earlier_ones_took() -> None:
    formula = Formula(7, {SERVER: 700}, 50, ("700 = 7 x 100",))
    stage = Stage("respond", {}, Listed([BREAD], {}), (Need("chat", SERVER),), answering(SERVER), dry_run=formula)
    found = calculated(stage, formula, {SERVER: Price(1, 2)}, {}, Caps(concurrency=10))
    (model,) = found.models
    assert (found.calls, found.records, found.rehearsed, found.lines) == (700, 7, 0, ("700 = 7 x 100",))
    assert (model.prompt_tokens, model.completion_tokens, model.cost) == (None, None, None)
    assert (model.completion_tokens_at_most, model.call_lengths) == (35_000, 70)
    assert "700 = 7 x 100" in notes_of(found)
    assert tables_of(found)[0].rows[0] == ("calls at most", "700", "", "")
    before = {SERVER: Spent("respond", SERVER, 10, 1_000, 200, False, 1.0)}
    (model,) = calculated(stage, formula, {SERVER: Price(1, 2)}, before, Caps()).models
    assert (model.prompt_tokens, model.completion_tokens) == (70_000, 14_000)
    assert model.cost == pytest.approx((70_000 + 2 * 14_000) / 1e6)


def test_no_more_records_are_rehearsed_than_are_taken(tmp_path: Any) -> None:
    from evolvent.evolution.evolve import evolve

    run = evolve(SEEDS, model="embedded", out=tmp_path, rounds=2, limit=5, max_tokens=128)
    estimate = respond(run, teacher="embedded", out=tmp_path, limit=3, dry_run=True).estimate
    assert estimate is not None
    assert (estimate.records, estimate.rehearsed, estimate.calls) == (3, 3, 3)
