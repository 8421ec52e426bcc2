"""``openai:`` models: any server that speaks the OpenAI chat completions protocol."""

from evolvent.models.openai.chat import OpenAIChat

__all__ = ["OpenAIChat"]
