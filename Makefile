PYTHON ?= python3
VENV := .venv/bin/python

.PHONY: help setup demo test bench train workflows clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/ -/'

setup:  ## the virtual environment and a real ComfyUI (about 90 s and 6 GB, once)
	@$(PYTHON) demo/install.py

demo: setup  ## run the bundled workflow in ComfyUI; pictures go to output/
	@$(VENV) demo/demo.py

test: setup  ## all tests
	@$(VENV) -m ruff check .
	@$(VENV) -m pytest

bench: setup  ## plain against steered, with figures; N="200 60 30" SEED=1
	@$(VENV) demo/bench.py --prompts $(or $(N),200 60 30) --seed $(or $(SEED),1)

train: setup  ## train the demo world's models again (about two hours on two cores; resumes)
	@$(VENV) demo/autoencoder.py
	@$(VENV) demo/diffusion.py
	@$(VENV) demo/detector.py
	@$(VENV) demo/classifier.py

workflows: setup  ## write the bundled workflows and their pictures again
	@$(VENV) demo/workflows.py

clean:  ## delete unfinished training and caches, not the set-up
	@rm -rf .work output
