"""The graph of an application's flow: where its boxes stand, and where its arrows go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.server.pages.flow_graph import GAP_Y, MOST, WIDTH, BoxLine, flow_graph

NAMES = st.sampled_from("abcdefgh")
FLOWS = st.dictionaries(NAMES.map(lambda it: f"{it}.x"), st.lists(NAMES.map(lambda it: f"{it}.x"), max_size=4), max_size=8)


def boxes(*names: str) -> dict[str, list[BoxLine]]:
    return {name: [BoxLine(f"{name}.x", "handler", "")] for name in names}


def test_what_leads_to_another_stands_left_of_it() -> None:
    """And what closes a circle is drawn backwards."""
    graph = flow_graph(boxes("stock", "order", "payment"), {"order.x": ["stock.x", "payment.x"], "stock.x": ["order.x"]})
    assert graph is not None
    at = {it.name: it.x for it in graph.boxes}
    assert at["order"] < at["stock"] == at["payment"] or at["stock"] < at["order"] < at["payment"]
    assert sorted(it.back for it in graph.arrows) == [False, False, True]
    assert {(it.source, it.target): list(it.events) for it in graph.arrows} == {
        ("order", "stock"): ["stock.x"], ("order", "payment"): ["payment.x"], ("stock", "order"): ["order.x"],
    }  # fmt: skip


@given(FLOWS)
def test_no_box_covers_another_and_all_are_inside(flow: dict[str, list[str]]) -> None:
    """Whatever leads to what; and each of two namespaces is joined by one arrow at most in each direction."""
    graph = flow_graph(boxes(*"abcdefgh"), flow)
    assert graph is not None
    places = [(it.x, it.y, it.height) for it in graph.boxes]
    for number, (x, y, height) in enumerate(places):
        assert 0 <= x <= graph.width - WIDTH
        assert 0 <= y <= graph.height - height
        for other_x, other_y, _ in places[number + 1 :]:
            assert x != other_x or abs(y - other_y) >= height + GAP_Y - 1
    pairs = [(it.source, it.target) for it in graph.arrows]
    assert len(pairs) == len({*pairs})
    assert {*pairs} == {(a[0], b[0]) for a, out in flow.items() for b in out if a[0] != b[0]}


def test_too_many_boxes_are_told_in_words_alone() -> None:
    """And so are none."""
    assert flow_graph(boxes(*(f"n{number}" for number in range(MOST + 1))), {}) is None
    assert flow_graph({}, {}) is None
