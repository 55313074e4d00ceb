from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from ingest.error import NoRoomError, NotSealedError
from media.error import LensError, TruncatedFileError
from vault.error import VaultError
from webconsole.display import relayed

WITHOUT_PARTICULARS = (
    "The media tool could not finish. The original is sealed and untouched; it can be downloaded."
)


@pytest.fixture(autouse=True)
def _english(app: Flask) -> Iterator[None]:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        yield


def test_a_code_alone_gives_its_sentence() -> None:
    assert relayed.by_code(TruncatedFileError.code) == TruncatedFileError.sentence


def test_a_code_whose_particulars_were_not_kept_gives_its_familys() -> None:
    assert relayed.by_code("media.crashed") == WITHOUT_PARTICULARS


def test_a_code_that_nobody_knows_is_named() -> None:
    assert "made.up" in relayed.by_code("made.up")


def test_a_path_is_always_named_and_only_once() -> None:
    assert relayed.by_path("ingest.unreadable", "a.mp4").count("a.mp4") == 1
    assert relayed.by_path(VaultError.code, "a.mp4") == f"a.mp4 · {VaultError.sentence}"


@pytest.mark.parametrize(
    "error",
    [LensError(why="no /dev/fuse (it is gone)"), NoRoomError(path="a; b.mp4", size=7, free=1),
     NotSealedError(path="a\nb", why="refused")],
)  # fmt: skip
def test_a_sentence_leads_back_to_its_error(error: LensError | NoRoomError | NotSealedError) -> None:
    found = relayed.recognise(str(error))
    assert found is not None
    assert found.code == error.code
    assert found.parameters == {name: str(value) for name, value in error.parameters.items()}
    assert relayed.by_text(str(error)) == str(error)


def test_a_text_that_is_no_sentence_stands_as_it_is() -> None:
    assert (
        relayed.by_text("the worker died 3 times in the middle of it")
        == "the worker died 3 times in the middle of it"
    )
