"""GSM8K: the harness' two extractors, for the form that is asked for and for any last number."""

from evolvent.evaluation.task import Task
from evolvent.evaluation.tasks.extracted import MEASURES, judging

ABOUT = "grade school problems; zero-shot, the reply is to end with “The final answer is …”"
GSM8K = Task("gsm8k", ABOUT, MEASURES, judging("gsm8k"))
