"""Instruction data in and out: ``load`` reads it in any format, ``write`` makes a training set of records."""

from evolvent.datasets.load import InstructionData, Problem, load
from evolvent.datasets.write import WriteCounts, write

__all__ = ["InstructionData", "Problem", "WriteCounts", "load", "write"]
