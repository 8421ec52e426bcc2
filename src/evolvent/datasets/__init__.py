"""Instruction data in and out: ``load`` makes seeds of it, ``write`` makes training sets, ``convert`` does both."""

from evolvent.datasets.convert import ConvertCounts, convert
from evolvent.datasets.load import InstructionData, Problem, load
from evolvent.datasets.write import WriteCounts, write

__all__ = ["ConvertCounts", "InstructionData", "Problem", "WriteCounts", "convert", "load", "write"]
