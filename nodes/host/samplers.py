"""The host's samplers: how often each asks the model in a step, and which cannot be steered."""

from collections.abc import Sequence

from torch import Tensor

# How often a sampler asks the model: (in the first step, in every later one). Only the first question of a step is
# about the latent that the sampler goes on from; moving the others would do harm. heunpp2 asks ever less often at its
# end: it is rehearsed, as samplers of other packs are.
EVALUATIONS = {
    "sample_heun": (2, 2), "sample_exp_heun_2_x0": (2, 2), "sample_exp_heun_2_x0_sde": (2, 2),
    "sample_dpm_2": (2, 2), "sample_dpm_2_ancestral": (2, 2), "sample_dpmpp_2s_ancestral": (2, 2),
    "sample_dpmpp_2s_ancestral_cfg_pp": (2, 2), "sample_dpmpp_sde": (2, 2), "sample_dpmpp_sde_gpu": (2, 2),
    "sample_seeds_2": (2, 2), "sample_seeds_3": (3, 3),
}  # fmt: skip
# Samplers of the host that ask once a step.
ONCE = {
    "sample_euler", "sample_euler_cfg_pp", "sample_euler_ancestral", "sample_euler_ancestral_cfg_pp",
    "sample_lms", "sample_dpmpp_2m", "sample_dpmpp_2m_cfg_pp", "sample_dpmpp_2m_sde", "sample_dpmpp_2m_sde_gpu",
    "sample_dpmpp_2m_sde_heun", "sample_dpmpp_2m_sde_heun_gpu", "sample_dpmpp_3m_sde",
    "sample_dpmpp_3m_sde_gpu", "sample_ddpm", "sample_lcm", "sample_ipndm", "sample_ipndm_v", "sample_deis",
    "sample_res_multistep", "sample_res_multistep_cfg_pp", "sample_res_multistep_ancestral",
    "sample_res_multistep_ancestral_cfg_pp", "sample_gradient_estimation", "sample_gradient_estimation_cfg_pp",
    "sample_er_sde", "sample_cfgpp_ud10_ab", "sample_unipc", "sample_unipc_bh2",
}  # fmt: skip
REFUSED = ("dpm_fast", "dpm_adaptive")
UNI_PC = ("sample_unipc", "sample_unipc_bh2")
SA_SOLVER = ("sample_sa_solver", "sample_sa_solver_pece")
NEAR = 1e-3  # sigmas this near to each other, as a share, are one: samplers shift the first by 1e-4


def is_known(function) -> bool:
    """Whether this k-diffusion function is the host's, and how it asks is told above."""
    name = function.__name__
    return function.__module__.startswith("comfy.") and (name in ONCE or name in EVALUATIONS or name in SA_SOLVER)


def step_of(sampler: str, call: int) -> tuple[int, bool]:
    """The sampling step that a sampler's call of the model belongs to, and whether it is the step's first question.

    sampler: its function's name; call: counted from 0.
    """
    first, later = EVALUATIONS.get(sampler, (1, 1))
    if call < first:
        return 0, call == 0
    step, question = divmod(call - first, later)
    return step + 1, question == 0


def step_at(sigma: float, schedule: Sequence[float]) -> int:
    """The sampling step in which a sampler is at this noise level. schedule: falling sigmas, one more than steps."""
    return max((step for step, start in enumerate(schedule[:-1]) if start >= sigma * (1 - NEAR)), default=0)


def part_of(sigmas: Tensor, continues: bool) -> tuple[int, int]:
    """(The first step of a run, the steps of its whole schedule), where the run's sigmas are a part of one.

    The host cuts a schedule by slicing it, so the whole still lies in the slice's memory. continues: the run adds no
    noise, but takes over a latent that has it: else it is a picture's beginning, as with denoise below 1.
    """
    steps, offset = len(sigmas) - 1, int(sigmas.storage_offset())
    size = sigmas.untyped_storage().nbytes() // sigmas.element_size()
    whole = sigmas.as_strided((size,), (1,), 0).tolist()
    del whole[offset + steps]  # the host may have set it to 0
    if sigmas.stride() != (1,) or whole != sorted(whole, reverse=True):
        return 0, steps
    first = offset if continues else 0
    return first, first + size - 1 - offset


def same_sigma(one: float, other: float) -> bool:
    return abs(one - other) <= NEAR * max(abs(one), abs(other))


class Corrector(int):
    """The order of SA-Solver's corrector, which it asks for in every step as min(order, answers so far).

    off: the order is 0 for now. The corrector goes back to the state of the step before, and with it behind a move.
    """

    off = False

    def __gt__(self, other):
        return not self.off and int(self) > other

    def __eq__(self, other):
        return (0 if self.off else int(self)) == other

    __hash__ = int.__hash__


def check_sampler(name: str) -> None:
    """Raises ValueError for a sampler that cannot be steered. name: as in KSampler's list, or its function's."""
    name = name.removeprefix("sample_").removesuffix("_function")
    if name in REFUSED:
        raise ValueError(
            f'The sampler "{name}" chooses its own steps, so none of them can be steered. '
            "Choose another, for example euler or dpmpp_2m."
        )
