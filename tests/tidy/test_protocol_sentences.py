"""Each sentence of the ownership protocol about what stands is shown by a test that names it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.tidy.sources import ROOT, sources

LIST = ROOT / "tests" / "storage" / "protocol_sentences.txt"
# Of these every sentence is shown; of the others as far as tests name them.
SHOWN_WHOLE = ("3.", "4.", "6.")


@dataclass(frozen=True)
class Sentence:
    """One line of the list."""

    key: str
    state: str
    text: str
    reason: str


def sentences() -> list[Sentence]:
    """Return the list."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    parts = [[part.strip() for part in line.split(" | ")] for line in lines]
    return [Sentence(key, state, text, "".join(reason)) for key, state, text, *reason in parts]


def keys_of(state: str) -> set[str]:
    """Return the keys of one state."""
    return {sentence.key for sentence in sentences() if sentence.state == state}


def marks(node: ast.AST) -> Iterator[str]:
    """Return the keys that the markers in *node* name."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.protocol":
            yield from (str(argument.value) for argument in call.args if isinstance(argument, ast.Constant))


def named_by_tests() -> dict[str, str]:
    """Return the keys that tests name, each with one of the files that do."""
    return {
        key: source.place for source in sources() if source.place.startswith("tests/") for key in marks(source.tree)
    }


def test_each_sentence_that_stands_is_shown_by_a_test() -> None:
    demanded = {key for key in keys_of("stands") if key.startswith(SHOWN_WHOLE)}

    assert sorted(demanded - named_by_tests().keys()) == []


def test_no_test_names_a_sentence_that_does_not_stand() -> None:
    named = named_by_tests()

    assert {key: place for key, place in named.items() if key not in keys_of("stands")} == {}


def test_each_sentence_has_a_key_of_its_own_and_a_state() -> None:
    listed = sentences()

    assert len({sentence.key for sentence in listed}) == len(listed)
    assert {sentence.state for sentence in listed} <= {"stands", "later", "told"}
    assert [sentence.key for sentence in listed if not sentence.text] == []


def test_what_waits_says_for_what() -> None:
    assert [sentence.key for sentence in sentences() if (sentence.state == "later") != bool(sentence.reason)] == []
