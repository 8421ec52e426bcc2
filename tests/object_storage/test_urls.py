from pathlib import Path

import pytest

from evolvent.errors import InputError
from evolvent.object_storage.urls import copies, place_of, url_in, url_of, url_or_path, with_urls


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("s3://bucket/run/", "s3://bucket/run"),
        (Path("s3://bucket/run"), "s3://bucket/run"),
        ("file:///data/seeds.jsonl", "file://data/seeds.jsonl"),
        ("hf://datasets/org/name/a b.jsonl", "hf://datasets/org/name/a b.jsonl"),
        ("hf:/models/smol", None),
        ("openai:mock?base_url=http://host/v1", None),
        ("org/name", None),
        ("C:/data", None),
        ("s3://", None),
        (Path("runs/a"), None),
        (["s3://bucket"], None),
    ],
)
def test_what_is_a_url(value: object, url: str | None) -> None:
    assert url_in(value) == url


def test_a_copy_is_known_by_its_url() -> None:
    place = place_of("s3://bucket/run")
    assert place == copies() / "s3" / "bucket" / "run"
    assert url_of(place) == "s3://bucket/run"
    assert url_or_path(place / "evolved.parquet") == "s3://bucket/run/evolved.parquet"
    assert url_or_path("runs/a") == "runs/a" and url_of(copies()) is None
    assert with_urls(f"{place}/x is damaged; see {copies()}") == f"s3://bucket/run/x is damaged; see {copies()}"


@pytest.mark.parametrize("url", ["s3://bucket/../../etc", "s3://bucket//run", "s3://bucket/./x", "s3://b/" + "x" * 300])
def test_no_copy_lies_elsewhere(url: str) -> None:
    with pytest.raises(InputError, match="no file's name"):
        place_of(url)


@pytest.mark.parametrize("value", ["s3:bucket/run", Path("gs:bucket"), "S3:bucket"])
def test_what_is_nearly_a_url_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="is nearly a URL"):
        url_in(value)


def test_schemes_may_be_written_in_capitals_and_passwords_not_at_all() -> None:
    assert url_in("S3://bucket/run") == "s3://bucket/run"
    with pytest.raises(InputError, match="password"):
        place_of("https://me:secret@host/seeds.jsonl")
