"""HumanEval's verdicts: the prompt, the model's code, the tests, in OpenAI's order, in the sandbox."""

from evolvent.evaluation.task import Document, Task, Tools
from evolvent.evaluation.tasks.code import COLUMNS, MEASURES, code_in, defines, definitions, passes
from evolvent.records import Score


async def judge(document: Document, reply: str, tools: Tools) -> dict[str, Score]:
    """Whether the function of a reply passes the tests."""
    code = code_in(reply, [document["entry_point"]])
    return await passes(code, program(document, code), tools)


def program(document: Document, code: str) -> str:
    """Code that defines the function follows the prompt, whose imports it may need; other code completes it."""
    between = "\n" if defines(document["entry_point"], code) else ""
    solution = definitions(f"{document['prompt']}{between}{code}")
    return f"{solution}\n{document['test']}\ncheck({document['entry_point']})"


HUMANEVAL = Task("humaneval", "164 functions to be completed; zero-shot", MEASURES, judge, COLUMNS, runs_code=True)
