"""What a model thought aloud before its answer, told apart from the answer."""

import re

OPENING = "<think>"
# Between backticks the tag is spoken of, not used.
CLOSING = re.compile(r"(?<!`)</think>(?!`)")
# Within a line of an ordinary answer it is spoken of too.
UNOPENED = re.compile(r"(?m)^[ \t]*</think>(?!`)|(?<!`)</think>[ \t\r]*$")

# Tokens at the end of a prompt among which a template's opening tag is found.
PROMPT_END = 8


def split_reasoning(text: str, *, unopened: bool = True) -> tuple[str, str | None]:
    """Split a generated text into its answer and the reasoning in ``<think>…</think>`` before it.

    The opening tag may be missing: many a chat template ends with it, so that the model only closes it. Such a closing
    tag counts only where it begins or ends a line; within a line it is spoken of. A tag that is never closed (the token
    limit came first) makes the whole text reasoning and the answer empty. A text that does not begin with reasoning is
    its own answer, unchanged, whatever tags it speaks of further on.

    Args:
        text: the text as generated, special tokens taken out.
        unopened: whether reasoning without its opening tag is looked for.

    Returns:
        The answer without the white space before it, and the reasoning; None where there is none or it is blank.
    """
    if "think>" not in text:
        return text, None
    thoughts = []
    answer = text
    end = UNOPENED.search(text) if unopened else None
    if end and OPENING not in text[: end.start()]:
        thoughts.append(text[: end.start()])
        answer = text[end.end() :]
    while (opened := answer.lstrip()).startswith(OPENING):  # some models think twice
        inside = opened[len(OPENING) :]
        end = CLOSING.search(inside)
        thoughts.append(inside[: end.start()] if end else inside)
        answer = inside[end.end() :] if end else ""
    if not thoughts:
        return text, None
    return answer.lstrip(), "\n\n".join(filter(None, (thought.strip() for thought in thoughts))) or None


def split_generated(text: str, prompt_end: str) -> tuple[str, str | None]:
    """``split_reasoning`` where the prompt is known: a template may have opened the reasoning at its end.

    Cut off before its closing tag, such reasoning would pass for an answer.

    Args:
        text: the text as generated, special tokens taken out.
        prompt_end: the text of the prompt's last tokens.

    Returns:
        As ``split_reasoning``.
    """
    return split_reasoning(OPENING + text if prompt_end.rstrip().endswith(OPENING) else text)
