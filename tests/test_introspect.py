"""Inside a chain: beliefs and attention are those of the very passes that write it, and what is shown of them is safe."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from radlite.errors import RadliteError
from radlite.introspect import Inside, TokenBelief, look_inside
from radlite.policy import load_policy
from radlite.reasoning import Reasoning
from radlite.show.charts import accuracy_figure
from radlite.show.live_curves import LiveCurves, curves_figure
from radlite.show.tokens import attention_picture, token_table, token_view

HOSTILE = "<script>alert(1)</script>'\" onmouseover=x"


@pytest.fixture(scope="module")
def policy(base, taught):
    return replace(load_policy(base, taught[0]), precision="no")


@pytest.fixture(scope="module")
def inside(policy, few):
    return look_inside(policy, few.frame(0).image, few.frame(0).instruction)


def test_beliefs_are_those_of_the_writing_itself(policy, few, inside):
    """Token by token the same words and the same probabilities as `predict` had while it wrote."""
    said = policy.predict([few.frame(0).image], few.frame(0).instruction, decode="mode")[0]
    chain = len(said.tokens) - 7
    assert "".join(t.text for t in inside.tokens).strip() == said.text
    np.testing.assert_allclose([t.probability for t in inside.tokens[:chain]], np.exp(said.logprobs[:chain]), atol=1e-3)


def test_every_token_has_a_field_and_its_best_alternatives_first(inside, few):
    assert inside.tokens[-1].field == "action" and inside.of("task")[0] == 0
    names = [t.field for t in inside.tokens]
    assert set(names) - {"action"} == {f for f, v in inside.reasoning.to_dict().items() if v is not None}
    for token in inside.tokens:
        odds = [p for _, p in token.others]
        assert len(odds) == 5 and odds == sorted(odds, reverse=True) and token.probability <= odds[0] + 1e-6


def test_attention_is_a_share_over_the_cells_of_the_picture(policy, inside):
    side = round(policy.vlm.image_tokens**0.5)
    layers, heads = (policy.vlm.base.config.text_config.num_hidden_layers, policy.vlm.base.config.text_config.num_attention_heads)
    assert inside.attention.shape == (layers, heads, len(inside.tokens), side, side)
    assert (inside.attention >= 0).all() and (inside.attention.sum((-1, -2)) <= 1 + 1e-5).all()


def test_a_later_cell_of_the_picture_is_a_later_cell_of_the_map(policy, few, monkeypatch):
    """Attention handed to one place of the sequence comes out at that row and column."""
    vlm = policy.vlm
    first = vlm.prompt_ids("x").index(vlm.image_token_id)
    side = round(vlm.image_tokens**0.5)

    def looks_there(inputs_embeds, **_):
        attention = torch.zeros(1, 1, inputs_embeds.shape[1], inputs_embeds.shape[1])
        attention[..., first + 2 * side + 3] = 1
        return SimpleNamespace(last_hidden_state=inputs_embeds, attentions=[attention])

    monkeypatch.setattr(vlm.base.model.text_model, "forward", looks_there)
    seen = look_inside(policy, few.frame(0).image, few.frame(0).instruction, Reasoning(task="stop")).attention
    assert (seen[0, 0].argmax(axis=None) % side**2) == 2 * side + 3 and seen[..., 2, 3].min() == 1


def test_the_models_own_attention_is_put_back(policy, inside):
    text_model = policy.vlm.base.model.text_model
    text_model.config._attn_implementation = "sdpa"
    try:
        again = look_inside(policy, np.zeros((32, 32, 3), np.uint8), "stop", Reasoning(task="stop"))
        assert text_model.config._attn_implementation == "sdpa" and np.isfinite(again.attention).all()
    finally:
        text_model.config._attn_implementation = "eager"


def test_what_cannot_be_looked_at_is_refused(policy):
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(RadliteError, match="at least one field"):
        look_inside(policy, picture, "stop", Reasoning())
    with pytest.raises(RadliteError, match="top of at least 1"):
        look_inside(policy, picture, "stop", Reasoning(task="stop"), top=0)


# ---------------------------------------------------------------------------------------------------- showing it
@pytest.fixture
def hostile():
    belief = TokenBelief(HOSTILE, "bboxes", 0.3, ((HOSTILE, 0.4), ("b", 0.3)))
    return Inside(Reasoning(task="x"), [belief, TokenBelief(" red", "move", 0.9, ((" red", 0.9),))], np.zeros((1, 1, 2, 2, 2)))


@pytest.mark.parametrize("view", [token_view, token_table])
def test_tokens_from_a_dataset_stay_text(hostile, view):
    html = view(hostile)._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html and "' onmouseover" not in html.replace("&#x27;", "")


def test_doubt_is_told_by_figures_as_well_as_by_colour(hostile):
    html = token_view(hostile)._repr_html_()
    assert html.count("<sub>30%</sub>") == 1 and html.count("text-decoration:underline") == 1


def test_the_table_can_be_cut_to_a_field_and_to_doubt(hostile):
    assert token_table(hostile, "move")._repr_html_().count("<tr>") == 2
    assert token_table(hostile, below=0.5)._repr_html_().count("<tr>") == 2


def test_attention_lights_the_cells_it_went_to():
    cells = np.zeros((4, 4))
    cells[1, 2] = 0.7
    picture = attention_picture(np.full((8, 8, 3), 200, np.uint8), cells, size=80)
    assert picture.shape == (80, 80, 3) and picture[30, 50].min() > 180 and picture[70, 10].max() < 60
    with pytest.raises(RadliteError, match="attention"):
        attention_picture(np.zeros((8, 8, 3), np.uint8), -cells)


# ---------------------------------------------------------------------------------------------------- curves
ROWS = [{"step": s, "loss": 1 / s, "fields": {"move": {"loss": 0.5 / s}, "action": {"loss": 2 / s}}} for s in (10, 20)]


def test_curves_grow_in_one_display(monkeypatch):
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(len(figure.data[0].x))

    import IPython.display

    monkeypatch.setattr(IPython.display, "display", lambda figure, display_id: shown.append(len(figure.data[0].x)) or Handle())
    curves = LiveCurves("rad", every=0)
    for row in ROWS:
        curves(row)
    assert shown == [1, 2] and curves.rows == ROWS


def test_one_panel_a_field_one_line_a_run():
    figure = curves_figure({"ecot": ROWS, "rad": ROWS[:1]})
    assert [a.text for a in figure.layout.annotations] == ["total", "move", "action"]
    assert [t.name for t in figure.data] == ["ecot", "rad"] * 3 and figure.data[2].y == (0.05, 0.025)


def test_accuracy_bars_leave_out_other_units():
    figure = accuracy_figure({"A": {"move": 0.5, "gripper_px": 3.0, "bboxes_iou": 0.2}, "B": {"move": 1.0}})
    assert list(figure.data[0].x) == ["boxes (overlap)", "move"] and list(figure.data[1].y) == [None, 1.0]
