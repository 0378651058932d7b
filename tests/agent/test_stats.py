"""The shape of `zdistcc stats --json`, which is a contract."""

from __future__ import annotations

from zdistcc.agent.stats import Stats
from zdistcc.errors import Reason


def test_shape_and_sums() -> None:
    stats = Stats()
    empty = stats.as_json(0, 0)
    assert empty == {
        "jobs": {"remote": 0, "local": 0, "failed": 0},
        "modes": {"headers": 0, "preprocessed": 0, "local": 0},
        "reasons": {},
        "bytes": {"sent": 0, "received": 0},
        "workers": {},
        "fell_through": {},
        "second_starts": {"started": 0, "won": 0, "wasted_s": 0.0},
    }
    stats.fell(Reason.DATE_OR_TIME)
    stats.remote("preprocessed", "w2")
    stats.remote("preprocessed", "w1")
    stats.local(Reason.LINK)
    stats.failed(Reason.ABANDONED)
    answer = stats.as_json(7, 8)
    assert answer["jobs"] == {"remote": 2, "local": 1, "failed": 1}
    assert answer["modes"] == {"headers": 0, "preprocessed": 2, "local": 1}
    assert answer["reasons"] == {"abandoned": 1, "link": 1}
    assert answer["fell_through"] == {"date-or-time": 1}
    assert list(answer["workers"]) == ["w1", "w2"] and answer["bytes"] == {"sent": 7, "received": 8}
