"""What a GGUF file says of itself, read before llama.cpp is: it explains no failure.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from pathlib import Path
from typing import Any

from evolvent.errors import ModelUnavailableError

# struct codes of the format's plain types; besides them 8 is a text, 9 a list.
PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9


def read_header(file: Path, uri: str) -> dict[str, Any]:
    """The metadata of a whole GGUF file; of a list only its length.

    Args:
        file: the file.
        uri: the model's name in messages to the user.

    Raises:
        ModelUnavailableError: it cannot be read, is no GGUF file, or is cut off.
    """
    try:
        with file.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise ModelUnavailableError(
                    f"model {uri}: {file} is no GGUF file",
                    fix="A GGUF file begins with the letters GGUF. A page or a pointer may have been saved in its "
                    "place: download it again. A transformers folder is hf:FOLDER.",
                )
            with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _metadata(content)
    except OSError as error:
        raise ModelUnavailableError(f"model {uri}: cannot read {file}: {error}", fix="Check the path.") from error
    except (struct.error, IndexError, KeyError, UnicodeDecodeError, RecursionError) as error:
        raise ModelUnavailableError(
            f"model {uri}: {file} is damaged or cut off",
            fix="Its download may have been cut: compare its size with the source's, and download it again.",
        ) from error


def _metadata(content: mmap.mmap) -> dict[str, Any]:
    place = 4

    def take(code: str) -> Any:
        nonlocal place
        value = struct.unpack_from(f"<{code}", content, place)[0]
        place += struct.calcsize(f"<{code}")
        return value

    def text() -> str:
        nonlocal place
        length = take("Q")
        if place + length > len(content):
            raise IndexError(length)
        place += length
        return content[place - length : place].decode()

    def value(kind: int) -> Any:
        nonlocal place
        if kind == TEXT:
            return text()
        if kind != LIST:
            return take(PLAIN[kind])
        inner, count = take("I"), take("Q")
        if inner in PLAIN:
            place += count * struct.calcsize(PLAIN[inner])
        else:
            for _ in range(count):
                if inner == TEXT:
                    length = take("Q")
                    place += length
                else:
                    value(inner)
        return count

    take("I")  # version
    tensors, entries = take("Q"), take("Q")
    metadata = {text(): value(take("I")) for _ in range(entries)}
    offsets = [0]
    for _ in range(tensors):
        text()
        shape = take("I")
        place += shape * 8
        take("I")  # the numbers' type
        offsets.append(take("Q"))
    if place + max(offsets) >= len(content):  # the last tensor begins beyond the end
        raise IndexError(max(offsets))
    return metadata
