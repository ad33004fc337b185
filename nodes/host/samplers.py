"""The host's samplers: how often each asks the model in a step, and which cannot be steered."""

# How often a sampler asks the model: (in the first step, in every later one). Only the first question of a step is
# about the latent that the sampler goes on from; moving the others would do harm.
EVALUATIONS = {
    "sample_heun": (2, 2), "sample_heunpp2": (3, 3), "sample_exp_heun_2_x0": (2, 2), "sample_exp_heun_2_x0_sde": (2, 2),
    "sample_dpm_2": (2, 2), "sample_dpm_2_ancestral": (2, 2), "sample_dpmpp_2s_ancestral": (2, 2),
    "sample_dpmpp_2s_ancestral_cfg_pp": (2, 2), "sample_dpmpp_sde": (2, 2), "sample_dpmpp_sde_gpu": (2, 2),
    "sample_seeds_2": (2, 2), "sample_seeds_3": (3, 3), "sample_sa_solver_pece": (1, 2),
}  # fmt: skip
REFUSED = ("dpm_fast", "dpm_adaptive")
UNI_PC = ("sample_unipc", "sample_unipc_bh2")
SA_SOLVER = ("sample_sa_solver", "sample_sa_solver_pece")


def step_of(sampler: str, call: int) -> tuple[int, bool]:
    """The sampling step that a sampler's call of the model belongs to, and whether it is the step's first question.

    sampler: its function's name; call: counted from 0.
    """
    first, later = EVALUATIONS.get(sampler, (1, 1))
    if call < first:
        return 0, call == 0
    step, question = divmod(call - first, later)
    return step + 1, question == 0


def check_sampler(name: str) -> None:
    """Raises ValueError for a sampler that cannot be steered. name: as in KSampler's list, or its function's."""
    name = name.removeprefix("sample_").removesuffix("_function")
    if name in REFUSED:
        raise ValueError(
            f'The sampler "{name}" chooses its own steps, so none of them can be steered. '
            "Choose another, for example euler or dpmpp_2m."
        )
