# Targets for people: demo, build, test, lint, bench. `make` alone builds.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X github.com/musher/musher/internal/cli.Version=$(VERSION)
BIN     := bin/musher
VENV    := .venv

.PHONY: build demo test test-sdk lint bench tools debian engine clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/musher

demo: build
	$(BIN) demo

# What the tests drive: clients in environments of their own, ONNX Runtime and
# weights in the cache, libjpeg-turbo where this machine lets us install it.
tools: build $(VENV)/.done $(VENV)-sdk2/.done $(VENV)-sdk3/.done debian engine
	@ldconfig -p 2>/dev/null | grep -q libturbojpeg || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends libturbojpeg0 >/dev/null; }; } || \
		echo "libjpeg-turbo is not here: the tests that need it will skip"
	@$(BIN) fetch >/dev/null || echo "libraries and weights cannot be fetched: the tests that need them will skip"

$(VENV)/.done: test/requirements.txt
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# The SageMaker SDK, both generations. The third one's wheel asks for PyTorch,
# which its own code does not need: that wheel and the two beside it come alone.
$(VENV)-sdk2/.done: test/story/sdk2.txt
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(VENV)-sdk3/.done: test/story/sdk3.txt test/story/sdk3-alone.txt
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps -r test/story/sdk3-alone.txt
	touch $@

# What Debian has for the tests: PyTorch for scripts that train and serve, half a
# gigabyte, and clients as old as they get. Only where the tests must not skip.
DEBIAN := python3-torch python3-torchvision python3-requests python3-pip python3-boto3 awscli curl
debian:
	@dpkg -s $(DEBIAN) >/dev/null 2>&1 || { [ -n "$$MUSHER_TEST_STRICT" ] && [ "$$(id -u)" = 0 ] && \
		command -v apt-get >/dev/null && apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends $(DEBIAN) >/dev/null; } || \
		echo "not all of $(DEBIAN) is here: the tests that need it will skip"

# A Docker engine, of which the tests start one of their own. Only in CI: it
# brings a service, and that is for a machine's owner to decide.
engine:
	@command -v dockerd >/dev/null || { [ "$$CI" = true ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io containerd runc iptables >/dev/null; } || \
		echo "no Docker engine is here: the tests that need one will skip"

test: tools
	$(GO) vet ./...
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MUSHER_SHARED="$${MUSHER_SHARED:-$(CURDIR)/../shared}" \
	MUSHER_ONNXRUNTIME="$$($(BIN) fetch onnxruntime 2>/dev/null)" \
	$(GO) test -race -timeout 30m ./...

# Only the tests that drive whole servers, without the race detector.
test-sdk: tools
	MUSHER_BINARY="$(CURDIR)/$(BIN)" MUSHER_SHARED="$${MUSHER_SHARED:-$(CURDIR)/../shared}" \
	$(GO) test -timeout 30m ./test/...

lint:
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

bench: build
	MUSHER_SHARED="$${MUSHER_SHARED:-$(CURDIR)/../shared}" bench/run.sh

clean:
	rm -rf bin $(VENV) $(VENV)-sdk2 $(VENV)-sdk3
