"""Many runs in one server: none may leave anything behind, however it ends."""

import asyncio
import copy
import functools
import json
import statistics
import urllib.parse

import aiohttp
import psutil
import pytest
import safetensors.torch
import torch
from learn_to_steer.steering.guidance import Steering
from live_server import ROOT, Server, node_id, serving, to_api
from torch import Tensor

DEMO = ROOT / "workflows" / "Steered against plain (emoji demo).json"
STEPS = 8
ROUND = ("plain", "steered", "cancelled", "steered", "failing")
ROUNDS = 10
WARM_UP = 2  # rounds: libraries load their parts at first use, and the allocator takes its reserve
GROWTH = 0.02
ENDS = {
    "plain": "success",
    "steered": "success",
    "cancelled": "L2S_SteeredKSampler was interrupted.",
    "failing": "L2S_SteeredKSampler: Failed on purpose.",
}

# A node of the server's own: its MODEL raises in the middle of the network while a gradient is
# being taken in the third step. The run then holds half a graph, and swapped weights.
FAIL_MIDWAY = """
class FailMidway:
    CATEGORY, FUNCTION, RETURN_TYPES = "test", "patch", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def patch(self, model):
        def fail(q, k, v, options):
            late = options["sigmas"][0] < options["sample_sigmas"][1]
            if q.requires_grad and late and options["block"][0] == "middle":
                raise RuntimeError("Failed on purpose.")
            return q, k, v

        model = model.clone()
        model.set_model_attn2_patch(fail)
        return (model,)


NODE_CLASS_MAPPINGS = {"FailMidway": FailMidway}
"""


@pytest.fixture
def server(tmp_path):
    (tmp_path / "custom_nodes").mkdir()
    (tmp_path / "custom_nodes" / "fail_midway.py").write_text(FAIL_MIDWAY)
    # The host's default keeps the results of all runs until memory is short; this the last run's.
    with serving(tmp_path, "--cache-classic") as running:
        yield running


def graphs(demo: dict) -> dict[str, tuple[dict, str]]:
    """For every kind of run: a graph that saves the latent of one sampler, and the sampler's id."""
    hard = vars(Steering(end=1.0, refinements=2, target=0.9999))
    made = {}
    for kind in ENDS:
        graph = copy.deepcopy(demo)
        sampler = node_id(graph, "KSampler" if kind == "plain" else "L2S_SteeredKSampler")
        values = graph[sampler]["inputs"]
        values["steps"] = STEPS
        if kind == "cancelled":
            values |= {**hard, "steps": 100}
        if kind == "failing":
            graph["fail"] = {"class_type": "FailMidway", "inputs": {"model": values["model"]}}
            values |= {**hard, "model": ["fail", 0]}
        link = {"samples": [sampler, 0], "filename_prefix": kind}
        graph["save"] = {"class_type": "SaveLatent", "inputs": link}
        made[kind] = graph, sampler
    return made


async def cancel(server: Server, run, sampler: str) -> None:
    """Run in the background, and interrupt when the sampler has made its first step."""
    async with (
        aiohttp.ClientSession(server.address) as session,
        session.ws_connect("/ws") as socket,
    ):
        running = asyncio.create_task(asyncio.to_thread(run))
        async for message in socket:
            heard = message.json() if message.type is aiohttp.WSMsgType.TEXT else {}
            if heard.get("type") == "progress" and heard["data"]["node"] == sampler:
                break
        server.interrupt()
        await running


def kept(server: Server) -> list[str]:
    """The nodes whose results the last run took from the one before."""
    (entry,) = server.get("/history?max_items=1").values()
    return dict(entry["status"]["messages"])["execution_cached"]["nodes"]


def latent(server: Server, outputs: dict) -> Tensor:
    (saved,) = outputs["save"]["latents"]
    file = server.open("/view?" + urllib.parse.urlencode(saved))
    return safetensors.torch.load(file)["latent_tensor"]


def test_fifty_runs_leave_nothing_behind(server):
    """Nothing: no memory, and no change in the model that a later latent would show.

    So the model stays loaded, and "turn" makes the samplers run every time: it is no input of
    theirs, and changes only what the server remembers them by. (With --cache-none they would run
    too, but each time with a model that was loaded anew.)
    """
    made = graphs(to_api(json.loads(DEMO.read_text()), server.object_info()))
    loader = node_id(made["plain"][0], "L2S_LoadDemoModel")
    process, memory, firsts = psutil.Process(server.process.pid), [], {}
    for turn, kind in enumerate(ROUND * ROUNDS):
        graph, sampler = made[kind]
        graph[sampler]["inputs"]["turn"] = turn
        run = functools.partial(server.run, graph, ["save"])
        try:
            if kind == "cancelled":
                outputs = asyncio.run(asyncio.wait_for(cancel(server, run, sampler), 60))
            else:
                outputs, _ = run()
            end = "success"
        except RuntimeError as error:
            end = str(error)
        assert end == ENDS[kind], f"run {turn}, {kind}"
        assert sampler not in kept(server) and (loader in kept(server)) == (turn > 0)
        if end == "success":
            made_now = latent(server, outputs)
            assert torch.equal(made_now, firsts.setdefault(kind, made_now)), f"run {turn}, {kind}"
        memory.append(process.memory_info().rss // 1024)
    assert not torch.equal(firsts["plain"], firsts["steered"])

    # All resident pages, as the system counts them; nothing is trimmed or collected for the
    # figure. One reading can fall before or after the collection that the host makes every 10 s,
    # so a round's median is compared with another's.
    medians = [statistics.median(memory[at : at + len(ROUND)]) for at in range(0, len(memory), len(ROUND))]
    growth = medians[-1] / medians[WARM_UP] - 1
    assert growth <= GROWTH, f"{growth:+.2%}; kB after each run: {memory}"
