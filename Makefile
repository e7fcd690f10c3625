# The two commands of the README are `make demo` and `make test`; everything else is for those who work on the project.
# What make cannot say lives in xtask.

PREFIX ?= /usr/local
CARGO ?= cargo

.PHONY: demo test install header bench clean

demo: ## a C program logs a model through the library, reads it back and compares
	$(CARGO) xtask demo

test: ## install what the tests need and run all of them
	$(CARGO) xtask test

install: ## PREFIX=/usr/local and DESTDIR= say where
	$(CARGO) xtask install --prefix "$(PREFIX)" $(if $(DESTDIR),--destdir "$(DESTDIR)")

header: ## write include/mlflow_artifacts.h from crates/ffi
	$(CARGO) xtask header

bench: ## measure against peers and write bench/RESULTS.md
	$(CARGO) xtask bench

clean:
	$(CARGO) clean
