# A thin front for CMake. `make help` lists what it can do.
BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
SHARED ?= ../shared

CONFIGURE = tools/configure.sh
# The inner make has its own jobs and its own quiet.
COMPILE = env -u MAKEFLAGS -u MAKELEVEL cmake --build
CTEST = tools/ctest.sh
# Without them, or a network, the test of kernels for ARM is skipped by name.
FETCH_ARM = tools/arm_emulated.sh fetch

all: ## build/pippin
	@$(CONFIGURE) $(BUILD)
	@$(COMPILE) $(BUILD) -j $(JOBS) --target pippin

deps: ## install what the build needs, through apt-get
	@tools/deps.sh build

demo: deps all ## everything from a clean clone to the first result
	@tools/demo.sh $(BUILD)/pippin

test: ## everything from a clean clone to the tests' verdict
	@tools/deps.sh build test arm
	@$(CONFIGURE) $(BUILD) -DPIPPIN_TESTS=ON
	@$(FETCH_ARM) $(BUILD) || true
	@$(COMPILE) $(BUILD) -j $(JOBS)
	@$(CTEST) $(BUILD)

check: ## what must hold before a change goes in: both compilers without warnings, sanitizers, house rules
	@tools/deps.sh build test check arm
	@for cc in gcc clang; do \
	    $(CONFIGURE) build-$$cc -DCMAKE_C_COMPILER=$$cc -DPIPPIN_WERROR=ON -DPIPPIN_TESTS=ON && \
	    { [ $$cc = clang ] || $(FETCH_ARM) build-gcc || true; } && \
	    $(COMPILE) build-$$cc -j $(JOBS) && $(CTEST) build-$$cc || exit 1; \
	done
	@tests/check_house.sh --self-test build-gcc
	@$(MAKE) --no-print-directory asan

check-long: check tsan ## check, then fuzzers, killed training runs, guesses at length, ARM, the acceptance table, threads under a sanitizer
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=600
	@tests/train_long.sh build-gcc/pippin
	@build-gcc/tests/accept_test long
	@build-gcc/tests/questions $(SHARED) || [ $$? = 77 ]
	@$(MAKE) --no-print-directory arm BUILD=build-gcc
	@$(MAKE) --no-print-directory accept

asan: ## the tests with address and undefined-behaviour sanitizers
	@tools/deps.sh build test
	@$(CONFIGURE) build-asan -DCMAKE_BUILD_TYPE=Debug -DPIPPIN_SANITIZE=address,undefined -DPIPPIN_TESTS=ON
	@$(COMPILE) build-asan -j $(JOBS)
	@$(CTEST) build-asan

tsan: ## the tests with the thread sanitizer
	@tools/deps.sh build test
	@$(CONFIGURE) build-tsan -DCMAKE_BUILD_TYPE=Debug -DPIPPIN_SANITIZE=thread -DPIPPIN_TESTS=ON
	@$(COMPILE) build-tsan -j $(JOBS)
	@$(CTEST) build-tsan

fuzz: ## each fuzzer for FUZZ_SECONDS (60); new inputs stay in build-fuzz
	@tools/deps.sh build check
	@$(CONFIGURE) build-fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DPIPPIN_FUZZ=ON -DPIPPIN_TESTS=OFF
	@$(COMPILE) build-fuzz -j $(JOBS)
	@tools/fuzz.sh build-fuzz $(FUZZ_SECONDS)

emulate: ## the AVX-512 and VNNI kernels' test on a CPU without them, in an emulator; an hour
	@tools/deps.sh build test emulate
	@$(CONFIGURE) $(BUILD) -DPIPPIN_TESTS=ON
	@tools/avx512_emulated.sh $(BUILD)

arm: ## pippin for ARM in an emulator: kernels, laws, golden cases, the same answers as here; a quarter of an hour
	@tools/deps.sh build test arm
	@$(CONFIGURE) $(BUILD) -DPIPPIN_TESTS=ON
	@$(COMPILE) $(BUILD) -j $(JOBS) --target pippin
	@tools/arm_emulated.sh all $(BUILD) $(SHARED)

bench: ## the programs in bench/
	@$(CONFIGURE) $(BUILD)
	@$(COMPILE) $(BUILD) -j $(JOBS) --target benchmarks
	@for program in $(BUILD)/bench/*; do [ ! -x $$program ] || $$program || exit 1; done

accept: ## the table of claims, each with the command that shows it
	@tools/deps.sh build test
	@$(CONFIGURE) $(BUILD) -DPIPPIN_TESTS=ON
	@$(COMPILE) $(BUILD) -j $(JOBS)
	@tests/accept.sh $(BUILD) $(SHARED)

format-check: ## names the files that clang-format would change
	@clang-format --version >/dev/null
	@for file in include/*.h src/*/*.[ch] tests/*.[ch] fuzz/*.[ch] bench/*.[ch] examples/*.c; do \
	    [ ! -f $$file ] || clang-format --dry-run -Werror $$file >/dev/null 2>&1 || echo "$$file"; \
	done

docs: all ## fill the generated parts of docs/
	@tools/update_docs.sh $(BUILD)/pippin

install: ## command, library, manual, completions into PREFIX (/usr/local), below DESTDIR
	@$(CONFIGURE) $(BUILD)
	@$(COMPILE) $(BUILD) -j $(JOBS) --target pippin pages pippin_static pippin_shared
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove what was built
	rm -rf build build-gcc build-clang build-asan build-tsan build-fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{printf "%-20s %s\n", $$1, $$2}'

.PHONY: all deps demo test check check-long asan tsan fuzz emulate arm bench accept format-check docs install clean help
