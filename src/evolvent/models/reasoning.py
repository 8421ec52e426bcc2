"""What a model thought aloud before its answer, told apart from the answer."""

import re

# The tags that models put around their thoughts. In texts of people they do not begin one.
TAGS = {
    "<think>": "</think>",  # DeepSeek-R1, Qwen3 and most others
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "[THINK]": "[/THINK]",  # Magistral
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A Reasoning
    "<|begin_of_thought|>": "<|end_of_thought|>",  # Sky-T1
    "◁think▷": "◁/think▷",  # Kimi-VL
}
# Tags that an answer may begin with as well, as XML that was asked for.
XML = {f"<{name}>": f"</{name}>" for name in ("thinking", "reasoning", "thought", "thoughts", "reflection")}
# What some of these models put around the answer that follows.
AROUND = {"<|begin_of_solution|>": "<|end_of_solution|>", "<|START_RESPONSE|>": "<|END_RESPONSE|>"}

# Between backticks a tag is spoken of, not used.
CLOSING = {opening: re.compile(f"(?<!`){re.escape(closing)}(?!`)") for opening, closing in (TAGS | XML).items()}
# Within a line of an ordinary answer it is spoken of too.
_ANY = "|".join(map(re.escape, TAGS.values()))
UNOPENED = re.compile(rf"(?m)^[ \t]*({_ANY})(?!`)|(?<!`)({_ANY})[ \t\r]*$")
OPENED_BY = {closing: opening for opening, closing in TAGS.items()}

# The channels of gpt-oss (OpenAI's harmony format), and what is left of them where special tokens are taken out.
CHANNELS = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>(?:analysis|commentary|final)\b")
FINAL = re.compile(r"<\|channel\|>final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z])")
BARE_FINAL = "assistantfinal"
SPECIAL = re.compile(r"<\|(?:start\|>assistant|channel\|>\w+|message\|>|end\|>|return\|>|constrain\|>\w*)")

# Tokens at the end of a prompt among which a template's opening tag is found.
PROMPT_END = 8

_BLANKS = re.compile(r"\s*")


def split_reasoning(text: str, *, unopened: bool = True, cut: bool = False) -> tuple[str, str | None]:
    """Split a generated text into its answer and the reasoning in tags before it (``TAGS``, ``XML``, channels).

    The opening tag may be missing: many a chat template ends with it, so that the model only closes it. Such a closing
    tag counts only where it begins or ends a line; within a line it is spoken of. A tag that is never closed (the token
    limit came first) makes the whole text reasoning and the answer empty. A text that does not begin with reasoning is
    its own answer, unchanged, whatever tags it speaks of further on. So is one that begins with a tag of ``XML`` and is
    a document: nothing or another tag follows it, or it is not closed although the text was not cut.

    Args:
        text: the text as generated, special tokens taken out.
        unopened: whether reasoning without its opening tag is looked for.
        cut: whether the text ends before its end.

    Returns:
        The answer without the white space before it, and the reasoning; None where there is none or it is blank.
    """
    if CHANNELS.match(text) or BARE_CHANNELS.match(text):
        return _split_channels(text, cut=cut)
    thoughts = []
    begun = _behind_blanks(text, 0)  # where the answer begins
    end = UNOPENED.search(text) if unopened else None
    if end and OPENED_BY[end[1] or end[2]] not in text[: end.start()]:
        thoughts.append(text[: end.start()])
        begun = _behind_blanks(text, end.end())
    while opening := next((tag for tag in CLOSING if text.startswith(tag, begun)), None):  # some models think twice
        inside = begun + len(opening)
        end = CLOSING[opening].search(text, inside)
        after = _behind_blanks(text, end.end()) if end else len(text)
        document = text[after : after + 1] in ("", "<") if end else not cut
        if opening in XML and document:
            break
        thoughts.append(text[inside : end.start() if end else None])
        begun = after
    if not thoughts:
        return text, None
    return _unwrapped(text[begun:]), _joined(thoughts)


def split_generated(text: str, prompt_end: str, *, cut: bool = False) -> tuple[str, str | None]:
    """``split_reasoning`` where the prompt is known: a template may have opened the reasoning at its end.

    Cut off before its closing tag, such reasoning would pass for an answer.

    Args:
        text: the text as generated, special tokens taken out.
        prompt_end: the text of the prompt's last tokens.
        cut: whether the text ends before its end.

    Returns:
        As ``split_reasoning``.
    """
    opening = next(filter(prompt_end.rstrip().endswith, TAGS), "")
    return split_reasoning(opening + text, cut=cut)


def _split_channels(text: str, *, cut: bool) -> tuple[str, str | None]:
    """As ``split_reasoning``, of a text in channels: the last, ``final``, is the answer."""
    if CHANNELS.match(text):
        thoughts, *answer = FINAL.split(text, maxsplit=1)
        return SPECIAL.sub("", "".join(answer)), _joined([SPECIAL.sub("", thoughts)])
    thoughts, final, bare = text.lstrip().removeprefix("analysis").partition(BARE_FINAL)
    return (bare, _joined([thoughts])) if final or cut else (text, None)


def _behind_blanks(text: str, start: int) -> int:
    """Where the first character from ``start`` on stands that is no white space."""
    found = _BLANKS.match(text, start)
    return found.end() if found else start


def _unwrapped(answer: str) -> str:
    for opening, closing in AROUND.items():
        if answer.startswith(opening):
            return answer.removeprefix(opening).rstrip().removesuffix(closing).strip()
    return answer


def _joined(thoughts: list[str]) -> str | None:
    return "\n\n".join(filter(None, (thought.strip() for thought in thoughts))) or None
