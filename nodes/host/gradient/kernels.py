"""Kernels without a gradient make way for plain torch.

Forced by:
- comfy/ldm/flux/math.py, apply_rope, comfy/ops.py, linear_input_act, and others: comfy_kitchen's kernels, except when
  comfy.model_management.in_training says so;
- comfy/ldm/joyimage/model.py, JoyImageAttention.forward, comfy/ldm/ernie/model.py, ErnieImageAttention.forward,
  comfy/ldm/cosmos/predict2.py, Attention (Anima's too): comfy_kitchen's kernels in any case. The first and the last
  give them a norm's scale that was fetched by cast_bias_weight, into memory that is soon used again.

Proven by:
- test_gradient.py::test_quantised_weights_give_the_gradient_of_what_they_stand_for (int8);
- test_families.py::test_gradient_equals_finite_differences (Cosmos-Predict2, Anima, ERNIE-Image, JoyImage),
  test_gradient.py::test_streamed_weights_give_the_exact_gradient (JoyImage).
"""

import contextlib

import comfy.model_management
from torch import Tensor

try:
    import comfy_kitchen
    from comfy_kitchen.backends.eager import rope as eager_rope
except ImportError:  # the host does without it too
    comfy_kitchen = eager_rope = None


@contextlib.contextmanager
def kernels_with_gradient():
    """The host's plain torch in place of its kernels: told that it trains, it takes it in most places; in the others
    (Cosmos, Anima, ERNIE, JoyImage) the rotary kernels' own plain versions, of the same names, stand in for them."""
    kernels = {
        name: getattr(comfy_kitchen, name)
        for name in dir(eager_rope)
        if "rope" in name and hasattr(comfy_kitchen, name)
    }
    training = comfy.model_management.in_training
    try:
        comfy.model_management.in_training = True
        for name in kernels:
            setattr(comfy_kitchen, name, _own_scales(getattr(eager_rope, name)))
        yield
    finally:
        comfy.model_management.in_training = training
        for name, kernel in kernels.items():
            setattr(comfy_kitchen, name, kernel)


def _own_scales(kernel):
    """A norm's scale that is fused into a kernel is fetched outside it, into memory that is soon used again."""

    def call(*args, **kwargs):
        return kernel(*(v.clone() if isinstance(v, Tensor) and v.ndim == 1 else v for v in args), **kwargs)

    return call
