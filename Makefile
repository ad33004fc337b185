PYTHON ?= python3
VENV := .venv/bin/python

.PHONY: help setup demo test families test-hosts test-gpu bench bench-wishes bench-checkpoint bench-cost train workflows pictures docs pack clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/ -/'

setup:  ## the virtual environment and a real ComfyUI (about 90 s and 6 GB, once)
	@$(PYTHON) tools/install.py $(WITH)

demo: setup  ## run the bundled workflow in ComfyUI; pictures go to output/
	@$(VENV) demo/demo.py

test pictures: WITH := --browser
test: setup  ## all tests
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) tools/check_types.py
	@$(VENV) -m pytest

test-hosts: OLDER := 0.24.0 0.16.3
test-hosts: WITH = $(OLDER)
test-hosts: setup  ## the tests that need a ComfyUI, in older ones; OLDER="0.24.0 0.16.3"
	@failed=; for version in $(OLDER); do \
		COMFYUI_PATH="$(CURDIR)/.host/ComfyUI-$$version" $(VENV) -m pytest tests/host; status=$$?; \
		if test $$status = 0; then echo "ComfyUI $$version: passed"; \
		else echo "ComfyUI $$version: failed"; failed=1; fi; \
	done; test -z "$$failed"

test-gpu: setup  ## tests/host, and bench-cost at true size, on a CUDA card; figures go to output/gpu
	@$(VENV) tools/card.py
	@failed=0; $(VENV) -m pytest tests/host || failed=1; \
		$(VENV) bench/cost.py --device cuda --full --into output/gpu || failed=1; exit $$failed

families: setup  ## test every family and write what was verified to nodes/host/FAMILIES.md
	@$(VENV) -m pytest tests/host/test_families.py --write-families

bench: setup  ## plain against steered, with figures; N="200 120 60" SEED=2 BENCH="--strength 1"
	@$(VENV) bench/accuracy.py --prompts $(or $(N),200 120 60) --seed $(or $(SEED),2) $(BENCH)

bench-wishes: setup  ## each relation by the loss without training; N=40 SEED=1
	@$(VENV) bench/wishes.py --prompts $(or $(N),40) --seed $(or $(SEED),1) $(BENCH)

bench-checkpoint: setup  ## plain against steered on your checkpoint; WORKFLOW="SDXL - steered" PROMPTS=geneval BENCH="--rtdetr FILE"
	@$(VENV) bench/checkpoints.py --workflow "$(or $(WORKFLOW),SDXL - steered)" --prompts $(or $(PROMPTS),geneval) $(BENCH)

bench-cost: setup  ## time and memory of a steered look, on models of true size; COST="--device cuda --full"
	@$(VENV) bench/cost.py $(COST)

train: setup  ## train the demo world's models again (two hours on two cores; resumes); TRAIN="--into FOLDER --steps 9"
	@$(VENV) demo/autoencoder.py $(TRAIN)
	@$(VENV) demo/diffusion.py $(TRAIN)
	@$(VENV) demo/flow.py $(TRAIN)
	@$(VENV) demo/detector.py $(TRAIN)
	@$(VENV) demo/classifier.py $(TRAIN)

workflows: setup  ## write the bundled workflows and their pictures again
	@$(VENV) tools/workflows.py

pictures: setup  ## take the pictures of README and the help pages again, in a browser
	@$(VENV) -m pytest tests/browser/test_walk.py --write-pictures

docs: setup  ## write the nodes' inputs and outputs into their help pages again
	@$(VENV) tools/help_pages.py

pack: setup  ## check and make the zip that the Comfy registry would get; it goes to output/
	@$(VENV) tools/pack.py

clean:  ## delete unfinished training and caches, not the set-up
	@rm -rf .work output
