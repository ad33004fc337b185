"""A graph of the API may leave out every setting that has a default; a link to one is allowed as well."""

import inspect

import pytest
from learn_to_steer.nodes.attention_capture import AttentionCapture, PreviewAttentionMaps
from learn_to_steer.nodes.steered_ksampler import SteeredKSampler, SteerModel

OURS = {
    AttentionCapture: ("layers", "heads", "resolution", "softmax"),
    PreviewAttentionMaps: ("noise",),
    SteeredKSampler: ("strength", "start", "end", "refinements", "target", "sharing", "save_memory"),
    SteerModel: ("strength", "start", "end", "refinements", "target", "sharing", "save_memory"),
}


@pytest.mark.parametrize("node", OURS)
def test_settings_with_defaults_may_be_left_out(node):
    inputs = node.INPUT_TYPES()
    assert set(OURS[node]) <= set(inputs["optional"]), "the host refuses a graph without them"
    order = [*inputs["required"], *inputs["optional"]]
    assert order == [value.id for value in node.define_schema().inputs], "saved workflows keep values in this order"
    needed = [
        name for name, value in inspect.signature(node.execute).parameters.items() if value.default is value.empty
    ]
    assert not set(needed) & set(OURS[node])
