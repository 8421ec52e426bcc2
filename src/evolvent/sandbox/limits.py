"""How much a program may use."""

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one program; each function of a batch has them for itself.

    Attributes:
        seconds: wall time of one call, and of loading the code (AutoIF's 5 s).
        memory: bytes of address space, the interpreter's own (about 30 MiB) included.
        processes: threads at most, the first included; a second process is never allowed.
        scratch: bytes that files under /tmp may take in all.
        output: bytes kept of the words for an exception; standard output goes nowhere.
    """

    seconds: float = 5.0
    memory: int = 512 * MIB
    processes: int = 16
    scratch: int = 16 * MIB
    output: int = 200
