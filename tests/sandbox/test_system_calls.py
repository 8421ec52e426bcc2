import ctypes

import pytest

from evolvent.sandbox.system_calls import ALLOWED, FATAL, LIBRARY, compiled_filter, library_found

needs_library = pytest.mark.skipif(not library_found(), reason=f"there is no {LIBRARY}")


@needs_library
def test_every_name_is_a_system_call_of_some_architecture() -> None:
    number = ctypes.CDLL(LIBRARY).seccomp_syscall_resolve_name
    assert [name for name in f"{ALLOWED} {FATAL}".split() if number(name.encode()) == -1] == []


def test_no_name_stands_twice() -> None:
    names = f"{ALLOWED} {FATAL}".split()
    assert len(names) == len(set(names))


@needs_library
def test_filter_is_an_array_of_instructions() -> None:
    assert len(compiled_filter()) % 8 == 0
    assert 100 < len(compiled_filter()) // 8 < 4096  # as many as the kernel takes


def test_library_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolvent.sandbox.system_calls.LIBRARY", "libnone.so.0")
    assert not library_found()
