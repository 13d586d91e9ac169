# make demo [INPUT=my.wav]   compress a recording, decode it, print a table
# make test                  lint, types, tests
# make smoke                 the recipes of two shipped models end to end, two steps a stage
# make fuzz                  100,000 mutated files, for a nightly run
# make bench                 speed against EnCodec and DAC, and transformers
# make live | peers | eval | asr | judge | units | onnx | serve | synthetic   add an extra to .venv
# make docs                  the documentation site, into site/
# make release               sdist and wheel, checked and tried in a fresh environment, into dist/
# make system-deps           Debian packages that some tests and corpora use
# make clean                 remove .venv and what the tools left
#
# Everything installs into .venv, at the versions of constraints.txt; with CONSTRAINTS= (empty), at
# the newest that pyproject.toml allows. PYTHON=... names the interpreter to make .venv with.

SHELL := bash
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
INPUT ?=
# What `make test` installs. A test that needs another extra skips and says so.
EXTRAS ?= dev
PYTEST_FLAGS ?= --numprocesses auto --maxprocesses 4 --dist loadgroup

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install \
  $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
# The file .with-NAME says that the extra NAME is installed; .with-base, the package itself.
WITH := $(VENV)/.with-
# Packages of an extra to install without what they declare: pyproject.toml says why.
ALONE_eval := resemblyzer==0.1.4 distillmos==0.9.1 xls-r-sqa==0.1.0
ALONE_peers := descript-audio-codec==1.0.0 descript-audiotools==0.7.2

.PHONY: demo test smoke smoke-codec-nano smoke-lm-units fuzz bench live peers eval asr judge units onnx hf serve synthetic dev pesq docs release system-deps clean

demo: $(WITH)base $(WITH)asr
	$(BIN)/speechlm demo $(if $(INPUT),"$(INPUT)") --out demo

test: $(EXTRAS:%=$(WITH)%)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy speechlm
	$(BIN)/pytest $(PYTEST_FLAGS)

smoke: smoke-codec-nano smoke-lm-units

smoke-codec-nano smoke-lm-units: smoke-%: $(WITH)asr
	rm -rf runs/smoke/$*
	SMOKE=1 OMP_NUM_THREADS=1 PYTHON=$(BIN)/python recipes/$*/run.sh

fuzz: $(WITH)dev
	SPEECHLM_FUZZ_FILES=100000 $(BIN)/pytest --timeout 7200 -k mutated tests/bitstream

bench: $(WITH)peers $(WITH)live $(WITH)hf
	$(BIN)/speechlm bench codec
	$(BIN)/speechlm bench lm

live peers eval asr judge units onnx hf serve synthetic dev: %: $(WITH)%

pesq: $(WITH)base
	$(INSTALL) --editable '.[pesq]'

$(BIN)/python:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	  $$python -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	    2>/dev/null && exec $$python -m venv $(VENV); \
	done; \
	echo 'error: no Python 3.11 to 3.13 with venv found; name one: make PYTHON=/path/to/python3.x' >&2; \
	exit 1

$(WITH)base: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo 'Installing speechlm into $(VENV) (PyTorch is several GB: some minutes)'
	@$(INSTALL) --editable .
	@$(INSTALL) --editable '.[pesq]' >$(VENV)/pesq.log 2>&1 || echo 'No PESQ: it has no wheel and' \
	  'building it failed, see $(VENV)/pesq.log; tables say so in its place and everything else' \
	  'works. With a C compiler installed: make pesq'
	@touch $@

# No warning of conflicts: pip would tell of them each time that something follows an ALONE package.
$(WITH)%: $(WITH)base
	@echo 'Installing the extra $* into $(VENV)'
	@$(INSTALL) --no-warn-conflicts --editable '.[$*]'
	@$(if $(ALONE_$*),$(INSTALL) --no-deps $(ALONE_$*))
	@touch $@

# The demo page loads ONNX graphs of the codec and onnxruntime-web, which are no part of the repository.
docs: $(WITH)docs $(WITH)onnx
	$(BIN)/mkdocs build --strict --quiet
	PYTHON=$(BIN)/python docs/demo/build.sh site/demo

# The wheel is installed into an environment of its own, where it has to compress the sample recording.
release: $(WITH)release
	rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist .
	$(BIN)/twine check --strict dist/*
	rm -rf build/release && $(BIN)/python -m venv build/release
	build/release/bin/python -m pip --quiet --disable-pip-version-check --no-input install \
	  $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) dist/*.whl
	cd build/release && bin/speechlm compress ../../speechlm/assets/sample.flac sample.slm --kbps 3 --force \
	  && bin/speechlm decompress sample.slm sample.wav --force && bin/speechlm info sample.slm \
	  && bin/speechlm recipes && bin/speechlm recipes copy codec-nano copy

# Opus, Speex, Codec2 and AMR-WB are judged beside the codec, Chromium opens pages, Node runs the npm
# package (Debian's npm brings it; another one is left alone), PESQ is compiled. (Corpora in Debian
# packages are fetched and unpacked, never installed.)
system-deps:
	$(if $(filter 0,$(shell id -u)),,sudo) apt-get install --yes --no-install-recommends \
	  build-essential chromium codec2 libvo-amrwbenc0 opus-tools speex $(if $(shell command -v npm),,npm)

clean:
	rm -rf $(VENV) demo build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
