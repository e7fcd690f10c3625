# The two commands of the README are `make demo` and `make test`; everything else is for those who work on the project.
# What make cannot say lives in xtask.

PREFIX ?= /usr/local
LIBDIR ?= lib
INCLUDEDIR ?= include
CARGO ?= cargo

.PHONY: demo scenario-4 scenario-5 scenario-6 test sanitize install dist header bench clean

demo: ## a C program logs a model through the library, reads it back and compares
	$(CARGO) xtask demo

scenario-4 scenario-5 scenario-6: scenario-%: ## clients at the store; one address; two servers: MLflow's scenarios with real servers
	$(CARGO) xtask scenario $*

test: ## install what the tests need and run all of them
	$(CARGO) xtask test

sanitize: ## run the tests of the C interface under AddressSanitizer and ThreadSanitizer, which then see Rust and C
	$(CARGO) xtask sanitize

install: ## PREFIX=/usr/local, LIBDIR=lib, INCLUDEDIR=include and DESTDIR= say where
	$(CARGO) xtask install --prefix "$(PREFIX)" --libdir "$(LIBDIR)" --includedir "$(INCLUDEDIR)" \
		$(if $(DESTDIR),--destdir "$(DESTDIR)")

dist: ## a tarball below target/dist, for those who do not build
	$(CARGO) xtask dist

header: ## write include/mlflow_artifacts.h from crates/ffi
	$(CARGO) xtask header

bench: ## measure against peers and write bench/RESULTS.md
	$(CARGO) xtask bench

clean:
	$(CARGO) clean
