# `make demo` shows Armilla at work, `make test` checks everything. Both need rustup, a C compiler and make, and bring the rest.

.DEFAULT_GOAL := help
.PHONY: help demo test chaos lint plugins release bench prepare deny tools

# Where Postgres's programs are; found, or else installed, by scripts/ensure-postgres.
postgres = ARMILLA_POSTGRES_BIN="$$(scripts/ensure-postgres)"

help: ## Lists what there is
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 10

demo: tools ## Runs two workflows for you to watch; ARGS=--exit ends after them
	@scripts/demo $(ARGS)

test: lint ## Checks format, lints, documentation and dependency rules, and runs every test on a real Postgres
	@scripts/build-plugins --test
	$(postgres) && export ARMILLA_POSTGRES_BIN && cargo test --workspace

chaos: plugins ## Kills, freezes and cuts off hosts and their database under load, and looks for what that broke; docs/chaos.md
	$(postgres) && export ARMILLA_POSTGRES_BIN && ARMILLA_CHAOS_SECONDS="$${ARMILLA_CHAOS_SECONDS:-180}" \
		cargo test --workspace --test chaos -- --nocapture $(ARGS)

lint: tools
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

plugins: tools ## Builds all shipped plugins into target/plugins
	@scripts/build-plugins

release: plugins ## Builds the optimised program: target/release/armilla
	cargo build --release -p armilla

bench: plugins ## Measures what docs/benchmarks.md tells; takes some minutes
	$(postgres) && export ARMILLA_POSTGRES_BIN && scripts/bench

prepare: ## Writes .sqlx anew, after a statement or a migration was changed
	$(postgres) && export ARMILLA_POSTGRES_BIN && scripts/prepare-queries

deny: ## Checks licences, sources and bans of all dependencies; needs cargo-deny
	cargo deny --all-features check bans licenses sources

tools:
	@scripts/ensure-toolchain
