"""What the other providers say of attributes is what Postgres says, for objects made at random."""

from __future__ import annotations

import json
import random
from typing import Any

from durust.model.attribute_writes import SetAttributes
from durust.model.attributes import contains, merge
from durust.storage import columns
from durust.storage.batch import SQL
from durust.storage.postgres import PostgresProvider
from durust.storage.postgres_writes import attributes
from tests.conformance.builders import make_enqueued, row_of
from tests.storage.races import Race

SEED = 192
PAIRS = 2_000
SCALARS: list[Any] = [None, True, False, 0, 1, 1.0, 2, 0.5, "", "a", "1", 10**30]
CONTAIN = """
select i.held::jsonb @> i.wanted::jsonb
  from unnest(%(held)s::text[], %(wanted)s::text[]) with ordinality as i(held, wanted, place)
 order by i.place
"""


def value(chance: random.Random, depth: int) -> Any:
    """Return a value of few letters, so that many hold each other."""
    kind = chance.random()
    if depth == 0 or kind < 0.4:
        return chance.choice(SCALARS)
    if kind < 0.7:
        return [value(chance, depth - 1) for _ in range(chance.randrange(3))]
    return obj(chance, depth - 1)


def obj(chance: random.Random, depth: int) -> dict[str, Any]:
    """Return an object."""
    return {name: value(chance, depth) for name in chance.sample("abc", chance.randrange(3))}


def part(chance: random.Random, of: Any) -> Any:
    """Return a value that is likely to be held by another one."""
    if isinstance(of, dict):
        return {name: part(chance, each) for name, each in of.items() if chance.random() < 0.7}
    if isinstance(of, list):
        return [part(chance, each) for each in chance.sample(of, len(of)) if chance.random() < 0.7]
    return of if chance.random() < 0.9 else chance.choice(SCALARS)


def test_one_object_holds_another_where_postgres_says_so(provider: PostgresProvider, race: Race) -> None:
    chance = random.Random(SEED)
    held = [obj(chance, 3) for _ in range(PAIRS)]
    wanted = [part(chance, each) if chance.random() < 0.8 else obj(chance, 3) for each in held]
    texts = [(json.dumps(one), json.dumps(other)) for one, other in zip(held, wanted, strict=True)]
    params = {
        "held": columns.texts(one for one, _ in texts),
        "wanted": columns.texts(other for _, other in texts),
    }

    theirs = [row[0] for row in race.observer.do(CONTAIN, params)]

    ours = [contains(one, other) for one, other in texts]
    assert [pair for pair, mine, other in zip(texts, ours, theirs, strict=True) if mine is not other] == []
    assert PAIRS // 5 < sum(ours) < PAIRS


def test_objects_are_merged_as_postgres_merges_them(provider: PostgresProvider, race: Race) -> None:
    chance = random.Random(SEED)
    make_enqueued(provider, "a")
    standing: str | None = None

    for _ in range(100):
        patch = json.dumps(obj(chance, 2))
        race.observer.do(SQL.set_attributes.sql, attributes.set_attributes([SetAttributes("a", patch)]))
        standing = merge(standing, patch)

        theirs = row_of(provider, "a").attributes
        assert json.loads(theirs or "null") == json.loads(standing or "null")
